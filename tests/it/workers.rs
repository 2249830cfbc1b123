//! Several workers on the same lanes: they share them, and take over what another leaves behind, in whichever way it ends.

use crate::support::{NUMBER, Setup, World, within};
use harness::broker::VirtualHost;
use harness::client::Request;
use harness::proxy::{Mode, Proxy};
use harness::worker::Worker;
use std::time::Duration;

const LANES: [&str; 12] = [
    "101", "102", "103", "104", "105", "106", "107", "108", "109", "110", "111", "112",
];

fn setup() -> Setup {
    Setup::default().set("worker.id", "\"worker-a\"")
}

/// As many texts for each lane, in turns, so that all lanes have work from the start; their ids.
async fn publish(world: &World, name: &str, per_lane: usize) -> Vec<String> {
    let lanes = LANES.map(|lane| Request::texts(name, lane, per_lane));
    let turn = |n: usize| lanes.iter().map(move |texts| texts[n].clone());
    let requests: Vec<Request> = (0..per_lane).flat_map(turn).collect();
    let ids = requests.iter().map(Request::id).collect();
    world.publish(requests).await;
    ids
}

async fn accepted(worker: &Worker) -> f64 {
    worker
        .metrics()
        .await
        .sum("requests_total", &[("status", "accepted")])
}

/// Of each number's lane, as this worker knows.
async fn owners(worker: &Worker) -> Vec<String> {
    let lanes = worker.get("/lanes").await.unwrap().json();
    let lanes = lanes.as_array().unwrap().iter();
    let owner = |lane: &serde_json::Value| lane["owner"]["worker"].as_str().unwrap().to_owned();
    let is_number = |lane: &&serde_json::Value| {
        let id = lane["phone_number_id"].as_str().unwrap();
        !id.starts_with("account.")
    };
    lanes.filter(is_number).map(owner).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_the_lanes_and_one_alone_serves_all() {
    let world = World::start(setup().numbers(&LANES.map(|lane| (lane, 1000)))).await;
    let mut other = world.second().await;
    other.metric("lane_subscribed", &[], |n| n == 13.0).await;
    let ids = publish(&world, "shared", 20).await;
    world.check_nothing_lost(&ids).await;
    assert_eq!(world.sim.ledger().len(), 240, "each once");
    // Results can be read before they are counted and their requests acknowledged, which whoever has a lane later would answer again.
    for worker in [&world.worker, &other] {
        worker.metric("lane_in_flight", &[], |n| n == 0.0).await;
        let pending = "acknowledgements_pending";
        worker.metric(pending, &[], |n| n == 0.0).await;
    }
    // The sockets to RabbitMQ are served by the lanes' own thread.
    let threads = threads(world.worker.pid());
    assert!(
        !threads.iter().any(|name| name.starts_with("lapin")),
        "{threads:?}"
    );
    let (a, b) = (accepted(&world.worker).await, accepted(&other).await);
    assert!(
        a >= 20.0 && b >= 20.0,
        "one got nearly nothing: {a} and {b}"
    );
    let told = owners(&world.worker).await;
    assert_eq!(told, owners(&other).await, "they agree");
    for worker in ["worker-a", "worker-b"] {
        assert!(told.iter().any(|owner| owner == worker), "{told:?}");
    }

    // Killed, not drained: RabbitMQ gives its lanes to the other.
    other.kill().await;
    let ids = publish(&world, "alone", 5).await;
    world.check_nothing_lost(&ids).await;
    assert_eq!(owners(&world.worker).await, ["worker-a"; 12]);
    world.finish().await;
}

/// A host that was copied. One that is killed and started again, or that starts while the one before drains, is no namesake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_of_one_name_are_told_of() {
    const WARNING: &str = "another worker runs with this one's worker.id";
    let mut world = World::start(setup()).await;
    world.worker.kill().await;
    world.restart().await;
    world.counts("lane_subscribed", 2.0).await;
    let again = Worker::start(&world.folder, &world.config);
    again.ready().await;
    world.worker.drain().await;
    world.worker = again;
    let mut copy = Worker::start(&world.folder, &world.config);
    copy.ready().await;
    for worker in [&world.worker, &copy] {
        worker.log.line(WARNING).await;
        worker.metric("worker_id_shared", &[], |n| n == 1.0).await;
    }
    assert!(!world.worker.log.text().contains("ERROR"));
    copy.drain().await;
    world.counts("worker_id_shared", 0.0).await;
    assert_eq!(world.worker.log.text().matches(WARNING).count(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_held_is_sent_again_flagged() {
    let mut setup = setup().numbers(&[(NUMBER, 400)]);
    setup.sim.defaults.latency_ms = 100;
    let mut world = World::start(setup).await;
    let ids = world.publish_many(500).await;
    for round in 1..=2 {
        world.has_sent(round * 120).await;
        world.worker.kill().await;
        world.worker = Worker::start(&world.folder, &world.config);
    }
    world.check_nothing_lost(&ids).await;
    let twice = world.sim.ledger().len() - 500;
    assert!(
        twice > 0,
        "the kill hit nothing in flight: not what this test is about"
    );
    world.worker.ready().await;
    world.worker.drain().await;
}

/// Who would rather miss a message than repeat one says so in the config.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_policy_report_nothing_is_sent_twice() {
    let mut setup = setup()
        .numbers(&[(NUMBER, 400)])
        .set("redelivery.policy", "\"report\"");
    setup.sim.defaults.latency_ms = 100;
    let mut world = World::start(setup).await;
    let ids = world.publish_many(300).await;
    world.has_sent(100).await;
    world.worker.kill().await;
    world.worker = Worker::start(&world.folder, &world.config);
    world.check_nothing_lost(&ids).await;
    let duplicates = world.sim.stats().numbers[NUMBER].duplicates;
    assert_eq!(duplicates, Some(0));
    let letters = world.results.letters();
    let unknown = letters
        .iter()
        .filter(|letter| letter.routing_key == "unknown.111")
        .count();
    assert!(unknown > 0, "what was in doubt is told");
    world.worker.ready().await;
    world.worker.drain().await;
}

/// A worker that froze comes back to find its lane with another: it must not go on with what it still holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_worker_repeats_nothing_when_it_thaws() {
    let mut setup = setup().numbers(&[(NUMBER, 50)]);
    setup.sim.defaults.latency_ms = 100;
    let world = World::start(setup).await;
    let ids = world.publish_many(100).await;
    world.has_sent(20).await;
    let mut other = world.second().await;
    other.metric("lane_subscribed", &[], |n| n >= 1.0).await;
    world.worker.signal("STOP");
    // RabbitMQ waits two to three heartbeats, then the other gets what the frozen one had not settled.
    other
        .metric("requests_total", &[("status", "accepted")], |n| n >= 5.0)
        .await;
    world.worker.signal("CONT");
    world.check_nothing_lost(&ids).await;
    other.drain().await;
    world.worker.ready().await;
    world.finish_after_loss().await;
}

/// What the API had answered meanwhile is read, though the time to wait for it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stood_still_reads_the_answers_that_came_meanwhile() {
    let mut setup = setup()
        .set("broker.heartbeat_s", "10")
        .set("graph.request_timeout_ms", "2000");
    setup.sim.defaults.latency_ms = 1_000;
    let world = World::start(setup).await;
    let ids = world.publish_many(20).await;
    world.in_flight(20).await;
    world.worker.signal("STOP");
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.worker.signal("CONT");
    world.check_nothing_lost(&ids).await;
    for letter in world.results.letters() {
        assert_eq!(letter.json()["status"], "accepted");
    }
    assert_eq!(world.worker.lane(NUMBER).await["state"], "flowing");
    world.finish().await;
}

