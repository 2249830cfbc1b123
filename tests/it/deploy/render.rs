//! What kustomize makes of deploy/k8s, and how to find one's way in it.

use crate::sre::tool;
use harness::worker::Folder;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

pub(super) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The overlays, and production with its one line changed.
pub(super) const DEV: &str = "dev";
pub(super) const PRODUCTION: &str = "production";
pub(super) const HPA: &str = "production with hpa";

/// The name of our Deployment, and of much that belongs to it.
pub(super) const US: &str = "whatsapp-dispatcher";

static NULL: Value = Value::Null;

/// Rendered once per overlay.
pub(super) fn rendered(overlay: &str) -> Vec<Value> {
    static CACHE: OnceLock<Vec<(&str, Vec<Value>)>> = OnceLock::new();
    let all = CACHE.get_or_init(|| {
        vec![
            (DEV, build(&overlay_folder(DEV))),
            (PRODUCTION, build(&overlay_folder(PRODUCTION))),
            (HPA, with_hpa()),
        ]
    });
    let found = all.iter().find(|(name, _)| *name == overlay);
    found.unwrap().1.clone()
}

fn overlay_folder(overlay: &str) -> String {
    format!("{ROOT}/deploy/k8s/overlays/{overlay}")
}

fn build(folder: &str) -> Vec<Value> {
    let output = Command::new(tool("DISPATCHER_TEST_KUSTOMIZE"))
        .args(["build", folder])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    // A deprecated field is told here.
    assert!(
        output.status.success() && told.is_empty(),
        "{folder}: {told}"
    );
    yaml_documents(&String::from_utf8(output.stdout).unwrap())
}

fn with_hpa() -> Vec<Value> {
    let folder = Folder::create();
    for part in ["deploy/k8s", "dashboards"] {
        copy(&Path::new(ROOT).join(part), &folder.0.join(part));
    }
    let overlay = folder.0.join("deploy/k8s/overlays/production");
    let file = overlay.join("kustomization.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let line = "  - ../../components/keda\n";
    assert!(text.contains(line));
    let changed = text.replace(line, "  - ../../components/hpa\n");
    fs::write(&file, changed).unwrap();
    build(overlay.to_str().unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

pub(super) fn yaml_documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

pub(super) fn yaml_file(path: &str) -> Value {
    let text = fs::read_to_string(format!("{ROOT}/{path}")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// `Kind/name`.
pub(super) fn name(object: &Value) -> String {
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn of_kind<'a>(
    objects: &'a [Value],
    kind: &'a str,
) -> impl Iterator<Item = &'a Value> + 'a {
    objects.iter().filter(move |object| object["kind"] == kind)
}

pub(super) fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects.iter().find(is_it)
}

/// A pod that one of these objects makes.
pub(super) struct Pod<'a> {
    /// Of what makes it.
    pub(super) name: String,
    pub(super) labels: Value,
    pub(super) spec: &'a Value,
    /// Made by an operator, which adds what does not stand here.
    pub(super) is_partial: bool,
}

pub(super) fn pods(objects: &[Value]) -> Vec<Pod<'_>> {
    let mut pods = vec![];
    for object in objects {
        let kind = text(&object["kind"]);
        let template = &object["spec"]["template"];
        let (labels, spec, is_partial) = match kind {
            "RabbitmqCluster" => (
                rabbitmq_labels(object),
                &object["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"],
                true,
            ),
            "CronJob" => {
                let template = &object["spec"]["jobTemplate"]["spec"]["template"];
                (
                    template["metadata"]["labels"].clone(),
                    &template["spec"],
                    false,
                )
            }
            "Pod" => (object["metadata"]["labels"].clone(), &object["spec"], false),
            _ if template["spec"]["containers"].is_array() => (
                template["metadata"]["labels"].clone(),
                &template["spec"],
                false,
            ),
            _ => continue,
        };
        pods.push(Pod {
            name: name(object),
            labels,
            spec,
            is_partial,
        });
    }
    pods
}

/// What the cluster operator writes on the pods that it makes.
fn rabbitmq_labels(cluster: &Value) -> Value {
    serde_json::json!({
        "app.kubernetes.io/name": cluster["metadata"]["name"],
        "app.kubernetes.io/component": "rabbitmq",
        "app.kubernetes.io/part-of": "rabbitmq",
    })
}

/// The worker's pod.
pub(super) fn our_pod(objects: &[Value]) -> &Value {
    find(objects, "Deployment", US).map_or(&NULL, |object| &object["spec"]["template"]["spec"])
}

pub(super) fn our_container(objects: &[Value]) -> &Value {
    our_pod(objects)["containers"].get(0).unwrap_or(&NULL)
}

/// Whether a selector, `matchLabels` only, takes something with these labels.
pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector["matchLabels"].as_object();
    wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value))
        && selector["matchExpressions"].is_null()
}
