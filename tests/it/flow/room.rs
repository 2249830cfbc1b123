//! Large bodies: what a worker holds is bounded in bytes, and nothing is lost or sent twice for it.

use crate::support::{NUMBER, Setup, World, poll, within};
use graph_sim::NumberRules;
use harness::client::Request;
use serde_json::json;
use std::collections::HashSet;

/// Close to `intake.max_body_bytes`.
const BODY: usize = 250 * 1024;

fn setup() -> Setup {
    let mut setup = Setup::default()
        .numbers(&[(NUMBER, 1_000)])
        .set("log.level", "\"info\"")
        // One delivery more would show.
        .set("redelivery.policy", "\"report\"");
    setup.sim.defaults = NumberRules {
        latency_ms: 1_500,
        unlimited: true,
        ..setup.sim.defaults
    };
    setup
}

fn large(n: usize) -> Request {
    let to = format!("3461{n:07}");
    let body =
        json!({ "to": to, "type": "text", "text": { "body": "hello" }, "more": "x".repeat(BODY) });
    Request::json(&format!("large-{n:03}"), &body)
}

/// A lane of 1,000 a second asks RabbitMQ for 1,430 messages at once: 350 MB of these.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_with_large_bodies_asks_for_fewer_and_sends_each_once() {
    const COUNT: usize = 400;
    let world = World::start(setup()).await;
    world.worker.post(&format!("/lanes/{NUMBER}/pause")).await;
    world.worker.lane_state(NUMBER, "paused").await;
    for n in 0..COUNT {
        world.publish([large(n)]).await;
    }
    world.worker.post(&format!("/lanes/{NUMBER}/resume")).await;
    let told = world.worker.log.line("no room for another body").await;
    assert!(told.contains(NUMBER), "{told}");
    // RabbitMQ is asked for fewer, and keeps the others.
    let path = format!("/api/consumers/{}", world.vhost.name);
    let asks_for_few = || async {
        let consumers = world.vhost.manage("GET", &path, None).json();
        let mut consumers = consumers.as_array().unwrap().iter();
        consumers.any(|consumer| {
            let is_it = consumer["queue"]["name"] == format!("wa.lane.{NUMBER}");
            is_it && (1..130).contains(&consumer["prefetch_count"].as_u64().unwrap())
        })
    };
    within("a smaller prefetch", poll(asks_for_few)).await;
    let ids: Vec<String> = (0..COUNT).map(|n| format!("large-{n:03}")).collect();
    for id in &ids {
        let result = world.results.wait(id).await.json();
        assert_eq!(result["status"], "accepted", "{result}");
        assert_eq!(result["possible_duplicate"], false, "{result}");
    }
    let ledger = world.sim.ledger();
    let sent: HashSet<_> = ledger.iter().filter_map(|e| e.opaque.clone()).collect();
    assert_eq!((ledger.len(), sent.len()), (COUNT, COUNT));
    world.check_nothing_lost(&ids).await;
    world.finish().await;
}
