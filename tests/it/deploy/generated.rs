//! Files that are made of others, and words that stand in more than one: they agree.

use super::config;
use super::render::{
    DEV, HPA, PRODUCTION, ROOT, US, find, list, of_kind, rendered, text, yaml_documents, yaml_file,
};
use harness::worker::binary;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::OnceLock;

pub(super) const ANEW: &str = "write it anew with `deploy/dev k8s`";

/// What `deploy/k8s/rabbitmq-users` prints; once.
pub(super) fn made_secrets() -> &'static [Value] {
    static MADE: OnceLock<Vec<Value>> = OnceLock::new();
    MADE.get_or_init(|| {
        let output = Command::new(format!("{ROOT}/deploy/k8s/rabbitmq-users"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.is_empty(), "{told}");
        yaml_documents(&String::from_utf8(output.stdout).unwrap())
    })
}

/// The Secrets of production, by name, with their keys: those that the script makes, and those that the head of the overlay tells of.
pub(super) fn secrets_of_the_operator() -> BTreeMap<String, BTreeSet<String>> {
    let mut secrets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for secret in made_secrets() {
        let keys = secret["stringData"].as_object().unwrap().keys().cloned();
        secrets.insert(text(&secret["metadata"]["name"]).to_owned(), keys.collect());
    }
    let tls = ["tls.crt", "tls.key", "ca.crt"].map(str::to_owned);
    secrets.insert("rabbitmq-tls".to_owned(), tls.into());
    let installation = fs::read_to_string(format!(
        "{ROOT}/deploy/k8s/overlays/production/installation.toml"
    ));
    let installation = installation.unwrap();
    let wabas = installation
        .lines()
        .filter_map(|line| line.strip_prefix("waba_id = \""));
    let keys = wabas.map(|id| format!("waba-{}", id.trim_end_matches('"')));
    secrets.insert("whatsapp-tokens".to_owned(), keys.collect());
    secrets
}

#[test]
fn the_head_of_production_names_every_secret_with_its_keys() {
    let file = format!("{ROOT}/deploy/k8s/overlays/production/kustomization.yaml");
    let overlay = fs::read_to_string(file).unwrap();
    let head: String = overlay
        .lines()
        .take_while(|line| line.starts_with('#'))
        .collect();
    for (name, keys) in secrets_of_the_operator() {
        assert!(head.contains(&name), "{name}");
        for key in keys {
            let word = if key.starts_with("waba-") {
                "waba-<id>"
            } else {
                &key
            };
            assert!(head.contains(word), "{name}: {word}");
        }
    }
}

pub(super) fn problems(objects: &[Value]) -> Vec<String> {
    [
        rules(objects),
        topology(objects),
        dashboards(objects),
        images(objects),
    ]
    .concat()
}

fn rules(objects: &[Value]) -> Vec<String> {
    let rules = yaml_file("deploy/prometheus/rules.yaml");
    let stale = of_kind(objects, "PrometheusRule").filter(|rule| rule["spec"] != rules);
    stale
        .map(|_| format!("the PrometheusRule is not deploy/prometheus/rules.yaml: {ANEW}"))
        .collect()
}

/// The exchanges, queues and policies that the worker would make with this config.
fn topology(objects: &[Value]) -> Vec<String> {
    let Some(map) = find(objects, "ConfigMap", "rabbitmq-topology") else {
        return vec![];
    };
    let Some(config) = config::config(objects) else {
        return vec![];
    };
    let topology = whatsapp_dispatcher::broker::topology::Topology::of(&config.accounts);
    let wanted = topology.definitions(&whatsapp_dispatcher::broker::vhost(&config.broker.url));
    let there: Value =
        serde_json::from_str(text(&map["data"]["topology.json"])).unwrap_or_default();
    if there == wanted {
        return vec![];
    }
    vec![format!(
        "topology.json is not what installation.toml makes: {ANEW}"
    )]
}

fn dashboards(objects: &[Value]) -> Vec<String> {
    if of_kind(objects, "PodMonitor").next().is_none() {
        return vec![];
    }
    let mut problems = vec![];
    for (file, dashboard) in crate::sre::every_dashboard() {
        let maps = of_kind(objects, "ConfigMap");
        let mut labelled = maps.filter(|map| map["metadata"]["labels"]["grafana_dashboard"] == "1");
        let is_there = labelled.any(|map| {
            let text = text(&map["data"][&file]);
            serde_json::from_str::<Value>(text).is_ok_and(|there| there == dashboard)
        });
        if !is_there {
            problems.push(format!("no ConfigMap for Grafana has {file}"));
        }
    }
    problems
}

