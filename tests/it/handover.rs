//! A lane passes from one worker to another: what was sent is not sent again, what was not is in no doubt.

use crate::support::client::{Letter, Request};
use crate::support::worker::Worker;
use crate::support::{NUMBER, Setup, World, poll, within};

/// Rolling restarts: nobody's result is flagged, as what a worker gives back in order it has not sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_drains_leaves_no_doubt() {
    let mut setup = Setup::default()
        .set("redelivery.policy", "\"report\"")
        .numbers(&[(NUMBER, 100)]);
    setup.sim.defaults.latency_ms = 100;
    let mut world = World::start(setup).await;
    let ids = world.publish_many(300).await;
    for round in 1..=3 {
        let some = |stats: &graph_sim::Stats| {
            let number = stats.numbers.get(NUMBER);
            number.is_some_and(|number| number.accepted >= round * 50)
        };
        within("some sends", world.sim.until(some)).await;
        world.worker.drain().await;
        world.worker = Worker::start(&world.folder, &world.config);
        world.worker.ready().await;
    }
    for id in &ids {
        let result = world.results.wait(id).await.json();
        assert_eq!(result["status"], "accepted", "{result}");
        assert_eq!(result["possible_duplicate"], false, "{result}");
    }
    assert_eq!(world.sim.ledger().len(), 300, "each once");
    world.finish().await;
}

/// The result is confirmed, the acknowledgement is lost with the worker: the next one finds the result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_a_result_is_answered_again_and_not_sent() {
    let mut world = World::start(Setup::default().numbers(&[(NUMBER, 100)])).await;
    let first = world.answer(Request::text("m-0", "34600000001")).await;
    assert_eq!(first["status"], "accepted");
    world
        .worker
        .metric("lane_in_flight", &[], |n| n == 0.0)
        .await;
    world.worker.kill().await;
    // As if its acknowledgement had been lost: it waits in the lane, and was delivered before.
    world
        .client
        .publish([Request::text("m-0", "34600000001")])
        .await;
    world.client.take_and_drop("wa.lane.111").await;
    world.worker = Worker::start(&world.folder, &world.config);
    let twice = |letters: &[Letter]| {
        let of = letters
            .iter()
            .filter(|letter| letter.id().as_deref() == Some("m-0"));
        of.count() == 2
    };
    world.results.until("the same result again", twice).await;
    let results = world.results.of("m-0");
    assert_eq!(results[0].json(), results[1].json());
    assert_eq!(world.sim.ledger().len(), 1, "sent once");
    world
        .worker
        .metric("evidence_total", &[("result", "found")], |n| n == 1.0)
        .await;
    // RabbitMQ lists consumers some seconds late.
    let listed = || async { readers(&world, "wa.lane.111") == 1 };
    within("the list of consumers", poll(listed)).await;
    assert_eq!(
        readers(&world, "wa.results.log"),
        0,
        "the search has closed"
    );
    world.worker.drain().await;
}

fn readers(world: &World, queue: &str) -> usize {
    let path = format!("/api/consumers/{}", world.vhost.name);
    let consumers = world.vhost.manage("GET", &path, None).json();
    let of_queue = |consumer: &&serde_json::Value| consumer["queue"]["name"] == queue;
    consumers
        .as_array()
        .map_or(0, |all| all.iter().filter(of_queue).count())
}
