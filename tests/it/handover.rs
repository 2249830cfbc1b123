//! A lane passes from one worker to another: what was sent is not sent again, what was not is in no doubt.

use crate::sre::tool;
use crate::support::{NUMBER, Setup, World, poll, within};
use harness::client::Request;
use harness::worker::Worker;

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
        world.has_sent(round * 50).await;
        world.worker.drain().await;
        world.restart().await;
    }
    world.accepted_once(&ids).await;
    assert_eq!(world.sim.ledger().len(), 300, "each once");
    world.finish().await;
}

/// It has a lane's messages, and not yet the lane: what it gives back is as sure as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_as_soon_as_it_starts_leaves_no_doubt() {
    let setup = Setup::default()
        .set("redelivery.policy", "\"report\"")
        .numbers(&[(NUMBER, 100)]);
    let mut world = World::start(setup).await;
    assert_eq!(world.worker.post("/lanes/111/pause").await.status, 202);
    let ids = world.publish_many(100).await;
    for _ in 0..5 {
        world.worker.drain().await;
        world.restart().await;
    }
    assert_eq!(world.worker.post("/lanes/111/resume").await.status, 202);
    world.accepted_once(&ids).await;
    world.finish().await;
}

/// The result is confirmed, the acknowledgement is lost with the worker: the next one finds the result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_a_result_is_answered_again_and_not_sent() {
    let mut world = World::start(Setup::default().numbers(&[(NUMBER, 100)])).await;
    finds_the_result_of(&mut world, "m-0", &[]).await;
    // RabbitMQ lists consumers some seconds late.
    let listed = || async { readers(&world, "wa.lane.111") == 1 };
    within("the list of consumers", poll(listed)).await;
    let closed = || async { !is_searching(&world) };
    within("the search's end", poll(closed)).await;
    world.worker.drain().await;
}

/// The same, with so many results behind it that the log is read in several steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_many_others_follow_is_found() {
    let mut world = World::start(Setup::default().numbers(&[(NUMBER, 100)])).await;
    world.answer(Request::text("m-0", "34600000001")).await;
    world.settled().await;
    world.worker.kill().await;
    let others = (0..15_000).map(|n| Request {
        exchange: "wa.results.log".to_owned(),
        routing_key: "accepted.112".to_owned(),
        ..Request::raw(&format!("other-{n}"), "{}")
    });
    world.publish(others).await;
    world.publish([Request::text("m-0", "34600000001")]).await;
    world.client.take_and_drop("wa.lane.111").await;
    world.restart().await;
    world
        .metric("evidence_total", &[("result", "found")], |n| n == 1.0)
        .await;
    assert_eq!(world.sim.ledger().len(), 1, "sent once");
    world.worker.drain().await;
}

/// An id that has ended is published again, delivered, and given back before it was sent: it is a request like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_published_again_is_sent_again_after_a_pause() {
    let world = World::start(Setup::default().numbers(&[(NUMBER, 1)])).await;
    let first = world.answer(Request::text("again", "34600000001")).await;
    assert_eq!(first["status"], "accepted");
    // Lots to do, so that the second one waits in the worker's hands.
    let ids = world.publish_many(6).await;
    world.publish([Request::text("again", "34600000001")]).await;
    let path = format!("/api/queues/{}/wa.lane.{NUMBER}", world.vhost.name);
    let is_held = || async {
        let queue = world.vhost.manage("GET", &path, None).json();
        queue["messages_ready"] == 0 && queue["messages_unacknowledged"].as_u64() > Some(1)
    };
    within("all with the worker", poll(is_held)).await;
    world.worker.post(&format!("/lanes/{NUMBER}/pause")).await;
    world.worker.lane_state(NUMBER, "paused").await;
    let is_back = || async {
        let queue = world.vhost.manage("GET", &path, None).json();
        queue["messages_unacknowledged"] == 0
    };
    within("all with RabbitMQ", poll(is_back)).await;
    world.worker.post(&format!("/lanes/{NUMBER}/resume")).await;
    let results = world.results.several("again", 2).await;
    assert_ne!(results[0].json()["wamid"], results[1].json()["wamid"]);
    for id in &ids {
        world.results.wait(id).await;
    }
    world.finish_after_loss().await;
}