/// RabbitMQ restarts, and not all are back at the same time: who comes first leaves the others' lanes to those who know what they have
/// sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_loss_for_all_each_lane_goes_back_to_its_owner() {
    let mut setup = setup().numbers(&LANES.map(|lane| (lane, 50)));
    setup.sim.defaults.latency_ms = 300;
    let (world, proxy) = World::behind_proxy(setup).await;
    let others = Proxy::to(&VirtualHost::address()).await;
    let config = world.config.replace("\"worker-a\"", "\"worker-b\"");
    let config = config.replace(&proxy.address, &others.address);
    let mut other = Worker::start(&world.folder, &config);
    other.ready().await;
    other.metric("lane_subscribed", &[], |n| n == 13.0).await;
    let ids = publish(&world, "shared", 100).await;
    let some = |stats: &graph_sim::Stats| {
        stats.numbers.len() == 12 && stats.numbers.values().all(|number| number.accepted >= 30)
    };
    within("some sends", world.sim.until(some)).await;
    for proxy in [&proxy, &others] {
        proxy.cut().await;
    }
    // What is in flight is answered meanwhile, and its result has nowhere to go.
    tokio::time::sleep(Duration::from_millis(500)).await;
    others.set(Mode::Pass).await;
    other.ready().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.set(Mode::Pass).await;
    world.check_nothing_lost(&ids).await;
    assert_eq!(world.sim.ledger().len(), 1_200, "each once");
    other.drain().await;
    world.worker.ready().await;
    world.finish_after_loss().await;
}

/// Names of a process's threads.
fn threads(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    // One may have ended meanwhile.
    names.filter_map(Result::ok).collect()
}
