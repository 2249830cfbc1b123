//! What nobody should publish: it is answered and kept, and never stands in anyone's way.

use crate::support::{Setup, World};
use graph_sim::{Action, Fault};
use harness::broker::VirtualHost;
use harness::client::Client;
use harness::client::Request;
use harness::proxy::Proxy;
use lapin::BasicProperties;
use lapin::types::AMQPValue;

fn deep(levels: usize) -> Vec<u8> {
    let mut body = br#"{"to":"1","x":"#.to_vec();
    body.extend(vec![b'['; levels]);
    body.extend(vec![b']'; levels]);
    body.push(b'}');
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_parsed_is_kept_whole_and_others_flow() {
    let world = World::start(Setup::default()).await;
    let dead = world.dead().await;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("no-json", b"to=34600777888&text=hello".to_vec()),
        ("cut-off", br#"{"to":"34600777888","text":{"bo"#.to_vec()),
        ("list", br#"[{"to":"34600777888"}]"#.to_vec()),
        ("null", b"null".to_vec()),
        ("bytes", vec![0, 255, 254, 10, 13, 0]),
        ("deep", deep(5_000)),
        ("large", vec![b' '; 10_000_000]),
        ("two", br#"{"to":"1"}{"to":"2"}"#.to_vec()),
    ];
    for (id, body) in cases {
        let after = format!("after-{id}");
        world
            .publish([
                Request::raw(id, body.clone()).header("x-from", "test"),
                Request::text(&after, "34600000001"),
            ])
            .await;
        let result = world.results.wait(id).await;
        assert_eq!(result.routing_key, "rejected.111");
        assert_eq!(result.json()["error"]["at"], "", "the whole body");
        let text = String::from_utf8(result.body).unwrap();
        assert!(!text.contains("34600777888"), "{text}");
        let kept = dead.wait(id).await;
        // Except what is too large.
        let (reason, whole, bytes) = match id {
            "large" => ("too_large", vec![], Some("LongLongInt(10000000)")),
            _ => ("malformed", body, None),
        };
        assert!(kept.body == whole, "{id} is kept as it came");
        assert_eq!(kept.header("wa-dead-reason").as_deref(), Some(reason));
        assert_eq!(kept.header("wa-body-bytes").as_deref(), bytes);
        assert_eq!(kept.header("wa-phone-number-id").as_deref(), Some("111"));
        assert_eq!(kept.header("x-from").as_deref(), Some("test"));
        assert_eq!(
            world.results.wait(&after).await.json()["status"],
            "accepted"
        );
    }
    assert_eq!(world.sum("dead_letters_total", &[]).await, 9.0);
    assert_eq!(world.sum("lane_resubscriptions_total", &[]).await, 0.0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_usable_id_is_answered_with_what_it_had() {
    let world = World::start(Setup::default()).await;
    let dead = world.dead().await;
    let long = "x".repeat(200);
    let nameless = Request::text("", "34600000001");
    let anonymous = Request {
        properties: lapin::BasicProperties::default(),
        ..nameless.clone()
    };
    world
        .publish([nameless, anonymous, Request::text(&long, "34600000001")])
        .await;
    let results = world.results.all(3).await;
    for result in &results {
        let body = result.json();
        assert_eq!(body["error"]["at"], "/@amqp/message_id");
        assert_eq!(
            body.get("id").is_some(),
            result.id().is_some_and(|id| id == long),
            "{body}"
        );
    }
    dead.all(3).await;
    assert!(world.sim.ledger().is_empty());
    world.finish().await;
}

/// Our own headers come from RabbitMQ, but anybody who may publish can write them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_history_harms_nobody() {
    // Many failures in a row are no outage here.
    let setup = Setup::default().set("lanes.breaker_failures", "1000");
    let world = World::start(setup).await;
    let values = [
        AMQPValue::LongLongInt(i64::MAX),
        AMQPValue::LongLongInt(i64::MIN),
        AMQPValue::LongUInt(u32::MAX),
        AMQPValue::LongString("many".into()),
    ];
    let headers = [
        "wa-attempts",
        "wa-throttles",
        "wa-hops",
        "wa-first-seen-ms",
        "wa-last-error",
    ];
    let mut requests = vec![];
    let mut faults = vec![];
    for (h, header) in headers.into_iter().enumerate() {
        for (v, value) in values.iter().enumerate() {
            let to = format!("346{h:04}{v:04}");
            let forged = Request::text(&to, &to).header_value(header, value.clone());
            requests.push(forged.with(|p| p.with_timestamp(u64::MAX)));
            // A way round the ladder counts everything there is to count; a pair throttle the rest, but many of those
            // earn a long wait, which is then the forger's.
            let codes: &[i64] = if header == "wa-throttles" {
                &[131016]
            } else {
                &[131056, 131016]
            };
            for code in codes {
                faults.push(Fault::to(&to, Action::error(*code)).times(1));
            }
        }
    }
    world.sim.set_script(faults);
    let ids: Vec<String> = requests.iter().map(Request::id).collect();
    world.publish(requests).await;
    for id in ids {
        let result = world.results.wait(&id).await.json();
        let status = result["status"].as_str().unwrap();
        assert!(["accepted", "failed"].contains(&status), "{result}");
    }
    world.finish().await;
}

/// AMQP short strings are bytes; a publisher in another language may well send Latin-1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_id_that_is_not_utf_8_stops_nobody() {
    let world = World::start(Setup::default()).await;
    let proxy = Proxy::rewriting(&VirtualHost::address(), b"latin-1-id", b"latin-1-\xe9\xe8").await;
    let odd = Client::connect(&world.vhost.url(&proxy.address)).await;
    odd.publish([Request::text("latin-1-id", "34600000001")])
        .await;
    let refused = world.results.wait("latin-1-\u{fffd}\u{fffd}").await.json();
    assert_eq!(refused["status"], "rejected");
    assert_eq!(refused["error"]["at"], "/@amqp/message_id");
    let result = world.answer(Request::text("after", "34600000001")).await;
    assert_eq!(result["status"], "accepted");
    world.finish().await;
}

/// `rejected.` in front of it makes a key that AMQP cannot carry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_routing_key_is_answered_like_any_other() {
    let world = World::start(Setup::default()).await;
    let longest = "9".repeat(255);
    let result = world
        .answer(Request::text("longest", "34600000001").number(&longest))
        .await;
    assert_eq!(result["error"]["class"], "unknown_number");
    assert_eq!(
        world.answer(Request::text("after", "34600000001")).await["status"],
        "accepted"
    );
    world.finish().await;
}

/// RabbitMQ ends the connection of whoever publishes more headers than fit into a frame, and results and copies carry a few more
/// than the request had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_fill_a_frame_stop_nobody() {
    let world = World::start(Setup::default()).await;
    let dead = world.dead().await;
    let big = |id: &str, bytes: usize| {
        Request::text(id, "34600000001").header("x-big", &"b".repeat(bytes))
    };
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let nobodys = big("", 130_900).with(|_| BasicProperties::default());
    let carried = big("carried", 60_000).header("not-before", &soon.to_string());
    world
        .publish([big("refused", 130_900), nobodys, carried])
        .await;
    let refused = world.results.wait("refused").await.json();
    assert_eq!(refused["status"], "rejected");
    assert_eq!(refused["error"]["at"], "/@amqp/headers");
    let kept = dead.all(1).await;
    assert_eq!(
        kept[0].header("wa-dead-reason").as_deref(),
        Some("malformed")
    );
    let carried = world.results.wait("carried").await;
    assert_eq!(carried.json()["status"], "accepted");
    assert_eq!(carried.header("x-big").unwrap().len(), 60_000);
    let metrics = world.worker.metrics().await;
    assert_eq!(metrics.sum("broker_sessions_total", &[]), 1.0);
    world.finish().await;
}

/// Whoever reads headers descends as deep as their writer liked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_lie_deep_in_each_other_stop_nobody() {
    let world = World::start(Setup::default()).await;
    // lapin would not write such a header: it is a text until the proxy makes an array of it.
    let mut nested = vec![];
    for _ in 0..10_000 {
        let length = u32::try_from(nested.len()).unwrap();
        nested.splice(..0, [&b"A"[..], &length.to_be_bytes()].concat());
    }
    let proxy = Proxy::rewriting(&VirtualHost::address(), b"\x06x-deepS", b"\x06x-deepA").await;
    let odd = Client::connect(&world.vhost.url(&proxy.address)).await;
    let deep = AMQPValue::LongString(nested.into());
    odd.publish([Request::text("deep", "34600000001").header_value("x-deep", deep)])
        .await;
    for id in ["deep", "after"] {
        if id == "after" {
            world.publish([Request::text(id, "34600000001")]).await;
        }
        let result = world.results.wait(id).await.json();
        assert_eq!(result["status"], "accepted", "{result}");
    }
    world.finish().await;
}
