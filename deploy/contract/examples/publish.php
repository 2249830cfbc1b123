<?php
// Publishes one WhatsApp message, waits for its result and prints it. Ends with 0 if it was accepted, with 1 otherwise.
//
// composer require php-amqplib/php-amqplib
// AMQP_URL=amqp://user:password@host:5672/vhost php publish.php PHONE_NUMBER_ID RECIPIENT

require 'vendor/autoload.php';

use PhpAmqpLib\Connection\AMQPConnectionConfig;
use PhpAmqpLib\Connection\AMQPConnectionFactory;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Message\AMQPMessage;

const WAIT_S = 60;
// RabbitMQ's own way back to this channel: it takes no queue and no more rights than to publish.
const REPLY_TO = 'amq.rabbitmq.reply-to';

function connection(string $url)
{
    $parts = parse_url($url);
    $config = new AMQPConnectionConfig();
    $config->setHost($parts['host']);
    $config->setPort($parts['port'] ?? 5672);
    $config->setUser(urldecode($parts['user'] ?? 'guest'));
    $config->setPassword(urldecode($parts['pass'] ?? 'guest'));
    $config->setVhost(isset($parts['path']) ? urldecode(substr($parts['path'], 1)) : '/');
    $config->setIsSecure($parts['scheme'] === 'amqps');
    // Seconds for each answer of RabbitMQ's, that to the close at the end included.
    $config->setChannelRPCTimeout(3);
    return AMQPConnectionFactory::create($config);
}

function result_of(string $number, string $recipient): string
{
    $channel = connection(getenv('AMQP_URL'))->channel();
    $channel->confirm_select();
    $channel->set_nack_handler(function () {
        throw new RuntimeException('not confirmed: RabbitMQ could not keep the request');
    });
    $channel->set_return_listener(function () {
        throw new RuntimeException('returned: no queue takes requests for this number');
    });
    $result = null;
    // On the channel that publishes, and before: direct replies come to no other.
    $channel->basic_consume(REPLY_TO, '', false, true, false, false, function (AMQPMessage $reply) use (&$result) {
        $result = $reply->getBody();
    });

    $message = ['to' => $recipient, 'type' => 'text', 'text' => ['body' => 'Your parcel is on its way.']];
    $request = new AMQPMessage(json_encode($message), [
        'message_id' => bin2hex(random_bytes(16)), // required: the request's identity
        'timestamp' => time(), // in seconds
        'content_type' => 'application/json',
        'delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT, // survives a restart of RabbitMQ
        'reply_to' => REPLY_TO,
    ]);
    // Mandatory: what no queue takes comes back. Without it that would be confirmed and forgotten.
    $channel->basic_publish($request, 'wa.send', $number, mandatory: true);
    $late = 'confirm: publishing again may send twice';
    try {
        $channel->wait_for_pending_acks_returns(WAIT_S); // only a confirmed request is never lost
        $late = 'result yet: do not publish again, it comes to wa.results';
        while ($result === null) {
            $channel->wait(null, false, WAIT_S);
        }
    } catch (AMQPTimeoutException) {
        throw new RuntimeException('after ' . WAIT_S . " s no $late");
    }
    return $result;
}

if ($argc !== 3 || !getenv('AMQP_URL')) {
    fwrite(STDERR, "usage: AMQP_URL=amqp://… publish.php PHONE_NUMBER_ID RECIPIENT\n");
    exit(1);
}
try {
    $result = result_of($argv[1], $argv[2]);
} catch (Throwable $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
echo $result, "\n";
exit(json_decode($result)->status === 'accepted' ? 0 : 1);
