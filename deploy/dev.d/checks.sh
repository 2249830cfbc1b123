# shellcheck shell=bash
# All checks, in the order of what is quickest to mend.

run_checks() {
    need_rust
    tools
    eval "$(tools_env)"
    eval "$(image_env)"
    broker_for_checks
    if [ $# -gt 0 ]; then
        timed "cargo test $*" cargo test --locked "$@"
    else
        timed "format" cargo fmt --all --check
        timed "scripts" check_scripts
        timed "lints" env CLIPPY_CONF_DIR=deploy cargo clippy --workspace --all-targets --locked -- -D warnings
        timed "dependencies" check_dependencies
        [ -n "${DISPATCHER_TEST_GRAFANA_SCHEMAS:-}" ] ||
            say "    no copy of Grafana's JSON schemas here: dashboards are checked by our own rules only"
        [ -n "${DISPATCHER_TEST_CRD_SCHEMAS:-}" ] ||
            say "    no copy of the operators' schemas here: PodMonitor, PrometheusRule, ScaledObject, RabbitmqCluster: unknown fields not found"
        timed "images" image
        eval "$(image_env)"
        timed "tests" cargo test --workspace --locked
        # It kills its RabbitMQ, so it needs one of its own.
        [ -z "${STARTED:-}" ] || timed "faults" deploy/dev chaos quick
    fi
    step "all checks passed in $(elapsed_since 0)"
}

run_bench() {
    need_rust
    broker_for_checks
    cargo bench --locked --bench sidebyside -- "$@"
}

# The broker that the environment names, or ours; ours is stopped again only if this call started it.
broker_for_checks() {
    [ -z "${DISPATCHER_TEST_AMQP:-}" ] || return 0
    # Silent at the end, so that cargo's own summary stays the last thing to read.
    trap '[ "${STARTED:-no}" = no ] || broker_down >/dev/null' EXIT
    broker_up
    eval "$(broker_env)"
}

timed() { # NAME COMMAND...
    local name=$1 began=$SECONDS status=0
    shift
    step "$name"
    "$@" || status=$?
    if [ "$status" -ne 0 ]; then
        printf 'deploy/dev: %s: failed after %s\n' "$name" "$(elapsed_since "$began")" >&2
        exit "$status"
    fi
    step "$name: ok, $(elapsed_since "$began")"
}

check_scripts() {
    local scripts=() file
    while IFS= read -r file; do
        if [[ $file == *.sh ]] || head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh\b'; then
            scripts+=("$file")
        fi
    done < <(git ls-files --cached --others --exclude-standard -- deploy .ci tests 2>/dev/null || find deploy -type f)
    "$PYTHON/bin/shellcheck" "${scripts[@]}"
    "$PYTHON/bin/hadolint" deploy/Dockerfile
}
