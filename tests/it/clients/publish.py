"""Publishes one request as a caller of each Python client would: publish.py CLIENT REQUEST (JSON, tests/it/clients.rs makes it).

Without a REQUEST: is the client installed? If not, it ends with 77. What `oddity` names is done in the way that callers do it by themselves and that is not plain.
"""

import asyncio
import datetime
import importlib.util
import json
import sys
import uuid

MODULES = {
    "pika": "pika",
    "aio-pika": "aio_pika",
    "kombu": "kombu",
    "proton": "proton",
    "rabbitmq-amqp-python-client": "rabbitmq_amqp_python_client",
    "stomp.py": "stomp",
    "paho-mqtt": "paho",
}
CLIENT = sys.argv[1]
if len(sys.argv) == 2:
    sys.exit(0 if importlib.util.find_spec(MODULES[CLIENT]) else 77)
REQUEST = json.loads(sys.argv[2])
ODDITY = REQUEST["oddity"]
USER, PASSWORD, HOST, PORT = (REQUEST[key] for key in ("user", "password", "host", "port"))
ID, NUMBER, VHOST, BODY = (REQUEST[key] for key in ("id", "number", "vhost", "body"))
ANSWERS, CORRELATION = REQUEST["answers"], "order-5"
ENQUEUED = REQUEST["enqueued"]
EXCHANGE = "wa.send"


def headers():
    made = {"expires-at": "2099-01-01T00:00:00Z", "x-campaign": "spring"}
    if ODDITY == "past date":
        made["expires-at"] = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    if ODDITY == "absent":
        made["expires-at"] = made["not-before"] = None
    return made


def with_pika():
    import pika

    login = pika.PlainCredentials(USER, PASSWORD)
    connection = pika.BlockingConnection(pika.ConnectionParameters(HOST, PORT, VHOST, login))
    channel = connection.channel()
    channel.confirm_delivery()
    properties = pika.BasicProperties(
        message_id=ID,
        timestamp=ENQUEUED,
        priority=9,
        delivery_mode=2,
        headers=headers(),
        reply_to=ANSWERS,
        correlation_id=CORRELATION,
    )
    channel.basic_publish(EXCHANGE, NUMBER, BODY, properties, mandatory=True)
    connection.close()


async def with_aio_pika():
    import aio_pika

    connection = await aio_pika.connect(host=HOST, port=PORT, login=USER, password=PASSWORD, virtualhost=VHOST)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        message = aio_pika.Message(
            BODY.encode(),
            message_id=ID,
            timestamp=datetime.datetime.fromtimestamp(ENQUEUED, datetime.timezone.utc),
            priority=9,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers=headers(),
            reply_to=ANSWERS,
            correlation_id=CORRELATION,
        )
        await exchange.publish(message, NUMBER)


def with_kombu():
    import kombu

    options = {
        "message_id": ID,
        "timestamp": ENQUEUED,
        "priority": 9,
        "headers": headers(),
        "reply_to": ANSWERS,
        "correlation_id": CORRELATION,
    }
    if ODDITY == "compressed":
        options["compression"] = "gzip"
    address = {"hostname": HOST, "port": PORT, "userid": USER, "password": PASSWORD, "virtual_host": VHOST}
    with kombu.Connection(transport="pyamqp", transport_options={"confirm_publish": True}, **address) as connection:
        exchange = kombu.Exchange(EXCHANGE, type="direct", passive=True)
        producer = connection.Producer(exchange=exchange, auto_declare=False)
        producer.publish(json.loads(BODY), routing_key=NUMBER, serializer="json", mandatory=True, **options)


