#!/bin/bash
# Publishes one WhatsApp message with curl, waits for its result and prints what RabbitMQ answers. Ends with 0 if it was accepted, with 1 otherwise.
#
# MANAGEMENT_URL=http://host:15672 RABBITMQ_LOGIN=user:password VHOST=vhost ./publish.sh PHONE_NUMBER_ID RECIPIENT
#
# For trying out, not for production: RabbitMQ's HTTP API opens a connection and a channel for each message. It does answer only once RabbitMQ
# has confirmed, and says by `routed` whether any queue took the request. An answer that never comes says nothing: publishing again may send
# twice. The user has the tag `management` and the rights configure `^results\.`, write `^wa\.send$`, read `^results\.`.
set -euo pipefail

[ $# -eq 2 ] && [ -n "${MANAGEMENT_URL:-}" ] && [ -n "${RABBITMQ_LOGIN:-}" ] && [[ $1$2 =~ ^[0-9+]+$ ]] ||
    { echo "usage: MANAGEMENT_URL=http://… RABBITMQ_LOGIN=user:password VHOST=vhost publish.sh PHONE_NUMBER_ID RECIPIENT" >&2 && exit 1; }
number=$1 recipient=$2 vhost=${VHOST:-%2F}
WAIT_S=60

# The password is in no list of processes.
api() { # METHOD PATH [BODY]
    local answer
    answer=$(curl --silent --show-error --fail-with-body --max-time "$WAIT_S" --config <(printf 'user = "%s"\n' "$RABBITMQ_LOGIN") \
        --request "$1" --header 'content-type: application/json' "$MANAGEMENT_URL/api/$2" --data "${3:-}") ||
        { printf '%s\n' "$answer" >&2 && return 1; }
    printf '%s' "$answer"
}

id=$(uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid)
# Over HTTP there is no direct reply: the result gets a queue, which goes away by itself if this script cannot see to it.
queue=results.curl.$id
api PUT "queues/$vhost/$queue" '{"durable":true,"arguments":{"x-queue-type":"quorum","x-expires":600000}}'
trap 'api DELETE "queues/$vhost/$queue"' EXIT

# Base64, so that no JSON has to be quoted inside of JSON.
message=$(printf '{"to":"%s","type":"text","text":{"body":"Your parcel is on its way."}}' "$recipient" | base64 | tr -d '\n')
properties=$(printf '{"message_id":"%s","timestamp":%s,"content_type":"application/json","delivery_mode":2,"reply_to":"%s"}' \
    "$id" "$(date +%s)" "$queue")
answer=$(api POST "exchanges/$vhost/wa.send/publish" \
    "{\"routing_key\":\"$number\",\"properties\":$properties,\"payload_encoding\":\"base64\",\"payload\":\"$message\"}")
[ "$answer" = '{"routed":true}' ] || { echo "returned: no queue takes requests for this number ($answer)" >&2 && exit 1; }

for _ in $(seq "$((WAIT_S * 2))"); do
    result=$(api POST "queues/$vhost/$queue/get" '{"count":1,"ackmode":"ack_requeue_false","encoding":"auto"}')
    if [ "$result" != '[]' ]; then
        printf '%s\n' "$result"
        # The result is a text inside of that answer, with its quotes escaped.
        [[ $result == *'\"status\":\"accepted\"'* ]] && exit 0 || exit 1
    fi
    sleep 0.5
done
echo "after $WAIT_S s no result yet: do not publish again, it comes to wa.results" >&2
exit 1
