# shellcheck shell=bash
# What the machine must have. Missing Debian packages are installed; Rust is not ours to install.

apt_install() { # PACKAGE...
    if ! command -v apt-get >/dev/null || ! can_be_root; then
        die "please install: $* (no apt, or neither root nor sudo)"
    fi
    step "installing $* with apt"
    local log=$STATE/apt.log
    mkdir -p "$STATE"
    # A third-party list that cannot be fetched is no reason to stop; the install decides.
    as_root apt-get update >"$log" 2>&1 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1 </dev/null ||
        { tail -n 20 "$log" >&2; die "apt could not install: $*"; }
}

need_commands() { # COMMAND=PACKAGE[,PACKAGE]...
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

missing_packages() { # COMMAND=PACKAGE[,PACKAGE]...; one a line
    local pair
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || printf '%s\n' "${pair#*=}" | tr , '\n'
    done
}

need_rust() {
    command -v cargo >/dev/null ||
        die "cargo is not on the PATH: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1) or later first"
    need_commands cc=gcc,libc6-dev
    # Without them cargo fetches nothing. Other systems keep them elsewhere.
    ! command -v apt-get >/dev/null || [ -e /etc/ssl/certs/ca-certificates.crt ] || apt_install ca-certificates
}
