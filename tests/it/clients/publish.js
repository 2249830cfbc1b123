// Publishes one request as a caller of each Node client would: publish.js CLIENT REQUEST (JSON, tests/it/clients.rs makes it).
// Without a REQUEST: is the client installed (NODE_PATH says where)? If not, it ends with 77. What `oddity` names is done in the way that
// callers do it by themselves and that is not plain.
'use strict';

const client = process.argv[2];
if (process.argv.length === 3) {
  try {
    require.resolve(client);
    process.exit(0);
  } catch {
    process.exit(77);
  }
}
const request = JSON.parse(process.argv[3]);
const { oddity, user, password, host, port, vhost, number, id, body, answers, enqueued } = request;
const exchange = 'wa.send';
const correlationId = 'order-5';

function headers() {
  const made = { 'expires-at': '2099-01-01T00:00:00Z', 'x-campaign': 'spring' };
  if (oddity === 'date') made['expires-at'] = new Date('2020-01-01');
  if (oddity === 'absent') made['expires-at'] = made['not-before'] = null;
  return made;
}

async function amqplib() {
  const connection = await require('amqplib').connect({ hostname: host, port, username: user, password, vhost });
  const channel = await connection.createConfirmChannel();
  const made = headers();
  if (oddity === 'past date') made['expires-at'] = { '!': 'timestamp', value: Date.parse('2020-01-01') / 1000 };
  if (oddity === 'past date in ms') made['expires-at'] = { '!': 'timestamp', value: Date.parse('2020-01-01') };
  const properties = { messageId: id, timestamp: oddity === 'time in ms' ? enqueued * 1000 : enqueued, priority: 9, headers: made };
  const options = { ...properties, persistent: true, mandatory: true, replyTo: answers, correlationId };
  channel.publish(exchange, number, Buffer.from(body), options);
  await channel.waitForConfirms();
  await connection.close();
}

async function rabbitmqClient() {
  const { Connection } = require('rabbitmq-client');
  const connection = new Connection({ hostname: host, port, username: user, password, vhost });
  const publisher = connection.createPublisher({ confirm: true });
  const properties = { messageId: id, timestamp: enqueued, priority: 9, headers: headers() };
  const envelope = { exchange, routingKey: number, durable: true, mandatory: true, replyTo: answers, correlationId };
  await publisher.send({ ...envelope, ...properties }, JSON.parse(body));
  await publisher.close();
  await connection.close();
}

function rhea() {
  const rhea = require('rhea');
  const made = headers();
  if (oddity === 'past date') made['expires-at'] = new Date('2020-01-01');
  const bodies = { text: body, 'bytes as a value': Buffer.from(body), object: JSON.parse(body) };
  const message = {
    message_id: oddity === 'number' ? 4711 : oddity === 'long id' ? id.padEnd(300, 'x') : oddity === 'binary id' ? Buffer.from(id) : id,
    creation_time: enqueued * 1000,
    priority: 9,
    durable: true,
    application_properties: made,
    reply_to: '/queues/' + encodeURIComponent(answers),
    correlation_id: correlationId,
    body: bodies[oddity] ?? rhea.message.data_section(Buffer.from(body)),
  };
  return new Promise((done, failed) => {
    const container = rhea.create_container();
    const connection = container.connect({ host, port, username: user, password, hostname: `vhost:${vhost}`, reconnect: false });
    connection.open_sender(`/exchanges/${exchange}/${number}`);
    container.once('sendable', ({ sender }) => sender.send(message));
    container.once('accepted', () => connection.close());
    container.once('connection_close', done);
    for (const fault of ['rejected', 'released', 'modified', 'sender_error', 'connection_error', 'disconnected']) {
      container.once(fault, (context) => failed(new Error(`${fault}: ${context.connection.get_error() ?? context.delivery?.remote_state}`)));
    }
  });
}

const ways = { amqplib, 'rabbitmq-client': rabbitmqClient, rhea };
ways[client]().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
