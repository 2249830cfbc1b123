//! What an admission policy would ask of a pod: Kubernetes' standard "restricted", and more.

use super::render::{Pod, list, pods, text};
use serde_json::Value;

/// Containers that write to their root, and why they may.
const WRITES: [(&str, &str); 1] = [(
    "rabbitmq",
    "not our image: its start script writes where it likes, and there was no cluster to try what else would do",
)];

const PARTS_OF_A_SECRETS_NAME: [&str; 5] = ["PASS", "TOKEN", "SECRET", "KEY", "COOKIE"];

pub(super) fn problems(objects: &[Value]) -> Vec<String> {
    let mut problems = vec![];
    for pod in pods(objects) {
        let found = of_pod(&pod).into_iter();
        problems.extend(found.map(|problem| format!("{}: {problem}", pod.name)));
        let containers = ["containers", "initContainers"];
        for container in containers.iter().flat_map(|place| list(&pod.spec[*place])) {
            let mut found = of_container(container);
            if !pod.is_partial {
                found.extend(of_whole_container(container));
            }
            let place = format!("{}: {}", pod.name, text(&container["name"]));
            problems.extend(found.iter().map(|problem| format!("{place}: {problem}")));
        }
    }
    let clusters = super::render::of_kind(objects, "RabbitmqCluster");
    for cluster in clusters {
        let spec = &cluster["spec"];
        problems.extend(image(spec));
        problems.extend(resources(&spec["resources"]));
        if spec["tls"]["disableNonTLSListeners"] != true {
            problems.push("RabbitmqCluster: listens without TLS".to_owned());
        }
    }
    problems
}

fn of_pod(pod: &Pod<'_>) -> Vec<String> {
    let (spec, mut problems) = (pod.spec, vec![]);
    let mut must = |holds: bool, what: &str| {
        if !holds {
            problems.push(what.to_owned());
        }
    };
    let security = &spec["securityContext"];
    must(security["runAsNonRoot"] == true, "may run as root");
    must(
        security["seccompProfile"]["type"] == "RuntimeDefault",
        "has no seccomp profile",
    );
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        must(!spec[host].as_bool().unwrap_or(false), host);
    }
    let volumes = list(&spec["volumes"]);
    must(
        volumes.iter().all(|volume| volume["hostPath"].is_null()),
        "mounts a path of the host",
    );
    must(
        !list(&spec["topologySpreadConstraints"]).is_empty()
            || !pod.name.ends_with(super::render::US),
        "is not spread",
    );
    if !pod.is_partial {
        // The operator's own business.
        must(
            spec["automountServiceAccountToken"] == false,
            "mounts a token of the Kubernetes API",
        );
        must(spec["enableServiceLinks"] == false, "has service links");
        must(
            security["runAsUser"].as_u64().is_some_and(|id| id > 0),
            "names no user",
        );
    }
    problems
}

/// What also holds for a container that an operator completes.
fn of_container(container: &Value) -> Vec<String> {
    let mut problems = vec![];
    let security = &container["securityContext"];
    if security["allowPrivilegeEscalation"] != false || security["privileged"] == true {
        problems.push("may gain privileges".to_owned());
    }
    let capabilities = &security["capabilities"];
    if !list(&capabilities["drop"]).contains(&Value::from("ALL")) || !capabilities["add"].is_null()
    {
        problems.push("keeps capabilities".to_owned());
    }
    for variable in list(&container["env"]) {
        let name = text(&variable["name"]);
        let is_secret = PARTS_OF_A_SECRETS_NAME
            .iter()
            .any(|part| name.to_uppercase().contains(part));
        if is_secret && !variable["value"].is_null() {
            problems.push(format!("{name} stands in the clear"));
        }
    }
    problems
}

fn of_whole_container(container: &Value) -> Vec<String> {
    let mut problems = image(container);
    problems.extend(resources(&container["resources"]));
    for probe in ["livenessProbe", "readinessProbe"] {
        if container[probe].is_null() {
            problems.push(format!("has no {probe}"));
        }
    }
    let name = text(&container["name"]);
    let may_write = WRITES.iter().any(|(known, _)| *known == name);
    if container["securityContext"]["readOnlyRootFilesystem"] != true && !may_write {
        problems.push("may write to its root".to_owned());
    }
    for port in list(&container["ports"]) {
        if !port["hostPort"].is_null() {
            problems.push("takes a port of the host".to_owned());
        }
    }
    problems
}

fn image(holder: &Value) -> Vec<String> {
    let image = text(&holder["image"]);
    // A registry may have a port of its own.
    let tag = image
        .rsplit('/')
        .next()
        .and_then(|last| last.split_once(':'));
    match tag {
        Some((_, tag)) if tag != "latest" && !tag.is_empty() => vec![],
        _ => vec![format!("the image {image} has no tag, or latest")],
    }
}

fn resources(resources: &Value) -> Vec<String> {
    let mut problems = vec![];
    for (kind, what) in [
        ("requests", "cpu"),
        ("requests", "memory"),
        ("limits", "memory"),
    ] {
        if resources[kind][what].is_null() {
            problems.push(format!("has no {kind} of {what}"));
        }
    }
    // Beside our pace: a process that may not run is late.
    let limit = text(&resources["limits"]["cpu"]);
    let cores = match limit.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().map(|n| n / 1000.0),
        None => limit.parse(),
    };
    if !resources["limits"]["cpu"].is_null() && !cores.is_ok_and(|cores| cores >= 1.0) {
        problems.push(format!("a cpu limit of {limit} would hold up the pace"));
    }
    problems
}
