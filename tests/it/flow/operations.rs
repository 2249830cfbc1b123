//! Operations on an account and its numbers: one lane of their own, and results with the API's whole answer.

use crate::support::{NUMBER, Setup, WABA, World};
use graph_sim::Sim;
use harness::client::Request;
use harness::proxy::Proxy;
use serde_json::{Value, json};

/// An operation, published for the lane's number.
fn operation(id: &str, name: &str, body: &Value) -> Request {
    let mut request = Request::json(id, body).with(|p| p.with_type(name.into()));
    request.exchange = "wa.operations".to_owned();
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_is_done_beside_the_messages_and_answered_whole() {
    let world = World::start(Setup::default()).await;
    let fields = json!({ "fields": "id,verified_name" });
    let read = world
        .answer(operation("read", "phone_number_get", &fields))
        .await;
    assert_eq!(read["status"], "accepted", "{read}");
    assert_eq!(read["response"]["id"], NUMBER);
    let about = [
        &read["operation"],
        &read["phone_number_id"],
        &read["waba_id"],
    ];
    assert_eq!(about, ["phone_number_get", NUMBER, WABA]);

    let of_account = operation("list", "template_list", &json!({})).number(WABA);
    let listed = world.answer(of_account).await;
    assert_eq!(listed["status"], "accepted", "{listed}");
    assert!(listed["response"]["data"].is_array());
    assert!(listed.get("phone_number_id").is_none());

    let message = world.answer(Request::text("message", "34600000001")).await;
    assert_eq!(message["status"], "accepted");
    assert!(message.get("operation").is_none());
    let letter = world.results.wait("read").await;
    assert_eq!(letter.routing_key, format!("accepted.{NUMBER}"));
    assert_eq!(
        letter.properties.kind().as_ref().unwrap().as_str(),
        "phone_number_get"
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_cannot_be_one_is_refused_with_a_word() {
    let world = World::start(Setup::default()).await;
    let none = json!({});
    let node = |request: Request, node: &str| request.header("node", node);
    let to_lane = Request::json("to-lane", &none).with(|p| p.with_type("block_users".into()));
    let no_type = operation("no-type", "", &none);
    for (request, at, word) in [
        (to_lane, "/@amqp/type", "wa.operations"),
        (no_type, "/@amqp/type", "required"),
        (
            operation("to-send", "message", &none),
            "/@amqp/type",
            "wa.send",
        ),
        (
            operation("unknown", "teleport", &none),
            "/@amqp/type",
            "not an operation",
        ),
        (
            operation("scarce", "register", &none),
            "/@amqp/type",
            "72 hours",
        ),
        (
            operation("node", "template_get", &none),
            "/@amqp/headers/node",
            "required",
        ),
        (
            node(operation("way", "template_get", &none), "../1"),
            "/@amqp/headers/node",
            "required",
        ),
        (
            operation("unmeant", "template_delete", &json!({"name": "a"})),
            "/@amqp/headers/confirm",
            "true",
        ),
        (
            operation("number", "profile_get", &none).number(WABA),
            "/@amqp/routing_key",
            "phone_number_id",
        ),
        (
            operation("member", "block_users", &none),
            "/block_users",
            "required",
        ),
    ] {
        let id = request.id();
        let refused = world.answer(request).await;
        assert_eq!(refused["status"], "rejected", "{id}: {refused}");
        assert_eq!(refused["error"]["at"], at, "{id}: {refused}");
        let problem = refused["error"]["faults"][0]["problem"].as_str().unwrap();
        assert!(problem.contains(word), "{id}: {problem}");
    }
    let stranger = operation("stranger", "profile_get", &none).number("999");
    let refused = world.answer(stranger).await;
    assert_eq!(refused["error"]["class"], "unknown_number");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operation_meets_holds_no_message() {
    let setup = Setup::default();
    let sim = Sim::start(setup.sim.clone()).await.unwrap();
    let proxy = Proxy::recording(&sim.addr().to_string()).await;
    let graph = format!("http://{}", proxy.address);
    let world = World::beyond(setup, sim, &graph).await;
    let gone = operation("gone", "template_get", &json!({}));
    let gone = gone.header("node", "no such thing");
    let refused = world.answer(gone).await;
    assert_eq!(refused["status"], "rejected", "{refused}");
    assert_eq!(refused["error"]["class"], "invalid");
    let message = world.answer(Request::text("message", "34600000001")).await;
    assert_eq!(message["status"], "accepted");
    let next = world
        .answer(operation("next", "phone_number_get", &json!({})))
        .await;
    assert_eq!(next["status"], "accepted", "{next}");
    let wire = String::from_utf8(proxy.recorded()).unwrap();
    assert!(
        wire.contains("GET /v26.0/no%20such%20thing HTTP/1.1"),
        "the node is in the path"
    );
    world.finish().await;
}
