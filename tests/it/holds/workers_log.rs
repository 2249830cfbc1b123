//! What operators decided holds however long the workers' log is, and however long it takes to be read.

use super::*;
use crate::support::{poll, within};
use lapin::BasicProperties;
use lapin::types::FieldTable;
use serde_json::json;
use std::time::Instant;

/// The binding that brings records into their log.
fn binding(world: &World) -> String {
    format!(
        "/api/bindings/{}/e/wa.lanes.log/q/wa.lanes.log",
        world.vhost.name
    )
}

/// The log takes no mark, so nobody can know that it was read to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_worker_waits_until_it_knows_which_lanes_are_paused() {
    let mut world = World::start(setup()).await;
    assert_eq!(world.worker.post("/lanes/111/pause").await.status, 202);
    world.worker.drain().await;
    let bindings = world.vhost.manage("GET", &binding(&world), None).json();
    let key = bindings[0]["properties_key"].as_str().unwrap().to_owned();
    let path = format!("{}/{key}", binding(&world));
    world.vhost.manage("DELETE", &path, None);
    let held = publish(&world, "111", 3).await;
    let free = publish(&world, "112", 3).await;

    let config = format!("broker.declare = false\n{}", world.config);
    world.worker = Worker::start(&world.folder, &config);
    let line = "no lane begins before it is known which are paused";
    world.worker.log.line(line).await;
    let told = || async {
        let answer = world.worker.get("/readyz").await;
        answer.is_some_and(|answer| {
            answer.status == 503 && answer.body.contains("wa.lanes.log is not read yet")
        })
    };
    within("/readyz says why", poll(told)).await;
    let again = || async { world.worker.log.text().matches(line).count() > 1 };
    within("another try", poll(again)).await;
    assert_eq!(received(&world.sim.stats(), &["111", "112"]), 0);

    let body = json!({ "routing_key": "", "arguments": {} });
    world.vhost.manage("POST", &binding(&world), Some(body));
    world.worker.ready().await;
    world.accepted_once(&free).await;
    world.worker.lane_state("111", "paused").await;
    assert_eq!(received(&world.sim.stats(), &["111"]), 0);
    assert_eq!(world.worker.post("/lanes/111/resume").await.status, 202);
    world.accepted_once(&held).await;
    world.finish().await;
}

/// As RabbitMQ is before the definitions of this version were imported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_log_of_tenures_lanes_flow_and_pauses_hold() {
    let mut world = World::start(setup()).await;
    assert_eq!(world.worker.post("/lanes/111/pause").await.status, 202);
    world.worker.drain().await;
    world.vhost.delete_queue("wa.tenures.log");
    let path = format!("/api/exchanges/{}/wa.tenures.log", world.vhost.name);
    world.vhost.manage("DELETE", &path, None);
    let config = format!("broker.declare = false\n{}", world.config);
    world.worker = Worker::start(&world.folder, &config);
    world.worker.ready().await;
    world.worker.log.line("wa.tenures.log cannot be used").await;
    world.counts("lanes_log_available", 0.0).await;
    let free = publish(&world, "112", 3).await;
    world.accepted_once(&free).await;
    world.worker.lane_state("111", "paused").await;
    assert_eq!(world.worker.post("/lanes/111/resume").await.status, 202);
    world.worker.lane_state("111", "flowing").await;
    world.finish().await;
}

fn record(n: usize) -> Request {
    // What workers of earlier versions write there, which is read as well; 81 MB of it, and the log keeps 64.
    let body = json!({
        "at_ms": 1_800_000_000_000_u64 + n as u64, "worker": format!("worker-{}", n % 12), "run": n,
        "scope": "lane", "key": format!("{}", 100_000 + n % 2_000), "news": "taken", "more": "-".repeat(150),
    });
    Request {
        exchange: "wa.lanes.log".to_owned(),
        routing_key: String::new(),
        body: body.to_string().into_bytes(),
        headers: FieldTable::default(),
        properties: BasicProperties::default().with_delivery_mode(2),
    }
}

/// More records than the log holds: those who follow it tell a pause again before it falls out, and whoever comes reads it all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_outlives_three_hundred_thousand_records() {
    let mut world = World::start(setup()).await;
    assert_eq!(world.worker.post("/lanes/111/pause").await.status, 202);
    let held = publish(&world, "111", 3).await;
    for batch in 0..30 {
        let records = (0..10_000).map(|n| record(batch * 10_000 + n));
        world.publish(records).await;
    }
    let began = Instant::now();
    let mut other = world.second().await;
    println!(
        "300,000 records read, and ready, after {:?}",
        began.elapsed()
    );
    other.lane_state("111", "paused").await;
    let free = publish(&world, "112", 20).await;
    world.accepted_once(&free).await;
    // Whoever is left reads it from the log alone.
    world.worker.drain().await;
    other.drain().await;
    world.restart().await;
    world.worker.lane_state("111", "paused").await;
    assert_eq!(received(&world.sim.stats(), &["111"]), 0);
    assert_eq!(world.worker.post("/lanes/111/resume").await.status, 202);
    world.accepted_once(&held).await;
    world.finish().await;
}
