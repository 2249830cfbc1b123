//! What is refused before it is sent: every fault at once, each with its place, none with its value.

use crate::support::{Setup, World};
use harness::client::{Letter, Request};
use lapin::types::AMQPValue;
use serde_json::{Value, json};

/// Stands wherever a refused request says something; no result may repeat it.
const SECRET: &str = "s3cr3t-34600777888";

/// The places a rejection names, after checking what all of them have in common.
fn places(result: &Letter) -> Vec<String> {
    assert_eq!(result.routing_key, "rejected.111");
    let text = String::from_utf8(result.body.clone()).unwrap();
    assert!(!text.contains(SECRET), "{text}");
    let body = result.json();
    assert_eq!(body["status"], "rejected");
    assert_eq!(body["error"]["class"], "invalid");
    assert_eq!(body["attempts"], 0);
    let faults = body["error"]["faults"].as_array().unwrap();
    assert_eq!(body["error"]["at"], faults[0]["at"]);
    for fault in faults {
        assert!(
            fault["problem"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
    let at = |fault: &Value| fault["at"].as_str().unwrap().to_owned();
    faults.iter().map(at).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_names_every_fault_and_no_value() {
    let world = World::start(Setup::default()).await;
    let long = SECRET.repeat(300);
    let text = |body: Value| json!({ "to": "34600000001", "type": "text", "text": body });
    let cases: &[(&str, Value, &[&str])] = &[
        (
            "no recipient",
            json!({ "type": "text", "text": { "body": SECRET } }),
            &["/to"],
        ),
        (
            "empty recipient",
            json!({ "to": " ", "text": { "body": SECRET } }),
            &["/to"],
        ),
        (
            "recipient list",
            json!({ "to": [SECRET], "text": { "body": SECRET } }),
            &["/to"],
        ),
        (
            "bad user id",
            json!({ "recipient": { "id": SECRET } }),
            &["/recipient"],
        ),
        (
            "other product",
            json!({ "messaging_product": SECRET, "to": "1" }),
            &["/messaging_product"],
        ),
        (
            "type no string",
            json!({ "to": "34600000001", "type": { "text": SECRET } }),
            &["/type"],
        ),
        (
            "text without body",
            text(json!({ "bodi": SECRET })),
            &["/text/body"],
        ),
        (
            "text body no string",
            text(json!({ "body": [SECRET] })),
            &["/text/body"],
        ),
        (
            "text too long",
            text(json!({ "body": long })),
            &["/text/body"],
        ),
        (
            "opaque no string",
            json!({ "to": "1", "biz_opaque_callback_data": { "a": SECRET } }),
            &["/biz_opaque_callback_data"],
        ),
        (
            "read without id",
            json!({ "status": "read", "messageid": SECRET }),
            &["/message_id"],
        ),
        (
            "all at once",
            json!({ "messaging_product": SECRET, "type": "text", "biz_opaque_callback_data": 5 }),
            &[
                "/messaging_product",
                "/text/body",
                "/to",
                "/biz_opaque_callback_data",
            ],
        ),
    ];
    for (id, body, expected) in cases {
        let result = world.call(Request::json(id, body)).await;
        assert_eq!(places(&result), *expected, "{id}");
        assert_eq!(result.json()["id"], *id);
    }
    let too_long = world.results.wait("text too long").await.json();
    let fault = &too_long["error"]["faults"][0];
    assert_eq!(fault["limit"], 4096);
    assert_eq!(fault["length"], long.len());
    assert!(world.sim.ledger().is_empty());
    let numbers = world.sim.stats().numbers;
    let received: u64 = numbers.values().map(|number| number.received).sum();
    assert_eq!(received, 0, "nothing reached the API");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_properties_are_refused_by_name() {
    let world = World::start(Setup::default()).await;
    let far = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(31 * 24);
    let ask = |id: &str| Request::text(id, "34600000001");
    let header = |name: &str| format!("/@amqp/headers/{name}");
    let not_utf8 = || AMQPValue::LongString(vec![0xff, 0xfe, b'x'].into());
    let cases = [
        (
            ask("type").with(|p| p.with_type("template".into())),
            "/@amqp/type".to_owned(),
        ),
        (
            ask("expires").header("expires-at", SECRET),
            header("expires-at"),
        ),
        (
            ask("expires-bool").header_value("expires-at", AMQPValue::Boolean(true)),
            header("expires-at"),
        ),
        (
            ask("expires-bytes").header_value("expires-at", not_utf8()),
            header("expires-at"),
        ),
        (
            ask("before").header("not-before", "tomorrow"),
            header("not-before"),
        ),
        (
            ask("before-far").header("not-before", &far.to_string()),
            header("not-before"),
        ),
        (
            ask("unknown").header("on-unknown", SECRET),
            header("on-unknown"),
        ),
        (
            ask("unknown-bytes").header_value("on-unknown", not_utf8()),
            header("on-unknown"),
        ),
        (
            ask("unknown-table")
                .header_value("on-unknown", AMQPValue::FieldTable(Default::default())),
            header("on-unknown"),
        ),
    ];
    for (request, at) in cases {
        let result = world.call(request).await;
        assert_eq!(places(&result), [at]);
    }
    // Headers that nobody reads may be anything.
    let odd = ask("odd-headers")
        .header_value("x-bytes", not_utf8())
        .header_value(
            "whatever",
            AMQPValue::FieldArray(vec![not_utf8(), AMQPValue::Void].into()),
        );
    assert_eq!(world.answer(odd).await["status"], "accepted");
    assert_eq!(world.sim.ledger().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metas_refusal_is_final_and_says_why() {
    use graph_sim::{Action, Fault};
    let world = World::start(Setup::default()).await;
    let refuse = |code, details: &str| {
        let action = Action::Error {
            code,
            status: None,
            subcode: None,
            details: Some(details.to_owned()),
        };
        world.sim.set_script(Fault::new(action));
    };
    for (code, class) in [
        (131026, "undeliverable"),
        (131047, "policy"),
        (100, "invalid"),
    ] {
        refuse(code, "the very details");
        let id = code.to_string();
        let result = world.call(Request::text(&id, "34600000001")).await;
        assert_eq!(result.routing_key, "rejected.111");
        let body = result.json();
        assert_eq!(body["error"]["code"], code);
        assert_eq!(body["error"]["class"], class);
        assert_eq!(body["error"]["details"], "the very details");
        assert!(
            body["error"]["title"].is_string() && body["error"]["fbtrace_id"].is_string(),
            "{body}"
        );
        assert_eq!(body["attempts"], 1);
    }
    refuse(131049, "marketing cap");
    let body = world.answer(Request::text("capped", "34600000001")).await;
    let not_before: jiff::Timestamp = body["error"]["retry_not_before"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let hours = not_before.duration_since(jiff::Timestamp::now()).as_hours();
    assert!((23..=24).contains(&hours), "{hours}");
    let codes = world.worker.metrics().await;
    assert_eq!(codes.sum("api_errors_total", &[("code", "131026")]), 1.0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_nobody_serves_is_answered() {
    let world = World::start(Setup::default()).await;
    for (number, id) in [
        ("999", "stranger"),
        ("", "no-number"),
        ("a.b.c", "words"),
        ("staging.111", "ends"),
    ] {
        let result = world
            .call(Request::text(id, "34600000001").number(number))
            .await;
        let body = result.json();
        assert_eq!(
            result.routing_key,
            format!("rejected.{}", body["phone_number_id"].as_str().unwrap())
        );
        assert_eq!(body["status"], "rejected");
        assert_eq!(body["phone_number_id"], number, "as it was published");
        assert_eq!(body["error"]["class"], "unknown_number");
        assert_eq!(body["id"], id);
    }
    assert_eq!(
        world.results.wait("stranger").await.json()["phone_number_id"],
        "999"
    );
    world.counts("unrouted_total", 4.0).await;
    world.finish().await;
}
