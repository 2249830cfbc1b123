# shellcheck shell=bash disable=SC2034 # one script in parts
# Words, ports and processes. Sourced by deploy/dev, which sets ROOT.

STATE=$ROOT/target/dev
CACHE=$ROOT/.cache

say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
die() {
    printf 'deploy/dev: %s\n' "$*" >&2
    exit 1
}

# Seconds since the script began, for the durations it prints.
elapsed_since() { printf '%d s' "$((SECONDS - $1))"; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

can_be_root() { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A recorded pid may have been given to another process since, and a zombie
# still answers `kill -0`: only a command line that carries our mark counts.
runs_as() { # PID MARK
    [ -n "$1" ] || return 1
    # It may end while it is looked at.
    { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null | grep -qF -- "$2"
}

pid_in() { head -n 1 "$1" 2>/dev/null || true; }

# TERM, wait, KILL: by recorded pid, and only when it is still ours.
stop_recorded() { # PIDFILE MARK SECONDS
    local pid deadline
    pid=$(pid_in "$1")
    deadline=$((SECONDS + $3))
    runs_as "$pid" "$2" || return 0
    kill -TERM "$pid" 2>/dev/null || true
    while runs_as "$pid" "$2"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            kill -KILL "$pid" 2>/dev/null || true
        fi
        sleep 0.1
    done
}
