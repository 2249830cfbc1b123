//! What refers to something else: it is there, and it is the one that is meant.

use super::generated::secrets_of_the_operator;
use super::render::{Pod, find, list, name, of_kind, our_pod, pods, selects, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

pub(super) fn problems(objects: &[Value]) -> Vec<String> {
    let mut problems = twice(objects);
    problems.extend(selectors(objects));
    problems.extend(ports(objects));
    for pod in pods(objects) {
        let found = [
            volumes(&pod),
            references(objects, &pod),
            account(objects, &pod),
        ]
        .concat();
        problems.extend(
            found
                .iter()
                .map(|problem| format!("{}: {problem}", pod.name)),
        );
    }
    for cluster in of_kind(objects, "RabbitmqCluster") {
        let secret = text(&cluster["spec"]["tls"]["secretName"]);
        for key in ["tls.crt", "tls.key"] {
            problems.extend(missing(objects, "Secret", secret, key));
        }
        problems.extend(definitions(cluster));
    }
    problems
}

fn twice(objects: &[Value]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let again = objects
        .iter()
        .map(name)
        .filter(|name| !seen.insert(name.clone()));
    again.map(|name| format!("{name} is there twice")).collect()
}

/// Each selector takes pods of ours, and the one of what makes pods takes its own.
fn selectors(objects: &[Value]) -> Vec<String> {
    let pods = pods(objects);
    let mut problems = vec![];
    for object in objects {
        let spec = &object["spec"];
        let selector = match text(&object["kind"]) {
            "Service" => serde_json::json!({ "matchLabels": spec["selector"] }),
            "PodDisruptionBudget" | "PodMonitor" => spec["selector"].clone(),
            "NetworkPolicy" => spec["podSelector"].clone(),
            "Deployment" | "StatefulSet" => spec["selector"].clone(),
            _ => continue,
        };
        let makes_pods = spec["template"].is_object();
        let taken: Vec<&Pod<'_>> = pods
            .iter()
            .filter(|pod| selects(&selector, &pod.labels))
            .collect();
        let is_right = match taken[..] {
            [pod] => !makes_pods || pod.name == name(object),
            _ => false,
        };
        // An empty selector would take everything in the namespace.
        if !is_right
            || selector["matchLabels"]
                .as_object()
                .is_none_or(|l| l.is_empty())
        {
            problems.push(format!(
                "{}: its selector takes {} pods",
                name(object),
                taken.len()
            ));
        }
    }
    for pod in &pods {
        for spread in list(&pod.spec["topologySpreadConstraints"]) {
            if !selects(&spread["labelSelector"], &pod.labels) {
                problems.push(format!(
                    "{}: is spread by other labels than its own",
                    pod.name
                ));
            }
        }
    }
    problems
}

/// A port that is named, or told by number, is one that a container of the pod has.
fn has_port(pod: &Value, port: &Value) -> bool {
    let containers = list(&pod["containers"]).iter();
    let mut ports = containers.flat_map(|container| list(&container["ports"]));
    ports.any(|known| {
        let place = if port.is_string() {
            "name"
        } else {
            "containerPort"
        };
        known[place] == *port
    })
}

fn ports(objects: &[Value]) -> Vec<String> {
    let mut problems = vec![];
    let pods = pods(objects);
    for pod in pods.iter().filter(|pod| !pod.is_partial) {
        for container in list(&pod.spec["containers"]) {
            let arguments = list(&container["args"]).iter().map(text);
            let listens = arguments.filter_map(|argument| argument.parse::<SocketAddr>().ok());
            for port in listens.map(|address| Value::from(address.port())) {
                if !has_port(pod.spec, &port) {
                    problems.push(format!("{}: shows no port {port}", pod.name));
                }
            }
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                for kind in ["httpGet", "tcpSocket"] {
                    let port = &container[probe][kind]["port"];
                    if !port.is_null() && !has_port(pod.spec, port) {
                        problems.push(format!("{}: {probe}: there is no port {port}", pod.name));
                    }
                }
            }
        }
    }
    let selected = |selector: &Value| {
        let found = pods.iter().find(|pod| selects(selector, &pod.labels));
        found.map_or(&Value::Null, |pod| pod.spec)
    };
    for service in of_kind(objects, "Service") {
        let selector = serde_json::json!({ "matchLabels": service["spec"]["selector"] });
        for port in list(&service["spec"]["ports"]) {
            if !has_port(selected(&selector), &port["targetPort"]) {
                problems.push(format!(
                    "{}: there is no port {}",
                    name(service),
                    port["targetPort"]
                ));
            }
        }
    }
    for monitor in of_kind(objects, "PodMonitor") {
        for endpoint in list(&monitor["spec"]["podMetricsEndpoints"]) {
            if !has_port(selected(&monitor["spec"]["selector"]), &endpoint["port"]) {
                problems.push(format!(
                    "{}: there is no port {}",
                    name(monitor),
                    endpoint["port"]
                ));
            }
        }
    }
    problems
}

