// Publishes one WhatsApp message, waits for its result and prints it. Ends with 0 if it was accepted, with 1 otherwise.
//
// npm install amqplib
// AMQP_URL=amqp://user:password@host:5672/vhost node publish.js PHONE_NUMBER_ID RECIPIENT
'use strict';

const { randomUUID } = require('node:crypto');
const { EventEmitter, once } = require('node:events');
const amqp = require('amqplib');

const WAIT_S = 60;
// RabbitMQ's own way back to this channel: it takes no queue and no more rights than to publish.
const REPLY_TO = 'amq.rabbitmq.reply-to';

async function resultOf(number, recipient) {
  const connection = await amqp.connect(process.env.AMQP_URL);
  const channel = await connection.createConfirmChannel();
  const failed = new Promise((_, reject) => {
    connection.on('error', reject);
    connection.on('close', () => reject(new Error('RabbitMQ closed the connection')));
    channel.on('error', reject);
    channel.on('return', () => reject(new Error('returned: no queue takes requests for this number')));
  });
  failed.catch(() => {}); // it may come while nobody waits for it
  // On the channel that publishes, and before: direct replies come to no other.
  const replies = new EventEmitter();
  const replied = once(replies, 'reply');
  await channel.consume(REPLY_TO, (reply) => replies.emit('reply', reply), { noAck: true });

  const message = { to: recipient, type: 'text', text: { body: 'Your parcel is on its way.' } };
  channel.publish('wa.send', number, Buffer.from(JSON.stringify(message)), {
    messageId: randomUUID(), // required: the request's identity
    timestamp: Math.floor(Date.now() / 1000), // in seconds
    contentType: 'application/json',
    persistent: true, // survives a restart of RabbitMQ
    mandatory: true, // what no queue takes comes back; without this it would be confirmed and forgotten
    replyTo: REPLY_TO,
  });
  // Only a confirmed request is never lost.
  await Promise.race([channel.waitForConfirms(), failed, late('confirm: publishing again may send twice')]);
  const [reply] = await Promise.race([replied, failed, late('result yet: do not publish again, it comes to wa.results')]);
  // Only now: it waits for RabbitMQ, which may be what does not answer. Else the end of the process closes it.
  await connection.close();
  return reply.content.toString();
}

function late(what) {
  return new Promise((_, reject) => setTimeout(reject, WAIT_S * 1000, new Error(`after ${WAIT_S} s no ${what}`)));
}

async function main() {
  const [number, recipient] = process.argv.slice(2);
  if (!recipient || !process.env.AMQP_URL) throw new Error('usage: AMQP_URL=amqp://… publish.js PHONE_NUMBER_ID RECIPIENT');
  const result = await resultOf(number, recipient);
  console.log(result);
  return JSON.parse(result).status === 'accepted' ? 0 : 1;
}

main()
  .catch((error) => (console.error(error.message), 1))
  .then((status) => process.exit(status));
