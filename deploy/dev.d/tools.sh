# shellcheck shell=bash
# What tests run beside RabbitMQ: a real Prometheus and a real browser (dashboards, alerts, the page), kustomize and checkers in Python
# (deploy/k8s), clients of other makers and protocols, what reads the contract files, a clock that can be set for one process.

PROMETHEUS=$CACHE/prometheus
KUSTOMIZE=$CACHE/kustomize
PYTHON=$CACHE/python
FAKETIME=$CACHE/faketime
CLIENTS=$CACHE/clients
CONTRACT=$CACHE/contract

# Prometheus is unpacked and not installed: its package would start a service. A browser has too many parts for that.
tools() {
    prometheus_unpack
    faketime_unpack || die "please install libfaketime (apt cannot fetch it here)"
    need_commands chromium=chromium chromedriver=chromium-driver openssl=openssl
    kustomize_unpack
    python_environment
    in_python clients "$CLIENTS"
    in_python "makers of requests" "$CONTRACT"
    in_node clients "$CLIENTS"
    in_node "readers of the contract, makers of requests" "$CONTRACT"
    clients_in_java_go_php
}

# The packages that deploy/dev.d/NAME.txt pins, FOLDER's name being NAME. Made anew when other versions are wanted; one by one, so that one
# that cannot be had here costs only its own tests.
in_python() { # WHAT FOLDER
    local what="$1 in Python" folder=$2/python missing=0
    local wanted log package
    wanted=deploy/dev.d/$(basename "$2").txt
    log=$STATE/$(basename "$2")-python.log
    cmp -s "$wanted" "$folder/complete" && return 0
    step "installing $what into ${folder#"$ROOT"/} (once, about 10 MB to fetch)"
    mkdir -p "$STATE" "$2"
    rm -rf --one-file-system "$folder"
    python3 -m venv "$folder" >"$log" 2>&1 || die "no environment for $what: $(tail -n 1 "$log")"
    # One of them is compiled.
    python3 -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
        (apt_install python3-dev) || true
    while IFS= read -r package; do
        "$folder/bin/pip" install --quiet "$package" >>"$log" 2>&1 ||
            { missing=1 && say "    $package: NOT CHECKED (pip cannot install it here: ${log#"$ROOT"/})"; }
    done < <(grep -v '^#' "$wanted")
    # Else it is tried again, and told again, the next time.
    [ "$missing" = 1 ] || cp "$wanted" "$folder/complete"
}

# The packages that deploy/dev.d/NAME.json pins, FOLDER's name being NAME. Node.js is not installed for them: its npm is four hundred
# packages of Debian's.
in_node() { # WHAT FOLDER
    local what="$1 in JavaScript" folder=$2/node
    local wanted log
    wanted=deploy/dev.d/$(basename "$2").json
    log=$STATE/$(basename "$2")-node.log
    cmp -s "$wanted" "$folder/package.json" && [ -e "$folder/complete" ] && return 0
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        say "    $what: NOT CHECKED (no node and npm here)"
        return 0
    fi
    step "installing $what into ${folder#"$ROOT"/} (once, some MB to fetch)"
    mkdir -p "$STATE"
    rm -rf --one-file-system "$folder"
    mkdir -p "$folder"
    cp "$wanted" "$folder/package.json"
    if (cd "$folder" && npm install --ignore-scripts --no-package-lock --no-audit --no-fund) >"$log" 2>&1; then
        : >"$folder/complete"
    else
        say "    $what: NOT CHECKED (npm cannot install them here: ${log#"$ROOT"/})"
    fi
}

# The libraries of deploy/contract/examples/ in other languages, as Debian has them: some hundred kB. So small is PHP's interpreter that it is
# installed; a JDK and Go (80 MB and more to fetch) are used where they are.
clients_in_java_go_php() {
    command -v javac >/dev/null || say "    the example in Java: NOT CHECKED (no JDK here)"
    command -v go >/dev/null || say "    the example in Go: NOT CHECKED (no Go here)"
    php_has_client || (apt_install php-cli php-amqplib) || say "    the example in PHP: NOT CHECKED (apt cannot install php-amqplib here)"
    [ -e "$CLIENTS/debian/complete" ] && return 0
    mkdir -p "$STATE" "$CLIENTS"
    rm -rf --one-file-system "$CLIENTS/debian"
    mkdir "$CLIENTS/debian"
    if debian_clients_fetch >"$STATE/clients.log" 2>&1; then
        : >"$CLIENTS/debian/complete"
    else
        say "    the examples in Java and Go: NOT CHECKED (apt cannot fetch their libraries here: ${STATE#"$ROOT"/}/clients.log)"
    fi
}

