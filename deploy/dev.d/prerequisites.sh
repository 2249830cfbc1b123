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
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || IFS=, read -r -a missing <<<"${missing[*]//  /,}${missing[*]:+,}${pair#*=}"
    done
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

need_rust() {
    command -v cargo >/dev/null ||
        die "cargo is not on the PATH: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1) or later first"
    need_commands cc=gcc,libc6-dev
}
