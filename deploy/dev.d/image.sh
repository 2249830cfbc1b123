# shellcheck shell=bash
# The two images, and what is needed to build and run them where no Docker engine runs: buildah and podman.

IMAGE_DISPATCHER=localhost/whatsapp-dispatcher:dev
IMAGE_SIM=localhost/graph-sim:dev

# Without a Docker engine: root's podman, with what works in a plain machine without a session manager.
containers() {
    local sudo=
    [ "$(id -u)" -eq 0 ] || sudo='sudo '
    if docker_works; then say docker; else say "${sudo}podman --cgroup-manager cgroupfs --runtime runc"; fi
}

image_tools() {
    docker_works && return 0
    need_commands buildah=buildah podman=podman runc=runc
}

# The variables that the tests look for, once the images are built.
image_env() {
    local engine
    engine=$(containers)
    # shellcheck disable=SC2086 # words
    { docker_works || command -v podman >/dev/null; } && $engine image inspect "$IMAGE_DISPATCHER" "$IMAGE_SIM" >/dev/null 2>&1 || return 0
    printf 'export DISPATCHER_TEST_CONTAINERS=%q DISPATCHER_TEST_IMAGE=%q DISPATCHER_TEST_SIM_IMAGE=%q\n' \
        "$engine" "$IMAGE_DISPATCHER" "$IMAGE_SIM"
}

image() {
    need_rust
    image_tools
    python_environment
    mkdir -p "$STATE"
    local version revision
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    revision=$(git rev-parse HEAD 2>/dev/null || say unknown)
    step "building $IMAGE_DISPATCHER and $IMAGE_SIM"
    image_build "$IMAGE_DISPATCHER" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
    image_build "$IMAGE_SIM" --target graph-sim --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
    local program
    mkdir -p target/image
    for program in whatsapp-dispatcher graph-sim; do
        "$PYTHON/bin/python" deploy/dev.d/sbom.py "$program" >"target/image/$program.cdx.json"
        say "    target/image/$program.cdx.json: what it is made of, as CycloneDX"
    done
}

image_build() { # NAME OPTIONS...
    local name=$1
    shift
    if docker_works; then
        DOCKER_BUILDKIT=1 docker build -q -f deploy/Dockerfile -t "$name" "$@" .
    else
        image_builder
        as_root env BUILDAH_ISOLATION=chroot buildah build --quiet --format docker --layers --pull-never \
            -f deploy/Dockerfile -t "$name" --build-arg "BUILDER_IMAGE=$BUILDER_IMAGE" "${BUILDER_MOUNTS[@]}" "$@" . >"$STATE/image.log" 2>&1 ||
            { tail -n 40 "$STATE/image.log" >&2; die "the image could not be built; the end of its log is above"; }
    fi
}

# Where no builder image can be pulled this machine stands in: its /usr and its Rust, read-only, over an empty image.
image_builder() {
    local sysroot cargo_home container
    BUILDER_IMAGE=localhost/whatsapp-dispatcher-builder:$(rustc --version | cut -d ' ' -f 2)
    sysroot=$(rustc --print sysroot)
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    BUILDER_MOUNTS=(--volume /usr:/usr:ro --volume /etc/ssl:/etc/ssl:ro --volume /etc/alternatives:/etc/alternatives:ro
        --volume "$sysroot:/opt/rust:ro" --volume "$cargo_home:/opt/cargo:ro")
    # By whoever calls, so that nothing of root's comes to lie in their folder.
    cargo fetch --quiet --locked
    as_root buildah inspect --type image "$BUILDER_IMAGE" >/dev/null 2>&1 && return 0
    container=$(as_root buildah from scratch)
    as_root buildah config --env PATH=/opt/rust/bin:/usr/bin:/bin --env CARGO_HOME=/opt/cargo --env CARGO_NET_OFFLINE=true "$container"
    # shellcheck disable=SC2016 # for the inner shell
    as_root sh -c '
        root=$(buildah mount "$1") && cd "$root" && mkdir -p usr etc tmp opt/rust opt/cargo && chmod 1777 tmp
        for link in bin lib lib64 sbin; do [ ! -e "/usr/$link" ] || ln -s "usr/$link" "$link"; done
        buildah unmount "$1" >/dev/null && buildah commit --quiet --rm "$1" "$2" >/dev/null' - "$container" "$BUILDER_IMAGE"
}
