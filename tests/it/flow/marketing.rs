//! Marketing templates go through their own endpoint, and are messages in all else.

use crate::support::{NUMBER, Setup, World};
use graph_sim::Sim;
use harness::client::Request;
use harness::proxy::Proxy;
use serde_json::json;

fn sale(id: &str) -> Request {
    let body = json!({
        "to": "34600000001", "type": "template", "product_policy": "STRICT",
        "template": {"name": "sale", "language": {"code": "en"}},
    });
    Request::raw(id, body.to_string()).with(|p| p.with_type("marketing_message".into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marketing_message_keeps_its_endpoint_through_the_ladder() {
    let setup = Setup::default();
    let sim = Sim::start(setup.sim.clone()).await.unwrap();
    let proxy = Proxy::recording(&sim.addr().to_string()).await;
    let graph = format!("http://{}", proxy.address);
    let world = World::beyond(setup, sim, &graph).await;
    world.fail(131016, 1);

    let result = world.answer(sale("sale-1")).await;
    assert_eq!(result["status"], "accepted", "{result}");
    assert_eq!(result["attempts"], 2);
    let text = Request::text("no-sale", "34600000002");
    let text = text.with(|p| p.with_type("marketing_message".into()));
    let refused = world.answer(text).await;
    assert_eq!(refused["status"], "rejected");
    assert_eq!(refused["error"]["faults"][0]["at"], "/type");

    let wire = String::from_utf8(proxy.recorded()).unwrap();
    let posts = |path: &str| {
        wire.matches(&format!("POST /v26.0/{NUMBER}/{path} HTTP/1.1"))
            .count()
    };
    assert_eq!((posts("marketing_messages"), posts("messages")), (2, 0));
    world.finish().await;
}
