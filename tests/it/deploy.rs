//! The Kubernetes manifests: rendered by kustomize, held against Kubernetes' own schemas, our rules and each other. There is no cluster
//! here: what an API server refuses for other reasons, such as a CEL rule, is not found.
//!
//! Each check is a function of the rendered objects that tells what is wrong; `mutations` shows that it would.

mod access;
mod compose;
mod config;
mod generated;
mod links;
mod message_size;
mod mutations;
mod network;
mod pods;
mod render;
mod scaling;
mod schemas;

pub(crate) use scaling::queries as autoscalers_queries;

use render::{DEV, HPA, PRODUCTION, rendered};
use serde_json::Value;

/// Everything that is wrong with an installation, but for what schemas say.
fn problems(objects: &[Value]) -> Vec<String> {
    let checks = [
        pods::problems,
        links::problems,
        config::problems,
        network::problems,
        scaling::problems,
        generated::problems,
    ];
    checks.iter().flat_map(|check| check(objects)).collect()
}

#[test]
fn nothing_is_wrong_with_what_is_rendered() {
    for overlay in [DEV, PRODUCTION, HPA] {
        let found = problems(&rendered(overlay));
        assert!(found.is_empty(), "{overlay}:\n{}", found.join("\n"));
    }
}

#[test]
fn every_version_of_kubernetes_that_we_support_knows_every_field() {
    for overlay in [DEV, PRODUCTION, HPA] {
        let found = schemas::problems(&rendered(overlay), schemas::VERSIONS);
        assert!(found.is_empty(), "{overlay}:\n{}", found.join("\n"));
    }
}

/// `kubectl apply` keeps the whole object in an annotation, and all annotations of one may have 262,144 bytes.
#[test]
fn every_object_can_be_applied_from_a_client() {
    for overlay in [DEV, PRODUCTION, HPA] {
        for object in rendered(overlay) {
            let size = object.to_string().len();
            assert!(size < 262_144, "{}: {size} bytes", render::name(&object));
        }
    }
}
