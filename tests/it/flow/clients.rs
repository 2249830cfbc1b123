//! What clients of other languages and protocols make of a request, as a worker gets it from RabbitMQ. Their own packages are tried
//! elsewhere; here is what arrives.

use crate::support::{Setup, World};
use harness::client::Request;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;

/// Of AMQP 1.0's value section: this type, so many bytes.
fn value(code: u8, json: &str) -> Vec<u8> {
    let length = u8::try_from(json.len()).unwrap();
    [&[0, 0x53, 0x77, code, length], json.as_bytes()].concat()
}

fn text(id: &str) -> Request {
    Request::text(id, "34600000001")
}

/// Without `message_id`.
fn nameless() -> Request {
    Request {
        properties: BasicProperties::default().with_delivery_mode(2),
        ..text("")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_in_a_header_is_the_requests_own_also_after_a_retry() {
    let world = World::start(Setup::default()).await;
    world.fail(131016, 1);
    let binary = AMQPValue::ByteArray(b"binary-1".to_vec().into());
    let by_user = AMQPValue::LongString("user-1".into());
    for (id, name, value, attempts) in [
        ("binary-1", "x-message-id", binary, 2),
        ("user-1", "message-id", by_user, 1),
    ] {
        world.publish([nameless().header_value(name, value)]).await;
        // The result's own property, by which readers and other workers find it.
        let result = world.results.wait(id).await;
        assert_eq!(result.json()["id"], id);
        assert_eq!(result.json()["status"], "accepted");
        assert_eq!(result.json()["attempts"], attempts);
    }
    let opaque: Vec<Option<String>> = world.sim.ledger().into_iter().map(|e| e.opaque).collect();
    assert_eq!(opaque, ["binary-1", "user-1"].map(|id| Some(id.to_owned())));

    let number = nameless().header_value("message-id", AMQPValue::LongInt(4711));
    world.publish([number]).await;
    let results = world.results.all(3).await;
    let error = &results[2].json()["error"];
    assert_eq!(error["at"], "/@amqp/headers/message-id");
    assert!(
        error["details"]
            .as_str()
            .unwrap()
            .contains("came as a number")
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_came_as_an_amqp_1_0_value_is_sent_if_it_is_text() {
    let world = World::start(Setup::default()).await;
    let dead = world.dead().await;
    let body = r#"{"to":"34600000001","type":"text","text":{"body":"hi"}}"#;
    let as_value =
        |id: &str, body: Vec<u8>| Request::raw(id, body).with(|p| p.with_type("amqp-1.0".into()));
    for (id, code) in [("string", 0xa1), ("binary", 0xa0)] {
        let result = world.answer(as_value(id, value(code, body))).await;
        assert_eq!(result["status"], "accepted", "{result}");
    }
    let map = vec![0, 0x53, 0x77, 0xc1, 1, 0];
    let refused = world.answer(as_value("map", map.clone())).await;
    assert_eq!(refused["error"]["faults"].as_array().unwrap().len(), 1);
    assert_eq!(refused["error"]["at"], "");
    assert_eq!(dead.wait("map").await.body, map);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_is_read_as_it_was_meant_or_refused_with_its_place() {
    let world = World::start(Setup::default()).await;
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let never = "9999-12-31T23:59:59.9999999Z";
    let at = |id: &str, value: AMQPValue| text(id).header_value("expires-at", value);
    for (id, value) in [
        ("never", AMQPValue::LongString(never.into())),
        (
            "bytes",
            AMQPValue::ByteArray(never.as_bytes().to_vec().into()),
        ),
        ("seconds", AMQPValue::Timestamp(now_s + 600)),
        ("null", AMQPValue::Void),
    ] {
        assert_eq!(
            world.answer(at(id, value)).await["status"],
            "accepted",
            "{id}"
        );
    }
    for (id, value) in [
        ("milliseconds", AMQPValue::Timestamp((now_s + 600) * 1000)),
        ("date", AMQPValue::FieldTable(FieldTable::default())),
        ("local", AMQPValue::LongString("2030-01-01T00:00:00".into())),
    ] {
        let refused = world.answer(at(id, value)).await;
        assert_eq!(refused["status"], "rejected", "{id}");
        assert_eq!(refused["error"]["at"], "/@amqp/headers/expires-at");
    }
    assert_eq!(world.sim.ledger().len(), 4);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timestamp_ahead_of_the_clock_is_not_reported() {
    let world = World::start(Setup::default()).await;
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let ahead = text("ahead").with(|p| p.with_timestamp(now_s + 3600));
    assert_eq!(world.answer(ahead).await.get("enqueued_at"), None);
    for name in ["queue_wait_seconds_count", "end_to_end_seconds_count"] {
        assert_eq!(world.sum(name, &[]).await, 0.0, "{name}");
    }
    let timely = text("timely").with(|p| p.with_timestamp(now_s));
    assert!(world.answer(timely).await["enqueued_at"].is_string());
    world.counts("queue_wait_seconds_count", 1.0).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_null_or_empty_is_absent_and_a_user_id_in_to_is_not_sent() {
    let world = World::start(Setup::default()).await;
    let text = json!({ "body": "hi" });
    for (id, body) in [
        (
            "null-to",
            json!({ "to": null, "recipient": "ES.9f3cA71", "type": "text", "text": text }),
        ),
        (
            "empty-to",
            json!({ "to": "", "recipient": "ES.9f3cA71", "type": "text", "text": text }),
        ),
        (
            "null-ours",
            json!({ "messaging_product": null, "biz_opaque_callback_data": null, "to": "34600000001", "type": "text", "text": text }),
        ),
    ] {
        let result = world.answer(Request::json(id, &body)).await;
        assert_eq!(result["status"], "accepted", "{result}");
    }
    let last = world.sim.ledger().pop().unwrap();
    assert_eq!(last.opaque.as_deref(), Some("null-ours"));
    let body = json!({ "to": "ES.9f3cA71", "type": "text", "text": text });
    let refused = world.answer(Request::json("user-id", &body)).await;
    assert_eq!(refused["error"]["at"], "/to");
    assert_eq!(world.sim.ledger().len(), 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body_is_refused_by_name() {
    let world = World::start(Setup::default()).await;
    let gzip = vec![0x1f, 0x8b, 8, 0];
    let by_header = Request::raw("kombu", gzip.clone()).header("compression", "application/x-gzip");
    let by_property = Request::raw("http", gzip).with(|p| p.with_content_encoding("gzip".into()));
    for (request, named) in [
        (by_header, "header compression"),
        (by_property, "content_encoding"),
    ] {
        let refused = world.answer(request).await;
        let details = refused["error"]["details"].as_str().unwrap();
        assert!(details.contains(named), "{details}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transient_requests_are_counted_and_the_log_is_told_once() {
    let world = World::start(Setup::default()).await;
    world.answer(text("persistent")).await;
    assert_eq!(world.sum("transient_requests_total", &[]).await, 0.0);
    let said = text("said").with(|p| p.with_delivery_mode(1));
    let unsaid = text("unsaid")
        .with(|p| BasicProperties::default().with_message_id(p.message_id().clone().unwrap()));
    for request in [said, unsaid] {
        assert_eq!(world.answer(request).await["status"], "accepted");
    }
    let labels = [("phone_number_id", "111")];
    let counted = world.sum("transient_requests_total", &labels).await;
    assert_eq!(counted, 2.0);
    let told = world
        .worker
        .log
        .text()
        .matches("published transient")
        .count();
    assert_eq!(told, 1);
    world.finish().await;
}
