#!/usr/bin/env bash
# What a consumer of AMQP 0-9-1 gets of a message that was published over AMQP 1.0, both through one RabbitMQ.
#
# Expected by most: the same body, the same values, and a message that survives a restart or not on every release alike.
# What happens:
# - A body given as a string, as bytes or as a map (the default of qpid-proton: an AMQP value, not data) arrives as its AMQP 1.0 encoding, with
#   the three bytes of the section's descriptor in front; the only sign of it is `type` = amqp-1.0.
# - A message without a durable header is persistent for the consumer on 4.0.5, and transient on 4.3.6.
# - An unsigned 64-bit property above 2^63 comes out negative; a property's milliseconds are gone.
# - An integer as message id arrives as its digits, a UUID as urn:uuid:…; an id of more than 255 bytes leaves the property empty and
#   stands in the header x-message-id.
#
# Needs root on Debian with mmdebstrap. RabbitMQ 4.0.5 (trixie) and 4.3.6 (sid), python-qpid-proton 0.40.0, pika 1.4.4.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=findings/lib/rabbitmq.sh
source "$here/lib/rabbitmq.sh"

python_with pika==1.4.4 python-qpid-proton==0.40.0
cat >"$WORK/probe.py" <<'EOP'
import os
import uuid

import pika
from proton import Message, timestamp, ulong
from proton.utils import BlockingConnection

reader = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = reader.channel()
channel.queue_declare("requests", durable=True)
host = os.environ["AMQP_URL"].removesuffix("/%2f").replace("guest:guest@", "")
writer = BlockingConnection(host, user="guest", password="guest", allowed_mechs="PLAIN")
sender = writer.create_sender("/queues/requests")


def arrive(message):
    sender.send(message)
    _, properties, body = channel.basic_get("requests", auto_ack=True)
    return properties, body


def data(**fields):
    return Message(body=b"{}", inferred=True, **fields)


for name, body in (("text", "{}"), ("bytes", b"{}")):
    properties, arrived = arrive(Message(body=body))
    print(f"{name} as a value: {arrived.hex(' ')}, type {properties.type}")
properties, arrived = arrive(data())
print(f"data: {arrived.hex(' ')}, type {properties.type}")
print(f"durable not said: delivery_mode {properties.delivery_mode}")
print(f"durable: delivery_mode {arrive(data(durable=True))[0].delivery_mode}")
properties, _ = arrive(data(properties={"unsigned": ulong(2**63 + 5), "at": timestamp(1700000000123)}))
print(f"2^63 + 5: {properties.headers['unsigned']:d}; ...000.123 s: {properties.headers['at'].timestamp():.3f}")
print(f"id 4711: {arrive(data(id=4711))[0].message_id}")
print(f"id UUID: {arrive(data(id=uuid.UUID(int=1)))[0].message_id}")
properties, _ = arrive(data(id="x" * 300))
print(f"id of 300 bytes: {properties.message_id}, x-message-id of {len(properties.headers['x-message-id'])}")
EOP

check() { # SUITE VERSION DELIVERY_MODE
    rabbitmq "$1" "$2" 20572
    local seen expected
    seen=$("$PYTHON" "$WORK/probe.py")
    printf '%s\n' "$seen"
    expected="text as a value: 00 53 77 a1 02 7b 7d, type amqp-1.0
bytes as a value: 00 53 77 a0 02 7b 7d, type amqp-1.0
data: 7b 7d, type None
durable not said: delivery_mode $3
durable: delivery_mode 2
2^63 + 5: -9223372036854775803; ...000.123 s: 1700000000.000
id 4711: 4711
id UUID: urn:uuid:00000000-0000-0000-0000-000000000001
id of 300 bytes: None, x-message-id of 300"
    [ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
    rabbitmq_stop
}
check trixie 4.0.5 2
check sid 4.3.6 None
