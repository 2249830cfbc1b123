#!/usr/bin/env bash
# Quorum queues: where a message goes that is returned when its connection is lost.
#
# Expected by most, and said by RabbitMQ's page on acknowledgements of queues in general: to its original place if possible, else closer
# to the head.
# What happens: behind all others that were returned, and before what was never delivered. Six that were returned together come again in
# order. Of those, one that is delivered alone and returned again comes after the other five: so a consumer that takes one at a time and
# loses its connection at each meets another message each time, and their order is another from then on.
#
# Needs root on Debian with mmdebstrap. RabbitMQ 4.0.5 (trixie) and 4.3.6 (sid), pika 1.4.4.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=findings/lib/rabbitmq.sh
source "$here/lib/rabbitmq.sh"

python_with pika==1.4.4
cat >"$WORK/probe.py" <<'EOP'
import os
import time

import pika

QUEUE = "returned"
parameters = pika.URLParameters(os.environ["AMQP_URL"])


def wait_until(ready):
    deadline = time.monotonic() + 30
    while channel.queue_declare(QUEUE, passive=True).method.message_count != ready:
        assert time.monotonic() < deadline, "the messages did not return"
        time.sleep(0.1)


def deliver(count, acknowledge):
    other = pika.BlockingConnection(parameters)
    consumer = other.channel()
    consumer.basic_qos(prefetch_count=1 if acknowledge else count)
    bodies = []
    for method, _, body in consumer.consume(QUEUE):
        bodies.append(body.decode())
        if acknowledge:
            consumer.basic_ack(method.delivery_tag)
        if len(bodies) == count:
            break
    # The channel has no say in where they go: all end with the connection.
    other.close()
    return " ".join(bodies)


connection = pika.BlockingConnection(parameters)
channel = connection.channel()
channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 1000})
for number in range(6):
    channel.basic_publish("", QUEUE, f"m{number}".encode())
wait_until(6)
print("six at once:", deliver(6, False))
wait_until(6)
print("one:", deliver(1, False))
wait_until(6)
channel.basic_publish("", QUEUE, b"new")
wait_until(7)
print("all, one by one:", deliver(7, True))
EOP
expected='six at once: m0 m1 m2 m3 m4 m5
one: m0
all, one by one: m1 m2 m3 m4 m5 m0 new'

for release in "trixie 4.0.5" "sid 4.3.6"; do
    # shellcheck disable=SC2086 # two words
    rabbitmq $release 20572
    seen=$("$PYTHON" "$WORK/probe.py")
    printf '%s\n' "$seen"
    [ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
    rabbitmq_stop
done