/// What is published again, later or from `wa.dead`, is not answered by the result of what it repeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_of_an_earlier_publication_answers_no_later_one() {
    let mut world = World::start(
        Setup::default()
            .set("retry.max_attempts", "1")
            .numbers(&[(NUMBER, 100)]),
    )
    .await;
    let dead = world.dead().await;
    world.fail(131016, 1);
    let first = world.answer(Request::text("dead", "34600000001")).await;
    assert_eq!(first["status"], "failed");
    let kept = dead.wait("dead").await;
    let stamped = |at: u64| Request::text("dated", "34600000002").with(|p| p.with_timestamp(at));
    world.answer(stamped(1_790_000_000)).await;
    world.settled().await;
    world.worker.kill().await;
    let replay = Request {
        headers: kept.properties.headers().clone().unwrap(),
        properties: kept.properties.clone(),
        ..Request::raw("dead", kept.body)
    };
    world.publish([replay, stamped(1_790_000_001)]).await;
    // Delivered before, so that the log is searched.
    world.client.take_and_drop("wa.lane.111").await;
    world.worker = Worker::start(&world.folder, &world.config);
    for id in ["dead", "dated"] {
        let second = world.results.several(id, 2).await[1].json();
        assert_eq!(second["status"], "accepted", "{second}");
        assert_eq!(second["possible_duplicate"], true, "{second}");
    }
    assert_eq!(world.sim.ledger().len(), 3, "each sent");
    world.worker.drain().await;
}

/// RabbitMQ 4.3.6 keeps a consumer whose channel ends while a worker of higher priority waits for its messages, and gives it the lane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_given_up_while_another_waits_for_it_is_served_again() {
    let world = World::start(Setup::default().numbers(&[(NUMBER, 20)])).await;
    let ids = world.publish_many(60).await;
    let holds_some = |lane: &serde_json::Value| lane["waiting"].as_u64() > Some(0);
    within(
        "messages",
        poll(|| async { holds_some(&world.worker.lane(NUMBER).await) }),
    )
    .await;
    let other = world.client.contend("wa.lane.111").await;
    other.close(200, "OK".into()).await.unwrap();
    assert_eq!(world.worker.post("/lanes/111/pause").await.status, 202);
    world.worker.lane_state(NUMBER, "paused").await;
    assert_eq!(world.worker.post("/lanes/111/resume").await.status, 202);
    world.accepted(&ids).await;
    assert_eq!(world.sim.ledger().len(), 60, "each once");
    world.finish().await;
}

/// One whose clock is ten minutes off, after one whose clock is as wrong, right, or the other way round.
async fn clocks(off_s: i32) {
    let library = tool("DISPATCHER_TEST_FAKETIME");
    let mut world = World::start(Setup::default().numbers(&[(NUMBER, 100)])).await;
    for (n, (first, next)) in [(off_s, off_s), (off_s, 0), (0, off_s)].iter().enumerate() {
        let clock = |off_s: &i32| format!("{off_s:+}");
        world.worker.kill().await;
        let variables = |clock| {
            [
                ("LD_PRELOAD", library.as_str()),
                ("FAKETIME", clock),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ]
        };
        let (first, next) = (clock(first), clock(next));
        world.worker = Worker::start_with(&world.folder, &world.config, &variables(&first));
        finds_the_result_of(&mut world, &format!("m-{n}"), &variables(&next)).await;
    }
    world.worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_found_with_a_clock_that_is_ahead() {
    clocks(600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_found_with_a_clock_that_is_behind() {
    clocks(-600).await;
}

/// Answers a request, dies, and lets another worker have the request again, which is started with these environment variables.
async fn finds_the_result_of(world: &mut World, id: &str, variables: &[(&str, &str)]) {
    let sent = world.sim.ledger().len();
    let first = world.answer(Request::text(id, "34600000001")).await;
    assert_eq!(first["status"], "accepted");
    world.settled().await;
    world.worker.kill().await;
    // As if its acknowledgement had been lost: it waits in the lane, and was delivered before.
    world.publish([Request::text(id, "34600000001")]).await;
    world.client.take_and_drop("wa.lane.111").await;
    world.worker = Worker::start_with(&world.folder, &world.config, variables);
    let results = world.results.several(id, 2).await;
    assert_eq!(results[0].json(), results[1].json());
    assert_eq!(world.sim.ledger().len(), sent + 1, "sent once");
    world
        .metric("evidence_total", &[("result", "found")], |n| n == 1.0)
        .await;
}

/// Not by its consumers: of a connection as short as that RabbitMQ lists some for two minutes.
fn is_searching(world: &World) -> bool {
    let path = format!("/api/vhosts/{}/connections", world.vhost.name);
    let connections = world.vhost.manage("GET", &path, None).json();
    let name = |connection: &serde_json::Value| {
        connection["client_properties"]["connection_name"] == "whatsapp-dispatcher evidence"
    };
    connections
        .as_array()
        .is_some_and(|all| all.iter().any(name))
}

fn readers(world: &World, queue: &str) -> usize {
    let path = format!("/api/consumers/{}", world.vhost.name);
    let consumers = world.vhost.manage("GET", &path, None).json();
    let of_queue = |consumer: &&serde_json::Value| consumer["queue"]["name"] == queue;
    consumers
        .as_array()
        .map_or(0, |all| all.iter().filter(of_queue).count())
}
