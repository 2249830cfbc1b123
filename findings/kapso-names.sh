#!/usr/bin/env bash
# @kapso/whatsapp-cloud-api (Node.js SDK of the WhatsApp Cloud API) and the names of members.
#
# Expected by most: what the SDK calls `flowCta` goes out as Meta's `flow_cta`, each of Meta's names has one of the SDK's, and what is the
# caller's own, such as the data of a Flow's first screen, goes out as the caller wrote it.
# What happens in @kapso/whatsapp-cloud-api 0.3.0: every name at every depth is converted where it has a capital letter. `amount1000`,
# which its typed builder demands of a template's currency, has none: it goes out as that, where Meta asks for `amount_1000`. And the names
# inside of a Flow's `data` are converted as well: a screen that asks for `firstName` is given `first_name`. Until that is mended, write
# Meta's own names (`amount_1000`, by buildTemplatePayload), and give a Flow's data no names with capital letters.
#
# Needs Node.js 20.19 or later with npm; no network beyond the package: the requests are looked at and answered in the process.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm install --silent --no-audit --no-fund --prefix . @kapso/whatsapp-cloud-api@0.3.0 >npm.log 2>&1) || { tail -n 5 "$work/npm.log" >&2; exit 1; }
cat >"$work/probe.mjs" <<'EOJ'
import { WhatsAppClient, buildTemplateSendPayload } from '@kapso/whatsapp-cloud-api';

const look = (_url, options) => {
  const body = JSON.parse(options.body);
  const currency = body.template?.components[0].parameters[0].currency;
  const parameters = body.interactive?.action.parameters;
  console.log(`${body.type}: ${Object.keys(currency ?? parameters).sort().join(' ')}`);
  if (parameters) console.log(`data: ${Object.keys(parameters.flow_action_payload.data).join(' ')}`);
  return Promise.resolve(new Response('{"messages":[{"id":"wamid.x"}]}', { headers: { 'content-type': 'application/json' } }));
};
const { messages } = new WhatsAppClient({ accessToken: 't', fetch: look });
const currency = { fallbackValue: '1 €', code: 'EUR', amount1000: 1000 };
const template = buildTemplateSendPayload({ name: 'price', language: 'en', body: [{ type: 'currency', currency }] });
await messages.sendTemplate({ phoneNumberId: '111', to: '34600112233', template });
const flowActionPayload = { screen: 'START', data: { firstName: 'Ana' } };
const parameters = { flowId: '1', flowCta: 'Book', flowAction: 'navigate', flowActionPayload };
await messages.sendInteractiveFlow({ phoneNumberId: '111', to: '34600112233', bodyText: 'Book', parameters });
EOJ
seen=$(cd "$work" && node probe.mjs)
printf '@kapso/whatsapp-cloud-api 0.3.0\n%s\n' "$seen"
expected='template: amount1000 code fallback_value
interactive: flow_action flow_action_payload flow_cta flow_id flow_message_version
data: first_name'
[ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
