# shellcheck shell=bash
# The product in half a minute: a Graph API double, two workers, a load that
# meets every outcome, and a balance at the end.

DEMO=$STATE/demo
SIM_PORT=$((AMQP_PORT + 8))
SIM_URL=http://127.0.0.1:$SIM_PORT
DEMO_VHOST=$MANAGEMENT_URL/api/vhosts/demo
# Phone number ids and Meta's limit for each, in messages per second.
DEMO_NUMBERS=("10001=80" "10002=80" "10003=1000" "10004=20")
# Workers and their admin ports. Who gets which number is a hash of both names:
# these two share the four evenly.
DEMO_WORKERS=("east=$((AMQP_PORT + 9))" "west=$((AMQP_PORT + 10))")

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
    DEMO_STARTED_BROKER=yes
    ! broker_running || DEMO_STARTED_BROKER=no
    trap demo_end EXIT
    demo_build_beside_broker
    demo_start
    step "publishing"
    demo_load
    if [ $keep = yes ]; then
        trap - EXIT
        demo_where
    fi
}

# The broker needs ten seconds at worst and little CPU: it starts while cargo builds.
# In the background, where Ctrl-C does not reach them: demo_end sees to both.
demo_build_beside_broker() {
    local began=$SECONDS
    step "building, and starting RabbitMQ beside it"
    (broker_up) >"$DEMO/broker.log" 2>&1 &
    DEMO_BROKER=$!
    # In a session of its own, so that the compilers under it can be stopped with it.
    setsid cargo build --locked -p whatsapp-dispatcher -p graph-sim -p load >"$DEMO/build.log" 2>&1 &
    DEMO_BUILD=$!
    build_progress "$DEMO_BUILD" || { tail -n 40 "$DEMO/build.log" >&2; die "the build failed"; }
    DEMO_BUILD=
    wait "$DEMO_BROKER" || { DEMO_BROKER=; cat "$DEMO/broker.log" >&2; exit 1; }
    DEMO_BROKER=
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
    local port worker
    for port in $SIM_PORT "${DEMO_WORKERS[@]#*=}"; do
        ! port_open "$port" || die "port $port is taken by something else; choose others with DEV_AMQP_PORT"
    done
    demo_vhost
    step "starting the Graph API double and two workers"
    # Answers after 80 to 120 ms, and arrivals scattered as on a real way to Meta: what a limiter must live with.
    demo_process sim target/debug/graph-sim --listen "127.0.0.1:$SIM_PORT" "${DEMO_NUMBERS[@]/#/--number=}" \
        --latency-ms 80 --latency-jitter-ms 40 --arrival-jitter-ms 12
    demo_wait sim "$SIM_URL/_sim/stats"
    for worker in "${DEMO_WORKERS[@]}"; do
        worker_config "${worker%=*}" "${worker#*=}" >"$DEMO/worker-${worker%=*}.toml"
        demo_process "worker-${worker%=*}" target/debug/whatsapp-dispatcher run --config "$DEMO/worker-${worker%=*}.toml"
    done
    for worker in "${DEMO_WORKERS[@]}"; do
        demo_wait "worker-${worker%=*}" "http://127.0.0.1:${worker#*=}/readyz"
    done
}

# A virtual host of its own, empty at each run.
demo_vhost() {
    curl -fsS -o "$DEMO/vhost.log" -X DELETE "$DEMO_VHOST" 2>/dev/null || true
    curl -fsS -X PUT "$DEMO_VHOST"
    curl -fsS -X PUT -H 'content-type: application/json' -d '{"configure":".*","write":".*","read":".*"}' \
        "$MANAGEMENT_URL/api/permissions/${DEMO_VHOST##*/}/guest"
}

demo_load() {
    local arguments=() worker
    for worker in "${DEMO_WORKERS[@]}"; do
        arguments+=(--worker "${worker%=*}=http://127.0.0.1:${worker#*=}")
    done
    target/debug/load demo --amqp "$AMQP_URL/demo" --sim "$SIM_URL" "${arguments[@]}" \
        "${DEMO_NUMBERS[@]/#/--number=}" || die "the demo failed; logs are in ${DEMO#"$ROOT"/}"
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
actions = true
[worker]
id = "$1"
[[accounts]]
waba_id = "100"
token = "demo-token"
app = "demo"
EOF
    local number
    for number in "${DEMO_NUMBERS[@]}"; do
        printf '[[accounts.numbers]]\nphone_number_id = "%s"\nmps = %s\n' "${number%=*}" "${number#*=}"
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

# Also after Ctrl-C, at any moment.
demo_end() {
    [ -z "${DEMO_BUILD:-}" ] || kill -TERM -- "-$DEMO_BUILD" 2>/dev/null || true
    if [ -n "${DEMO_BROKER:-}" ]; then
        # Halfway up it cannot be stopped.
        step "waiting until RabbitMQ is up, to stop it in order"
        wait "$DEMO_BROKER" || true
    fi
    demo_down
    if [ "$DEMO_STARTED_BROKER" = yes ]; then
        broker_down
    else
        curl -fsS -X DELETE "$DEMO_VHOST" >/dev/null 2>&1 || true
    fi
}

# Workers first, so that they can still hand back what they hold.
demo_down() {
    local name
    for name in "${DEMO_WORKERS[@]%=*}" sim; do
        [ "$name" = sim ] || name=worker-$name
        [ -s "$DEMO/$name.pid" ] || continue
        stop_recorded "$DEMO/$name.pid" "$(sed -n 2p "$DEMO/$name.pid")" 40
        rm -f "$DEMO/$name.pid"
    done
}

demo_where() {
    local worker
    say ""
    say "Still running:"
    say "  AMQP           amqp://guest:guest@127.0.0.1:$AMQP_PORT/demo"
    say "  management UI  http://127.0.0.1:$MANAGEMENT_PORT (guest / guest), virtual host demo"
    for worker in "${DEMO_WORKERS[@]}"; do
        say "  worker ${worker%=*}    http://127.0.0.1:${worker#*=}/  (a page), /lanes, /metrics"
    done
    say "  Graph double   $SIM_URL/_sim/stats"
    say "  logs           ${DEMO#"$ROOT"/}/*.log"
    say "Stop it all with: deploy/dev down"
}
