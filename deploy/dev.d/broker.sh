# shellcheck shell=bash disable=SC2034 # one script in parts
# The private broker, whichever way it runs: ports, configuration, up and down.
# Its data lives for one `up` only: a start never meets the rests of an earlier one.

# Below the range that Linux picks ports of outgoing connections from: those would be taken at random.
AMQP_PORT=${DEV_AMQP_PORT:-21672}
MANAGEMENT_PORT=$((AMQP_PORT + 10000))
METRICS_PORT=$((AMQP_PORT + 1000))
DIST_PORT=$((AMQP_PORT + 2000))
EPMD_PORT=$((AMQP_PORT - 303))
NODE=dispatcher-dev-$AMQP_PORT@localhost
BROKER=$STATE/broker-$AMQP_PORT
AMQP_URL=amqp://guest:guest@127.0.0.1:$AMQP_PORT
MANAGEMENT_URL=http://guest:guest@127.0.0.1:$MANAGEMENT_PORT

broker_env() {
    say "export DISPATCHER_TEST_AMQP=$AMQP_URL DISPATCHER_TEST_MANAGEMENT=$MANAGEMENT_URL"
}

broker_where() {
    say "AMQP        $AMQP_URL"
    say "management  $MANAGEMENT_URL"
    say "metrics     http://127.0.0.1:$METRICS_PORT/metrics"
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
        say "already running"
    else
        broker_start
        STARTED=yes
    fi
    exec 9>&-
}

broker_start() {
    local how began=$SECONDS port
    how=$(choose_backend)
    "${how}_install"
    for port in $AMQP_PORT $MANAGEMENT_PORT $METRICS_PORT $DIST_PORT $EPMD_PORT; do
        ! port_open "$port" || die "port $port is taken by something else; choose others with DEV_AMQP_PORT"
    done
    step "starting RabbitMQ on 127.0.0.1:$AMQP_PORT ($how)"
    "${how}_clear"
    "${how}_start"
    wait_for_broker "$how"
    say "    up after $(elapsed_since "$began")"
}

wait_for_broker() { # BACKEND
    local deadline=$((SECONDS + 60))
    until port_open "$AMQP_PORT" && port_open "$MANAGEMENT_PORT"; do
        if [ "$SECONDS" -ge "$deadline" ] || ! "$1_alive"; then
            "$1_log" | head -n 60 >&2
            "$1_stop"
            die "RabbitMQ did not come up; its log is above"
        fi
        sleep 0.2
    done
}

# The part of the configuration that does not depend on how it runs.
broker_conf() {
    say 'loopback_users = none'
    say 'disk_free_limit.absolute = 50MB'
}

broker_down() {
    local how
    how=$(started_by) || { say "no broker of ours on port $AMQP_PORT"; return 0; }
    step "stopping RabbitMQ on 127.0.0.1:$AMQP_PORT"
    "${how}_stop"
    "${how}_clear"
}

broker_ctl() {
    # Its port may be closed: that is when start_app is wanted.
    started_by >/dev/null || die "the broker is not running: deploy/dev up"
    "$(started_by)_ctl" "$@"
}
