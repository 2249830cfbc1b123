"""Publishes one WhatsApp message, waits for its result and prints it. Ends with 0 if it was accepted, with 1 otherwise.

pip install pika
AMQP_URL=amqp://user:password@host:5672/vhost python3 publish.py PHONE_NUMBER_ID RECIPIENT
"""

import json
import os
import sys
import time
import uuid

import pika

WAIT_S = 60
# RabbitMQ's own way back to this channel: it takes no queue and no more rights than to publish.
REPLY_TO = "amq.rabbitmq.reply-to"


def result_of(number, recipient):
    parameters = pika.URLParameters(os.environ["AMQP_URL"])
    parameters.blocked_connection_timeout = WAIT_S
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()  # basic_publish waits for the confirm, and raises if the request may be lost
        results = []
        # On the channel that publishes, and before: direct replies come to no other.
        channel.basic_consume(REPLY_TO, lambda *delivery: results.append(delivery[-1]), auto_ack=True)

        message = {"to": recipient, "type": "text", "text": {"body": "Your parcel is on its way."}}
        properties = pika.BasicProperties(
            message_id=str(uuid.uuid4()),  # required: the request's identity
            timestamp=int(time.time()),  # in seconds
            content_type="application/json",
            delivery_mode=pika.DeliveryMode.Persistent,  # survives a restart of RabbitMQ
            reply_to=REPLY_TO,
        )
        # Mandatory: what no queue takes comes back. Without it that would be confirmed and forgotten.
        channel.basic_publish("wa.send", number, json.dumps(message), properties, mandatory=True)

        deadline = time.monotonic() + WAIT_S
        while not results and time.monotonic() < deadline:
            connection.process_data_events(time_limit=1)
        return results[0].decode() if results else None


def main():
    if len(sys.argv) != 3 or "AMQP_URL" not in os.environ:
        sys.exit("usage: AMQP_URL=amqp://… publish.py PHONE_NUMBER_ID RECIPIENT")
    try:
        result = result_of(*sys.argv[1:])
    except pika.exceptions.UnroutableError:
        sys.exit("returned: no queue takes requests for this number")
    except pika.exceptions.NackError:
        sys.exit("not confirmed: RabbitMQ could not keep the request")
    except pika.exceptions.AMQPError as error:
        # A connection lost before the confirm tells nothing: publishing again may then send twice.
        sys.exit(repr(error))
    if result is None:
        sys.exit(f"after {WAIT_S} s no result yet: do not publish again, it comes to wa.results")
    print(result)
    sys.exit(0 if json.loads(result)["status"] == "accepted" else 1)


main()
