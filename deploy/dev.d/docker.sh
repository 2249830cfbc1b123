# shellcheck shell=bash
# RabbitMQ 4 in a container of ours, where a Docker engine really runs.

CONTAINER=dispatcher-dev-$AMQP_PORT
IMAGE=${DEV_RABBITMQ_IMAGE:-rabbitmq:${DEV_RABBITMQ:-4}-management}

docker_works() { command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; }

docker_prepare() {
    docker_works || die "docker info fails: is the engine running, and may $(id -un) use it?"
}

docker_install() {
    docker_prepare
    docker image inspect "$IMAGE" >/dev/null 2>&1 && return 0
    step "pulling $IMAGE (once)"
    docker pull --quiet "$IMAGE"
}

docker_clear() {
    docker rm --force "$CONTAINER" >/dev/null 2>&1 || true
    rm -rf --one-file-system "$BROKER"
}

docker_start() {
    [ -z "${DEV_CLUSTER:-}" ] || die "nodes in containers cannot find each other here: DEV_BACKEND=chroot can have a cluster"
    mkdir -p "$BROKER"
    broker_conf >"$BROKER/rabbitmq.conf"
    say "$PLUGINS" >"$BROKER/enabled_plugins"
    printf 'docker\n' >"$BROKER/backend"
    printf '%s\n' "$RELEASE" >"$BROKER/release"
    docker run --detach --name "$CONTAINER" --hostname localhost \
        --publish "127.0.0.1:$AMQP_PORT:5672" --publish "127.0.0.1:$MANAGEMENT_PORT:15672" \
        --publish "127.0.0.1:$METRICS_PORT:15692" --publish "127.0.0.1:$STOMP_PORT:61613" --publish "127.0.0.1:$MQTT_PORT:1883" \
        --volume "$BROKER/enabled_plugins:/etc/rabbitmq/enabled_plugins:ro" \
        --volume "$BROKER/rabbitmq.conf:/etc/rabbitmq/conf.d/20-dev.conf:ro" "$IMAGE" >/dev/null
    # Docker's proxy accepts before the broker does.
    timeout 60 docker exec "$CONTAINER" sh -c 'until rabbitmq-diagnostics -q check_port_connectivity >/dev/null 2>&1; do sleep 0.5; done' || true
}

docker_alive() { [ "$(docker inspect --format '{{.State.Running}}' "$CONTAINER" 2>/dev/null)" = true ]; }
docker_running() { docker_alive; }
docker_stop() { docker rm --force "$CONTAINER" >/dev/null 2>&1 || true; }
docker_start_again() { docker start "$CONTAINER" >/dev/null; }
docker_halt() { # SIGNAL
    docker kill --signal "$1" "$CONTAINER" >/dev/null && timeout 60 docker wait "$CONTAINER" >/dev/null
}
docker_log() { docker logs "$CONTAINER" 2>&1 || true; }
docker_ctl() { docker exec "$CONTAINER" rabbitmqctl "$@"; }
