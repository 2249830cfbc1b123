# shellcheck shell=bash
# The product in half a minute: a Graph API double, two workers, a load that
# meets every outcome, and a balance at the end.

DEMO=$STATE/demo
SIM_PORT=$((AMQP_PORT + 8))
ADMIN_A_PORT=$((AMQP_PORT + 9))
ADMIN_B_PORT=$((AMQP_PORT + 10))
SIM_URL=http://127.0.0.1:$SIM_PORT
DEMO_VHOST=$MANAGEMENT_URL/api/vhosts/demo

demo() {
    local keep=no
    case ${1:-} in
        "") ;;
        --keep) keep=yes ;;
        *) die "demo takes --keep and nothing else" ;;
    esac
    say "A private RabbitMQ, a double of Meta's Graph API and two workers, all on this machine;"
    say "2,000 messages over four numbers; then everything is stopped again$([ $keep = no ] || say ', except that you said --keep')."
    # One apt run and one password prompt, before things happen side by side.
    need_rust
    need_commands curl=curl flock=util-linux setsid=util-linux
    broker_running || "$(choose_backend)_prepare"
    demo_down
    mkdir -p "$DEMO"
    demo_build_beside_broker
    trap 'demo_end "$DEMO_STARTED_BROKER"' EXIT
    demo_start
    step "publishing"
    target/debug/load demo --amqp "$AMQP_URL/demo" --sim "$SIM_URL" \
        --admin "http://127.0.0.1:$ADMIN_A_PORT" --admin "http://127.0.0.1:$ADMIN_B_PORT"
    if [ $keep = yes ]; then
        trap - EXIT
        demo_where
    fi
}

# The broker needs ten seconds at worst and little CPU: it starts while cargo builds.
demo_build_beside_broker() {
    local began=$SECONDS broker
    DEMO_STARTED_BROKER=yes
    ! broker_running || DEMO_STARTED_BROKER=no
    step "building, and starting RabbitMQ beside it"
    (broker_up) >"$DEMO/broker.log" 2>&1 &
    broker=$!
    cargo build --locked -p whatsapp-dispatcher -p graph-sim -p load >"$DEMO/build.log" 2>&1 &
    build_progress $! || { tail -n 40 "$DEMO/build.log" >&2; wait "$broker" || true; die "the build failed"; }
    wait "$broker" || { cat "$DEMO/broker.log" >&2; exit 1; }
    say "    done after $(elapsed_since "$began")"
}

build_progress() { # PID
    local said=$SECONDS
    while kill -0 "$1" 2>/dev/null; do
        if [ $((SECONDS - said)) -ge 10 ]; then
            said=$SECONDS
            say "    $(grep -c Compiling "$DEMO/build.log") crates so far"
        fi
        sleep 0.2
    done
    wait "$1"
}

demo_start() {
    local port
    for port in $SIM_PORT $ADMIN_A_PORT $ADMIN_B_PORT; do
        ! port_open "$port" || die "port $port is taken by something else; choose others with DEV_AMQP_PORT"
    done
    # A virtual host of its own, empty at each run.
    curl -fsS -o "$DEMO/vhost.log" -X DELETE "$DEMO_VHOST" 2>/dev/null || true
    curl -fsS -X PUT "$DEMO_VHOST"
    curl -fsS -X PUT -H 'content-type: application/json' -d '{"configure":".*","write":".*","read":".*"}' \
        "$MANAGEMENT_URL/api/permissions/demo/guest"
    step "starting the Graph API double and two workers"
    demo_process sim target/debug/graph-sim --listen "127.0.0.1:$SIM_PORT"
    demo_wait sim "$SIM_URL/_sim/stats"
    worker_config worker-a "$ADMIN_A_PORT" >"$DEMO/worker-a.toml"
    worker_config worker-b "$ADMIN_B_PORT" >"$DEMO/worker-b.toml"
    demo_process worker-a target/debug/whatsapp-dispatcher run --config "$DEMO/worker-a.toml"
    demo_process worker-b target/debug/whatsapp-dispatcher run --config "$DEMO/worker-b.toml"
    demo_wait worker-a "http://127.0.0.1:$ADMIN_A_PORT/readyz"
    demo_wait worker-b "http://127.0.0.1:$ADMIN_B_PORT/readyz"
}

worker_config() { # ID ADMIN_PORT
    cat <<EOF
[broker]
url = "$AMQP_URL/demo"
[graph]
base_url = "$SIM_URL"
version = "v26.0"
[admin]
listen = "127.0.0.1:$2"
[worker]
id = "$1"
[[accounts]]
waba_id = "100"
token = "demo-token"
app = "demo"
EOF
    local number
    for number in 10001:80 10002:80 10003:1000 10004:20; do
        printf '[[accounts.numbers]]\nphone_number_id = "%s"\nmps = %s\n' "${number%:*}" "${number#*:}"
    done
}

# In a session of its own: Ctrl-C reaches the script, which then stops it in order.
demo_process() { # NAME COMMAND...
    local name=$1
    shift
    setsid "$@" >"$DEMO/$name.log" 2>&1 </dev/null &
    printf '%s\n%s\n' "$!" "$*" >"$DEMO/$name.pid"
}

demo_wait() { # NAME URL
    local deadline=$((SECONDS + 30))
    until curl -fsS -o /dev/null --max-time 2 "$2" 2>/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ] || ! kill -0 "$(head -n 1 "$DEMO/$1.pid")" 2>/dev/null; then
            tail -n 30 "$DEMO/$1.log" >&2
            die "$1 did not become ready; the end of its log is above"
        fi
        sleep 0.1
    done
}

demo_end() { # STARTED_BROKER
    demo_down
    if [ "$1" = yes ]; then
        broker_down
    else
        curl -fsS -X DELETE "$DEMO_VHOST" >/dev/null 2>&1 || true
    fi
}

# Workers first, so that they can still hand back what they hold.
demo_down() {
    local name
    for name in worker-a worker-b sim; do
        [ -s "$DEMO/$name.pid" ] || continue
        stop_recorded "$DEMO/$name.pid" "$(sed -n 2p "$DEMO/$name.pid")" 40
        rm -f "$DEMO/$name.pid"
    done
}

demo_where() {
    say ""
    say "Still running:"
    say "  management UI  http://127.0.0.1:$MANAGEMENT_PORT (guest / guest), virtual host demo"
    say "  worker-a       http://127.0.0.1:$ADMIN_A_PORT/metrics  http://127.0.0.1:$ADMIN_A_PORT/lanes"
    say "  worker-b       http://127.0.0.1:$ADMIN_B_PORT/metrics  http://127.0.0.1:$ADMIN_B_PORT/lanes"
    say "  Graph double   $SIM_URL/_sim/stats"
    say "  logs           ${DEMO#"$ROOT"/}/*.log"
    say "Stop it all with: deploy/dev down"
}
