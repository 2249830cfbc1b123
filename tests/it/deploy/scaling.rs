//! How many workers there are, and what Prometheus is told of them.

use super::render::{PRODUCTION, US, find, list, of_kind, rendered, text, yaml_file};
use serde_json::Value;
use std::collections::BTreeSet;

/// All that KEDA's Prometheus scaler takes; its schema takes anything.
const TRIGGER_KEYS: [&str; 11] = [
    "serverAddress",
    "query",
    "threshold",
    "activationThreshold",
    "namespace",
    "customHeaders",
    "ignoreNullValues",
    "queryParameters",
    "unsafeSsl",
    "timeout",
    "authModes",
];

const ADAPTER_RULE: &str = "deploy/k8s/components/hpa/prometheus-adapter-rule.yaml";

pub(super) fn problems(objects: &[Value]) -> Vec<String> {
    let mut problems = vec![];
    let autoscalers: Vec<&Value> = ["ScaledObject", "HorizontalPodAutoscaler"]
        .iter()
        .flat_map(|kind| of_kind(objects, kind))
        .collect();
    let replicas =
        find(objects, "Deployment", US).map_or(&Value::Null, |us| &us["spec"]["replicas"]);
    match autoscalers[..] {
        [] if replicas.as_u64().is_none_or(|count| count < 2) => {
            problems.push("nobody says that there are two workers at least".to_owned());
        }
        [_] if !replicas.is_null() => {
            problems.push("each apply would put back what the autoscaler has set".to_owned());
        }
        [] | [_] => {}
        _ => problems.push("two autoscalers pull at the same workers".to_owned()),
    }
    let job = job(objects);
    for autoscaler in autoscalers {
        let spec = &autoscaler["spec"];
        let target = &spec["scaleTargetRef"];
        let kind = if target["kind"].is_null() {
            "Deployment"
        } else {
            text(&target["kind"])
        };
        if find(objects, kind, text(&target["name"])).is_none() {
            problems.push(format!("there is no {kind} {} to scale", target["name"]));
        }
        problems.extend(bounds(spec));
        problems.extend(keda(spec, &job));
        problems.extend(prometheus(objects, spec));
        problems.extend(plain(spec, &job));
    }
    problems
}

/// The label `job` of our metrics: what the PodMonitor takes it from.
fn job(objects: &[Value]) -> String {
    let monitor = find(objects, "PodMonitor", US);
    let label = monitor.map_or("", |monitor| text(&monitor["spec"]["jobLabel"]));
    let us = find(objects, "Deployment", US);
    let labels = us.map_or(
        &Value::Null,
        |us| &us["spec"]["template"]["metadata"]["labels"],
    );
    text(&labels[label]).to_owned()
}

fn bounds(spec: &Value) -> Vec<String> {
    let either = |a: &str, b: &str| spec[a].as_u64().or(spec[b].as_u64());
    let least = either("minReplicaCount", "minReplicas").unwrap_or(1);
    let most = either("maxReplicaCount", "maxReplicas").unwrap_or(0);
    let mut problems = vec![];
    if least < 2 || most <= least {
        problems.push(format!("{least} to {most} workers"));
    }
    let fallback = &spec["fallback"]["replicas"];
    if !fallback.is_null() && fallback.as_u64() < Some(least) {
        problems.push(format!("a fallback to {fallback} workers"));
    }
    problems
}

fn recorded() -> BTreeSet<String> {
    let rules = yaml_file("deploy/prometheus/rules.yaml");
    let groups = list(&rules["groups"]).iter();
    let rules = groups.flat_map(|group| list(&group["rules"]));
    let names = rules.filter_map(|rule| rule["record"].as_str());
    names.map(str::to_owned).collect()
}

/// What both autoscalers ask Prometheus, for the test that has one.
pub(crate) fn queries() -> Vec<String> {
    let objects = rendered(PRODUCTION);
    let scaler = &find(&objects, "ScaledObject", US).unwrap()["spec"];
    let keda = text(&scaler["triggers"][0]["metadata"]["query"]).to_owned();
    // As the adapter fills it in.
    let rule = &yaml_file(ADAPTER_RULE)["externalRules"][0];
    let series = text(&rule["seriesQuery"]).split('"').nth(1).unwrap();
    let plain = text(&rule["metricsQuery"])
        .replace("<<.Series>>", series)
        .replace("<<.LabelMatchers>>", &format!("job=\"{}\"", job(&objects)));
    vec![keda, plain]
}

fn keda(spec: &Value, job: &str) -> Vec<String> {
    let mut problems = vec![];
    for trigger in list(&spec["triggers"]) {
        let metadata = &trigger["metadata"];
        let keys = metadata.as_object().into_iter().flat_map(|map| map.keys());
        let unknown = keys.filter(|key| !TRIGGER_KEYS.contains(&key.as_str()));
        problems.extend(unknown.map(|key| format!("KEDA knows no {key}")));
        for key in ["serverAddress", "query", "threshold"] {
            if text(&metadata[key]).is_empty() {
                problems.push(format!("KEDA wants {key}, as text"));
            }
        }
        if trigger["metricType"] != "AverageValue" || metadata["ignoreNullValues"] != "false" {
            problems.push("KEDA would take another figure, or none for zero".to_owned());
        }
        let query = text(&metadata["query"]);
        let is_known = recorded()
            .iter()
            .any(|name| query == format!("max({name}{{job=\"{job}\"}})"));
        if !is_known {
            problems.push(format!("nothing records what {query} asks for"));
        }
    }
    problems
}

/// Prometheus is asked where policies let it in from.
fn prometheus(objects: &[Value], spec: &Value) -> Vec<String> {
    const NAME: &str = "kubernetes.io/metadata.name";
    let policies = of_kind(objects, "NetworkPolicy");
    let rules = policies.flat_map(|policy| list(&policy["spec"]["ingress"]));
    let peers = rules.flat_map(|rule| list(&rule["from"]));
    let names = peers.filter_map(|peer| peer["namespaceSelector"]["matchLabels"][NAME].as_str());
    let namespaces: BTreeSet<&str> = names.collect();
    let mut problems = vec![];
    for trigger in list(&spec["triggers"]) {
        let address = text(&trigger["metadata"]["serverAddress"]);
        let namespace = address.split('.').nth(1).unwrap_or_default();
        if namespaces != BTreeSet::from([namespace]) {
            problems.push(format!(
                "{address} is asked, but {namespaces:?} may look at workers and RabbitMQ"
            ));
        }
    }
    problems
}

/// The metric of a HorizontalPodAutoscaler is one that the adapter's rule makes of what is recorded.
fn plain(spec: &Value, job: &str) -> Vec<String> {
    let rules = yaml_file(ADAPTER_RULE);
    let mut problems = vec![];
    for metric in list(&spec["metrics"]) {
        let metric = &metric["external"]["metric"];
        let mut rules = list(&rules["externalRules"]).iter();
        let rule = rules.find(|rule| rule["name"]["as"] == metric["name"]);
        let series = rule.map_or("", |rule| text(&rule["seriesQuery"]));
        let is_known = recorded()
            .iter()
            .any(|name| series == format!("{{__name__=\"{name}\"}}"));
        if !is_known || metric["selector"]["matchLabels"]["job"] != job {
            problems.push(format!("prometheus-adapter has no {metric}"));
        }
    }
    problems
}