def with_proton():
    from proton import Message, symbol
    from proton.utils import BlockingConnection

    where = {"virtual_host": f"vhost:{VHOST}", "allowed_mechs": "PLAIN", "allow_insecure_mechs": True}
    connection = BlockingConnection(f"amqp://{USER}:{PASSWORD}@{HOST}:{PORT}", timeout=30, **where)
    sender = connection.create_sender(f"/exchanges/{EXCHANGE}/{NUMBER}")
    bodies = {"text": BODY, "bytes as a value": BODY.encode()}
    message = Message(
        id=uuid.UUID(ID) if ODDITY == "uuid" else ID.encode() if ODDITY == "binary id" else ID,
        creation_time=ENQUEUED,
        priority=9,
        durable=True,
        properties={key: value for key, value in headers().items() if ODDITY != "absent" or value},
        reply_to="/queues/" + REQUEST["answers_encoded"],
        correlation_id=CORRELATION,
        body=bodies.get(ODDITY, BODY.encode()),
    )
    # Bytes as they are, not as a value that has a type.
    message.inferred = ODDITY not in bodies
    sender.send(message)
    connection.close()


def with_rabbitmq_amqp():
    from rabbitmq_amqp_python_client import AddressHelper, Environment, Message

    environment = Environment(uri=f"amqp://{USER}:{PASSWORD}@{HOST}:{PORT}/{VHOST}")
    connection = environment.connection()
    connection.dial()
    publisher = connection.publisher(AddressHelper.exchange_address(EXCHANGE, NUMBER))
    message = Message(
        id=ID,
        creation_time=ENQUEUED,
        priority=9,
        durable=True,
        application_properties=headers(),
        reply_to=AddressHelper.queue_address(ANSWERS),
        correlation_id=CORRELATION,
        body=BODY.encode(),
    )
    publisher.publish(message)
    publisher.close()
    connection.close()
    environment.close()


def with_stomp():
    import stomp

    address = (HOST, REQUEST["stomp_port"])
    connection = stomp.Connection12([address], vhost=VHOST)
    receipts = stomp.WaitingListener("published")
    connection.set_listener("", receipts)
    connection.connect(USER, PASSWORD, wait=True)
    answers = {"queue": "/queue/" + REQUEST["answers_encoded"], "amq": "/amq/queue/" + REQUEST["answers_encoded"]}
    properties = {
        "amqp-message-id": ID,
        "timestamp": ENQUEUED,
        "priority": 9,
        "persistent": "true",
        "reply-to": answers["amq" if ODDITY == "amq queue" else "queue"],
        "correlation-id": CORRELATION,
        "receipt": "published",
    }
    connection.send(f"/exchange/{EXCHANGE}/{NUMBER}", BODY, content_type="application/json", headers={**properties, **headers()})
    receipts.wait_on_receipt()
    connection.disconnect()


def with_paho():
    import paho.mqtt.client as mqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    is_old = ODDITY == "3.1.1"
    version = mqtt.MQTTv311 if is_old else mqtt.MQTTv5
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=version)
    client.username_pw_set(f"{VHOST}:{USER}", PASSWORD)
    client.connect(HOST, REQUEST["mqtt_port"])
    client.loop_start()
    properties = None
    if not is_old:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = "answers/here"
        properties.CorrelationData = CORRELATION.encode()
        properties.UserProperty = [("message-id", ID), *headers().items()]
    answers = []
    client.on_publish = lambda *arguments: answers.append(str(arguments[3]))
    published = client.publish(NUMBER, BODY, qos=1, properties=properties)
    published.wait_for_publish(30)
    client.disconnect()
    client.loop_stop()
    # MQTT 5 tells here whether any queue took it.
    sys.exit(0 if answers == ["Success"] else f"answers: {answers}")


def main():
    ways = {
        "pika": with_pika,
        "aio-pika": lambda: asyncio.run(with_aio_pika()),
        "kombu": with_kombu,
        "proton": with_proton,
        "rabbitmq-amqp-python-client": with_rabbitmq_amqp,
        "stomp.py": with_stomp,
        "paho-mqtt": with_paho,
    }
    ways[CLIENT]()


main()