php_has_client() { php -r "exit((int) !@include 'PhpAmqpLib/autoload.php');" >/dev/null 2>&1; }

debian_clients_fetch() {
    (
        cd "$CLIENTS/debian" || exit
        packages=(librabbitmq-client-java libslf4j-java golang-github-rabbitmq-amqp091-go-dev)
        command -v apt-get || exit
        apt-get download "${packages[@]}" || { as_root apt-get update && apt-get download "${packages[@]}"; } || exit
        for package in *.deb; do dpkg -x "$package" . || exit; done
        rm -f ./*.deb
    )
}

# One program without libraries. From trixie, as RabbitMQ: earlier releases of Debian have none.
kustomize_unpack() {
    [ -e "$KUSTOMIZE/complete" ] || command -v kustomize >/dev/null && return 0
    local mirror
    if ! command -v apt-get >/dev/null || ! can_be_root; then
        die "please install kustomize 5.4 or later (no apt to fetch it with, or neither root nor sudo)"
    fi
    need_commands mmdebstrap=mmdebstrap
    step "unpacking kustomize into ${KUSTOMIZE#"$ROOT"/} (once, about 10 MB to fetch)"
    mkdir -p "$STATE" "$CACHE"
    mirror=$(apt_mirror)
    kustomize_fetch "$mirror" || { [ -n "$mirror" ] && kustomize_fetch ""; } ||
        { tail -n 20 "$STATE/unpack.log" >&2; die "could not unpack kustomize; the end of the log is above"; }
}

kustomize_fetch() { # MIRROR or nothing
    as_root rm -rf --one-file-system "$KUSTOMIZE"
    as_root mmdebstrap --variant=extract --include=kustomize --dpkgopt='path-exclude=/usr/share/*' \
        trixie "$KUSTOMIZE" ${1:+"$1"} >"$STATE/unpack.log" 2>&1 </dev/null && as_root touch "$KUSTOMIZE/complete"
}

# Made anew when another version is wanted.
python_environment() {
    local wanted=deploy/dev.d/requirements.txt
    cmp -s "$wanted" "$PYTHON/complete" && return 0
    need_commands python3=python3
    python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
    step "installing Python checkers into ${PYTHON#"$ROOT"/} (once, about 40 MB to fetch)"
    mkdir -p "$STATE"
    rm -rf --one-file-system "$PYTHON"
    { python3 -m venv "$PYTHON" && "$PYTHON/bin/pip" install --quiet --requirement "$wanted"; } >"$STATE/pip.log" 2>&1 ||
        { tail -n 20 "$STATE/pip.log" >&2; die "pip could not install $wanted; the end of its log is above"; }
    cp "$wanted" "$PYTHON/complete"
}

prometheus_unpack() {
    [ -e "$PROMETHEUS/complete" ] && return 0
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then return 0; fi
    { command -v apt-get && command -v dpkg; } >/dev/null ||
        die "please install prometheus and promtool, 2.42 or later (no apt to fetch them with)"
    step "unpacking Prometheus into ${PROMETHEUS#"$ROOT"/} (once, about 30 MB to fetch)"
    mkdir -p "$STATE"
    rm -rf --one-file-system "$PROMETHEUS"
    mkdir -p "$PROMETHEUS"
    prometheus_fetch || { as_root apt-get update && prometheus_fetch; } >"$STATE/apt.log" 2>&1 ||
        { tail -n 20 "$STATE/apt.log" >&2; die "apt could not fetch Prometheus; the end of its log is above"; }
    : >"$PROMETHEUS/complete"
}

faketime_unpack() {
    [ -z "$(faketime_library)" ] || return 0
    { command -v apt-get && command -v dpkg; } >/dev/null || return 1
    mkdir -p "$STATE" "$FAKETIME"
    (cd "$FAKETIME" && apt-get download libfaketime && dpkg -x libfaketime_*.deb .) >"$STATE/faketime.log" 2>&1 ||
        { rm -rf --one-file-system "$FAKETIME" && return 1; }
}

# Nothing where there is none.
faketime_library() {
    local found
    for found in "$FAKETIME"/usr/lib/*/faketime/libfaketime.so.1 /usr/lib/*/faketime/libfaketime.so.1; do
        [ ! -e "$found" ] || { printf '%s' "$found" && return 0; }
    done
}

# From trixie on promtool is a package of its own.
prometheus_fetch() {
    (
        cd "$PROMETHEUS" || exit
        { apt-get download prometheus && apt-get download promtool; } >"$STATE/apt.log" 2>&1 ||
            [ -n "$(find . -name 'prometheus_*.deb')" ] || exit
        for package in *.deb; do dpkg -x "$package" . || exit; done
        rm -f ./*.deb
        [ -x usr/bin/prometheus ] && [ -x usr/bin/promtool ]
    )
}

# The variables that the tests look for.
tools_env() {
    local prometheus=$PROMETHEUS/usr/bin/prometheus promtool=$PROMETHEUS/usr/bin/promtool
    [ -x "$prometheus" ] || prometheus=$(command -v prometheus || true)
    [ -x "$promtool" ] || promtool=$(command -v promtool || true)
    [ -z "$prometheus" ] || [ -z "$promtool" ] ||
        printf 'export DISPATCHER_TEST_PROMETHEUS=%q DISPATCHER_TEST_PROMTOOL=%q\n' "$prometheus" "$promtool"
    ! command -v chromedriver >/dev/null || printf 'export DISPATCHER_TEST_CHROMEDRIVER=%q\n' "$(command -v chromedriver)"
    [ -z "$(faketime_library)" ] || printf 'export DISPATCHER_TEST_FAKETIME=%q\n' "$(faketime_library)"
    local kustomize=$KUSTOMIZE/usr/bin/kustomize
    [ -e "$KUSTOMIZE/complete" ] || kustomize=$(command -v kustomize || true)
    [ -z "$kustomize" ] || printf 'export DISPATCHER_TEST_KUSTOMIZE=%q\n' "$kustomize"
    [ ! -e "$PYTHON/complete" ] || printf 'export DISPATCHER_TEST_KUBERNETES_VALIDATE=%q DISPATCHER_TEST_CHECK_JSONSCHEMA=%q\n' \
        "$PYTHON/bin/kubernetes-validate" "$PYTHON/bin/check-jsonschema"
    [ ! -x "$CLIENTS/python/bin/python" ] || printf 'export DISPATCHER_TEST_CLIENTS_PYTHON=%q\n' "$CLIENTS/python/bin/python"
    [ ! -e "$CLIENTS/node/complete" ] || printf 'export DISPATCHER_TEST_CLIENTS_NODE=%q\n' "$CLIENTS/node/node_modules"
    [ ! -x "$CONTRACT/python/bin/python" ] || printf 'export DISPATCHER_TEST_CONTRACT_PYTHON=%q\n' "$CONTRACT/python/bin/python"
    [ ! -e "$CONTRACT/node/complete" ] || printf 'export DISPATCHER_TEST_CONTRACT_NODE=%q\n' "$CONTRACT/node/node_modules"
    local folder
    ! { [ -e "$CLIENTS/debian/complete" ] && command -v javac >/dev/null; } || printf 'export DISPATCHER_TEST_CLIENTS_JAVA=%q\n' \
        "$CLIENTS/debian/usr/share/java/amqp-client.jar:$CLIENTS/debian/usr/share/java/slf4j-api.jar:$CLIENTS/debian/usr/share/java/slf4j-nop.jar"
    ! { [ -e "$CLIENTS/debian/complete" ] && command -v go >/dev/null; } ||
        printf 'export DISPATCHER_TEST_CLIENTS_GO=%q\n' "$CLIENTS/debian/usr/share/gocode"
    ! php_has_client || printf 'export DISPATCHER_TEST_CLIENTS_PHP=%q\n' "$(command -v php)"
    for folder in "$ROOT"/../*/data/crd-schemas; do
        [ ! -d "$folder" ] || printf 'export DISPATCHER_TEST_CRD_SCHEMAS=%q\n' "$folder"
    done
    for folder in "$ROOT"/../*/data/grafana-schemas/jsonschema; do
        [ ! -d "$folder" ] || printf 'export DISPATCHER_TEST_GRAFANA_SCHEMAS=%q\n' "$folder"
    done
}
