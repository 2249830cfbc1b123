#!/usr/bin/env bash
# rhea (AMQP 1.0 for Node.js) and a Buffer as message id or correlation id.
#
# Expected by most: AMQP 1.0 allows an id of bytes, and JavaScript's bytes are a Buffer, so the id is sent as those bytes, whole.
# What happens in rhea 3.0.5: any Buffer is sent as a UUID made of its first 16 bytes, whatever its length, without a word. Two ids that
# share their first 16 bytes are the same id for the receiver. Who wants an id of text passes a string.
#
# Needs Node.js with npm; no broker: two ends of rhea on loopback.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm install --silent --no-audit --no-fund --prefix . rhea@3.0.5 >npm.log 2>&1) || { tail -n 5 "$work/npm.log" >&2; exit 1; }
cat >"$work/probe.js" <<'EOJ'
const rhea = require('rhea');
const ids = ['order-2026-11-30-first', 'order-2026-11-30-second'];
const seen = [];
const receiver = rhea.create_container();
receiver.on('message', ({ message, connection }) => {
  const id = message.message_id;
  seen.push(Buffer.isBuffer(id) ? id.toString('hex') : id);
  if (seen.length < 3) return;
  console.log(`as text: ${seen[0]}`);
  console.log(`as bytes: ${seen[1]}, ${Buffer.from(ids[0]).length} bytes sent, first 16 of them ${Buffer.from(ids[0]).subarray(0, 16).toString('hex')}`);
  console.log(`another id with the same first 16 bytes: ${seen[1] === seen[2] ? 'the same' : 'another'}`);
  connection.close();
  process.exit(0);
});
const server = receiver.listen({ host: '127.0.0.1', port: 0 });
server.on('listening', () => {
  const sender = rhea.create_container();
  sender.once('sendable', ({ sender: link }) => {
    link.send({ message_id: ids[0], body: '' });
    for (const id of ids) link.send({ message_id: Buffer.from(id), body: '' });
  });
  sender.connect({ host: '127.0.0.1', port: server.address().port }).open_sender('ids');
});
setTimeout(() => process.exit(1), 10000);
EOJ
seen=$(cd "$work" && node probe.js)
printf 'rhea 3.0.5\n%s\n' "$seen"
expected='as text: order-2026-11-30-first
as bytes: 6f726465722d323032362d31312d3330, 22 bytes sent, first 16 of them 6f726465722d323032362d31312d3330
another id with the same first 16 bytes: the same'
[ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
