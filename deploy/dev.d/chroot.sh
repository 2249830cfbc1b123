# shellcheck shell=bash disable=SC2034 # one script in parts
# RabbitMQ 4 from Debian, unpacked into a folder of ours: no package of
# the machine changes, no maintainer script runs, no service starts. The broker
# shares the machine's loopback and sees only that folder and its own data.

# Sets where it comes from and lies. sid is never released: a mirror's index of it that is some weeks old is what there is.
chroot_choose() {
    SUITE_OPTIONS=()
    case $RELEASE in
        4.0) SUITE=trixie TREE=$CACHE/rabbitmq-4 ;;
        4.3) SUITE=sid TREE=$CACHE/rabbitmq-4.3 SUITE_OPTIONS=(--aptopt='Acquire::Check-Valid-Until "false"') ;;
        *) die "DEV_RABBITMQ is 4.0 or 4.3, not $RELEASE" ;;
    esac
    COMPLETE=$TREE/srv/complete
}

# The machine's own Debian mirror, whatever its apt is configured for.
apt_mirror() {
    # shellcheck disable=SC2016 # the names are apt's
    apt-get indextargets --format '$(CREATED_BY)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' 2>/dev/null |
        sed -n -E 's/^Packages\|Debian\|main\|((https?|mirror[+a-z]*):.*)/\1/p' | sort -u | head -n 1
}

chroot_prepare() {
    [ "$(id -u)" -eq 0 ] || sudo -v
    [ -e "$COMPLETE" ] || need_commands mmdebstrap=mmdebstrap unshare=util-linux setsid=util-linux
}

chroot_install() {
    [ -e "$COMPLETE" ] && return 0
    local began=$SECONDS mirror
    chroot_prepare
    step "unpacking RabbitMQ $RELEASE into ${TREE#"$ROOT"/} (once, about 50 MB to fetch)"
    mirror=$(apt_mirror)
    # A mirror that has this machine's release may lack that one: then the default one.
    unpack_tree "$mirror" || { [ -n "$mirror" ] && unpack_tree ""; } ||
        { tail -n 20 "$STATE/unpack.log" >&2; die "could not unpack RabbitMQ; the end of the log is above"; }
    say "    unpacked in $(elapsed_since "$began")"
}

# The release to the last digit, as it lies there.
chroot_version() { basename "$TREE"/usr/lib/rabbitmq/lib/rabbitmq_server-* | sed 's/.*-//'; }

# Unpacked, not configured: RabbitMQ and Erlang run as they lie there, in half
# the time, and it works in a container that may not mount.
unpack_tree() { # MIRROR or nothing
    as_root rm -rf --one-file-system "$TREE"
    as_root mmdebstrap --variant=extract "${SUITE_OPTIONS[@]}" \
        --include=rabbitmq-server,base-files,dash,coreutils,sed,grep,libc-bin,procps \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$SUITE" "$TREE" ${1:+"$1"} >"$STATE/unpack.log" 2>&1 </dev/null || return 1
    # shellcheck disable=SC2016
    as_root sh -c 'mkdir -p "$1/srv" "$1/proc" && printf "127.0.0.1 localhost\n" >"$1/etc/hosts" &&
        printf "dev:x:%s:%s::/srv/broker:/bin/sh\n" "$2" "$3" >"$1/etc/passwd" && : >"$1/srv/complete"' \
        - "$TREE" "$(broker_uid)" "$(broker_gid)"
}

# Never root: the caller, or nobody when the caller is root.
broker_uid() { if [ "$(id -u)" -eq 0 ]; then id -u nobody; else id -u; fi; }
broker_gid() { if [ "$(id -u)" -eq 0 ]; then id -g nobody; else id -g; fi; }

# Apart from its data, which is the broker's own.
BROKER_OUTPUT=$BROKER.out

chroot_clear() {
    rm -f "$BROKER_OUTPUT"
    as_root rm -rf --one-file-system "$BROKER" "$TREE/srv/broker-$AMQP_PORT"
}

