//! Requests that say `dedupe`: an id is sent once, whatever happens to the worker in between.

use crate::support::{NUMBER, Setup, World, poll, within};
use graph_sim::{Action, Fault};
use harness::client::{Letter, Request};
use harness::worker::Worker;
use lapin::types::AMQPValue;

const PERSON: &str = "34600000001";
const LANE: [(&str, &str); 1] = [("phone_number_id", NUMBER)];

/// As an upstream publishes it that has had no confirm: the same once more. Nothing tells the publications apart.
fn deduped(id: &str) -> Request {
    Request::text(id, PERSON).header_value("dedupe", AMQPValue::LongInt(3_600))
}

/// They can be told apart.
fn dated(id: &str, second: u64) -> Request {
    deduped(id).with(|p| p.with_timestamp(second))
}

async fn start() -> World {
    let setup = Setup::default().set("worker.id", "\"worker-a\"");
    World::start(setup.numbers(&[(NUMBER, 100)])).await
}

/// The result of the first, and of each of the others, which says so and is else the same.
fn check(results: &[Letter], status: &str) {
    let first = results[0].json();
    assert_eq!(first["status"], status);
    assert!(first.get("duplicate_of_earlier").is_none(), "{first}");
    for again in &results[1..] {
        let mut again = again.json();
        assert_eq!(again["duplicate_of_earlier"], true, "{again}");
        again
            .as_object_mut()
            .unwrap()
            .remove("duplicate_of_earlier");
        assert_eq!(again, first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_was_accepted_is_answered_by_its_result() {
    let world = start().await;
    world.answer(deduped("a")).await;
    let again = deduped("a")
        .header_value("dedupe", AMQPValue::LongString("60".into()))
        .header("x-own", "second")
        .with(|p| p.with_correlation_id("c-2".into()));
    world.publish([again, dated("a", 1_790_000_000)]).await;
    let results = world.results.several("a", 3).await;
    check(&results, "accepted");
    let second = results
        .iter()
        .find(|result| result.header("x-own").is_some());
    let correlation_id = second.unwrap().properties.correlation_id().clone();
    assert_eq!(correlation_id.unwrap().as_str(), "c-2");
    assert_eq!(world.sim.ledger().len(), 1, "sent once");
    world.counts("duplicates_total", 2.0).await;
    world.metric("lane_remembered_ids", &[], |n| n == 1.0).await;
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_comes_for_each() {
    let world = start().await;
    world.client.call_directly(deduped("a")).await;
    let again = world.client.call_directly(deduped("a")).await;
    assert_eq!(again.json()["duplicate_of_earlier"], true);
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_header_each_is_sent() {
    let world = start().await;
    let plain = || Request::text("a", PERSON);
    world.answer(plain()).await;
    world.publish([plain()]).await;
    let results = world.results.several("a", 2).await;
    assert_ne!(results[0].json()["wamid"], results[1].json()["wamid"]);
    // And counts for one that has it.
    world.publish([deduped("a")]).await;
    let results = world.results.several("a", 3).await;
    assert_eq!(results[2].json()["duplicate_of_earlier"], true);
    assert_eq!(world.sim.ledger().len(), 2);
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_killed_and_started_anew_knows() {
    let mut world = start().await;
    world.answer(deduped("a")).await;
    world.settled().await;
    world.worker.kill().await;
    world.worker = Worker::start(&world.folder, &world.config);
    world.worker.ready().await;
    world.publish([deduped("a"), deduped("b")]).await;
    check(&world.results.several("a", 2).await, "accepted");
    check(&[world.results.wait("b").await], "accepted");
    assert_eq!(world.sim.ledger().len(), 2);
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_worker_of_the_lane_knows_and_the_first_when_it_has_it_back() {
    let mut world = start().await;
    world.answer(deduped("a")).await;
    world.settled().await;
    let mut other = world.second().await;
    other.metric("lane_subscribed", &LANE, |n| n == 1.0).await;
    world.worker.drain().await;
    world.publish([deduped("a"), deduped("b")]).await;
    check(&world.results.several("a", 2).await, "accepted");
    world.results.wait("b").await;
    other.metric("lane_in_flight", &[], |n| n == 0.0).await;
    world.restart().await;
    world.metric("lane_subscribed", &LANE, |n| n == 1.0).await;
    other.drain().await;
    world.publish([deduped("b")]).await;
    check(&world.results.several("b", 2).await, "accepted");
    assert_eq!(world.sim.ledger().len(), 2);
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_in_flight_is_awaited() {
    let world = start().await;
    let slow = Fault::to(PERSON, Action::Slow { ms: 1_500 }).times(1);
    world.sim.set_script(slow);
    world.publish([deduped("a")]).await;
    world.in_flight(1).await;
    // To another person: it is not in the same line.
    let other = Request::text("a", "34600000002").header_value("dedupe", AMQPValue::LongInt(60));
    world.publish([deduped("a"), other]).await;
    check(&world.results.several("a", 3).await, "accepted");
    assert_eq!(world.sim.ledger().len(), 1, "sent once");
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_one_that_was_rejected_the_next_is_sent() {
    let world = start().await;
    world.fail(131026, 1);
    let first = world.answer(deduped("a")).await;
    assert_eq!(first["status"], "rejected");
    world.publish([deduped("a")]).await;
    let results = world.results.several("a", 2).await;
    check(&results[1..], "accepted");
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_on_the_delay_ladder_is_awaited_also_by_another_worker() {
    let mut world = start().await;
    world.fail(131016, 1);
    world.publish([dated("a", 1_790_000_000)]).await;
    world.counts("delayed_total", 1.0).await;
    world.settled().await;
    world.worker.kill().await;
    // While nobody has the lane, so that all is there when somebody takes it. RabbitMQ may hand it to the dead for a moment: then what is
    // delivered again must be told from the first.
    world
        .publish([dated("a", 1_790_000_001), deduped("b")])
        .await;
    world.worker = Worker::start(&world.folder, &world.config);
    world.worker.ready().await;
    check(&world.results.several("a", 2).await, "accepted");
    world.results.wait("b").await;
    assert_eq!(world.sim.ledger().len(), 2, "a failed try is not in it");
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_is_sent() {
    let world = start().await;
    let ids: Vec<String> = (0..40).map(|n| format!("m-{n}")).collect();
    let thrice = (0..3).flat_map(|_| ids.iter().map(|id| deduped(id)));
    let others = thrice.enumerate().map(|(n, request)| {
        // Different people, so that they do not wait in one line.
        let to = format!("346000001{:02}", n % 40);
        let body = serde_json::json!({"to": to, "type": "text", "text": {"body": "hi"}});
        Request {
            body: body.to_string().into_bytes(),
            ..request
        }
    });
    world.publish(others.collect::<Vec<_>>()).await;
    for id in &ids {
        check(&world.results.several(id, 3).await, "accepted");
    }
    assert_eq!(world.sim.ledger().len(), 40);
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_is_no_number_of_seconds_is_refused() {
    let world = start().await;
    for (id, value) in [
        ("zero", AMQPValue::LongInt(0)),
        ("long", AMQPValue::LongLongInt(86_401)),
        ("word", AMQPValue::LongString("yes".into())),
    ] {
        let request = Request::text(id, PERSON).header_value("dedupe", value);
        let result = world.answer(request).await;
        assert_eq!(result["error"]["at"], "/@amqp/headers/dedupe", "{id}");
    }
    world.finish().await;
}

/// The log is away: what needs it waits, until its time is over, and all else goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_log_it_waits_and_holds_up_nobody() {
    let mut world = start().await;
    world.worker.expect_error("wa.results.log cannot be read");
    world.vhost.delete_queue("wa.results.log");
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    let timed = deduped("timed").header("expires-at", &until.to_string());
    world.publish([timed, deduped("waits")]).await;
    assert_eq!(
        world.answer(Request::text("plain", "34600000002")).await["status"],
        "accepted"
    );
    let expired = world.results.wait("timed").await;
    assert_eq!(expired.json()["status"], "expired");
    assert_eq!(world.sim.ledger().len(), 1, "only that which does not ask");
    // Whoever starts declares it anew.
    world.restart().await;
    check(&[world.results.wait("waits").await], "accepted");
    let is_done = || async { world.sim.ledger().len() == 2 };
    within("the send", poll(is_done)).await;
    world.finish_after_loss().await;
}
