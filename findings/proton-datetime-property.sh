#!/usr/bin/env bash
# python-qpid-proton and a datetime as application property.
#
# Expected by most: AMQP 1.0 has timestamps, Python has datetime, so a datetime in a message's properties is sent as a timestamp, or at
# least refused where it is set, with a word that names the property or its type.
# What happens in python-qpid-proton 0.40.0: it is taken when it is set, and encoding the message raises a bare KeyError that names the
# class and no property. What works is proton.timestamp with milliseconds since 1970, or text.
#
# Needs Python with venv, a C compiler and Python's headers (the package is built); no broker.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check python-qpid-proton==0.40.0
cat >"$work/probe.py" <<'EOP'
from datetime import UTC, datetime

from proton import Message, timestamp

moment = datetime(2026, 11, 30, tzinfo=UTC)
for name, value in (("datetime", moment), ("timestamp", timestamp(int(moment.timestamp() * 1000))), ("text", moment.isoformat())):
    message = Message(body=b"", properties={"expires-at": value})
    try:
        message.encode()
        print(f"{name}: encoded")
    except KeyError as error:
        print(f"{name}: KeyError {error}")
EOP
seen=$("$work/venv/bin/python" "$work/probe.py")
printf 'python-qpid-proton 0.40.0\n%s\n' "$seen"
expected="datetime: KeyError <class 'datetime.datetime'>
timestamp: encoded
text: encoded"
[ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
