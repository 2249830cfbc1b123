# shellcheck shell=bash
# What the tests of dashboards, alerts and the page run: a real Prometheus, and a real browser.

PROMETHEUS=$CACHE/prometheus

# Prometheus is unpacked and not installed: its package would start a service. A browser has too many parts for that.
tools() {
    prometheus_unpack
    need_commands chromium=chromium chromedriver=chromium-driver
}

prometheus_unpack() {
    [ -e "$PROMETHEUS/complete" ] && return 0
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then return 0; fi
    command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
        die "please install prometheus and promtool, 2.42 or later (no apt to fetch them with)"
    step "unpacking Prometheus into ${PROMETHEUS#"$ROOT"/} (once, about 30 MB to fetch)"
    mkdir -p "$STATE"
    rm -rf --one-file-system "$PROMETHEUS"
    mkdir -p "$PROMETHEUS"
    prometheus_fetch || { as_root apt-get update && prometheus_fetch; } >"$STATE/apt.log" 2>&1 ||
        { tail -n 20 "$STATE/apt.log" >&2; die "apt could not fetch Prometheus; the end of its log is above"; }
    : >"$PROMETHEUS/complete"
}

# From trixie on promtool is a package of its own.
prometheus_fetch() {
    (
        cd "$PROMETHEUS" || exit
        { apt-get download prometheus && apt-get download promtool; } >"$STATE/apt.log" 2>&1 ||
            [ -n "$(find . -name 'prometheus_*.deb')" ] || exit
        for package in *.deb; do dpkg -x "$package" . || exit; done
        rm -f ./*.deb
        [ -x usr/bin/prometheus ] && [ -x usr/bin/promtool ]
    )
}

# The variables that the tests look for.
tools_env() {
    local prometheus=$PROMETHEUS/usr/bin/prometheus promtool=$PROMETHEUS/usr/bin/promtool
    [ -x "$prometheus" ] || prometheus=$(command -v prometheus || true)
    [ -x "$promtool" ] || promtool=$(command -v promtool || true)
    [ -z "$prometheus" ] || [ -z "$promtool" ] ||
        printf 'export DISPATCHER_TEST_PROMETHEUS=%q DISPATCHER_TEST_PROMTOOL=%q\n' "$prometheus" "$promtool"
    ! command -v chromedriver >/dev/null || printf 'export DISPATCHER_TEST_CHROMEDRIVER=%q\n' "$(command -v chromedriver)"
    local folder
    for folder in "$ROOT"/../*/data/grafana-schemas/jsonschema; do
        [ ! -d "$folder" ] || printf 'export DISPATCHER_TEST_GRAFANA_SCHEMAS=%q\n' "$folder"
    done
}