/// Every mount has its volume, and every volume is mounted.
fn volumes(pod: &Pod<'_>) -> Vec<String> {
    let names = |values: &[Value]| -> BTreeSet<String> {
        values
            .iter()
            .map(|value| text(&value["name"]).to_owned())
            .collect()
    };
    let volumes = names(list(&pod.spec["volumes"]));
    let mut mounted = BTreeSet::new();
    let mut problems = vec![];
    for container in list(&pod.spec["containers"]) {
        let mounts = list(&container["volumeMounts"]);
        mounted.extend(names(mounts));
        // A file that is mounted by itself never changes again.
        let by_themselves = mounts.iter().filter(|mount| !mount["subPath"].is_null());
        problems.extend(by_themselves.map(|mount| format!("{}: subPath", mount["mountPath"])));
    }
    let odd = volumes.symmetric_difference(&mounted);
    problems.extend(odd.map(|name| format!("the volume {name} is not there, or not mounted")));
    problems
}

/// Where RabbitMQ reads definitions: a folder of the volume with nothing else in it. At the volume's top Kubernetes keeps folders of its
/// own, and RabbitMQ, which tries to read those too, then imports nothing. (Seen on 4.0.5.)
fn definitions(cluster: &Value) -> Option<String> {
    let config = text(&cluster["spec"]["rabbitmq"]["additionalConfig"]);
    let mut paths = config
        .lines()
        .filter_map(|line| line.strip_prefix("definitions.local.path = "));
    let path = paths.next().unwrap_or_default();
    let pod = &cluster["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"];
    let mounts = list(&pod["containers"][0]["volumeMounts"]).iter();
    let mut folders = mounts.filter_map(|mount| path.strip_prefix(text(&mount["mountPath"])));
    let folder = folders
        .next_back()
        .unwrap_or_default()
        .trim_start_matches('/');
    let is_in_it = |file: &String| file.rsplit_once('/').is_some_and(|(of, _)| of == folder);
    let mut files = files(pod)
        .into_iter()
        .flat_map(|(.., items)| items.into_values());
    let is_right = !folder.is_empty() && files.all(|file| is_in_it(&file));
    (!is_right).then(|| format!("RabbitMQ finds no definitions at {path:?}"))
}

/// Each ConfigMap and Secret that a pod wants, with the keys that it wants of it.
fn references(objects: &[Value], pod: &Pod<'_>) -> Vec<String> {
    let mut problems = vec![];
    for (_, kind, from, keys) in files(pod.spec) {
        for key in keys.keys() {
            problems.extend(missing(objects, kind, &from, key));
        }
        if keys.is_empty() {
            problems.extend(missing(objects, kind, &from, ""));
        }
    }
    for container in list(&pod.spec["containers"]) {
        for variable in list(&container["env"]) {
            let source = &variable["valueFrom"];
            for (place, kind) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
                let (from, key) = (&source[place]["name"], &source[place]["key"]);
                if !source[place].is_null() {
                    problems.extend(missing(objects, kind, text(from), text(key)));
                }
            }
        }
        for place in list(&container["envFrom"]) {
            problems.push(format!("envFrom {place}: name what is taken"));
        }
    }
    problems
}

