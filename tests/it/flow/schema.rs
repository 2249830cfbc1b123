//! Bodies that are not as Meta documents them, by what `intake.schema` says.

use crate::support::{NUMBER, Setup, World};
use harness::client::Request;
use serde_json::{Value, json};

/// Stands for what a caller wrote.
const CONTENT: &str = "cnryschema";

/// Not as documented in two places, which the API double does not mind.
fn deviating(id: &str) -> Request {
    let body = json!({
        "to": "34600000001", "recipient_identity_key_hash": [CONTENT], "type": "text",
        "text": { "body": "hi", "preview_url": CONTENT },
    });
    Request::raw(id, body.to_string())
}

fn places(faults: &Value) -> Vec<&str> {
    let faults = faults.as_array().unwrap().iter();
    faults.map(|fault| fault["at"].as_str().unwrap()).collect()
}

const PLACES: [&str; 2] = ["/recipient_identity_key_hash", "/text/preview_url"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_meta_does_not_document_is_sent_and_told() {
    let world = World::start(Setup::default()).await;
    let sound = world.answer(Request::text("sound", "34600000001")).await;
    assert_eq!(sound.get("warnings"), None);
    // Once by its first delivery, and not again off the ladder.
    world.fail(131016, 1);
    for id in ["first", "second"] {
        let result = world.answer(deviating(id)).await;
        assert_eq!(result["status"], "accepted", "{result}");
        assert_eq!(places(&result["warnings"]), PLACES);
        assert!(!result.to_string().contains(CONTENT), "{result}");
    }
    assert_eq!(world.sim.ledger().len(), 3);
    let labels = [
        ("phone_number_id", NUMBER),
        ("at", "/recipient_identity_key_hash"),
    ];
    assert_eq!(world.sum("schema_warnings_total", &labels).await, 2.0);
    assert_eq!(world.sum("schema_warnings_total", &[]).await, 2.0);
    let log = world.worker.log.text();
    let told = log.matches("not as Meta documents them").count();
    assert_eq!(told, 1);
    assert!(log.contains("/recipient_identity_key_hash") && !log.contains(CONTENT));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_operator_has_it_rejected() {
    let setup = Setup::default().set("intake.schema", "\"strict\"");
    let world = World::start(setup).await;
    let refused = world.answer(deviating("refused")).await;
    assert_eq!(refused["status"], "rejected");
    assert_eq!(refused["error"]["class"], "invalid");
    assert_eq!(refused["error"]["at"], PLACES[0]);
    assert_eq!(places(&refused["error"]["faults"]), PLACES);
    assert_eq!(refused.get("warnings"), None);
    assert!(!refused.to_string().contains(CONTENT), "{refused}");
    let sound = world.answer(Request::text("sound", "34600000001")).await;
    assert_eq!(sound["status"], "accepted");
    assert_eq!(world.sim.ledger().len(), 1);
    assert_eq!(world.sum("schema_warnings_total", &[]).await, 0.0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_not_want_to_know() {
    let world = World::start(Setup::default().set("intake.schema", "\"off\"")).await;
    let result = world.answer(deviating("passed")).await;
    assert_eq!(result["status"], "accepted");
    assert_eq!(result.get("warnings"), None);
    world.finish().await;
}
