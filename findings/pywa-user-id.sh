#!/usr/bin/env bash
# pywa (Python SDK of the WhatsApp Cloud API) and business-scoped user ids.
#
# Expected by most: Meta documents such an id as a country's two letters, a dot, and up to 128 letters and digits; an SDK puts each of them
# into `recipient`.
# What happens in pywa 4.5.0: only an id whose part behind the dot is all digits goes into `recipient`. One with a letter in it is taken
# for a group: it goes into `to`, with `recipient_type` "group", without a word. The message is for nobody. Until that is mended, build
# the body yourself for such an id.
#
# Needs Python with venv; no network beyond the package: the requests are looked at and answered in the process.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pywa==4.5.0 httpx==0.28.1
cat >"$work/probe.py" <<'EOP'
import json

import httpx
import pywa


def answer(request):
    body = json.loads(request.content)
    seen = {name: body[name] for name in ("recipient_type", "to", "recipient") if name in body}
    print(json.dumps(seen))
    contacts = [{"input": "x", "wa_id": "34600112233"}]
    return httpx.Response(200, json={"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": "wamid.x"}]})


print(f"pywa {pywa.__version__}")
client = pywa.WhatsApp(phone_id="111", token="t", session=httpx.Client(transport=httpx.MockTransport(answer)))
for recipient in ("34600112233", "ES.13491208655302741918", "ES.9f3cA71"):
    client.send_text(recipient, "Hello")
EOP
seen=$("$work/venv/bin/python" "$work/probe.py")
printf '%s\n' "$seen"
expected='pywa 4.5.0
{"recipient_type": "individual", "to": "34600112233"}
{"recipient_type": "individual", "recipient": "ES.13491208655302741918"}
{"recipient_type": "group", "to": "ES.9f3cA71"}'
[ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
