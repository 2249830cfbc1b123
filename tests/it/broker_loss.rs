//! The broker goes away in every way it can, with work in flight: nothing is lost, and what may be a duplicate says so.

use crate::support::{NUMBER, Setup, World, poll, within};
use harness::client::Request;
use harness::proxy::Mode;
use serde_json::json;

async fn not_ready(world: &World) {
    let ended = poll(|| async { world.worker.get("/readyz").await.unwrap().status == 503 });
    within("readiness to end", ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_under_load_lose_nothing() {
    let mut setup = Setup::default().numbers(&[(NUMBER, 400)]);
    setup.sim.defaults.latency_ms = 30;
    let (world, proxy) = World::behind_proxy(setup).await;
    let ids = world.publish_many(800).await;
    for round in 1..=4 {
        world.has_sent(round * 130).await;
        proxy.reset_all();
        let sessions = f64::from(u32::try_from(round).unwrap() + 1);
        world
            .metric("broker_sessions_total", &[], |n| n >= sessions)
            .await;
    }
    world.check_nothing_lost(&ids).await;
    world.worker.ready().await;
    let metrics = world.worker.metrics().await;
    assert_eq!(metrics.sum("broker_connected", &[]), 1.0);
    assert!(metrics.sum("redelivered_total", &[]) > 0.0);
    // This worker lived through it, so it knows what it had sent.
    assert_eq!(
        world.sim.ledger().len(),
        800,
        "a session lost is no reason to repeat"
    );
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_lose_no_retry_and_no_refusal() {
    use graph_sim::{Action, Fault};
    let mut setup = Setup::default()
        .numbers(&[(NUMBER, 400)])
        .set("retry.max_attempts", "100");
    setup.sim.defaults.latency_ms = 10;
    let (world, proxy) = World::behind_proxy(setup).await;
    let mut shaky = Fault::new(Action::error(131016));
    shaky.matches.ratio = Some(0.3);
    world.sim.set_script(shaky);
    let mut ids = world.publish_many(300).await;
    let broken: Vec<String> = (0..100).map(|n| format!("broken-{n}")).collect();
    world
        .publish(broken.iter().map(|id| Request::raw(id, "{")))
        .await;
    let strangers: Vec<String> = (0..100).map(|n| format!("stranger-{n}")).collect();
    world
        .publish(
            strangers
                .iter()
                .map(|id| Request::text(id, "1").number("999")),
        )
        .await;
    ids.extend(broken.into_iter().chain(strangers));
    for round in 1..=3 {
        world.has_sent(round * 60).await;
        proxy.reset_all();
    }
    world.check_nothing_lost(&ids).await;
    world.worker.ready().await;
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_refuses_for_a_while_is_waited_for() {
    let mut setup = Setup::default();
    setup.sim.defaults.latency_ms = 700;
    let (world, proxy) = World::behind_proxy(setup).await;
    let ids = world.publish_many(30).await;
    world.in_flight(30).await;
    proxy.cut().await;
    not_ready(&world).await;
    world.counts("broker_connected", 0.0).await;
    // Their answers come while there is nobody to tell.
    world.in_flight(0).await;
    world.worker.log.line("no broker session").await;
    proxy.set(Mode::Pass).await;
    world.worker.ready().await;
    world.check_nothing_lost(&ids).await;
    assert_eq!(
        world.sim.ledger().len(),
        30,
        "the results were kept, nothing was repeated"
    );
    let metrics = world.worker.metrics().await;
    assert_eq!(metrics.sum("broker_sessions_total", &[]), 2.0);
    assert_eq!(metrics.sum("broker_connected", &[]), 1.0);
    world.finish_after_loss().await;
}

/// RabbitMQ gives the lane away after two heartbeats of 5 s at the earliest; the worker cannot know, so it stops before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_falls_silent_stops_the_sends_before_it_gives_the_lane_away() {
    // A slow lane that may have much in flight: nothing but the silence stops it.
    let mut setup = Setup::default()
        .numbers(&[(NUMBER, 4)])
        .set("lanes.latency_ms", "60000")
        .set("broker.confirm_timeout_ms", "30000")
        .set("drain.timeout_s", "40");
    setup.sim.defaults.latency_ms = 50;
    let (world, proxy) = World::behind_proxy(setup).await;
    let ids = world.publish_many(90).await;
    world.has_sent(3).await;
    proxy.set(Mode::BlackHole).await;
    let began_ms = world.sim.stats().now_ms;
    not_ready(&world).await;
    world.counts("broker_connected", 0.0).await;
    let stats = world.sim.stats();
    let last_ms = stats.numbers[NUMBER].last_accepted_ms.unwrap() - began_ms;
    // It goes on while it may: a short silence is no reason to stop.
    assert!(
        (3000.0..8500.0).contains(&last_ms),
        "the last send was {last_ms} ms after"
    );
    assert!(
        stats.numbers[NUMBER].accepted < 90,
        "there was nothing left to send"
    );
    proxy.set(Mode::Pass).await;
    world.worker.ready().await;
    world.check_nothing_lost(&ids).await;
    assert_eq!(world.sim.ledger().len(), 90);
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_lane_is_found_and_mended() {
    let world = World::start(Setup::default().numbers(&[(NUMBER, 1000), ("222", 1000)])).await;
    world.call(Request::text("before", "34600000001")).await;
    for round in 1..=2 {
        world.vhost.delete_queue("wa.lane.111");
        let lane = [("phone_number_id", NUMBER)];
        world
            .metric("lane_resubscriptions_total", &lane, |n| {
                n == f64::from(round)
            })
            .await;
        world.metric("lane_subscribed", &lane, |n| n == 1.0).await;
        let id = format!("after-{round}");
        assert_eq!(
            world.answer(Request::text(&id, "34600000001")).await["status"],
            "accepted"
        );
    }
    let lost = world.worker.log.line("the lane lost its consumer").await;
    assert!(lost.contains("phone_number_id=111"));
    let other = world
        .answer(Request::text("other", "34600000001").number("222"))
        .await;
    assert_eq!(other["status"], "accepted");
    let metrics = world.worker.metrics().await;
    assert_eq!(
        metrics.sum("lane_resubscriptions_total", &[("phone_number_id", "222")]),
        0.0
    );
    assert_eq!(metrics.sum("broker_sessions_total", &[]), 1.0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_broker_is_only_slow() {
    let (world, proxy) = World::behind_proxy(Setup::default()).await;
    proxy
        .set(Mode::Delay(std::time::Duration::from_millis(100)))
        .await;
    let ids = world.publish_many(100).await;
    world.check_nothing_lost(&ids).await;
    assert_eq!(world.sim.ledger().len(), 100);
    assert_eq!(world.sum("broker_sessions_total", &[]).await, 1.0);
    proxy.set(Mode::Pass).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_no_queue_takes_is_kept_until_one_does() {
    let mut world = World::start(Setup::default()).await;
    world
        .worker
        .expect_error("RabbitMQ does not take a publish");
    world.vhost.delete_queue("wa.results.log");
    world.client.unbind(&world.results, "wa.results", "#").await;
    let ids = world.publish_many(5).await;
    let refused = [("why", "unroutable")];
    world
        .metric("publish_refused_total", &refused, |n| n >= 10.0)
        .await;
    let queue = world.results.name.clone();
    world.client.bind(&queue, "wa.results", "#").await;
    world.check_nothing_lost(&ids).await;
    assert_eq!(world.sim.ledger().len(), 5, "each was sent once");
    world.finish().await;
}

/// A reader whose queue is full stops the lanes whose results it wants, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_of_results_stops_its_lane_until_there_is_room() {
    let setup = Setup::default().numbers(&[(NUMBER, 100), ("222", 100)]);
    let mut world = World::start(setup).await;
    world
        .worker
        .expect_error("RabbitMQ does not take a publish");
    let arguments = json!({
        "x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"
    });
    let full = json!({ "durable": true, "arguments": arguments });
    let vhost = &world.vhost.name;
    world
        .vhost
        .manage("PUT", &format!("/api/queues/{vhost}/full"), Some(full));
    let binding = format!("/api/bindings/{vhost}/e/wa.results/q/full");
    let key = json!({ "routing_key": "*.111" });
    world.vhost.manage("POST", &binding, Some(key));
    let ids = world.publish_many(300).await;
    world
        .metric("refused_publishes_waiting", &[], |n| n >= 1.0)
        .await;
    let answer = world.worker.get("/readyz").await.unwrap();
    assert_eq!(
        (answer.status, &*answer.body),
        (503, "the broker refuses results\n")
    );
    assert_eq!(world.worker.lane(NUMBER).await["held_by"], "broker");
    let sent = world.sim.ledger().len();
    assert!(sent < 100, "{sent} were sent");
    for n in 0..20 {
        let id = format!("other-{n}");
        let request = Request::text(&id, &format!("3461{n:07}")).number("222");
        assert_eq!(world.answer(request).await["status"], "accepted");
    }
    world
        .metric("publish_refused_total", &[("why", "nack")], |n| n >= 5.0)
        .await;
    let stood = world.sim.stats().numbers[NUMBER].accepted;
    assert!(stood < 100, "{stood} were sent");
    world.vhost.delete_queue("full");
    world.check_nothing_lost(&ids).await;
    world.worker.ready().await;
    let metrics = world.worker.metrics().await;
    assert_eq!(metrics.sum("refused_publishes_waiting", &[]), 0.0);
    assert_eq!(world.sim.ledger().len(), 320, "each was sent once");
    let text = world.worker.log.text();
    assert_eq!(text.matches("does not take a publish").count(), 1, "{text}");
    assert!(text.contains("takes publishes again"));
    world.finish_after_loss().await;
}

/// A request that comes while its lane has no queue is no stranger's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_finds_no_queue_waits_for_one() {
    let world = World::start(Setup::default()).await;
    assert_eq!(world.worker.post("/lanes/111/pause").await.status, 202);
    let gone = [("phone_number_id", NUMBER)];
    world.metric("lane_subscribed", &gone, |n| n == 0.0).await;
    world.vhost.delete_queue("wa.lane.111");
    let stray = Request::text("stray", "34600000001").header("x-own", "1");
    let broken = Request::raw("broken", "{\"to\":").number(NUMBER);
    world.publish([stray, broken]).await;
    assert_eq!(
        world.results.wait("broken").await.json()["error"]["class"],
        "invalid"
    );
    world.metric("delayed_total", &gone, |n| n >= 2.0).await;
    assert_eq!(world.worker.post("/lanes/111/resume").await.status, 202);
    let letter = world.results.wait("stray").await;
    let result = letter.json();
    assert_eq!(result["status"], "accepted");
    assert_eq!(
        (&result["attempts"], &result["possible_duplicate"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(letter.header("x-own").as_deref(), Some("1"));
    world.finish().await;
}
