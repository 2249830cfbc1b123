# shellcheck shell=bash
# Do the scripts install all that they need? Where they have run before, nothing shows it: so in a bare Debian, made for this and gone after it.
# It shares the machine's network and nothing else. Mounts and processes are in namespaces of its own and end with it.

FRESH=$STATE/fresh
# Behind those of the demo. Everything that runs in there counts from it.
FRESH_PORT=$((AMQP_PORT + 20))

fresh() { # [SUITE [COMMAND...]]
    local began=$SECONDS suite=${1:-}
    [ $# -eq 0 ] || shift
    [ -n "$suite" ] || suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    need_rust
    need_commands mmdebstrap=mmdebstrap unshare=util-linux chroot=coreutils tar=tar git=git
    trap fresh_clear EXIT
    fresh_clear
    fresh_unpack "$suite"
    if [ $# -gt 0 ]; then
        fresh_run "$@"
    else
        fresh_install
    fi
    step "in a bare $suite: ok, $(elapsed_since "$began")"
}

fresh_install() {
    local began=$SECONDS program
    fresh_run install
    step "installed in $(elapsed_since "$began")"
    began=$SECONDS
    fresh_run install >"$STATE/fresh.again"
    # What cannot be had there is told again.
    ! grep '^==>' "$STATE/fresh.again" || die "a second time there was still something to install, as above"
    step "a second time: nothing to install, $(elapsed_since "$began")"
    for program in cc curl git xz chromium chromedriver buildah podman runc python3; do
        fresh_inside /usr/bin/env "$program" --version >"$STATE/fresh.version" 2>&1 ||
            { cat "$STATE/fresh.version" >&2; die "$program is installed and does not start"; }
    done
    # shellcheck disable=SC2016 # for the inner shell
    fresh_inside bash -euc 'cd /whatsapp-dispatcher && eval "$(deploy/dev url)" && "$DISPATCHER_TEST_PROMTOOL" --version 2>&1 | head -n 1 &&
        "$DISPATCHER_TEST_KUSTOMIZE" version && "$DISPATCHER_TEST_CHECK_JSONSCHEMA" --version && .cache/python/bin/shellcheck --version | head -n 2 &&
        .cache/cargo/bin/cargo-deny --version && deploy/dev up && deploy/dev ctl version && deploy/dev down'
}

fresh_clear() { as_root rm -rf --one-file-system "$FRESH"; }

# As a person would find it: what makes Debian, apt, Rust, and this folder as git has it.
fresh_unpack() { # SUITE
    local mirror
    mirror=$(apt_mirror)
    step "unpacking a bare $1 into ${FRESH#"$ROOT"/}"
    mkdir -p "$FRESH"
    fresh_fetch "$1" "$mirror" || { [ -n "$mirror" ] && fresh_fetch "$1" ""; } ||
        { tail -n 20 "$STATE/unpack.log" >&2; die "could not unpack a bare $1; the end of the log is above"; }
    as_root mkdir -p "$FRESH/opt/rust" "$FRESH/whatsapp-dispatcher"
    git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- | as_root tar -x -C "$FRESH/whatsapp-dispatcher"
    # How this machine reaches registries: names, own authorities, settings of apt and pip.
    local file
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /usr/local/share/ca-certificates; do
        [ ! -e "$file" ] || as_root cp -rL "$file" "$FRESH${file%/*}/"
    done
}

fresh_fetch() { # SUITE, MIRROR or nothing
    as_root rm -rf --one-file-system "$FRESH"
    as_root mmdebstrap --variant=minbase "$1" "$FRESH" ${2:+"$2"} >"$STATE/unpack.log" 2>&1 </dev/null
}

fresh_run() { # COMMAND...: of this script
    fresh_inside /whatsapp-dispatcher/deploy/dev "$@"
}

# In a process namespace, so that nothing that was started in there can outlive it.
fresh_inside() { # COMMAND...
    local variable passed=()
    for variable in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [ -z "${!variable:-}" ] || passed+=("$variable=${!variable}")
    done
    # shellcheck disable=SC2016 # for the inner shell
    as_root unshare --mount --pid --fork --kill-child sh -euc '
        tree=$1 rust=$2 && shift 2
        mount --bind "$rust" "$tree/opt/rust" && mount -o remount,bind,ro "$tree/opt/rust"
        mount -t proc proc "$tree/proc" && mount --rbind /dev "$tree/dev" && mount --rbind /sys "$tree/sys"
        exec chroot "$tree" /usr/bin/env -i "$@"' - "$FRESH" "$(rustc --print sysroot)" \
        PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        DEV_AMQP_PORT="$FRESH_PORT" ${passed[@]+"${passed[@]}"} "$@"
}
