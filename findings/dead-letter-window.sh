#!/usr/bin/env bash
# Quorum queues that dead-letter at least once: what one queue that refuses does to all others behind the same source queue.
#
# Expected by most: each message that expires is dead-lettered by itself; one target that is full delays what is for it, nothing else.
# What happens: the source queue keeps at most 32 dead-lettered messages unconfirmed and offers refused ones again only after
# `dead_letter_worker_publisher_confirm_timeout`, three minutes. Beside 20 messages for a full queue, one for an empty queue arrives as
# soon as its second is over. Beside 40, it does not arrive within a minute. So queues that share a TTL queue must not have a length limit that refuses.
#
# Needs root on Debian with mmdebstrap; some three minutes. RabbitMQ 4.0.5 (trixie) and 4.3.6 (sid), pika 1.4.4.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=findings/lib/rabbitmq.sh
source "$here/lib/rabbitmq.sh"

python_with pika==1.4.4
cat >"$WORK/probe.py" <<'EOP'
import os
import time

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.confirm_delivery()


def declare(name, **arguments):
    arguments = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum", **arguments})


def arrives_within(refused, seconds):
    name = f"case-{refused}"
    full, empty, waiting = f"{name}-full", f"{name}-empty", f"{name}-waiting"
    channel.exchange_declare(name, "direct", durable=True)
    declare(full, max_length=1, overflow="reject-publish")
    declare(empty)
    for queue in (full, empty):
        channel.queue_bind(queue, name, queue)
    channel.exchange_declare(waiting, "fanout", durable=True)
    declare(waiting, message_ttl=1000, dead_letter_exchange=name, dead_letter_strategy="at-least-once", overflow="reject-publish")
    channel.queue_bind(waiting, waiting)
    try:
        while True:
            channel.basic_publish(name, full, b"")
    except pika.exceptions.NackError:
        pass
    for target in [full] * refused + [empty]:
        channel.basic_publish(waiting, target, b"")
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if channel.basic_get(empty, auto_ack=True)[0]:
            return "arrives"
        connection.sleep(0.2)
    return "does not arrive"


print(f"beside 20 refused, within 10 s: {arrives_within(20, 10)}")
print(f"beside 40 refused, within 60 s: {arrives_within(40, 60)}")
EOP
expected='beside 20 refused, within 10 s: arrives
beside 40 refused, within 60 s: does not arrive'

for release in "trixie 4.0.5" "sid 4.3.6"; do
    # shellcheck disable=SC2086 # two words
    rabbitmq $release 20572
    seen=$("$PYTHON" "$WORK/probe.py")
    printf '%s\n' "$seen"
    [ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
    rabbitmq_stop
done
