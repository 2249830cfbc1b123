//! What travels beside the body: AMQP properties and headers, there and back.

use crate::support::{Setup, World, within};
use graph_sim::{Action, Fault};
use harness::client::Request;
use lapin::types::AMQPValue;

/// The API fails once for this recipient, so that the request passes the delay ladder.
const SHAKY: &str = "34600000099";

fn shaky_once() -> Fault {
    Fault::to(SHAKY, Action::error(131016)).times(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_trace_context_are_echoed_also_after_a_retry() {
    let world = World::start(Setup::default()).await;
    world.sim.set_script(shaky_once());
    for (id, to, attempts) in [("straight", "34600000001", 1), ("retried", SHAKY, 2)] {
        let request = Request::text(id, to)
            .header("x-campaign", "spring")
            .header_value("x-count", AMQPValue::LongInt(7))
            .header(
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .header("tracestate", "shop=1")
            .header("internal", "not for the result")
            .with(|p| p.with_correlation_id("order-5".into()));
        let result = world.call(request).await;
        assert_eq!(result.json()["attempts"], attempts);
        let headers = result.properties.headers().clone().unwrap();
        let names: Vec<&str> = headers.inner().keys().map(|name| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "traceparent",
                "tracestate",
                "wa-incarnation",
                "wa-writer",
                "x-campaign",
                "x-count"
            ]
        );
        assert_eq!(result.header("x-campaign").as_deref(), Some("spring"));
        assert_eq!(headers.inner()["x-count"], AMQPValue::LongInt(7));
        assert_eq!(result.header("tracestate").as_deref(), Some("shop=1"));
        let correlation_id = result.properties.correlation_id().clone().unwrap();
        assert_eq!(correlation_id.as_str(), "order-5");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_counted_by_tag() {
    let world = World::start(Setup::default().set("metrics.max_tags", "2")).await;
    world.sim.set_script(shaky_once());
    let text = |tag: &str| AMQPValue::LongString(tag.into());
    let list = AMQPValue::FieldArray(vec![text("spring"), text("es")].into());
    for (id, to, tag) in [
        ("retried", SHAKY, text("spring")),
        ("listed", "34600000001", list),
        ("third", "34600000002", text("autumn")),
        ("refused", "34600000003", AMQPValue::LongInt(7)),
    ] {
        let request = Request::text(id, to).header_value("tag", tag.clone());
        let result = world.call(request).await;
        let headers = result.properties.headers().clone().unwrap();
        assert_eq!(headers.inner().get("tag"), Some(&tag), "{id}");
        if id == "refused" {
            let at = &result.json()["error"]["at"];
            assert_eq!(at, "/@amqp/headers/tag");
        }
    }
    let metrics = world.worker.metrics().await;
    for (tag, status, count) in [
        ("spring", "accepted", 2.0),
        ("spring", "rejected", 0.0),
        ("es", "accepted", 1.0),
        ("other", "accepted", 1.0),
    ] {
        let labels = [("tag", tag), ("status", status)];
        assert_eq!(metrics.sum("tagged_results_total", &labels), count, "{tag}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_queue_gets_the_result_as_well() {
    let world = World::start(Setup::default()).await;
    let queue = world.client.queue(None).await;
    let replies = world.client.read(&queue).await;
    let ask = |id: &str, reply_to: &str| {
        let reply_to = reply_to.to_owned();
        Request::text(id, "34600000001").with(|p| {
            p.with_reply_to(reply_to.into())
                .with_correlation_id("call-1".into())
        })
    };
    let result = world.call(ask("asked", &queue)).await;
    let reply = replies.wait("asked").await;
    assert_eq!(reply.json(), result.json());
    assert_eq!(
        reply.properties.correlation_id().clone().unwrap().as_str(),
        "call-1"
    );

    // A queue that is gone costs the reply and nothing else.
    let result = world.call(ask("gone", "no-such-queue")).await;
    assert_eq!(result.json()["status"], "accepted");
    world.counts("replies_undelivered_total", 1.0).await;

    // As clients of AMQP 1.0 and STOMP write it.
    for prefix in ["/queues/", "/queue/"] {
        let id = format!("asked{}", prefix.replace('/', "-"));
        let encoded = queue.replace("gen", "%67en");
        world.call(ask(&id, &format!("{prefix}{encoded}"))).await;
        assert_eq!(replies.wait(&id).await.json()["status"], "accepted");
    }

    // RPC clients name no queue at all.
    let direct = world
        .client
        .call_directly(Request::text("direct", "34600000001"))
        .await;
    assert_eq!(direct.id().as_deref(), Some("direct"));
    assert_eq!(direct.json()["status"], "accepted");

    // A refusal is a result like any other.
    let refused = ask("refused", &queue);
    world
        .call(Request {
            body: b"{}".to_vec(),
            ..refused
        })
        .await;
    assert_eq!(replies.wait("refused").await.json()["status"], "rejected");
    world.finish().await;
}

/// With the worker's rights a caller could put anything into any queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_goes_to_no_queue_of_the_dispatchers_own() {
    let world = World::start(Setup::default()).await;
    let queues = ["wa.delay.0", "/queues/wa.%64ead"];
    for (n, queue) in queues.into_iter().enumerate() {
        let request = Request::text(&format!("own-{n}"), "34600000001");
        let request = request.with(|p| p.with_reply_to(queue.into()));
        let result = world.answer(request).await;
        assert_eq!(result["error"]["at"], "/@amqp/reply_to", "{result}");
    }
    // Nor is one sent for a number that nobody serves.
    let stranger = Request::text("stranger", "34600000001").number("999");
    let stranger = stranger.with(|p| p.with_reply_to("wa.dead".into()));
    assert_eq!(world.answer(stranger).await["status"], "rejected");
    assert!(world.sim.ledger().is_empty());
    let dead = world.dead().await;
    let broken = Request::raw("broken", "{");
    world.publish([broken]).await;
    dead.wait("broken").await;
    assert_eq!(dead.letters().len(), 1);
    world.finish().await;
}

/// Whoever may publish to any queue can put something on the ladder that no rung has a way for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strays_onto_the_ladder_leaves_it_again() {
    let world = World::start(Setup::default()).await;
    let mut stray = Request::text("stray", "34600000001").number("wa.delay.0");
    stray.exchange = String::new();
    let result = world.answer(stray).await;
    assert_eq!(result["error"]["class"], "unknown_number");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let later = Request::text("later", "34600000001").header("not-before", &soon.to_string());
    assert_eq!(world.answer(later).await["status"], "accepted");
    world.finish().await;
}

/// RabbitMQ routes a copy to every key that `CC` and `BCC` name, on each publish: the caller's own, but none of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cc_header_reroutes_nothing_of_ours() {
    let world = World::start(Setup::default()).await;
    world.sim.set_script(shaky_once());
    let spy = world.client.queue(Some(("wa.results", "spy.#"))).await;
    for exchange in ["wa.delay.0", "wa.delay.out"] {
        world.client.bind(&spy, exchange, "spy.#").await;
    }
    let spied = world.client.read(&spy).await;
    let keys = || {
        let key = AMQPValue::LongString("spy.here".into());
        AMQPValue::FieldArray(vec![key].into())
    };
    let request = Request::text("cc", SHAKY)
        .header_value("CC", keys())
        .header_value("BCC", keys())
        .header("x-own", "1");
    let result = world.call(request).await;
    assert_eq!(result.json()["attempts"], 2);
    // A malformed one goes to wa.dead, whole but for what would route it again.
    let broken = Request::raw("cc-broken", "{").header_value("CC", keys());
    let dead = world.dead().await;
    world.call(broken).await;
    assert_eq!(dead.wait("cc-broken").await.header("CC"), None);
    world.all_results().await;
    assert!(spied.letters().is_empty());
    world.finish().await;
}

/// Every property that RabbitMQ knows, with headers that the contract names and one that it does not.
fn with_everything(request: Request) -> Request {
    let request = request
        .header("x-campaign", "spring")
        .header("on-unknown", "report")
        .header("internal", "ours");
    request.with(|p| {
        p.with_content_type("application/json".into())
            .with_content_encoding("identity".into())
            .with_priority(3)
            .with_correlation_id("order-5".into())
            .with_reply_to("no-such-queue".into())
            .with_expiration("600000".into())
            .with_timestamp(1_700_000_000)
            .with_type("message".into())
            .with_user_id("guest".into())
            .with_app_id("crm".into())
            .with_cluster_id("east".into())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_kept_with_all_its_properties() {
    let world = World::start(Setup::default().set("retry.max_attempts", "2")).await;
    world.sim.set_script(shaky_once().times(2));
    let dead = world.dead().await;
    for (request, internal) in [
        (Request::raw("malformed", "{"), Some("ours")),
        // This one was on the ladder, which carries what the contract names.
        (Request::text("exhausted", SHAKY), None),
    ] {
        let came = with_everything(request);
        let result = world.call(came.clone()).await;
        assert_eq!(result.properties.user_id(), &None);
        assert_eq!(result.properties.app_id(), &None);
        let kept = dead.wait(&came.id()).await;
        assert_eq!(kept.body, came.body);
        // RabbitMQ would act on these two: they are there as headers alone.
        assert_eq!(kept.properties.user_id(), &None);
        assert_eq!(kept.properties.expiration(), &None);
        assert_eq!(kept.header("wa-user-id").as_deref(), Some("guest"));
        assert_eq!(kept.header("wa-expiration").as_deref(), Some("600000"));
        let headers = kept.properties.headers().clone().unwrap();
        let with_both = kept.properties.clone();
        let with_both = with_both.with_user_id("guest".into());
        let with_both = with_both.with_expiration("600000".into());
        assert_eq!(with_both, came.properties.with_headers(headers));
        assert_eq!(kept.header("x-campaign").as_deref(), Some("spring"));
        assert_eq!(kept.header("on-unknown").as_deref(), Some("report"));
        assert_eq!(kept.header("internal").as_deref(), internal);
    }
    world.finish().await;
}

/// RabbitMQ delivers such a copy with the routing key that the caller named first, whichever lane it comes by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_by_cc_is_its_own_lanes_also_later_and_when_given_up() {
    let setup = Setup::default().numbers(&[("111", 1000), ("222", 1000)]);
    let world = World::start(setup).await;
    let mut fault = shaky_once();
    fault.matches.phone_number_id = Some("222".to_owned());
    world.sim.set_script(fault);
    let to_both = |request: Request| {
        let other = AMQPValue::LongString("222".into());
        request.header_value("CC", AMQPValue::FieldArray(vec![other].into()))
    };
    let (shaky, broken) = (
        Request::text("cc-shaky", SHAKY),
        Request::raw("cc-broken", "{"),
    );
    let dead = world.dead().await;
    world.publish([to_both(shaky), to_both(broken)]).await;
    let results = world.results.all(4).await;
    let mut keys: Vec<&str> = results.iter().map(|r| r.routing_key.as_str()).collect();
    keys.sort_unstable();
    let expected = [
        "accepted.111",
        "accepted.222",
        "rejected.111",
        "rejected.222",
    ];
    assert_eq!(keys, expected);
    let mut sent_by: Vec<String> = world
        .sim
        .ledger()
        .into_iter()
        .map(|entry| entry.phone_number_id)
        .collect();
    sent_by.sort();
    assert_eq!(sent_by, ["111", "222"]);
    let buried = dead.all(2).await;
    let mut lanes: Vec<Option<String>> = buried
        .iter()
        .map(|kept| kept.header("wa-phone-number-id"))
        .collect();
    lanes.sort();
    assert_eq!(lanes, ["111", "222"].map(|lane| Some(lane.to_owned())));
    for kept in buried {
        assert_eq!(
            kept.header("wa-phone-number-id").as_deref(),
            Some(kept.routing_key.as_str())
        );
    }
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn priority_five_and_above_is_the_high_class() {
    let world = World::start(Setup::default()).await;
    for (id, priority) in [("p0", 0), ("p4", 4), ("p5", 5), ("p9", 9)] {
        world
            .call(Request::text(id, "34600000001").with(|p| p.with_priority(priority)))
            .await;
    }
    for class in ["high", "bulk"] {
        let labels = [("status", "accepted"), ("priority", class)];
        world.metric("requests_total", &labels, |n| n == 2.0).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_past_its_deadline_expires_unsent() {
    let world = World::start(Setup::default()).await;
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let past = [
        ("text", AMQPValue::LongString("2020-01-01T00:00:00Z".into())),
        (
            "offset",
            AMQPValue::LongString("2020-01-01T02:00:00+02:00".into()),
        ),
        ("timestamp", AMQPValue::Timestamp(now_s - 60)),
    ];
    for (id, at) in past {
        let result = world
            .call(Request::text(id, "34600000001").header_value("expires-at", at))
            .await;
        assert_eq!(result.routing_key, "expired.111");
        assert_eq!(result.json()["attempts"], 0);
    }
    let ahead =
        Request::text("in-time", "34600000001").header("expires-at", "2999-01-01T00:00:00Z");
    assert_eq!(world.answer(ahead).await["status"], "accepted");
    assert_eq!(world.sim.ledger().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_request_is_not_sent_before_its_time() {
    let world = World::start(Setup::default()).await;
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(2300);
    let request = Request::text("scheduled", "34600000001").header("not-before", &due.to_string());
    // One whose deadline comes first expires, at its time or before; it is never sent.
    let deadline = (due - jiff::SignedDuration::from_secs(1)).to_string();
    let hopeless = Request::text("hopeless", "34600000002")
        .header("not-before", &due.to_string())
        .header("expires-at", &deadline);
    world.publish([request, hopeless]).await;
    let result = within("the scheduled send", world.results.wait("scheduled"))
        .await
        .json();
    let sent: jiff::Timestamp = result["sent_at"].as_str().unwrap().parse().unwrap();
    let late = sent.duration_since(due);
    assert!(
        late >= jiff::SignedDuration::ZERO,
        "sent {late:?} after its time"
    );
    assert!(
        late <= jiff::SignedDuration::from_secs(2),
        "sent {late:?} after its time"
    );
    assert_eq!(result["attempts"], 1);
    assert_eq!(result["possible_duplicate"], false);
    assert_eq!(
        world.results.wait("hopeless").await.json()["status"],
        "expired"
    );
    assert_eq!(world.sim.ledger().len(), 1);
    world.finish().await;
}

/// RabbitMQ takes such a request out of its lane by itself; it must not vanish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_amqp_expiration_is_over_is_answered_expired() {
    let world = World::start(Setup::default()).await;
    world.worker.post("/lanes/111/pause").await;
    world.worker.lane_state("111", "paused").await;
    let lane = [("phone_number_id", "111")];
    world.metric("lane_subscribed", &lane, |n| n == 0.0).await;
    let brief = Request::text("brief", "34600000001").with(|p| p.with_expiration("300".into()));
    world.publish([brief]).await;
    let result = world.results.wait("brief").await;
    assert_eq!(result.routing_key, "expired.111");
    world.worker.post("/lanes/111/resume").await;
    assert_eq!(
        world.answer(Request::text("after", "34600000001")).await["status"],
        "accepted"
    );
    assert_eq!(world.sim.ledger().len(), 1);
    world.finish().await;
}
