# shellcheck shell=bash disable=SC2034 # one script in parts
# Pictures of the dashboards and of the page, drawn from what a real Prometheus scraped from real workers in some eventful minutes.

PICTURES_PROMETHEUS=$((AMQP_PORT + 30))

pictures() { # [MINUTES]
    local minutes=${1:-8}
    need_rust
    tools
    need_commands curl=curl flock=util-linux setsid=util-linux
    eval "$(tools_env)"
    demo_down
    mkdir -p "$DEMO"
    DEMO_STARTED_BROKER=yes
    ! broker_running || DEMO_STARTED_BROKER=no
    trap pictures_end EXIT
    demo_build_beside_broker
    demo_start
    pictures_prometheus 5s
    step "some eventful minutes ($minutes)"
    pictures_events "$minutes"
    step "drawing"
    picture overview.json 2520
    picture lane.json 2200 "&var-number=10001"
    picture workers-and-broker.json 2440
    pictures_of_page
    ls -l dashboards/*.png
}

pictures_prometheus() { # INTERVAL
    local interval=$1 targets
    targets=$(printf '"127.0.0.1:%s",' "${DEMO_WORKERS[@]#*=}")
    cat >"$DEMO/prometheus.yaml" <<YAML
global: {scrape_interval: $interval, evaluation_interval: $interval}
rule_files: [$ROOT/deploy/prometheus/rules.yaml]
scrape_configs: [{job_name: whatsapp-dispatcher, static_configs: [{targets: [${targets%,}]}]}]
YAML
    rm -rf --one-file-system "$DEMO/tsdb"
    demo_process prometheus "$DISPATCHER_TEST_PROMETHEUS" --config.file="$DEMO/prometheus.yaml" \
        --storage.tsdb.path="$DEMO/tsdb" --web.listen-address="127.0.0.1:$PICTURES_PROMETHEUS"
    demo_wait prometheus "http://127.0.0.1:$PICTURES_PROMETHEUS/-/ready"
}

# A campaign on one number, daily life on all, an account block on one that lasts to the end, another that ends, a pause.
pictures_events() { # MINUTES
    local minutes=$1 quarter=$((60 * $1 / 4))
    local load=(target/debug/load run --amqp "$AMQP_URL/demo" --timeout-s 1)
    # Results that are still out at the end are no concern here.
    "${load[@]}" --number 10001 --count $((minutes * 60 * 90)) --high-ratio 0.02 >"$DEMO/campaign.log" 2>&1 &
    "${load[@]}" --number 10002 --number 10003 --count $((minutes * 60 * 40)) --rate 40 >"$DEMO/daily.log" 2>&1 &
    "${load[@]}" --number 10004 --count $((minutes * 60 * 3)) --rate 3 >"$DEMO/slow.log" 2>&1 &
    PICTURES_LOAD=$(jobs -p)
    sleep "$quarter"
    sim_number '{"phone_number_id": "10002", "blocked_code": 131031, "quality_rating": "YELLOW"}'
    curl -fsS -X POST "http://127.0.0.1:${DEMO_WORKERS[0]#*=}/lanes/10003/pause"
    sleep "$quarter"
    sim_number '{"phone_number_id": "10002", "blocked_code": null}'
    curl -fsS -X POST "http://127.0.0.1:${DEMO_WORKERS[0]#*=}/lanes/10002/resume"
    curl -fsS -X POST "http://127.0.0.1:${DEMO_WORKERS[0]#*=}/lanes/10003/resume"
    sleep "$quarter"
    sim_number '{"phone_number_id": "10004", "blocked_code": 133010, "quality_rating": "RED"}'
    sleep "$quarter"
}

sim_number() { curl -fsS -o /dev/null -X POST "$SIM_URL/_sim/numbers" -d "$1"; }

browser() { # WIDTH HEIGHT FILE URL: a picture of a page
    local profile
    profile=$(mktemp -d)
    chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync \
        --disable-component-update --user-data-dir="$profile" --allow-file-access-from-files --hide-scrollbars \
        --window-size="$1,$2" --virtual-time-budget=30000 --screenshot="$3" "$4" >"$DEMO/browser.log" 2>&1 ||
        { tail -n 20 "$DEMO/browser.log" >&2; die "the browser failed; the end of its log is above"; }
    rm -rf --one-file-system "$profile"
}

picture() { # DASHBOARD HEIGHT [PARAMETERS]
    browser 1600 "$2" "dashboards/${1%.json}.png" \
        "file://$ROOT/dashboards/preview.html?dashboard=$1&prometheus=http://127.0.0.1:$PICTURES_PROMETHEUS&range=10m&scrape=5s${3:-}"
}

pictures_of_page() {
    browser 1280 760 dashboards/page.png "http://127.0.0.1:${DEMO_WORKERS[0]#*=}/"
    browser 500 1400 dashboards/page-phone.png "http://127.0.0.1:${DEMO_WORKERS[0]#*=}/"
}

pictures_end() {
    # shellcheck disable=SC2086 # several
    kill ${PICTURES_LOAD:-} 2>/dev/null || true
    stop_recorded "$DEMO/prometheus.pid" "$(sed -n 2p "$DEMO/prometheus.pid" 2>/dev/null)" 10
    rm -f "$DEMO/prometheus.pid"
    demo_end
}
