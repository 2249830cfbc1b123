#!/usr/bin/env bash
# whatsapp-api-js (Node.js SDK of the WhatsApp Cloud API) and messages with contacts.
#
# Expected by most: `contacts` is an array of objects in the body, as Meta documents it, and as a location is an object there.
# What happens in whatsapp-api-js 6.3.0: the class of contacts returns a text from toJSON, so the array is written into the body as a text
# that holds JSON. Whether Meta takes that is not said anywhere; whoever validates bodies on the way, or reads them, meets a string. A
# location of the same SDK is an object.
#
# Needs Node.js with npm; no network beyond the package: the request is looked at and answered in the process.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm install --silent --no-audit --no-fund --prefix . whatsapp-api-js@6.3.0 >npm.log 2>&1) || { tail -n 5 "$work/npm.log" >&2; exit 1; }
cat >"$work/probe.mjs" <<'EOJ'
import { WhatsAppAPI } from 'whatsapp-api-js';
import { Contacts, Location, Name, Phone } from 'whatsapp-api-js/messages';

const look = (_url, options) => {
  const body = JSON.parse(options.body);
  const kind = Array.isArray(body[body.type]) ? 'array' : typeof body[body.type];
  console.log(`${body.type}: ${kind}`);
  return Promise.resolve(new Response('{"messages":[{"id":"wamid.x"}]}', { headers: { 'content-type': 'application/json' } }));
};
const client = new WhatsAppAPI({ token: 't', secure: false, v: 'v26.0', ponyfill: { fetch: look } });
await client.sendMessage('111', '34600112233', new Location(-3.7038, 40.4168, 'Depot'));
await client.sendMessage('111', '34600112233', new Contacts([new Name('Ana Ruiz', 'Ana'), new Phone('+34600000001', 'WORK')]));
EOJ
seen=$(cd "$work" && node probe.mjs)
printf 'whatsapp-api-js 6.3.0\n%s\n' "$seen"
expected='location: object
contacts: string'
[ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
