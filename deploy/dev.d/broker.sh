# shellcheck shell=bash disable=SC2034 # one script in parts
# The private broker, whichever way it runs: ports, configuration, up and down.
# Its data lives for one `up` only, unless `halt` stopped it: a start never meets the rests of an earlier one.

# Below the range that Linux picks ports of outgoing connections from: those would be taken at random.
AMQP_PORT=${DEV_AMQP_PORT:-21672}
MANAGEMENT_PORT=$((AMQP_PORT + 10000))
METRICS_PORT=$((AMQP_PORT + 1000))
DIST_PORT=$((AMQP_PORT + 2000))
# AMQP 1.0 comes to the AMQP port; STOMP and MQTT are for tests with callers of those.
STOMP_PORT=$((AMQP_PORT + 3000))
MQTT_PORT=$((AMQP_PORT + 4000))
# Nodes of one cluster find each other through one epmd.
EPMD_PORT=${DEV_EPMD_PORT:-$((AMQP_PORT - 303))}
NODE=dispatcher-dev-$AMQP_PORT@localhost
BROKER=$STATE/broker-$AMQP_PORT
AMQP_URL=amqp://guest:guest@127.0.0.1:$AMQP_PORT
MANAGEMENT_URL=http://guest:guest@127.0.0.1:$MANAGEMENT_PORT

# 4.0 is what all is tested with, 4.3 the second. A broker that was started stays what it is.
choose_release() {
    RELEASE=$(cat "$BROKER/release" 2>/dev/null || say "${DEV_RABBITMQ:-4.0}")
    chroot_choose
}

broker_env() {
    say "export DISPATCHER_TEST_AMQP=$AMQP_URL DISPATCHER_TEST_MANAGEMENT=$MANAGEMENT_URL"
    say "export DISPATCHER_TEST_STOMP=127.0.0.1:$STOMP_PORT DISPATCHER_TEST_MQTT=127.0.0.1:$MQTT_PORT"
}

broker_where() {
    say "AMQP        $AMQP_URL"
    say "management  $MANAGEMENT_URL"
    say "metrics     http://127.0.0.1:$METRICS_PORT/metrics"
    say "STOMP       127.0.0.1:$STOMP_PORT"
    say "MQTT        127.0.0.1:$MQTT_PORT"
}

# Debian's own packages first: that way needs no engine and is what the tests run on.
choose_backend() {
    if [ -n "${DEV_BACKEND:-}" ]; then
        say "$DEV_BACKEND"
    elif command -v apt-get >/dev/null && can_be_root; then
        say chroot
    elif docker_works; then
        say docker
    else
        die "no way to run RabbitMQ here: this needs Debian's apt with root or sudo, or a running Docker engine." \
            "Or point DISPATCHER_TEST_AMQP (and DISPATCHER_TEST_MANAGEMENT) at a RabbitMQ 4 of your own."
    fi
}

# How the broker that is (or was) here had been started.
started_by() { cat "$BROKER/backend" 2>/dev/null; }

broker_running() { started_by >/dev/null && "$(started_by)_running"; }

# Sets STARTED=yes when this call started it.
broker_up() {
    STARTED=no
    mkdir -p "$STATE" "$CACHE"
    need_commands flock=util-linux curl=curl
    # One start at a time; the descriptor must not be inherited by the broker.
    exec 9>"$STATE/up.lock"
    flock 9
    if broker_running; then
        [ "${DEV_RABBITMQ:-$RELEASE}" = "$RELEASE" ] || die "RabbitMQ $RELEASE runs on port $AMQP_PORT: deploy/dev down first"
        say "already running"
    else
        broker_start
        STARTED=yes
    fi
    exec 9>&-
}

broker_start() {
    local how began=$SECONDS port
    # What a broker that died has left; the next may be of another release.
    [ -e "$BROKER/halted" ] || ! started_by >/dev/null || { "$(started_by)_clear" && choose_release; }
    how=$(choose_backend)
    [ ! -e "$BROKER/halted" ] || how=$(started_by)
    "${how}_install"
    for port in $AMQP_PORT $MANAGEMENT_PORT $METRICS_PORT $DIST_PORT $STOMP_PORT $MQTT_PORT $(epmd_port_to_check); do
        ! port_open "$port" || die "port $port is taken by something else; choose others with DEV_AMQP_PORT"
    done
    step "starting RabbitMQ on 127.0.0.1:$AMQP_PORT ($how)"
    if [ -e "$BROKER/halted" ]; then
        as_root rm -f "$BROKER/halted"
        "${how}_start_again"
    else
        "${how}_clear"
        "${how}_start"
    fi
    wait_for_broker "$how"
    say "    up after $(elapsed_since "$began")"
}

# Of an epmd that other nodes, or this one before it was halted, have left running nobody needs a second.
epmd_port_to_check() { [ -n "${DEV_EPMD_PORT:-}" ] || [ -e "$BROKER/halted" ] || say "$EPMD_PORT"; }

wait_for_broker() { # BACKEND
    local deadline=$((SECONDS + 60))
    until port_open "$AMQP_PORT" && port_open "$MANAGEMENT_PORT" && port_open "$STOMP_PORT" && port_open "$MQTT_PORT"; do
        if [ "$SECONDS" -ge "$deadline" ] || ! "$1_alive"; then
            "$1_log" | head -n 60 >&2
            "$1_stop"
            die "RabbitMQ did not come up; its log is above"
        fi
        sleep 0.2
    done
}

PLUGINS='[rabbitmq_management,rabbitmq_prometheus,rabbitmq_stomp,rabbitmq_mqtt].'

# The part of the configuration that does not depend on how it runs.
broker_conf() {
    say 'loopback_users = none'
    say 'disk_free_limit.absolute = 50MB'
    # RabbitMQ's own, written down: tests must be able to publish what RabbitMQ refuses where the shipped 1 MiB is set.
    say 'max_message_size = 16777216'
    local port number=0
    for port in ${DEV_CLUSTER:-}; do
        number=$((number + 1))
        say "cluster_formation.classic_config.nodes.$number = dispatcher-dev-$port@localhost"
    done
    [ "$number" -eq 0 ] || say 'cluster_formation.peer_discovery_backend = classic_config'
}

broker_down() {
    local how
    how=$(started_by) || { say "no broker of ours on port $AMQP_PORT"; return 0; }
    step "stopping RabbitMQ on 127.0.0.1:$AMQP_PORT"
    "${how}_stop"
    "${how}_clear"
}

# For the fault suite: ends it, in order or at once, and keeps its data for the next `up`.
broker_halt() { # TERM or KILL
    local how
    how=$(started_by) || die "the broker is not running: deploy/dev up"
    as_root touch "$BROKER/halted"
    "${how}_halt" "$1"
}

broker_ctl() {
    # Its port may be closed: that is when start_app is wanted.
    started_by >/dev/null || die "the broker is not running: deploy/dev up"
    "$(started_by)_ctl" "$@"
}
