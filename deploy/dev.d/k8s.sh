# shellcheck shell=bash
# What stands in deploy/k8s and is made of other files.

PRODUCTION=deploy/k8s/overlays/production
RULE=deploy/k8s/components/monitoring/prometheus-rule.yaml

k8s() {
    need_rust
    mkdir -p "$STATE"
    cargo build --quiet --locked --bin whatsapp-dispatcher
    target/debug/whatsapp-dispatcher definitions --config "$PRODUCTION/installation.toml" >"$STATE/topology.json"
    mv "$STATE/topology.json" "$PRODUCTION/topology.json"
    prometheus_rule >"$RULE"
    say "written: $PRODUCTION/topology.json"
    say "written: $RULE"
}

# A kustomization can put a file into a ConfigMap, but not into a PrometheusRule.
prometheus_rule() {
    cat <<'EOF'
# Made of deploy/prometheus/rules.yaml by `deploy/dev k8s`: change that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: whatsapp-dispatcher
  labels:
    app.kubernetes.io/name: whatsapp-dispatcher
spec:
EOF
    sed -n '/^groups:/,$p' deploy/prometheus/rules.yaml | sed 's/^./  &/'
}
