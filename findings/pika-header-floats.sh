#!/usr/bin/env bash
# pika and floating-point header values.
#
# Expected by most: AMQP 0-9-1 has single and double floats among its field types, so a client reads 2.75 as 2.75, and can send it.
# What happens in pika 1.4.4: both are read, and cut down to an integer without a word (2.75 becomes 2, 0.25 becomes 0); sending one
# raises UnsupportedAMQPFieldException. So a ratio or a price in a header that another client wrote is silently wrong in Python:
# publish such values as text.
#
# Needs Python with venv; no broker.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pika==1.4.4
cat >"$work/probe.py" <<'EOP'
import struct

import pika
from pika import data


def read(kind, encoded):
    entry = b"\x05price" + kind + encoded
    table, _ = data.decode_table(struct.pack(">I", len(entry)) + entry, 0)
    return table["price"]


print(f"pika {pika.__version__}")
for value in (2.75, 0.25, -1.5):
    print(f"double {value} is read as {read(b'd', struct.pack('>d', value)):d}")
    print(f"single {value} is read as {read(b'f', struct.pack('>f', value)):d}")
try:
    data.encode_table([], {"price": 2.75})
    print("2.75 can be sent")
except pika.exceptions.UnsupportedAMQPFieldException:
    print("2.75 cannot be sent: UnsupportedAMQPFieldException")
EOP
seen=$("$work/venv/bin/python" "$work/probe.py")
printf '%s\n' "$seen"
expected='pika 1.4.4
double 2.75 is read as 2
single 2.75 is read as 2
double 0.25 is read as 0
single 0.25 is read as 0
double -1.5 is read as -1
single -1.5 is read as -1
2.75 cannot be sent: UnsupportedAMQPFieldException'
[ "$seen" = "$expected" ] || { printf 'changed; this finding saw:\n%s\n' "$expected" >&2; exit 1; }
