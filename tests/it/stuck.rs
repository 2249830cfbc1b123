//! Queues that do not answer: what is published to one waits for it, and nothing else does.

use crate::support::{NUMBER, Setup, World, within};
use harness::broker::VirtualHost;
use harness::client::Request;
use harness::stalling::Stalling;

/// With a proxy before RabbitMQ that can make channels stand.
async fn world(setup: Setup) -> (World, Stalling) {
    let proxy = Stalling::to(&VirtualHost::address()).await;
    (World::before(setup, &proxy.address).await, proxy)
}

fn two_lanes() -> Setup {
    Setup::default()
        .numbers(&[(NUMBER, 100), ("222", 100)])
        .set("broker.confirm_timeout_ms", "500")
}

async fn sessions(world: &World) -> f64 {
    let metrics = world.worker.metrics().await;
    metrics.sum("broker_sessions_total", &[])
}

async fn late(world: &World, exchange: &str, wanted: impl Fn(f64) -> bool) {
    let labels = [("exchange", exchange)];
    world.metric("late_confirms", &labels, wanted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_answer_stops_its_lane_and_no_other() {
    let (world, proxy) = world(two_lanes()).await;
    proxy.stall("accepted.111");
    world.publish(Request::texts("stuck", NUMBER, 3)).await;
    late(&world, "wa.results", |n| n == 3.0).await;
    world.worker.lane_held_by(NUMBER, "broker").await;
    // It sends nothing more; the other does not notice.
    world.publish(Request::texts("held", NUMBER, 50)).await;
    let others = Request::texts("other", "222", 200);
    let ids: Vec<String> = others.iter().map(Request::id).collect();
    world.publish(others).await;
    world.check_nothing_lost(&ids).await;
    world
        .metric("lane_in_flight", &[("phone_number_id", "222")], |n| {
            n == 0.0
        })
        .await;
    assert_eq!(world.worker.get("/readyz").await.unwrap().status, 200);
    assert_eq!(world.sim.stats().numbers[NUMBER].accepted, 3);
    assert_eq!(sessions(&world).await, 1.0);
    proxy.release();
    let all = [
        Request::texts("stuck", NUMBER, 3),
        Request::texts("held", NUMBER, 50),
    ];
    let ids: Vec<String> = all.iter().flatten().map(Request::id).collect();
    world.check_nothing_lost(&ids).await;
    late(&world, "wa.results", |n| n == 0.0).await;
    assert_eq!(world.sim.ledger().len(), 253, "each was sent once");
    assert_eq!(sessions(&world).await, 1.0);
    // And has one result.
    world.finish().await;
}

/// What is kept or comes later waits by itself: not even its own lane does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wa_dead_and_a_rung_that_do_not_answer_stop_no_lane() {
    let (world, proxy) = world(two_lanes()).await;
    proxy.stall("wa.dead");
    world.publish([Request::raw("broken", "{")]).await;
    late(&world, "wa.dead", |n| n == 1.0).await;
    for request in Request::texts("beside", NUMBER, 20) {
        assert_eq!(world.answer(request).await["status"], "accepted");
    }
    assert!(world.results.of("broken").is_empty());
    proxy.release();
    let broken = world.results.wait("broken").await.json();
    assert_eq!(broken["status"], "rejected");

    proxy.stall("wa.delay.");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    let later = Request::text("later", "34610000001").header("not-before", &soon.to_string());
    world.publish([later]).await;
    late(&world, "wa.delay", |n| n == 1.0).await;
    for request in Request::texts("besides", NUMBER, 20) {
        assert_eq!(world.answer(request).await["status"], "accepted");
    }
    assert_eq!(sessions(&world).await, 1.0);
    proxy.release();
    assert_eq!(
        world.results.wait("later").await.json()["status"],
        "accepted"
    );
    assert_eq!(world.sim.ledger().len(), 41, "each was sent once");
    world.finish().await;
}

/// A reply is over and above: nobody waits for it, least of all whose it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_nobody_confirms_holds_nothing_up() {
    // Longer than this test waits for anything.
    let setup = Setup::default()
        .set("broker.confirm_timeout_ms", "120000")
        .set("drain.timeout_s", "150");
    let (world, proxy) = world(setup).await;
    let (stuck, well) = (
        world.client.queue(None).await,
        world.client.queue(None).await,
    );
    let replies = world.client.read(&well).await;
    let name: &'static str = Box::leak(stuck.clone().into_boxed_str());
    proxy.stall(name);
    let ask = |id: String, queue: &str| {
        let queue = queue.to_owned();
        Request::text(&id, "34600000001").with(|p| p.with_reply_to(queue.into()))
    };
    for n in 0..20 {
        let request = ask(format!("unheard-{n}"), &stuck);
        assert_eq!(world.answer(request).await["status"], "accepted");
    }
    world.settled().await;
    for n in 0..20 {
        let id = format!("heard-{n}");
        world.publish([ask(id.clone(), &well)]).await;
        within("a reply", replies.wait(&id)).await;
    }
    let undelivered = |n: f64| n == 20.0;
    world
        .metric("replies_undelivered_total", &[], undelivered)
        .await;
    assert_eq!(sessions(&world).await, 1.0);
    world.finish().await;
}
