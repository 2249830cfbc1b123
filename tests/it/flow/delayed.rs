//! What does not go at once: retries through the ladder, throttles, an API that is away.

use crate::support::{NUMBER, Setup, World, within};
use graph_sim::{Action, Fault, NumberRules};
use harness::client::Request;
use harness::worker::Worker;
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transient_failure_is_tried_again_through_the_ladder() {
    let world = World::start(Setup::default()).await;
    world.fail(131016, 1);
    let result = world.answer(Request::text("shaky", "34600000001")).await;
    assert_eq!(result["status"], "accepted");
    assert_eq!(result["attempts"], 2);
    // Meta says nowhere that 131016 proves the message unsent.
    assert_eq!(result["possible_duplicate"], true);
    let metrics = world.worker.metrics().await;
    assert_eq!(
        metrics.sum("delayed_total", &[("phone_number_id", NUMBER)]),
        1.0
    );
    assert_eq!(
        metrics.sum("attempts_total", &[("outcome", "transient")]),
        1.0
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exhausted_request_fails_and_is_kept_whole() {
    let world = World::start(Setup::default().set("retry.max_attempts", "2")).await;
    let dead = world.dead().await;
    world.fail(131016, 99);
    let request = Request::text("hopeless", "34600000001")
        .header("x-campaign", "spring")
        .header("on-unknown", "resend")
        .with(|p| p.with_correlation_id("order-5".into()).with_priority(7));
    let body = request.body.clone();
    let result = world.call(request).await;
    assert_eq!(result.routing_key, "failed.111");
    assert_eq!(result.json()["attempts"], 2);
    assert_eq!(result.json()["error"]["code"], 131016);
    assert_eq!(result.json()["error"]["class"], "transient");

    let kept = dead.wait("hopeless").await;
    assert_eq!(kept.body, body);
    assert_eq!(kept.header("wa-dead-reason").as_deref(), Some("exhausted"));
    assert_eq!(
        kept.header("wa-dead-code").as_deref(),
        Some("LongLongInt(131016)")
    );
    assert_eq!(kept.header("wa-phone-number-id").as_deref(), Some(NUMBER));
    assert_eq!(kept.header("x-campaign").as_deref(), Some("spring"));
    assert_eq!(kept.header("on-unknown").as_deref(), Some("resend"));
    assert_eq!(
        kept.properties.correlation_id().clone().unwrap().as_str(),
        "order-5"
    );
    assert_eq!(*kept.properties.priority(), Some(7));
    assert_eq!(world.sim.stats().numbers[NUMBER].rejected[&131016], 2);
    world.finish().await;
}

/// Published again from `wa.dead`, its result must still say that the person may have it already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_exhausted_in_doubt_keeps_the_doubt() {
    let world = World::start(Setup::default().set("retry.max_attempts", "1")).await;
    let dead = world.dead().await;
    world
        .sim
        .set_script(Fault::new(Action::ResetAfter {}).times(1));
    let request = Request::text("doubtful", "34600000001").header("on-unknown", "resend");
    assert_eq!(world.answer(request).await["status"], "failed");
    let kept = dead.wait("doubtful").await;
    let mut again = Request::raw("doubtful", kept.body.clone());
    again.headers = kept.properties.headers().clone().unwrap();
    world.publish([again]).await;
    let results = world.results.all(2).await;
    let second = results[1].json();
    assert_eq!(second["status"], "accepted");
    assert_eq!(second["possible_duplicate"], true);
    assert_eq!(world.sim.ledger().len(), 2);
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttle_costs_no_attempt() {
    let world = World::start(Setup::default().set("retry.max_attempts", "1")).await;
    world.fail(130429, 2);
    let result = world
        .answer(Request::text("throttled", "34600000001"))
        .await;
    assert_eq!(result["status"], "accepted");
    assert_eq!(result["attempts"], 1);
    assert_eq!(result["possible_duplicate"], false);
    let metrics = world.worker.metrics().await;
    assert_eq!(
        metrics.sum("attempts_total", &[("outcome", "throttled")]),
        2.0
    );
    assert_eq!(metrics.sum("api_errors_total", &[("code", "130429")]), 2.0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_throttle_holds_one_recipient_only() {
    let world = World::start(Setup::default().set("retry.max_attempts", "1")).await;
    world.fail(131056, 1);
    let held = Request::text("held", "34600000001");
    world.publish([held]).await;
    let struck = world.sim.until(|stats| stats.struck == [1]);
    within("the throttle", struck).await;
    for n in 0..5 {
        let other = Request::text(&format!("other-{n}"), &format!("3460000001{n}"));
        assert_eq!(world.answer(other).await["attempts"], 1);
    }
    assert!(world.results.of("held").is_empty(), "4^0 s are not over");
    let result = world.results.wait("held").await.json();
    assert_eq!(
        (&result["status"], &result["attempts"]),
        (&"accepted".into(), &1.into())
    );
    world.finish().await;
}

/// The simulator enforces the pair limit; the worker keeps it ahead of the send, in memory or through the ladder.
async fn pair_limit_is_kept(pair_wait_max_s: &str) {
    let mut setup = Setup::default()
        .set("pacing.pair_burst", "2")
        .set("pacing.pair_interval_ms", "1000")
        .set("pacing.pair_wait_max_s", pair_wait_max_s);
    setup.sim.defaults = NumberRules {
        mps: Some(10_000),
        pair_burst: 2,
        // Meta's clock starts at the arrival, ours at the departure.
        pair_interval_ms: 900,
        ..NumberRules::default()
    };
    let world = World::start(setup).await;
    // A number, a business-scoped user id, and a group, which is paced as one person.
    let whom = [
        json!({ "to": "34600000001" }),
        json!({ "recipient": "ES.9f3cA71" }),
        json!({ "to": "Y2FwaV9ncm91cDo0", "recipient_type": "group" }),
    ];
    let ids: Vec<String> = (0..12).map(|n| format!("p-{n}")).collect();
    let requests = ids.iter().zip(whom.iter().cycle()).map(|(id, whom)| {
        let mut body = json!({ "type": "text", "text": { "body": "hi" } });
        body.as_object_mut()
            .unwrap()
            .extend(whom.as_object().unwrap().clone());
        Request::json(id, &body)
    });
    world.publish(requests.collect::<Vec<_>>()).await;
    world.accepted_once(&ids).await;
    assert!(world.sim.stats().numbers[NUMBER].rejected.is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pair_limit_is_kept_by_waiting_in_the_lane() {
    pair_limit_is_kept("30").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pair_limit_is_kept_by_waiting_in_rabbitmq() {
    pair_limit_is_kept("0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_refuses_connections_costs_nothing_but_time() {
    let world = World::start(Setup::default().set("retry.max_attempts", "1")).await;
    world.sim.close().await;
    let ids = world.publish_many(20).await;
    let not_sent = [("outcome", "not_sent")];
    world
        .metric("attempts_total", &not_sent, |n| n >= 25.0)
        .await;
    world.sim.open().await;
    world.accepted_once(&ids).await;
    assert_eq!(world.sim.ledger().len(), 20);
    world.finish().await;
}

/// Too long to sit on the messages: they go back to RabbitMQ, and come again without a doubt about them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_outage_of_the_api_leaves_no_doubt_about_anything() {
    let world = World::start(Setup::default().set("retry.max_attempts", "1")).await;
    world.sim.close().await;
    let ids = world.publish_many(5).await;
    world.worker.lane_state(NUMBER, "away").await;
    let lane = world.worker.lane(NUMBER).await;
    let remedy = lane["cause"]["remedy"].as_str().unwrap();
    assert!(remedy.contains("graph.base_url"), "{remedy}");
    world.sim.open().await;
    world.accepted_once(&ids).await;
    assert_eq!(world.sim.ledger().len(), 5);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_the_api_closed_is_no_unknown_outcome() {
    let world = World::start(Setup::default()).await;
    for round in 0..20 {
        let result = world
            .answer(Request::text(&format!("r-{round}"), "34600000001"))
            .await;
        assert_eq!(result["status"], "accepted", "{result}");
        world.sim.close().await;
        let closed = world.sim.until(|stats| stats.connections.now == 0);
        within("the connection's end", closed).await;
        world.sim.open().await;
    }
    assert_eq!(world.sim.ledger().len(), 20);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_outlives_the_worker_that_asked_for_it() {
    let mut world = World::start(Setup::default()).await;
    world.fail(131016, 1);
    let request = Request::text("survivor", "34600000001").header("x-own", "1");
    world.publish([request]).await;
    world.counts("delayed_total", 1.0).await;
    world.settled().await;
    world.worker.kill().await;
    world.worker = Worker::start(&world.folder, &world.config);
    let result = world.results.wait("survivor").await;
    assert_eq!(result.json()["attempts"], 2);
    assert_eq!(result.header("x-own").as_deref(), Some("1"));
    world.worker.ready().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_would_come_after_the_deadline_expires() {
    let world = World::start(Setup::default()).await;
    world.fail(131016, 1);
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(900);
    let request = Request::text("late", "34600000001").header("expires-at", &deadline.to_string());
    let result = world.answer(request).await;
    assert_eq!(result["status"], "expired");
    assert_eq!(result["attempts"], 1);
    assert_eq!(result["error"]["code"], 131016, "why it came to that");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_whose_lane_is_gone_is_answered_and_blocks_no_other() {
    let setup = Setup::default().numbers(&[(NUMBER, 1000), ("222", 1000)]);
    let mut world = World::start(setup).await;
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let later = |id: &str, number: &str| {
        Request::text(id, "34600000001")
            .number(number)
            .header("not-before", &due.to_string())
            .header("x-own", "1")
    };
    world
        .publish([later("orphan", "222"), later("other", NUMBER)])
        .await;
    world.counts("delayed_total", 2.0).await;
    world.worker.drain().await;
    world.vhost.delete_queue("wa.lane.222");
    let number = "[[accounts.numbers]]\nphone_number_id = \"222\"\nmps = 1000\n";
    assert!(world.config.contains(number));
    world.worker = Worker::start(&world.folder, &world.config.replace(number, ""));
    let orphan = world.results.wait("orphan").await;
    assert_eq!(orphan.routing_key, "rejected.222");
    assert_eq!(orphan.json()["error"]["class"], "unknown_number");
    assert_eq!(orphan.header("x-own").as_deref(), Some("1"));
    assert_eq!(
        world.results.wait("other").await.json()["status"],
        "accepted"
    );
    world.worker.ready().await;
    world.finish().await;
}

/// As a campaign may: one id for all, published within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_written_to_under_one_id_within_a_second_are_all_answered() {
    let mut world = World::start(Setup::default()).await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let people = ["34600000001", "34600000002", "34600000003"];
    let requests = people.map(|to| {
        let request = Request::text("campaign", to).header("not-before", &soon.to_string());
        request.with(|p| p.with_timestamp(1_790_000_000))
    });
    world.publish(requests).await;
    let letters = world.results.all(people.len()).await;
    for letter in letters {
        assert_eq!(letter.json()["status"], "accepted");
    }
    let sent = world.sim.ledger();
    assert_eq!(sent.len(), people.len(), "each once");
    let sent: BTreeSet<_> = sent.iter().map(|entry| entry.recipient.as_str()).collect();
    assert_eq!(sent, people.into());
    world.worker.drain().await;
    assert_eq!(world.all_results().await.len(), people.len());
}
