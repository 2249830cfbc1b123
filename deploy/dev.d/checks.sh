# shellcheck shell=bash
# All checks, in the order of what is quickest to mend.

# Everything that `demo` and `test` install. Where there is no apt it is what docker.sh and tools.sh say.
install_all() {
    need_rust
    need_commands curl=curl flock=util-linux setsid=util-linux git=git xz=xz-utils
    tools
    image_tools
    "$(choose_backend)_install"
    second_dev unpack || say "    RabbitMQ 4.3 cannot be fetched here: tests run with 4.0 only"
    deny_install
}

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
        [ -z "${STARTED:-}" ] || timed "tests with RabbitMQ 4.3" second_rabbitmq
        # It kills its RabbitMQ, so it needs one of its own.
        [ -z "${STARTED:-}" ] || timed "faults" deploy/dev chaos quick
    fi
    step "all checks passed in $(elapsed_since 0)"
}

# Beside the first, which waits meanwhile.
SECOND_PORT=$((AMQP_PORT + 70))
second_dev() { DEV_RABBITMQ=4.3 DEV_AMQP_PORT=$SECOND_PORT deploy/dev "$@"; }

# The tests that talk to RabbitMQ, once more with the second release. Where it cannot be fetched, that is said; where it can, it must pass.
second_rabbitmq() {
    local skipped=() part
    if ! second_dev unpack; then
        say "    RabbitMQ 4.3: NOT CHECKED (it cannot be fetched here; the reason is above)"
        return 0
    fi
    # Parts of tests/it that need none, or to which its release is nothing.
    for part in config contract deploy health image log reads reference scripts sre tidy tracing; do skipped+=(--skip "$part::"); done
    second_dev up && say "    RabbitMQ $(second_dev ctl version)" &&
        (eval "$(second_dev url)" && cargo test --locked --test it -- "${skipped[@]}") && second_dev down --broker
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
    trap '[ "${STARTED:-no}" = no ] || { broker_down && second_dev down --broker; } >/dev/null' EXIT
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
