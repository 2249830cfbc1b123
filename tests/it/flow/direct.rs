//! Direct Send: a message that needs no template says how long it lives, and what is left of `expires-at` is that.

use crate::support::{Setup, World};
use graph_sim::{Action, Fault};
use harness::client::Request;
use serde_json::{Value, json};

fn code(id: &str, more: &Value, lives_s: i64) -> Request {
    let mut body = json!({"to": "34600000001", "type": "text", "text": {"body": "123456"}});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(lives_s);
    Request::json(id, &body).header("expires-at", &until.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_at_the_send_is_what_the_message_lives() {
    let world = World::start(Setup::default()).await;
    let direct = json!({ "category": "authentication" });
    let own = json!({ "category": "authentication", "ttl_seconds": 45 });
    // The second try has less left than the first.
    let refused = Fault::new(Action::error(131016)).times(1);
    world.sim.set_script(refused);
    for (id, more, lives_s, expected) in [
        ("retried", &direct, 600, 560..=598),
        ("long", &direct, 86_400, 900..=900),
        (
            "utility",
            &json!({ "category": "utility" }),
            3_600,
            3_540..=3_600,
        ),
        ("own", &own, 600, 45..=45),
    ] {
        let result = world.answer(code(id, more, lives_s)).await;
        assert_eq!(result["status"], "accepted", "{result}");
        let ledger = world.sim.ledger();
        let taken = ledger
            .iter()
            .find(|taken| taken.opaque.as_deref() == Some(id));
        let ttl_seconds = taken.unwrap().ttl_seconds.unwrap();
        assert!(expected.contains(&ttl_seconds), "{id}: {ttl_seconds}");
    }
    // Meta would deliver it for 30 s.
    let late = world.answer(code("short", &direct, 25)).await;
    assert_eq!(late["status"], "expired", "{late}");
    assert_eq!(world.sim.ledger().len(), 4);
    // The API would refuse it of any other message.
    world.answer(code("plain", &json!({}), 600)).await;
    let without = Request::json(
        "timeless",
        &json!({"to": "34600000001", "type": "text", "text": {"body": "1"}, "category": "utility"}),
    );
    world.answer(without).await;
    let last = world.sim.ledger().split_off(4);
    assert!(last.iter().all(|taken| taken.ttl_seconds.is_none()));
    world.finish().await;
}
