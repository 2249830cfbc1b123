//! The checks find what they are there for: each slip of `tests/cases/k8s_slips.yaml`, made in what is rendered, is told.

use super::render::{DEV, HPA, PRODUCTION, name, rendered, text, yaml_file};
use super::{problems, schemas};
use serde_json::Value;

const POD: &str = "/spec/template/spec";

fn slips() -> Value {
    yaml_file("tests/cases/k8s_slips.yaml")
}

/// The rendered objects with this slip in them.
fn mutated(slip: &Value) -> Vec<Value> {
    let mut objects = rendered(text(&slip["in"]));
    let place = text(&slip["at"]).replace("~pod", POD);
    let (parent, key) = place.rsplit_once('/').unwrap();
    let target = objects.iter_mut().find(|object| name(object) == slip["of"]);
    let parent = target.and_then(|object| object.pointer_mut(parent));
    match (parent, slip.get("put")) {
        (Some(Value::Array(values)), Some(value)) => {
            values[key.parse::<usize>().unwrap()] = value.clone();
        }
        (Some(Value::Array(values)), None) => drop(values.remove(key.parse().unwrap())),
        (Some(Value::Object(map)), Some(value)) => drop(map.insert(key.to_owned(), value.clone())),
        (Some(Value::Object(map)), None) => assert!(map.remove(key).is_some(), "no place: {slip}"),
        (_, _) => panic!("no place: {slip}"),
    }
    objects
}

fn is_told(slip: &Value, found: &[String]) -> bool {
    let wanted = text(&slip["told"]);
    assert!(!wanted.is_empty(), "{slip}");
    found.iter().any(|problem| problem.contains(wanted))
}

#[test]
fn every_slip_is_told() {
    let mut untold = vec![];
    let mut count = 0;
    for (group, slips) in slips().as_object().unwrap() {
        // What only a schema can know has a test of its own.
        let slips = slips.as_array().unwrap().iter();
        for slip in slips.filter(|_| group != "schemas") {
            count += 1;
            let found = problems(&mutated(slip));
            if !is_told(slip, &found) {
                untold.push(format!("{slip}\n  but {found:?}"));
            }
        }
    }
    assert!(count > 80, "only {count} slips");
    assert!(untold.is_empty(), "{}", untold.join("\n"));
}

#[test]
fn a_field_that_no_schema_knows_is_told() {
    for slip in slips()["schemas"].as_array().unwrap() {
        let objects = mutated(slip);
        let object = objects.iter().find(|object| name(object) == slip["of"]);
        if schemas::is_unchecked(object.unwrap()) {
            eprintln!("CRDs: not checked: {slip}");
            continue;
        }
        let found = schemas::problems(&objects, &["1.34.0"]);
        assert!(is_told(slip, &found), "{slip}: {found:?}");
    }
}

/// Something that is there no more, or that nobody asked for, is told as well.
#[test]
fn a_missing_or_a_second_object_is_told() {
    for (overlay, gone, wanted) in [
        (
            DEV,
            "Deployment/whatsapp-dispatcher",
            "there are no workers",
        ),
        (
            DEV,
            "ServiceAccount/whatsapp-dispatcher",
            "no ServiceAccount",
        ),
        (DEV, "NetworkPolicy/rabbitmq", "every Ingress is open"),
        (DEV, "Service/rabbitmq", "there is no rabbitmq:5672"),
        (
            PRODUCTION,
            "ConfigMap/rabbitmq-access",
            "there is no ConfigMap",
        ),
        (
            PRODUCTION,
            "ConfigMap/whatsapp-dispatcher-dashboard-overview",
            "overview.json",
        ),
        (
            PRODUCTION,
            "NetworkPolicy/whatsapp-dispatcher-to-rabbitmq",
            "5671/TCP: refused",
        ),
    ] {
        let mut objects = rendered(overlay);
        objects.retain(|object| name(object) != gone);
        let found = problems(&objects);
        let is_told = found.iter().any(|problem| problem.contains(wanted));
        assert!(is_told, "{gone}: {found:?}");
    }
    let mut objects = rendered(PRODUCTION);
    let hpa = rendered(HPA).into_iter();
    objects.extend(hpa.filter(|object| object["kind"] == "HorizontalPodAutoscaler"));
    objects.push(objects[0].clone());
    let found = problems(&objects).join("\n");
    assert!(found.contains("two autoscalers"), "{found}");
    assert!(found.contains("is there twice"), "{found}");
}