/// Our images have the version of the program.
fn images(objects: &[Value]) -> Vec<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut problems = vec![];
    for pod in super::render::pods(objects) {
        for container in list(&pod.spec["containers"]) {
            let image = text(&container["image"]);
            let (name, tag) = image.rsplit_once(':').unwrap_or((image, ""));
            let is_ours = [US, "graph-sim"].iter().any(|ours| name.ends_with(ours));
            if is_ours && tag != version {
                problems.push(format!("{image} is not version {version}"));
            }
        }
    }
    problems
}

/// What is tried out, here or with compose, is what runs in production.
#[test]
fn the_same_rabbitmq_everywhere() {
    let (dev, production) = (rendered(DEV), rendered(PRODUCTION));
    let dev = find(&dev, "StatefulSet", "rabbitmq").unwrap();
    let production = find(&production, "RabbitmqCluster", "rabbitmq").unwrap();
    let image = text(&production["spec"]["image"]);
    let dev = &dev["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(dev, image);
    let compose = yaml_file("deploy/compose.yaml");
    let compose = text(&compose["services"]["rabbitmq"]["image"]);
    assert!(compose.ends_with(&format!("/{image}")), "{compose}");
}

/// `deploy/dev k8s` would write the very files that are there: with comments, and in their order.
#[test]
fn what_is_made_of_other_files_is_up_to_date() {
    let rules = fs::read_to_string(format!("{ROOT}/deploy/prometheus/rules.yaml")).unwrap();
    let groups = rules.find("\ngroups:").unwrap() + 1;
    let indented = rules[groups..].lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("  {line}\n"),
    });
    let rule = "deploy/k8s/components/monitoring/prometheus-rule.yaml";
    let rule = fs::read_to_string(format!("{ROOT}/{rule}")).unwrap();
    assert!(
        rule.ends_with(&indented.collect::<String>()),
        "prometheus-rule.yaml: {ANEW}"
    );

    let folder = format!("{ROOT}/deploy/k8s/overlays/production");
    let output = Command::new(binary())
        .args([
            "definitions",
            "--config",
            &format!("{folder}/installation.toml"),
        ])
        .env_clear()
        .output()
        .unwrap();
    let there = fs::read(format!("{folder}/topology.json")).unwrap();
    assert!(output.status.success());
    assert!(output.stdout == there, "topology.json: {ANEW}");
}

/// A document says who may do what; RabbitMQ is told the same.
#[test]
fn permissions_are_those_of_the_document() {
    let page = fs::read_to_string(format!("{ROOT}/deploy/docs/rabbitmq.md")).unwrap();
    let access = fs::read_to_string(format!("{ROOT}/deploy/k8s/components/rabbitmq/access.json"));
    let access: Value = serde_json::from_str(&access.unwrap()).unwrap();
    for (user, who) in [
        ("dispatcher", "| worker that declares |"),
        ("upstream", "| upstream |"),
        ("results-reader", "| reader of results"),
    ] {
        let row = page.lines().find(|line| line.starts_with(who)).unwrap();
        let words: Vec<&str> = row.split('`').collect();
        let rights: Vec<String> = words[words.len() - 6..]
            .iter()
            .step_by(2)
            .map(|right| right.replace(r"\|", "|"))
            .collect();
        let permissions = list(&access["permissions"]);
        let entry = permissions
            .iter()
            .find(|entry| entry["user"] == user)
            .unwrap();
        let told = ["configure", "write", "read"].map(|right| text(&entry[right]));
        assert_eq!(rights, told, "{user}");
    }
    assert_eq!(list(&access["permissions"]).len(), 3);
}

/// KEDA and the plain autoscaler: the same figures, whichever is chosen.
#[test]
fn both_autoscalers_have_the_same_figures() {
    let (keda, hpa) = (rendered(PRODUCTION), rendered(HPA));
    let keda = &find(&keda, "ScaledObject", US).unwrap()["spec"];
    let hpa = &find(&hpa, "HorizontalPodAutoscaler", US).unwrap()["spec"];
    assert_eq!(keda["minReplicaCount"], hpa["minReplicas"]);
    assert_eq!(keda["maxReplicaCount"], hpa["maxReplicas"]);
    let behavior = &keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"];
    assert_eq!(*behavior, hpa["behavior"]);
    let target = &hpa["metrics"][0]["external"]["target"]["averageValue"];
    assert_eq!(keda["triggers"][0]["metadata"]["threshold"], *target);
}

/// A quote too many would be part of the secret.
#[test]
fn what_dev_takes_for_secrets_has_no_stray_characters() {
    let dev = yaml_file("deploy/k8s/overlays/dev/kustomization.yaml");
    let generators = list(&dev["secretGenerator"]).iter();
    let literals: Vec<&str> = generators
        .flat_map(|generator| list(&generator["literals"]))
        .map(text)
        .collect();
    assert!(literals.len() > 2, "{literals:?}");
    for literal in literals {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "=-".contains(c);
        assert!(literal.chars().all(is_plain), "{literal}");
    }
}
