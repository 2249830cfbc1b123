#!/usr/bin/env bash
# Quorum queues: what a broker that is killed keeps of a queue that was declared a moment ago.
#
# Expected by most: a confirmed message of a quorum queue is on the disk, and there again once the broker is, whenever the queue was made.
# What happens on a node of its own: of a queue declared right before, all 100 confirmed, persistent messages are gone after the node was
# killed; the queue is there, and empty. Its log says that the member was not found on this node and is started as a new one. Of a queue
# that was declared three seconds before it had its messages, all are there. So whoever declares a queue waits before its first message
# counts, or declares long before; three nodes are not tried here.
#
# Needs root on Debian with mmdebstrap. RabbitMQ 4.0.5 (trixie) and 4.3.6 (sid), pika 1.4.4.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=findings/lib/rabbitmq.sh
source "$here/lib/rabbitmq.sh"

python_with pika==1.4.4
cat >"$WORK/probe.py" <<'EOP'
import os
import sys
import time

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
verb, name = sys.argv[1:3]
if verb == "fill":
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
    time.sleep(float(sys.argv[3]))
    for _ in range(100):
        channel.basic_publish("", name, b"", pika.BasicProperties(delivery_mode=2), mandatory=True)
else:
    # A queue may still be starting.
    deadline = time.monotonic() + 10
    count = 0
    while count == 0 and time.monotonic() < deadline:
        count = channel.queue_declare(name, passive=True).method.message_count
        time.sleep(0.2)
    print(f"{name}: {count} of 100 confirmed")
EOP
expected='young: 0 of 100 confirmed
older: 100 of 100 confirmed'

for release in "trixie 4.0.5" "sid 4.3.6"; do
    # shellcheck disable=SC2086 # two words
    rabbitmq $release 20572
    seen=
    for case in "young 0" "older 3"; do
        # shellcheck disable=SC2086 # two words
        "$PYTHON" "$WORK/probe.py" fill $case
        rabbitmq_kill
        rabbitmq_start
        seen+=$("$PYTHON" "$WORK/probe.py" count "${case% *}")$'\n'
    done
    printf '%s' "$seen"
    [ "${seen%$'\n'}" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
    rabbitmq_stop
done
