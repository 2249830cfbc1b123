#!/usr/bin/env bash
# RabbitMQ 4.3.6 (Debian sid): a quorum queue with a single active consumer can keep a consumer whose connection is gone, and make it the
# active one.
#
# What most would expect: a consumer ends with its connection, whatever it held; the next in line is one that lives. So it is on 4.0.5.
#
# What happens: a consumer that holds unacknowledged messages while another of higher priority waits is told to finish first. If its
# connection ends just then, its messages go to the other, as they should, but it goes back into the line of those that wait. When the other
# leaves too, the dead one is active: `rabbitmqctl list_consumers` says so, with no connection left. Messages published from then on go
# to it, until the consumer timeout (half an hour) or a restart of the queue's leader. What helps a program: to return its messages
# (basic.nack, requeue) while its channel is open, and to close it then. The queue is empty here when the dead consumer becomes active.
#
# Needs root on Debian with mmdebstrap; a minute. RabbitMQ 4.0.5 (trixie) and 4.3.6 (sid), pika 1.4.4.
set -euo pipefail
# shellcheck source=findings/lib/rabbitmq.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/rabbitmq.sh"
python_with pika==1.4.4

cat >"$WORK/consume.py" <<'PY'
"""Consumes with the priority given; acknowledges only if told so; says how many it has."""
import os, pika, sys
priority, acknowledges = int(sys.argv[1]), sys.argv[2] == "acknowledges"
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
arguments = {"x-queue-type": "quorum", "x-single-active-consumer": True}
channel.queue_declare("lane", durable=True, arguments=arguments)
channel.basic_qos(prefetch_count=5)

def took(channel, method, properties, body):
    if acknowledges:
        channel.basic_ack(method.delivery_tag)
    print(body.decode(), flush=True)

channel.basic_consume("lane", took, arguments={"x-priority": priority})
print("subscribed", flush=True)
channel.start_consuming()
PY

cat >"$WORK/publish.py" <<'PY'
import os, pika
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
for number in range(5):
    channel.basic_publish("", "lane", f"message {number}".encode())
connection.close()
PY

until_line() { # FILE TEXT
    local deadline=$((SECONDS + 30))
    until grep -q "$2" "$1"; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "never came: $2" >&2; exit 1; }
        sleep 0.1
    done
}

# Prints "consumers CONNECTIONS ACTIVE" as RabbitMQ lists them, once nothing changes any more.
listed() {
    sleep 2
    local consumers connections
    consumers=$(ctl -q list_consumers queue_name active | awk '$1 == "lane" { n++; if ($2 == "true") active++ } END { print n + 0, active + 0 }')
    connections=$(ctl -q list_connections pid | grep -c '^<' || true)
    echo "consumers and active ones: $consumers; connections: $connections"
}

observe() { # SUITE VERSION
    rabbitmq "$1" "$2" 20572
    "$PYTHON" "$WORK/consume.py" 1 keeps >"$WORK/low" &
    local low=$!
    until_line "$WORK/low" subscribed
    "$PYTHON" "$WORK/publish.py"
    until_line "$WORK/low" "message 4"
    "$PYTHON" "$WORK/consume.py" 2 acknowledges >"$WORK/high" &
    local high=$!
    until_line "$WORK/high" subscribed
    kill -9 "$low"
    wait "$low" 2>/dev/null || true
    until_line "$WORK/high" "message 4"
    AFTER_LOW=$(listed)
    kill -9 "$high"
    wait "$high" 2>/dev/null || true
    AFTER_BOTH=$(listed)
    echo "  one of two killed:  $AFTER_LOW"
    echo "  both killed:        $AFTER_BOTH"
    rabbitmq_stop
}

observe trixie 4.0.5
[ "$AFTER_BOTH" = "consumers and active ones: 0 0; connections: 0" ] || { echo "4.0.5 behaves otherwise" >&2; exit 1; }
observe sid 4.3.6
[ "$AFTER_BOTH" = "consumers and active ones: 1 1; connections: 0" ] || { echo "4.3.6 behaves otherwise by now" >&2; exit 1; }
echo "as described"
