//! Who may speak to whom: exactly those that the config has speak to each other, and nobody else.

use super::config;
use super::render::{Pod, US, find, list, name, of_kind, pods, selects, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Nobody's internet: these may be inside of something.
const PRIVATE: [&str; 5] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
];
const PRIVATE_V6: [&str; 2] = ["fc00::/7", "fe80::/10"];

const DNS: [&str; 2] = [
    "kubernetes.io/metadata.name=kube-system k8s-app=kube-dns",
    "169.254.20.10/32",
];
const INTERNET: [&str; 2] = ["0.0.0.0/0", "::/0"];
const PROMETHEUS: &str = "kubernetes.io/metadata.name=monitoring";

/// RabbitMQ's ports among its nodes: epmd, distribution, replication of streams, command line tools.
const AMONG_NODES: [&str; 4] = ["4369/TCP", "25672/TCP", "6000-6500/TCP", "35672-35682/TCP"];

pub(super) fn problems(objects: &[Value]) -> Vec<String> {
    let mut problems = vec![];
    let pods = pods(objects);
    for pod in &pods {
        for direction in ["Ingress", "Egress"] {
            if policies(objects, pod, direction).next().is_none() {
                problems.push(format!("{}: every {direction} is open", pod.name));
            }
        }
    }
    let Some(us) = pods
        .iter()
        .find(|pod| pod.name == format!("Deployment/{US}"))
    else {
        return vec!["there are no workers".to_owned()];
    };
    problems.extend(internet(objects));
    let (egress, ingress) = (flows(objects, us, "Egress"), flows(objects, us, "Ingress"));
    if let Some(wanted) = wanted_egress(objects) {
        problems.extend(differ("workers to", &wanted, &egress));
    }
    if let Some(config) = config::config(objects) {
        let wanted = BTreeSet::from([format!("{PROMETHEUS}:{}/TCP", config.admin.listen.port())]);
        problems.extend(differ("to workers", &wanted, &ingress));
    }
    for pod in pods.iter().filter(|pod| pod.name != us.name) {
        // The other end of what leads to one of ours.
        let to = format!("{}:", pod.name);
        for port in egress.iter().filter_map(|flow| flow.strip_prefix(&to)) {
            let admitted = flows(objects, pod, "Ingress");
            if !admitted.contains(&format!("{}:{port}", us.name)) {
                problems.push(format!("{} does not admit workers at {port}", pod.name));
            }
        }
    }
    problems.extend(among_nodes(objects, &pods));
    problems
}

fn policies<'a>(
    objects: &'a [Value],
    pod: &'a Pod<'_>,
    direction: &'a str,
) -> impl Iterator<Item = &'a Value> {
    of_kind(objects, "NetworkPolicy").filter(move |policy| {
        let spec = &policy["spec"];
        list(&spec["policyTypes"]).contains(&Value::from(direction))
            && selects(&spec["podSelector"], &pod.labels)
    })
}

/// `peer:port/protocol` of everything that policies let through.
fn flows(objects: &[Value], pod: &Pod<'_>, direction: &str) -> BTreeSet<String> {
    let (rules, side) = match direction {
        "Egress" => ("egress", "to"),
        _ => ("ingress", "from"),
    };
    let mut flows = BTreeSet::new();
    for policy in policies(objects, pod, direction) {
        for rule in list(&policy["spec"][rules]) {
            let peers: Vec<String> = match list(&rule[side]) {
                [] => vec!["anybody".to_owned()],
                peers => peers.iter().flat_map(|peer| told(objects, peer)).collect(),
            };
            let ports: Vec<String> = match list(&rule["ports"]) {
                [] => vec!["every port".to_owned()],
                ports => ports.iter().map(port).collect(),
            };
            for peer in peers {
                flows.extend(ports.iter().map(|port| format!("{peer}:{port}")));
            }
        }
    }
    flows
}

fn port(port: &Value) -> String {
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    match port["endPort"].as_u64() {
        Some(end) => format!("{}-{end}/{protocol}", port["port"]),
        None => format!("{}/{protocol}", port["port"]),
    }
}

