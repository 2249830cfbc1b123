# shellcheck shell=bash disable=SC2034 # one script in parts
# Workers that come and go as the scaling signal says, from 1 to 4 and back, and a picture of it.
# `load scale` runs the show and the workers; here is what it needs around it.

SCALE=$STATE/scale-$AMQP_PORT
# Phone number ids and Meta's limit for each: those of the campaign, others with room, and two that will be held.
SCALE_CAMPAIGN=(2010{1..9}"=1000" 201{10..24}"=1000")
SCALE_OPEN=(201{25..28}"=1000")
SCALE_HELD=("20201=1000" "20301=1000")
SCALE_WORKERS=("w1=$((AMQP_PORT + 9))" "w2=$((AMQP_PORT + 10))" "w3=$((AMQP_PORT + 11))" "w4=$((AMQP_PORT + 12))")

scale() { # [quick]
    case "$*" in "" | quick) ;; *) die "scale takes quick and nothing else" ;; esac
    need_rust
    tools
    need_commands curl=curl flock=util-linux setsid=util-linux
    eval "$(tools_env)"
    scale_down
    scale_as_demo
    mkdir -p "$DEMO"
    rm -f "$DEMO"/*.log
    DEMO_STARTED_BROKER=yes
    ! broker_running || DEMO_STARTED_BROKER=no
    trap scale_end EXIT
    demo_build_beside_broker
    scale_start
    scale_play "$@"
    [ "${1:-}" = quick ] || scale_picture
}

# Its own folder, virtual host and workers; what starts and ends them is the demo's.
scale_as_demo() {
    DEMO=$SCALE
    DEMO_VHOST=$MANAGEMENT_URL/api/vhosts/scale
    DEMO_WORKERS=("${SCALE_WORKERS[@]}")
}

scale_start() {
    local port
    for port in $SIM_PORT $PICTURES_PROMETHEUS "${SCALE_WORKERS[@]#*=}"; do
        ! port_open "$port" || die "port $port is taken by something else; choose others with DEV_AMQP_PORT"
    done
    demo_vhost
    step "starting the Graph API double and Prometheus"
    demo_process sim target/debug/graph-sim --listen "127.0.0.1:$SIM_PORT" "${SCALE_CAMPAIGN[@]/#/--number=}" \
        "${SCALE_OPEN[@]/#/--number=}" "${SCALE_HELD[@]/#/--number=}" --latency-ms 80 --latency-jitter-ms 40 --arrival-jitter-ms 12
    demo_wait sim "$SIM_URL/_sim/stats"
    # It counts arrivals: if it had to wait for its turn, they would seem to come bunched. Not allowed to, it runs as it is.
    renice -n -10 -p "$(pid_in "$DEMO/sim.pid")" >"$DEMO/renice.log" 2>&1 || true
    pictures_prometheus 1s
}

scale_play() { # [quick]
    local workers=("${SCALE_WORKERS[@]%=*}")
    [ "${1:-}" != quick ] || workers=("${workers[@]:0:2}")
    target/debug/load scale --amqp "$AMQP_URL/scale" --sim "$SIM_URL" --prometheus "http://127.0.0.1:$PICTURES_PROMETHEUS" \
        --binaries target/debug --logs "$SCALE" --admin-port "${SCALE_WORKERS[0]#*=}" "${workers[@]/#/--worker=}" \
        "${SCALE_CAMPAIGN[@]/#/--campaign=}" "${SCALE_OPEN[@]/#/--open=}" "${SCALE_HELD[@]/#/--held=}" "$@" ||
        die "something did not hold; logs are in ${SCALE#"$ROOT"/}"
}

scale_picture() {
    step "drawing"
    browser 1600 1480 dashboards/scaling.png \
        "file://$ROOT/dashboards/preview.html?dashboard=../deploy/dev.d/scaling.json&prometheus=http://127.0.0.1:$PICTURES_PROMETHEUS&range=260s&scrape=1s"
}

scale_end() {
    stop_recorded "$DEMO/prometheus.pid" "$(sed -n 2p "$DEMO/prometheus.pid" 2>/dev/null)" 10
    rm -f "$DEMO/prometheus.pid"
    scale_down
    demo_end
}

# What a run that was itself killed has left.
scale_down() {
    local file
    for file in "$SCALE"/*.pid; do
        [ -s "$file" ] || continue
        stop_recorded "$file" "$(sed -n 2p "$file")" 40
        rm -f "$file"
    done
}
