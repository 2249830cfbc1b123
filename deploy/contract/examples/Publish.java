// Publishes one WhatsApp message, waits for its result and prints it. Ends with 0 if it was accepted, with 1 otherwise.
//
// com.rabbitmq:amqp-client and org.slf4j:slf4j-api on the class path; compiled, or as it is:
// AMQP_URL=amqp://user:password@host:5672/vhost java -cp amqp-client.jar:slf4j-api.jar Publish.java PHONE_NUMBER_ID RECIPIENT

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.nio.charset.StandardCharsets;
import java.util.Date;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

public class Publish {
    private static final int WAIT_S = 60;
    /** RabbitMQ's own way back to this channel: it takes no queue and no more rights than to publish. */
    private static final String REPLY_TO = "amq.rabbitmq.reply-to";

    public static void main(String[] args) {
        String url = System.getenv("AMQP_URL");
        // A recipient of digits needs no escaping in JSON; a program of yours has a library for that.
        if (args.length != 2 || url == null || !args[1].matches("\\+?[0-9]+")) {
            fail("usage: AMQP_URL=amqp://… Publish PHONE_NUMBER_ID RECIPIENT");
        }
        try {
            String result = resultOf(url, args[0], args[1]);
            System.out.println(result);
            System.exit(result.contains("\"status\":\"accepted\"") ? 0 : 1);
        } catch (ExecutionException e) {
            fail(e.getCause().getMessage());
        } catch (Exception e) {
            fail(e + (e.getCause() == null ? "" : ": " + e.getCause().getMessage()));
        }
    }

    private static String resultOf(String url, String number, String recipient) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(url);
        Connection connection = factory.newConnection();
        Channel channel = connection.createChannel();
        CompletableFuture<String> result = new CompletableFuture<>();
        channel.addShutdownListener(result::completeExceptionally);
        channel.addReturnListener(returned -> result.completeExceptionally(
                new IllegalStateException("returned: no queue takes requests for this number")));
        // On the channel that publishes, and before: direct replies come to no other.
        channel.basicConsume(REPLY_TO, true, (tag, delivery) ->
                result.complete(new String(delivery.getBody(), StandardCharsets.UTF_8)), tag -> { });
        channel.confirmSelect();

        String message = "{\"to\":\"" + recipient + "\",\"type\":\"text\",\"text\":{\"body\":\"Your parcel is on its way.\"}}";
        AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
                .messageId(UUID.randomUUID().toString()) // required: the request's identity
                .timestamp(new Date())
                .contentType("application/json")
                .deliveryMode(2) // persistent: survives a restart of RabbitMQ
                .replyTo(REPLY_TO)
                .build();
        // Mandatory: what no queue takes comes back. Without it that would be confirmed and forgotten.
        boolean mandatory = true;
        channel.basicPublish("wa.send", number, mandatory, properties, message.getBytes(StandardCharsets.UTF_8));
        String late = "confirm: publishing again may send twice";
        try {
            channel.waitForConfirmsOrDie(WAIT_S * 1000); // only a confirmed request is never lost
            late = "result yet: do not publish again, it comes to wa.results";
            String told = result.get(WAIT_S, TimeUnit.SECONDS);
            // Only now: it waits for RabbitMQ, which may be what does not answer. Else the end of the process closes it.
            connection.close();
            return told;
        } catch (TimeoutException e) {
            throw new TimeoutException("after " + WAIT_S + " s no " + late);
        }
    }

    private static void fail(String why) {
        System.err.println(why);
        System.exit(1);
    }
}
