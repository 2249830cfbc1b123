# shellcheck shell=bash
# What we depend on: cargo-deny with deploy/deny.toml, and what is known to be wrong with it.

DENY_VERSION=0.20.2
CARGO_TOOLS=$CACHE/cargo

check_dependencies() {
    deny_install
    # Also what other platforms would build: it looks at all of Cargo.lock, and fetches nothing.
    cargo fetch --quiet --locked
    deny check --hide-inclusion-graph bans licenses sources
    check_advisories
}

deny() { "$CARGO_TOOLS/bin/cargo-deny" --offline --locked --config "${DENY_CONFIG:-deploy/deny.toml}" "$@"; }

# Not optimised: it is compiled in a third of the time, and has a second's work.
deny_install() {
    [ "$("$CARGO_TOOLS/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $DENY_VERSION" ] || return 0
    step "compiling cargo-deny $DENY_VERSION into ${CARGO_TOOLS#"$ROOT"/} (once, a minute or two)"
    mkdir -p "$STATE"
    cargo install --quiet --locked --debug --root "$CARGO_TOOLS" --target-dir "$STATE/cargo-deny" "cargo-deny@$DENY_VERSION" \
        >"$STATE/cargo-deny.log" 2>&1 || { tail -n 20 "$STATE/cargo-deny.log" >&2; die "cargo-deny could not be compiled; the end of its log is above"; }
    rm -rf --one-file-system "$STATE/cargo-deny"
}

# Against a copy of the RustSec database beside the checkout, or the database itself where there is a network.
check_advisories() {
    local snapshot
    # The newest: names carry the date.
    snapshot=$(find "$ROOT"/../*/data -maxdepth 1 -name 'rustsec-advisories-*.tar.xz' 2>/dev/null | sort | tail -n 1)
    if [ -n "$snapshot" ]; then
        advisories_unpack "$snapshot"
        DENY_CONFIG=$STATE/advisories/deny.toml deny check advisories
        say "    advisories: as of $(basename "${snapshot##*rustsec-advisories-}" .tar.xz); later ones are not in that copy"
    elif "$CARGO_TOOLS/bin/cargo-deny" fetch --config deploy/deny.toml db >"$STATE/advisories.log" 2>&1; then
        deny check advisories
    else
        say "    advisories: NOT CHECKED (no copy of the RustSec database here, and it cannot be fetched)"
    fi
}

# cargo-deny takes a git repository that was fetched, in a folder named after where it was fetched from.
advisories_unpack() { # ARCHIVE
    local folder=$STATE/advisories
    local base=$folder/advisory-db-3157b0e258782691
    need_commands git=git xz=xz-utils
    rm -rf --one-file-system "$folder"
    mkdir -p "$base"
    tar -xJf "$1" -C "$base"
    git -C "$base" init --quiet
    git -C "$base" add --all
    git -C "$base" -c user.name=copy -c user.email=copy@invalid commit --quiet --message copy
    printf '%s\t\tnot-for-merge\n' "$(git -C "$base" rev-parse HEAD)" >"$base/.git/FETCH_HEAD"
    sed "s|^\[advisories\]|&\ndb-path = \"$folder\"|" deploy/deny.toml >"$folder/deny.toml"
}