/// The sources of a pod's volumes: the volume, the source's kind and name, and its keys with the files that they become; no keys: all.
pub(super) fn files(pod: &Value) -> Vec<(&str, &'static str, String, BTreeMap<String, String>)> {
    let mut found = vec![];
    for volume in list(&pod["volumes"]) {
        let direct = [volume.clone()];
        let projected = list(&volume["projected"]["sources"]);
        for source in direct.iter().chain(projected) {
            for (place, kind, key) in [
                ("secret", "Secret", "secretName"),
                ("secret", "Secret", "name"),
                ("configMap", "ConfigMap", "name"),
            ] {
                let from = text(&source[place][key]);
                if from.is_empty() {
                    continue;
                }
                let items = list(&source[place]["items"]).iter();
                let pairs = items.map(|item| {
                    (
                        text(&item["key"]).to_owned(),
                        text(&item["path"]).to_owned(),
                    )
                });
                found.push((
                    text(&volume["name"]),
                    kind,
                    from.to_owned(),
                    pairs.collect(),
                ));
            }
        }
    }
    found
}

/// The keys of a ConfigMap or Secret: one that is rendered, or one that the operator of the installation makes.
pub(super) fn keys(objects: &[Value], kind: &str, name: &str) -> Option<BTreeSet<String>> {
    if let Some(object) = find(objects, kind, name) {
        let places = [&object["data"], &object["stringData"]];
        let keys = places.iter().filter_map(|data| data.as_object());
        return Some(keys.flat_map(|data| data.keys().cloned()).collect());
    }
    let is_ours_to_make =
        kind == "Secret" && find(objects, "RabbitmqCluster", "rabbitmq").is_some();
    is_ours_to_make
        .then(secrets_of_the_operator)
        .and_then(|mut secrets| secrets.remove(name))
}

fn missing(objects: &[Value], kind: &str, name: &str, key: &str) -> Option<String> {
    match keys(objects, kind, name) {
        None => Some(format!(
            "there is no {kind} {name}, and nobody is told to make it"
        )),
        Some(keys) if key.is_empty() || keys.contains(key) => None,
        Some(keys) => Some(format!("{kind} {name} has no {key}, but {keys:?}")),
    }
}

fn account(objects: &[Value], pod: &Pod<'_>) -> Vec<String> {
    let wanted = &pod.spec["serviceAccountName"];
    let is_there = wanted.is_null() || find(objects, "ServiceAccount", text(wanted)).is_some();
    let problem = format!("there is no ServiceAccount {wanted}");
    if is_there { vec![] } else { vec![problem] }
}

/// The file that a path of the worker's leads to, as kind, name and key of what it is in.
pub(super) fn file_at(
    objects: &[Value],
    path: &str,
) -> Result<(&'static str, String, String), String> {
    let pod = our_pod(objects);
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let mounts = list(&pod["containers"][0]["volumeMounts"]);
    let mount = mounts.iter().find(|mount| mount["mountPath"] == folder);
    let volume = mount.map(|mount| text(&mount["name"]));
    let volume = volume.ok_or_else(|| format!("{path}: nothing is mounted there"))?;
    for (_, kind, from, items) in files(pod).into_iter().filter(|(of, ..)| *of == volume) {
        let key = match items.iter().find(|(_, becomes)| *becomes == file) {
            Some((key, _)) => key.clone(),
            None if items.is_empty() => file.to_owned(),
            None => continue,
        };
        if keys(objects, kind, &from).is_some_and(|keys| keys.contains(&key)) {
            return Ok((kind, from, key));
        }
    }
    Err(format!("{path}: what is mounted there has no such file"))
}
