//! A delivery that ends the connection it comes on stops its own lane and no other. A proxy plays RabbitMQ's part: it ends the
//! connection that a marked body comes on.

use crate::support::{NUMBER, Setup, World, poll, within};
use harness::broker::VirtualHost;
use harness::client::Request;
use harness::proxy::Proxy;
use harness::worker::Worker;
use serde_json::json;

const MARK: &str = "this ends a connection";

const LANES: [&str; 8] = [NUMBER, "112", "113", "114", "115", "116", "117", "118"];

async fn world() -> (World, Proxy) {
    let setup = Setup::default()
        .numbers(&LANES.map(|lane| (lane, 1000)))
        .set("worker.id", "\"worker-a\"");
    let proxy = Proxy::cutting(&VirtualHost::address(), MARK.as_bytes()).await;
    (World::before(setup, &proxy.address).await, proxy)
}

fn marked(id: &str) -> Request {
    let body = json!({ "to": "34600000009", "type": "text", "text": { "body": MARK } });
    Request::json(id, &body)
}

/// The lane has a connection of its own, and has ended it at least so often.
async fn is_apart(worker: &Worker, ends: f64) {
    let lane = [("phone_number_id", NUMBER)];
    worker
        .metric("lane_connection_ends_total", &lane, |n| n >= ends)
        .await;
    worker.metric("lane_quarantined", &lane, |n| n == 1.0).await;
}

/// The steps of the runbook.
fn take_out(world: &World) {
    let limit = json!({
        "pattern": "^wa\\.(lane\\.111|unrouted)$", "apply-to": "queues", "priority": 100,
        "definition": { "delivery-limit": 7, "dead-letter-exchange": "wa.dead", "message-ttl": 2_592_000_000_u64 }
    });
    let policy = format!("/api/policies/{}/wa-take-out", world.vhost.name);
    world.vhost.manage("PUT", &policy, Some(limit));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_its_own_lane_only_until_it_is_taken_out() {
    let (mut world, _proxy) = world().await;
    world
        .worker
        .expect_error("the lane ends the connection it is consumed on");
    let before = world.publish_texts("before", NUMBER, 5).await;
    world.publish([marked("marked")]).await;
    // Few: of those that were delivered with it each is looked for in the log of results, one by one.
    let mut after = world.publish_texts("after", NUMBER, 5).await;
    world.check_nothing_lost(&before).await;
    is_apart(&world.worker, 2.0).await;
    let shown = world.worker.lane(NUMBER).await;
    take_out(&world);
    // The others go on meanwhile, and nothing ends under them any more.
    for lane in &LANES[1..] {
        let ids = world.publish_texts("other", lane, 20).await;
        world.check_nothing_lost(&ids).await;
    }
    assert!(
        shown["quarantine"]["ends"].as_u64().unwrap() >= 2,
        "{shown}"
    );
    assert!(shown["quarantine"]["next_try"].is_string(), "{shown}");
    assert_eq!(world.worker.lane("112").await.get("quarantine"), None);
    let metrics = world.worker.metrics().await;
    assert_eq!(metrics.sum("lane_quarantined", &[]), 1.0);
    assert_eq!(metrics.sum("broker_sessions_total", &[]), 1.0);

    let dead = world.dead().await;
    world.check_nothing_lost(&after).await;
    let letter = dead.wait("marked").await;
    assert_eq!(letter.body, marked("marked").body, "whole");
    // Those that come for the first time show it.
    let ids = world.publish_texts("new", NUMBER, 15).await;
    world.check_nothing_lost(&ids).await;
    after.extend(ids);
    let proven = poll(|| async {
        let shown = world.worker.lane(NUMBER).await;
        shown["quarantine"]["ends"] == 0
    });
    within("the proof that it is gone", proven).await;
    let all = before.len() + after.len() + 7 * 20;
    assert_eq!(world.sim.ledger().len(), all, "each was sent once");
    for id in after.iter().chain(&before) {
        assert_eq!(world.results.of(id)[0].json()["status"], "accepted", "{id}");
    }
    world.finish_after_loss().await;
}

/// Another worker, to which RabbitMQ can deliver it, takes the lane over from one that has it apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_worker_takes_the_lane_over() {
    let (mut world, proxy) = world().await;
    world
        .worker
        .expect_error("the lane ends the connection it is consumed on");
    world.publish([marked("marked")]).await;
    let mut ids = world.publish_texts("after", NUMBER, 10).await;
    ids.push("marked".to_owned());
    is_apart(&world.worker, 1.0).await;
    let config = world.config.replace("\"worker-a\"", "\"worker-b\"");
    let config = config.replace(&proxy.address, &VirtualHost::address());
    let mut other = Worker::start(&world.folder, &config);
    other.ready().await;
    world.check_nothing_lost(&ids).await;
    assert_eq!(world.sim.ledger().len(), ids.len(), "each was sent once");
    other.drain().await;
    world.finish_after_loss().await;
}

/// One end is no reason: networks do that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_breaks_sets_nobody_apart() {
    let (world, proxy) = world().await;
    for round in 1..=3 {
        let sessions = f64::from(round + 1);
        proxy.reset_all();
        world
            .metric("broker_sessions_total", &[], |n| n >= sessions)
            .await;
        world.counts("lane_subscribed", 9.0).await;
    }
    let ids = world.publish_texts("after", NUMBER, 20).await;
    world.check_nothing_lost(&ids).await;
    let metrics = world.worker.metrics().await;
    assert_eq!(metrics.sum("lane_quarantined", &[]), 0.0);
    assert_eq!(metrics.sum("lane_connection_ends_total", &[]), 0.0);
    world.finish_after_loss().await;
}
