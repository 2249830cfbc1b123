//! Operations on an account and its numbers: one lane of their own, and results with the API's whole answer.

use crate::support::{NUMBER, Setup, WABA, World};
use graph_sim::{Action, Fault, On, Sim};
use harness::client::Request;
use harness::proxy::Proxy;
use harness::worker::Worker;
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

/// What becomes of the next operation.
fn strikes(world: &World, action: Action) {
    let mut fault = Fault::new(action).times(1);
    fault.matches.on = On::Operation;
    world.sim.set_script(fault);
}

/// The connection breaks after the next operation was done.
fn loses_the_answer(world: &World) {
    strikes(world, Action::ResetAfter {});
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_for_some_says_for_whom_and_for_whom_not() {
    let world = World::start(Setup::default()).await;
    world.sim.set_strangers(&["34600000002"]);
    let users = json!({ "block_users": [{ "user": "34600000001" }, { "user": "34600000002" }] });
    let blocked = world
        .answer(operation("block", "block_users", &users))
        .await;
    assert_eq!(blocked["status"], "rejected", "{blocked}");
    let error = &blocked["error"];
    assert_eq!(
        (&error["class"], &error["code"]),
        (&json!("partial"), &json!(139_100))
    );
    assert_eq!(error["at"], "/response/block_users/failed_users/0");
    let response = &blocked["response"]["block_users"];
    assert_eq!(response["added_users"][0]["input"], "34600000001");
    let listed = world
        .answer(operation("listed", "list_blocked", &json!({})))
        .await;
    assert_eq!(
        listed["response"]["data"],
        json!([{ "messaging_product": "whatsapp", "wa_id": "34600000001" }])
    );
    let unblock = json!({ "block_users": [{ "user": "34600000001" }] });
    let unblocked = world
        .answer(operation("unblock", "unblock_users", &unblock))
        .await;
    assert_eq!(unblocked["status"], "accepted", "{unblocked}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_repeated_where_that_is_harmless_and_looked_up_where_it_would_be_refused()
{
    let world = World::start(Setup::default()).await;
    let about = json!({ "about": "open" });
    loses_the_answer(&world);
    let updated = world
        .answer(operation("about", "profile_update", &about))
        .await;
    assert_eq!(updated["status"], "accepted", "{updated}");
    assert_eq!(
        (&updated["attempts"], &updated["possible_duplicate"]),
        (&json!(2), &json!(false))
    );
    let sale =
        json!({ "name": "sale", "language": "en", "category": "MARKETING", "components": [] });
    let create = |id: &str| operation(id, "template_create", &sale).number(WABA);
    loses_the_answer(&world);
    let created = world.answer(create("create")).await;
    assert_eq!(created["status"], "accepted", "{created}");
    assert_eq!(
        created["response"]["status"], "PENDING",
        "found by its name"
    );
    let refused = world.answer(create("again")).await;
    assert_eq!(refused["status"], "rejected", "{refused}");
    assert_eq!(refused["error"]["class"], "invalid");
    let delete = operation("delete", "template_delete", &json!({ "name": "sale" })).number(WABA);
    let deleted = world.answer(delete.header("confirm", "true")).await;
    assert_eq!(deleted["status"], "accepted", "{deleted}");
    let upi = json!({ "configuration_name": "upi", "provider_name": "upi_vpa", "merchant_vpa": "depot@upi" });
    loses_the_answer(&world);
    let config = operation("config", "payment_config_create", &upi).number(WABA);
    let config = world.answer(config).await;
    assert_eq!(config["status"], "accepted", "{config}");
    assert_eq!(config["response"]["status"], "Active", "found by its name");
    let done = world.sim.operations();
    let counts =
        ["POST whatsapp_business_profile", "POST message_templates"].map(|name| done[name]);
    assert_eq!(counts, [2, 2], "the lost one was not created again");
    let labels = [("operation", "template_create"), ("status", "accepted")];
    assert_eq!(world.sum("operations_total", &labels).await, 1.0);
    world.finish().await;
}

/// An outage of the API beside, and a crash: each operation ends once, and no message waits for any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_outlive_their_worker() {
    let mut world = World::start(Setup::default()).await;
    strikes(&world, Action::error(131_016));
    let users = json!({ "block_users": [{ "user": "34600000001" }] });
    let ids: Vec<String> = (0..20).map(|n| format!("block-{n}")).collect();
    let requests = ids.iter().map(|id| operation(id, "block_users", &users));
    world.publish(requests.collect::<Vec<_>>()).await;
    // The one that failed, and those that would crowd out the account's others.
    world.metric("delayed_total", &[], |n| n >= 1.0).await;
    world.worker.kill().await;
    world.worker = Worker::start(&world.folder, &world.config);
    for id in &ids {
        let result = world.results.wait(id).await.json();
        assert_eq!(result["status"], "accepted", "{result}");
        assert_eq!(
            result["phone_number_id"], NUMBER,
            "what it is for came with it"
        );
    }
    // What it had answered and not acknowledged as it died is answered again: no check of one result each.
    world.worker.drain().await;
}
