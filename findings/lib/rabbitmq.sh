# shellcheck shell=bash
# A RabbitMQ of its own for a finding: unpacked from a Debian suite into a temporary folder, on ports of its own, gone at the end.
# Needs root, Debian's apt and mmdebstrap. Sourced; sets WORK, AMQP_URL, API_URL.

set -euo pipefail
for tool in mmdebstrap python3 curl; do
    command -v "$tool" >/dev/null || { echo "this finding needs $tool" >&2; exit 1; }
done
WORK=$(mktemp -d)
EPMD=
SERVER=

rabbitmq_stop() {
    local pid
    for pid in $SERVER $EPMD; do kill "$pid" 2>/dev/null || true; done
    [ -z "$SERVER" ] || wait "$SERVER" 2>/dev/null || true
    SERVER='' EPMD=''
    rm -rf --one-file-system "$WORK/tree"
}
trap 'rabbitmq_stop; rm -rf --one-file-system "$WORK"' EXIT

# rabbitmq SUITE VERSION PORT [PLUGIN...]: VERSION is what the suite is expected to hold; another one ends the script.
rabbitmq() {
    local suite=$1 version=$2 port=$3 tree=$WORK/tree home=$WORK/tree/srv found mirror
    shift 3
    # shellcheck disable=SC2016 # the names are apt's
    mirror=$(apt-get indextargets --format '$(CREATED_BY)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' |
        sed -n -E 's/^Packages\|Debian\|main\|(.*)/\1/p' | sort -u | head -n 1)
    mmdebstrap --variant=extract --include=rabbitmq-server,base-files,dash,coreutils,sed,grep,libc-bin,procps \
        --aptopt='Acquire::Check-Valid-Until "false"' "$suite" "$tree" ${mirror:+"$mirror"} >"$WORK/unpack.log" 2>&1 ||
        { tail -n 5 "$WORK/unpack.log" >&2; echo "RabbitMQ of $suite could not be unpacked" >&2; exit 1; }
    found=$(basename "$tree"/usr/lib/rabbitmq/lib/rabbitmq_server-*)
    found=${found#rabbitmq_server-}
    [ "$found" = "$version" ] || { echo "$suite holds RabbitMQ $found by now, this finding is about $version" >&2; exit 1; }
    mkdir -p "$home/mnesia" "$home/log" "$tree/proc"
    printf '127.0.0.1 localhost\n' >"$tree/etc/hosts"
    [ -e "$tree/dev/null" ] || mknod -m 666 "$tree/dev/null" c 1 3 2>/dev/null || true
    {
        echo "listeners.tcp.1 = 127.0.0.1:$port"
        echo "management.tcp.ip = 127.0.0.1"
        echo "management.tcp.port = $((port + 10000))"
        echo "vm_memory_calculation_strategy = allocated"
        echo "loopback_users = none"
        for plugin in "$@"; do
            case $plugin in
                rabbitmq_mqtt) echo "mqtt.listeners.tcp.1 = 127.0.0.1:$((port + 100))" ;;
                rabbitmq_stomp) echo "stomp.listeners.tcp.1 = 127.0.0.1:$((port + 101))" ;;
            esac
        done
    } >"$home/rabbitmq.conf"
    (IFS=,; printf '[rabbitmq_management%s].\n' "${*:+,$*}") >"$home/enabled_plugins"
    rm -f "$home/.erlang.cookie"
    (umask 077 && printf finding >"$home/.erlang.cookie")
    INSIDE=(chroot "$tree" /usr/bin/env -i PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/srv
        RABBITMQ_NODENAME=finding@localhost RABBITMQ_DIST_PORT=$((port + 500)) ERL_EPMD_PORT=$((port - 303)) ERL_EPMD_ADDRESS=127.0.0.1
        RABBITMQ_CONFIG_FILE=/srv/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=/srv/enabled_plugins RABBITMQ_MNESIA_BASE=/srv/mnesia
        RABBITMQ_LOG_BASE=/srv/log RABBITMQ_PID_FILE=/srv/pid RABBITMQ_CONF_ENV_FILE=/srv/none)
    "${INSIDE[@]}" epmd -port $((port - 303)) -address 127.0.0.1 >"$WORK/epmd.log" 2>&1 &
    EPMD=$!
    AMQP_URL=amqp://guest:guest@127.0.0.1:$port/%2f
    API_URL=http://guest:guest@127.0.0.1:$((port + 10000))/api
    rabbitmq_start
    export AMQP_URL API_URL
    echo "RabbitMQ $found ($suite)"
}

# Starts it, or starts it again with what it has on its disk.
rabbitmq_start() {
    local deadline=$((SECONDS + 90))
    "${INSIDE[@]}" rabbitmq-server >"$WORK/server.log" 2>&1 &
    SERVER=$!
    until curl -fsS -o "$WORK/overview.json" "$API_URL/overview" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || { tail -n 20 "$WORK/server.log" >&2; exit 1; }
        sleep 0.3
    done
}

# Ends it as a crash of its machine would, but for what the kernel has not written yet.
rabbitmq_kill() {
    kill -KILL "$(cat "$WORK/tree/srv/pid")"
    wait "$SERVER" 2>/dev/null || true
    SERVER=''
}

ctl() { "${INSIDE[@]}" rabbitmqctl "$@"; }

# python_with PACKAGE==VERSION...: sets PYTHON to an interpreter that has them.
python_with() {
    python3 -m venv "$WORK/venv"
    "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "$@"
    export PYTHON=$WORK/venv/bin/python
    echo "Python packages: $*"
}
