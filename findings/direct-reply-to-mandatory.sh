#!/usr/bin/env bash
# RabbitMQ's direct reply-to (`amq.rabbitmq.reply-to`), published to with the mandatory flag and publisher confirms.
#
# Expected by most: as for any other queue, a reply that is delivered is confirmed, and a reply whose asker has gone comes back as
# unroutable. So the flag tells a server whether its answer arrived.
# What happens: it tells nothing, and the two releases are wrong in opposite ways. On 4.0.5 every reply is returned as unroutable, also
# the one that the asker receives. On 4.3.6 every reply is confirmed, also the one whose asker closed its connection before.
# Hence a metric of undelivered replies must leave this address out.
#
# Needs root on Debian with mmdebstrap. RabbitMQ 4.0.5 (trixie) and 4.3.6 (sid), pika 1.4.4.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=findings/lib/rabbitmq.sh
source "$here/lib/rabbitmq.sh"

check() { # SUITE VERSION EXPECTED
    rabbitmq "$1" "$2" 20572
    local seen
    seen=$("$PYTHON" "$WORK/probe.py")
    printf '%s\n' "$seen"
    [ "$seen" = "$3" ] || { printf 'changed; this finding saw:\n%s\n' "$3" >&2; exit 1; }
    rabbitmq_stop
}

python_with pika==1.4.4
cat >"$WORK/probe.py" <<'EOP'
import os
import time

import pika


def connect():
    return pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))


def reply(address):
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        channel.basic_publish("", address, b"reply", mandatory=True)
        return "confirmed"
    except pika.exceptions.UnroutableError:
        return "returned as unroutable"
    finally:
        connection.close()


asker, received = connect(), []
channel = asker.channel()
channel.basic_consume("amq.rabbitmq.reply-to", lambda *delivery: received.append(delivery), auto_ack=True)
server = connect()
requests = server.channel()
requests.queue_declare("requests", exclusive=True)
channel.basic_publish("", "requests", b"", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))
address = None
while address is None:
    _, properties, _ = requests.basic_get("requests", auto_ack=True)
    address = properties and properties.reply_to

outcome = reply(address)
asker.process_data_events(2)
print(f"the asker listens, replies received {len(received)}: {outcome}")
asker.close()
time.sleep(1)
print(f"the asker is gone: {reply(address)}")
server.close()
EOP

check trixie 4.0.5 'the asker listens, replies received 1: returned as unroutable
the asker is gone: returned as unroutable'
check sid 4.3.6 'the asker listens, replies received 1: confirmed
the asker is gone: confirmed'
