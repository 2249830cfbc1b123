# shellcheck shell=bash
# The fault suite. `load chaos` runs the show; here is what must be there before
# and gone after it, whatever became of it.

CHAOS=$STATE/chaos-$AMQP_PORT
# Behind those of the demo. The nodes' other ports follow from these, as DEV_AMQP_PORT says.
CHAOS_PORT=$((AMQP_PORT + 40))
CHAOS_NODES=$((AMQP_PORT + 60))

chaos() {
    local argument
    need_rust
    need_commands curl=curl flock=util-linux setsid=util-linux
    step "building"
    cargo build --locked -p whatsapp-dispatcher -p graph-sim -p load
    for argument in "$@"; do
        case $argument in --list | --help | -h) exec target/debug/load chaos "$@" ;; esac
    done
    # The nodes start in the middle of the show, where nobody could answer a password prompt.
    "$(choose_backend)_install"
    chaos_down
    rm -rf --one-file-system "$CHAOS"
    mkdir -p "$CHAOS"
    # Where it cannot be had, the scenario says so.
    [ "$*" = quick ] || faketime_unpack || true
    CHAOS_FAKETIME=$(faketime_library)
    export CHAOS_FAKETIME
    trap chaos_down EXIT
    target/debug/load chaos --dev deploy/dev --binaries target/debug --logs "$CHAOS" \
        --port "$CHAOS_PORT" --node-port "$CHAOS_NODES" "$@"
}

# What a run that was itself killed has left.
chaos_down() {
    local file mark node
    for file in "$CHAOS"/*.pid; do
        [ -s "$file" ] || continue
        mark=$(sed -n 2p "$file")
        # One that was stopped by a fault hears no TERM.
        ! runs_as "$(pid_in "$file")" "$mark" || kill -s CONT "$(pid_in "$file")" 2>/dev/null || true
        stop_recorded "$file" "$mark" 5
        rm -f "$file"
    done
    # The first node last: it has the epmd of all.
    for node in 2 1 0; do
        [ ! -e "$STATE/broker-$((CHAOS_NODES + node))/backend" ] ||
            DEV_AMQP_PORT=$((CHAOS_NODES + node)) DEV_EPMD_PORT=$((CHAOS_NODES - 303)) deploy/dev down --broker >/dev/null
    done
}