chroot_start() {
    # Mounts are made in a namespace of the broker's own and end with it: nothing
    # is ever mounted for the rest of the machine. Where mounting is forbidden
    # (a plain container), the data lives inside the tree and /proc is missing.
    local inner=/srv/broker-$AMQP_PORT
    local mounts=yes
    as_root mkdir -p "$TREE$inner"
    if as_root unshare --mount true 2>/dev/null; then
        mkdir -p "$BROKER"
    else
        mounts=no
        ln -sfn "$TREE$inner" "$BROKER"
    fi
    chroot_conf "$mounts" | as_root tee "$BROKER/rabbitmq.conf" >/dev/null
    say "$PLUGINS" | as_root tee "$BROKER/enabled_plugins" >/dev/null
    as_root cp deploy/dev.d/node.sh "$BROKER/node.sh"
    printf 'chroot\n' | as_root tee "$BROKER/backend" >/dev/null
    printf '%s\n' "$RELEASE" | as_root tee "$BROKER/release" >/dev/null
    as_root chown -R "$(broker_uid):$(broker_gid)" "$BROKER/"
    launch "$mounts" "$inner"
}

chroot_conf() { # MOUNTS
    broker_conf
    # Without /proc the node cannot ask the kernel what it uses.
    [ "$1" = yes ] || say "vm_memory_calculation_strategy = allocated"
    say "listeners.tcp.1 = 127.0.0.1:$AMQP_PORT"
    say "management.tcp.ip = 127.0.0.1"
    say "management.tcp.port = $MANAGEMENT_PORT"
    say "prometheus.tcp.ip = 127.0.0.1"
    say "prometheus.tcp.port = $METRICS_PORT"
    say "stomp.listeners.tcp.1 = 127.0.0.1:$STOMP_PORT"
    say "mqtt.listeners.tcp.1 = 127.0.0.1:$MQTT_PORT"
}

in_tree() { # INNER COMMAND...: as the broker's user, with the broker's environment
    local inner=$1
    shift
    chroot_command=(chroot "--userspec=$(broker_uid):$(broker_gid)" "$TREE"
        /usr/bin/env -i PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME="$inner"
        RABBITMQ_NODENAME="$NODE" RABBITMQ_DIST_PORT="$DIST_PORT"
        ERL_EPMD_PORT="$EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 "$@")
}

launch() { # MOUNTS INNER
    local chroot_command
    in_tree "$2" sh "$2/node.sh"
    # shellcheck disable=SC2016
    local mount_first='mount --bind "$1" "$2$3" && mount -t proc proc "$2/proc" && shift 3 && exec "$@"'
    if [ "$1" = yes ]; then
        as_root setsid unshare --mount sh -c "$mount_first" - "$BROKER" "$TREE" "$2" \
            "${chroot_command[@]}" >>"$BROKER_OUTPUT" 2>&1 </dev/null 9>&- &
    else
        as_root setsid "${chroot_command[@]}" >>"$BROKER_OUTPUT" 2>&1 </dev/null 9>&- &
    fi
    LAUNCHED=$!
}

chroot_alive() { kill -0 "$LAUNCHED" 2>/dev/null; }

# What the Erlang VM's command line says of this broker and no other.
VM_MARK="-home /srv/broker-$AMQP_PORT "

chroot_running() { runs_as "$(pid_in "$BROKER/pid")" "$VM_MARK" && port_open "$AMQP_PORT"; }

chroot_stop() {
    stop_recorded "$BROKER/pid" "$VM_MARK" 20
    stop_recorded "$BROKER/epmd.pid" "-port $EPMD_PORT" 5
}

# All is laid out anew, the data is found where it was left.
chroot_start_again() { chroot_start; }

# The epmd stays: it knows the other nodes of a cluster.
chroot_halt() { # SIGNAL
    local pid deadline=$((SECONDS + 60))
    pid=$(pid_in "$BROKER/pid")
    runs_as "$pid" "$VM_MARK" || return 0
    as_root kill -s "$1" "$pid"
    while runs_as "$pid" "$VM_MARK"; do
        [ "$SECONDS" -lt "$deadline" ] || die "the broker did not end within 60 s of $1"
        sleep 0.1
    done
}

chroot_log() { cat "$BROKER_OUTPUT" "$BROKER"/log/*.log 2>/dev/null || true; }

chroot_ctl() {
    local chroot_command
    in_tree "/srv/broker-$AMQP_PORT" rabbitmqctl "$@"
    # The command line tool reads the cookie from the data, so it joins the broker's view of the files.
    if as_root unshare --mount true 2>/dev/null; then
        as_root nsenter --mount --target "$(pid_in "$BROKER/pid")" "${chroot_command[@]}"
    else
        as_root "${chroot_command[@]}"
    fi
}