/// Pods of ours by name, others by the labels that are asked for, addresses as they stand.
fn told(objects: &[Value], peer: &Value) -> Vec<String> {
    if peer["ipBlock"].is_object() {
        return vec![text(&peer["ipBlock"]["cidr"]).to_owned()];
    }
    if peer["namespaceSelector"].is_null() {
        let pods = pods(objects).into_iter();
        let taken = pods.filter(|pod| selects(&peer["podSelector"], &pod.labels));
        return taken.map(|pod| pod.name).collect();
    }
    let words = ["namespaceSelector", "podSelector"]
        .iter()
        .flat_map(|selector| {
            let labels = peer[*selector]["matchLabels"].as_object();
            labels.into_iter().flatten()
        });
    let words = words.map(|(key, value)| format!("{key}={}", text(value)));
    vec![words.collect::<Vec<_>>().join(" ")]
}

/// What the config has workers speak to. `None`: the config is not sound, which its own check tells.
fn wanted_egress(objects: &[Value]) -> Option<BTreeSet<String>> {
    let config = config::config(objects)?;
    let mut wanted = BTreeSet::new();
    for peer in DNS {
        wanted.extend(["UDP", "TCP"].map(|protocol| format!("{peer}:53/{protocol}")));
    }
    wanted.extend(INTERNET.map(|peer| format!("{peer}:443/TCP")));
    let (host, port) = config.broker.url.server()?;
    wanted.insert(behind(objects, &host, port)?);
    if let Some(address) = config.graph.base_url.strip_prefix("http://") {
        let (host, port) = address.split_once(':')?;
        wanted.insert(behind(objects, host, port.parse().ok()?)?);
    }
    Some(wanted)
}

/// The pod and port that a Service leads to. The cluster operator's leads to the port of the same number.
fn behind(objects: &[Value], host: &str, port: u16) -> Option<String> {
    if let Some(cluster) = find(objects, "RabbitmqCluster", host) {
        return Some(format!("{}:{port}/TCP", name(cluster)));
    }
    let service = &find(objects, "Service", host)?["spec"];
    let entry = list(&service["ports"])
        .iter()
        .find(|entry| entry["port"] == port)?;
    let selector = json!({ "matchLabels": service["selector"] });
    let pod = pods(objects)
        .into_iter()
        .find(|pod| selects(&selector, &pod.labels))?;
    let ports = list(&pod.spec["containers"])
        .iter()
        .flat_map(|c| list(&c["ports"]));
    let mut named = ports.filter(|known| known["name"] == entry["targetPort"]);
    Some(format!(
        "{}:{}/TCP",
        pod.name,
        named.next()?["containerPort"]
    ))
}

fn internet(objects: &[Value]) -> Vec<String> {
    let mut problems = vec![];
    for policy in of_kind(objects, "NetworkPolicy") {
        for peer in list(&policy["spec"]["egress"])
            .iter()
            .flat_map(|rule| list(&rule["to"]))
        {
            let block = &peer["ipBlock"];
            let private = match text(&block["cidr"]) {
                "0.0.0.0/0" => &PRIVATE[..],
                "::/0" => &PRIVATE_V6[..],
                _ => &[],
            };
            let except = list(&block["except"]);
            let open = private
                .iter()
                .filter(|cidr| !except.contains(&Value::from(**cidr)));
            problems
                .extend(open.map(|cidr| format!("{}: {cidr} is not the internet", name(policy))));
        }
    }
    problems
}

/// Nodes of one RabbitMQ reach each other, at every port that they need.
fn among_nodes(objects: &[Value], pods: &[Pod<'_>]) -> Vec<String> {
    let mut problems = vec![];
    for node in pods.iter().filter(|pod| pod.is_partial) {
        for direction in ["Ingress", "Egress"] {
            let flows = flows(objects, node, direction);
            let wanted = AMONG_NODES.map(|port| format!("{}:{port}", node.name));
            let lacking = wanted.iter().filter(|flow| !flows.contains(*flow));
            problems.extend(lacking.map(|flow| format!("{direction} among nodes lacks {flow}")));
        }
    }
    problems
}

fn differ(what: &str, wanted: &BTreeSet<String>, there: &BTreeSet<String>) -> Vec<String> {
    let lacking = wanted
        .difference(there)
        .map(|flow| format!("{what} {flow}: refused"));
    let beyond = there
        .difference(wanted)
        .map(|flow| format!("{what} {flow}: nobody needs it"));
    lacking.chain(beyond).collect()
}
