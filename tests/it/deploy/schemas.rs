//! Every field against its schema: what Kubernetes itself has by kubernetes-validate, which carries the schemas of many versions; what
//! operators add against schemas made of their resource definitions, which are not part of this repository. `deploy/dev` looks for a
//! copy beside the checkout; without one this says that it has not checked them.

use super::render::{name, text};
use crate::sre::tool;
use harness::worker::Folder;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What we support: the oldest has all that is used here, the newest is the last one there is a schema of.
pub(super) const VERSIONS: &[&str] = &[
    "1.30.0", "1.31.0", "1.32.0", "1.33.0", "1.34.0", "1.35.0", "1.36.0", "1.37.0",
];

pub(super) fn problems(objects: &[Value], versions: &[&str]) -> Vec<String> {
    let (of_operators, core): (Vec<&Value>, Vec<&Value>) =
        objects.iter().partition(|object| is_of_an_operator(object));
    let mut problems = core_problems(&core, versions);
    let Some(folder) = of_operators_folder() else {
        eprintln!(
            "CRDs: not checked: DISPATCHER_TEST_CRD_SCHEMAS names no copy of the operators' schemas"
        );
        return problems;
    };
    for object in of_operators {
        problems.extend(against_its_definition(&folder, object));
    }
    problems
}

fn of_operators_folder() -> Option<PathBuf> {
    std::env::var_os("DISPATCHER_TEST_CRD_SCHEMAS").map(PathBuf::from)
}

/// Of what an operator adds, and there is no schema of it here.
pub(super) fn is_unchecked(object: &Value) -> bool {
    is_of_an_operator(object) && of_operators_folder().is_none()
}

/// Kubernetes' own groups have no dot, or end so.
fn is_of_an_operator(object: &Value) -> bool {
    let group = text(&object["apiVersion"])
        .split_once('/')
        .map_or("", |(group, _)| group);
    group.contains('.') && !group.ends_with(".k8s.io")
}

fn core_problems(objects: &[&Value], versions: &[&str]) -> Vec<String> {
    let folder = Folder::create();
    // One document per file; JSON is YAML.
    let files = objects.iter().enumerate().map(|(n, object)| {
        let file = folder.write(&format!("{n}.yaml"), &object.to_string());
        file.to_str().unwrap().to_owned()
    });
    let files: Vec<String> = files.collect();
    let mut problems = vec![];
    for version in versions {
        let output = Command::new(tool("DISPATCHER_TEST_KUBERNETES_VALIDATE"))
            .args(["--strict", "-k", version])
            .args(&files)
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        let passed = told.lines().filter(|line| line.starts_with("INFO")).count();
        if !output.status.success() || passed != objects.len() {
            let failed = told.lines().filter(|line| !line.starts_with("INFO"));
            problems.push(failed.collect::<Vec<_>>().join("\n"));
        }
    }
    problems
}

fn against_its_definition(folder: &Path, object: &Value) -> Vec<String> {
    let version = text(&object["apiVersion"])
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let file = folder.join(format!("{}_{version}.json", text(&object["kind"])));
    let schema = std::fs::read_to_string(&file);
    let schema = schema.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    // Go's way to say that capitals do not matter, in one pattern: JSON Schema has none.
    let schema: Value = serde_json::from_str(&schema.replace("^(?i)", "^")).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let errors = validator.iter_errors(object);
    errors
        .map(|error| format!("{}: {}: {error}", name(object), error.instance_path()))
        .collect()
}
