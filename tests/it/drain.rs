//! SIGTERM in each phase: what was in flight is finished, the rest is somebody else's, and nothing is lost or sent twice.

use crate::support::{NUMBER, Setup, World};
use harness::client::Request;
use harness::proxy::Mode;
use harness::worker::Worker;
use std::collections::HashSet;

/// Every message in the ledger once.
fn check_nothing_twice(world: &World) {
    let mut seen = HashSet::new();
    for entry in world.sim.ledger() {
        let id = entry.opaque.unwrap();
        assert!(seen.insert(id.clone()), "{id} was sent twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_ends_at_once_on_either_signal() {
    for signal in ["TERM", "INT"] {
        let mut world = World::start(Setup::default()).await;
        world.call(Request::text("m", "34600000001")).await;
        world.worker.signal(signal);
        assert_eq!(world.worker.end().await.code(), Some(0));
        assert_eq!(world.all_results().await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_the_rest_is_the_next_workers() {
    let mut setup = Setup::default().numbers(&[(NUMBER, 500)]);
    setup.sim.defaults.latency_ms = 50;
    let mut world = World::start(setup).await;
    let ids = world.publish_many(600).await;
    for round in 1..=3 {
        world.has_sent(round * 120).await;
        world.worker.drain().await;
        // Nothing is half done: what the API has taken has its result.
        let results = world.all_results().await.len();
        assert_eq!(results, world.sim.ledger().len());
        assert!(
            results < 600,
            "the load was too small to be drained in the middle"
        );
        world.worker = Worker::start(&world.folder, &world.config);
    }
    world.check_nothing_lost(&ids).await;
    check_nothing_twice(&world);
    world.worker.ready().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_in_flight_are_awaited() {
    let mut setup = Setup::default();
    setup.sim.defaults.latency_ms = 1500;
    let mut world = World::start(setup).await;
    let ids = world.publish_many(20).await;
    world.in_flight(20).await;
    world.worker.drain().await;
    assert_eq!(world.all_results().await.len(), ids.len());
    world.check_nothing_lost(&ids).await;
    check_nothing_twice(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unroutable_requests_in_the_middle_of_their_answer_are_not_lost() {
    let mut world = World::start(Setup::default()).await;
    let ids: Vec<String> = (0..300).map(|n| format!("u-{n}")).collect();
    let request = |id: &String| Request::text(id, "34600000001").number("999");
    world.publish(ids.iter().map(request)).await;
    world.worker.drain().await;
    world.worker = Worker::start(&world.folder, &world.config);
    world.check_nothing_lost(&ids).await;
    world.worker.ready().await;
    world.worker.drain().await;
}

fn hasty() -> Setup {
    Setup::default()
        .set("graph.connect_timeout_ms", "500")
        .set("graph.request_timeout_ms", "1000")
        .set("broker.confirm_timeout_ms", "500")
        .set("drain.timeout_s", "3")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_that_the_broker_does_not_take_end_it_with_1_and_one_line() {
    let mut setup = hasty();
    setup.sim.defaults.latency_ms = 500;
    let (mut world, proxy) = World::behind_proxy(setup).await;
    let ids = world.publish_many(5).await;
    world.in_flight(5).await;
    proxy.cut().await;
    world.worker.signal("TERM");
    assert_eq!(world.worker.end().await.code(), Some(1));
    let log = world.worker.log.text();
    let line = log.lines().last().unwrap();
    assert!(
        line.starts_with("whatsapp-dispatcher: drain.timeout_s is over"),
        "{log}"
    );
    assert!(line.contains("111 (5 in flight)"), "{line}");

    // The API had taken them, nobody could be told: the next worker sends again, and says so.
    proxy.set(Mode::Pass).await;
    world.worker = Worker::start(&world.folder, &world.config);
    world.check_nothing_lost(&ids).await;
    world.worker.ready().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_and_with_nothing_in_flight_it_ends_with_0() {
    let (mut world, proxy) = World::behind_proxy(hasty()).await;
    world.call(Request::text("m", "34600000001")).await;
    world.settled().await;
    proxy.cut().await;
    world.counts("broker_connected", 0.0).await;
    world.worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let mut setup = Setup::default();
    setup.sim.defaults.latency_ms = 4000;
    let mut world = World::start(setup).await;
    world.publish_many(1).await;
    world.in_flight(1).await;
    world.worker.signal("TERM");
    world.worker.log.line("draining").await;
    world.worker.signal("TERM");
    assert_eq!(world.worker.end().await.code(), Some(1));
    assert!(
        world.results.letters().is_empty(),
        "it did not wait for the answer"
    );
}
