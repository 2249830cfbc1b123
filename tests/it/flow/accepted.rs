//! What Meta takes: the result's fields, and the body byte for byte.

use crate::support::{NUMBER, Setup, TOKEN, World};
use graph_sim::Sim;
use harness::client::Request;
use harness::proxy::Proxy;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_result_says_everything_the_contract_names() {
    let world = World::start(Setup::default()).await;
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let request = Request::text("first", "+34 600 112233").with(|p| p.with_timestamp(now_s));
    let result = world.call(request).await;
    assert_eq!(result.routing_key, "accepted.111");
    assert_eq!(result.id().as_deref(), Some("first"));
    let content_type = result.properties.content_type().as_ref();
    assert_eq!(content_type.unwrap().as_str(), "application/json");
    assert_eq!(*result.properties.delivery_mode(), Some(2));

    let [sent] = &world.sim.ledger()[..] else {
        panic!("one message in the ledger");
    };
    assert_eq!(sent.opaque.as_deref(), Some("first"));
    let mut body = result.json();
    let times = ["enqueued_at", "sent_at", "completed_at"].map(|key| {
        let time = body.as_object_mut().unwrap().remove(key).unwrap();
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        time
    });
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times[0].as_second(), i64::try_from(now_s).unwrap());
    // Compared as a whole: what does not apply is absent, not null.
    let expected = json!({
        "v": 1, "id": "first", "phone_number_id": NUMBER, "status": "accepted", "wamid": sent.wamid,
        "wa_id": "34600112233", "attempts": 1, "possible_duplicate": false
    });
    assert_eq!(body, expected);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_has_a_message_status_and_a_user_id_replaces_the_wa_id() {
    let world = World::start(Setup::default()).await;
    let template = json!({ "to": "34600000001", "type": "template",
        "template": { "name": "otp_v2", "language": { "code": "es" } } });
    let result = world.answer(Request::json("template", &template)).await;
    assert_eq!(result["message_status"], "accepted");
    let to_user = json!({ "recipient": "ES.9f3cA71", "type": "text", "text": { "body": "hi" } });
    let result = world.answer(Request::json("user", &to_user)).await;
    assert_eq!(result["user_id"], "ES.9f3cA71");
    assert_eq!(result.get("wa_id"), None);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_own_opaque_data_is_kept_and_echoed() {
    let world = World::start(Setup::default()).await;
    let body = json!({ "to": "34600000001", "type": "text", "text": { "body": "hi" },
        "biz_opaque_callback_data": "campaign-7" });
    let result = world.answer(Request::json("own", &body)).await;
    assert_eq!(result["id"], "own");
    assert_eq!(result["biz_opaque_callback_data"], "campaign-7");
    assert_eq!(world.sim.ledger()[0].opaque.as_deref(), Some("campaign-7"));
    world.finish().await;
}

/// What must pass although nobody would write it so.
const ODDITIES: [&str; 4] = [
    "{ \"to\" : \"34600112233\",\r\n\t\"type\":\"text\", \"text\":{\"body\":\"a\\u00e9\\ud83d\\udc4d \\/ é👍\"} }",
    r#"{"text":{"body":"before its type"},"type":"text","to":"34600112233","to":"34600112233"}"#,
    r#"{"to":"34600112233","type":"location","location":{"latitude":40.41680000000000001,"longitude":-3.70e0}}"#,
    r#"{"to":34600112233,"text":{"body":"no type, and a number for a recipient"}}"#,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_type_is_sent_byte_for_byte() {
    let setup = Setup::default();
    let sim = Sim::start(setup.sim.clone()).await.unwrap();
    let proxy = Proxy::recording(&sim.addr().to_string()).await;
    let graph = format!("http://{}", proxy.address);
    let world = World::beyond(setup, sim, &graph).await;

    let documented = include_str!("../../cases/messages.jsonl").lines();
    let mut wanted = vec![];
    let mut requests = vec![];
    for (index, body) in documented.chain(ODDITIES).enumerate() {
        let id = format!("type-{index}");
        let is_receipt = body.contains(r#""status":"read""#);
        let mut added = String::new();
        if !body.contains("messaging_product") {
            added += r#""messaging_product":"whatsapp","#;
        }
        if !is_receipt {
            added += &format!(r#""biz_opaque_callback_data":"{id}","#);
        }
        wanted.push(format!("{{{added}{}", &body[1..]));
        requests.push(Request::raw(&id, body));
    }
    // A caller that names both members gets every byte through, whatever the type.
    let invented = r#"{"messaging_product":"whatsapp","to":"34600112233","biz_opaque_callback_data":"o","type":"hologram","hologram":{"depth":[1,2.50,{"a":null}]}}"#;
    wanted.push(invented.to_owned());
    requests.push(Request::raw("invented", invented));

    let ids: Vec<String> = requests.iter().map(|request| request.id()).collect();
    world.publish(requests).await;
    for id in &ids {
        let result = world.results.wait(id).await.json();
        // The simulator knows no holograms; what counts is that it was asked.
        let expected = if id == "invented" {
            json!(131051)
        } else {
            Value::Null
        };
        assert_eq!(result["error"]["code"], expected, "{result}");
    }
    let wire = String::from_utf8(proxy.recorded()).unwrap();
    for body in wanted {
        assert!(wire.contains(&body), "not on the wire: {body}");
    }
    let posts = wire
        .matches("POST /v26.0/111/messages HTTP/1.1\r\n")
        .count();
    assert_eq!(posts, ids.len());
    let lower = wire.to_ascii_lowercase();
    let token = format!("authorization: bearer {}\r\n", TOKEN.to_ascii_lowercase());
    // With the reads of how the API sees number, token and templates, at the start.
    let gets = wire.matches("GET /v26.0/").count();
    assert_eq!(lower.matches(&token).count(), posts + gets);
    assert_eq!(
        lower.matches("content-type: application/json\r\n").count(),
        posts
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mark_as_read_and_typing_are_accepted_without_a_message() {
    let world = World::start(Setup::default()).await;
    for (id, body) in [
        (
            "read",
            json!({ "status": "read", "message_id": "wamid.IN1" }),
        ),
        (
            "typing",
            json!({ "status": "read", "message_id": "wamid.IN1", "typing_indicator": { "type": "text" } }),
        ),
    ] {
        let result = world.answer(Request::json(id, &body)).await;
        assert_eq!(result["status"], "accepted", "{result}");
        assert_eq!(result.get("wamid"), None);
    }
    assert_eq!(world.sim.stats().numbers[NUMBER].reads, 2);
    assert!(world.sim.ledger().is_empty());
    world.finish().await;
}
