#!/usr/bin/env bash
# What a consumer of AMQP 0-9-1 gets of an MQTT 5 message, both through one RabbitMQ with its MQTT plugin.
#
# Expected by most: MQTT 5's properties have counterparts in AMQP, so they arrive there, each always in the same place, and repeated user
# properties, which MQTT 5 allows and keeps in order, arrive as often as they were sent.
# What happens, on 4.0.5 and 4.3.6 alike:
# - Correlation data arrives as correlation_id if its bytes are text, else in the header x-correlation-id, the property left empty.
# - A timestamp is there only if the message has an expiry interval.
# - Of a user property that comes twice the second is dropped without a word.
# - A topic level with a dot in it becomes two words of the routing key: t/a.b and t/a/b cannot be told apart any more.
# - The response topic arrives as header x-reply-to-topic, with dots for its slashes; reply_to stays empty, as do message_id and priority,
#   whatever user properties of those names say.
#
# Needs root on Debian with mmdebstrap. RabbitMQ 4.0.5 (trixie) and 4.3.6 (sid), paho-mqtt 2.1.0, pika 1.4.4.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=findings/lib/rabbitmq.sh
source "$here/lib/rabbitmq.sh"

python_with pika==1.4.4 paho-mqtt==2.1.0
cat >"$WORK/probe.py" <<'EOP'
import os
import time

import pika
from paho.mqtt import client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

reader = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = reader.channel()
channel.queue_declare("requests", durable=True)
channel.queue_bind("requests", "amq.topic", "t.#")
writer = client.Client(client.CallbackAPIVersion.VERSION2, client_id="probe", protocol=client.MQTTv5)
writer.username_pw_set("guest", "guest")
writer.connect("127.0.0.1", int(os.environ["MQTT_PORT"]))
writer.loop_start()


def arrive(topic="t/a", **fields):
    properties = Properties(PacketTypes.PUBLISH)
    for name, value in fields.items():
        setattr(properties, name, value)
    writer.publish(topic, b"{}", qos=1, properties=properties)
    while True:
        method, properties, _ = channel.basic_get("requests", auto_ack=True)
        if method:
            return method.routing_key, properties
        time.sleep(0.05)


for data in (b"order-1", b"\xff\x00"):
    _, properties = arrive(CorrelationData=data)
    print(f"correlation data {data}: {properties.correlation_id}, headers {properties.headers}")
print(f"no expiry: timestamp {arrive()[1].timestamp}")
print(f"expiry: timestamp {'set' if arrive(MessageExpiryInterval=60)[1].timestamp else None}")
print(f"user property twice: {arrive(UserProperty=[('tag', 'first'), ('tag', 'second')])[1].headers}")
print(f"t/a.b and t/a/b: {arrive('t/a.b')[0]} and {arrive('t/a/b')[0]}")
_, properties = arrive(ResponseTopic="answers/me", UserProperty=[("message-id", "1"), ("priority", "9")])
print(f"response topic: reply_to {properties.reply_to}, x-reply-to-topic {properties.headers['x-reply-to-topic']}")
print(f"user properties: message_id {properties.message_id}, priority {properties.priority}")
EOP
expected="correlation data b'order-1': order-1, headers None
correlation data b'\\xff\\x00': None, headers {'x-correlation-id': b'\\xff\\x00'}
no expiry: timestamp None
expiry: timestamp set
user property twice: {'tag': 'first'}
t/a.b and t/a/b: t.a.b and t.a.b
response topic: reply_to None, x-reply-to-topic answers.me
user properties: message_id None, priority None"

for release in "trixie 4.0.5" "sid 4.3.6"; do
    # shellcheck disable=SC2086 # two words
    rabbitmq $release 20572 rabbitmq_mqtt
    seen=$(MQTT_PORT=20672 "$PYTHON" "$WORK/probe.py")
    printf '%s\n' "$seen"
    [ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
    rabbitmq_stop
done
