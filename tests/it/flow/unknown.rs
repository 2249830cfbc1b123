//! Lost answers: the message may have been sent. Reported, or repeated and flagged, as the caller wished.

use crate::support::{NUMBER, Setup, World};
use graph_sim::{Action, Fault, Match, Sim};
use harness::client::Request;
use harness::proxy::Proxy;
use serde_json::Value;

fn once(action: Action) -> Fault {
    Fault::new(action).times(1)
}

fn http(status: u16) -> Action {
    Action::Http {
        status,
        body: "<html><h1>Sorry</h1></html>".to_owned(),
        content_type: "text/html".to_owned(),
    }
}

/// Sends one request into this fault; returns its result, and how often the API has accepted it.
async fn lose(world: &World, id: &str, action: Action, on_unknown: &str) -> (Value, usize) {
    world.sim.set_script(once(action));
    let request = Request::text(id, "34600000001").header("on-unknown", on_unknown);
    let result = world.answer(request).await;
    let is_it = |entry: &&graph_sim::Entry| entry.opaque.as_deref() == Some(id);
    (result, world.sim.ledger().iter().filter(is_it).count())
}

/// Ways to lose an answer, and how many times the API has taken the message by then.
fn losses() -> Vec<(&'static str, Action, usize)> {
    let truncate = |close| Action::Truncate {
        keep_bytes: None,
        close,
    };
    vec![
        ("reset-after", Action::ResetAfter {}, 1),
        ("reset-before", Action::ResetBefore {}, 0),
        ("hang", Action::Hang {}, 0),
        ("bad-gateway", http(502), 0),
        ("error-page", http(500), 0),
        (
            "empty-200",
            Action::Http {
                status: 200,
                body: String::new(),
                content_type: "application/json".to_owned(),
            },
            0,
        ),
        ("cut-json", truncate(false), 1),
        ("cut-body", truncate(true), 1),
        ("huge", Action::HugeBody { bytes: 1_000_000 }, 1),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_reported_as_unknown_and_not_repeated() {
    let world = World::start(Setup::default().set("graph.request_timeout_ms", "1500")).await;
    for (id, action, accepted) in losses() {
        let (result, in_ledger) = lose(&world, id, action, "report").await;
        assert_eq!(result["status"], "unknown", "{id}: {result}");
        assert_eq!(result["error"]["class"], "ambiguous", "{id}");
        assert_eq!(result["attempts"], 1, "{id}");
        assert_eq!(result["possible_duplicate"], true, "{id}");
        assert!(result["sent_at"].is_string(), "{id}");
        assert_eq!(in_ledger, accepted, "{id}");
    }
    let text = result_texts(&world);
    assert!(!text.contains("Sorry"), "a proxy's page is not passed on");
    world.finish().await;
}

fn result_texts(world: &World) -> String {
    let letters = world.results.letters();
    let bodies = letters
        .iter()
        .map(|letter| String::from_utf8_lossy(&letter.body));
    bodies.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_repeated_and_flagged_on_request() {
    let world = World::start(Setup::default().set("graph.request_timeout_ms", "1500")).await;
    for (id, action, accepted) in losses() {
        let (result, in_ledger) = lose(&world, id, action, "resend").await;
        assert_eq!(result["status"], "accepted", "{id}: {result}");
        assert_eq!(result["attempts"], 2, "{id}");
        assert_eq!(result["possible_duplicate"], true, "{id}");
        assert_eq!(in_ledger, accepted + 1, "{id}");
    }
    let flagged = losses().len() as f64;
    world.counts("possible_duplicates_total", flagged).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_a_200_is_an_error() {
    let world = World::start(Setup::default()).await;
    let (result, _) = lose(
        &world,
        "no",
        Action::SuccessWithError { code: 131026 },
        "report",
    )
    .await;
    assert_eq!(result["status"], "rejected");
    assert_eq!(result["error"]["code"], 131026);
    world.finish().await;
}

/// Whoever answers with a redirect is not the API, and the token must not follow it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed_and_costs_a_retry() {
    let world = World::start(Setup::default()).await;
    let elsewhere = Sim::start(graph_sim::Options::default()).await.unwrap();
    let trap = Proxy::recording(&elsewhere.addr().to_string()).await;
    for status in [301, 302, 307, 308] {
        let mut fault = once(http(status));
        let location = format!("http://{}/v26.0/{NUMBER}/messages", trap.address);
        fault.headers.insert("location".to_owned(), location);
        world.sim.set_script(fault);
        let result = world
            .answer(Request::text(&status.to_string(), "34600000001"))
            .await;
        assert_eq!(result["status"], "accepted", "{status}: {result}");
        assert_eq!(result["attempts"], 2);
        assert_eq!(result["possible_duplicate"], false);
    }
    assert!(trap.recorded().is_empty());
    world.finish().await;
}

/// Typing and marks as read may be repeated freely, so a lost answer to one is no riddle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_is_repeated_without_a_flag() {
    let world = World::start(Setup::default()).await;
    world.sim.set_script(once(Action::ResetAfter {}));
    let body = serde_json::json!({ "status": "read", "message_id": "wamid.IN1" });
    let result = world.answer(Request::json("read", &body)).await;
    assert_eq!(result["status"], "accepted");
    assert_eq!(result["attempts"], 2);
    assert_eq!(result["possible_duplicate"], false);
    world.finish().await;
}

/// A proxy between the worker and the API that goes silent: the answer is lost, the connection lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_falls_silent_mid_flight_leaves_unknowns_and_nothing_else() {
    use harness::proxy::Mode;
    let mut setup = Setup::default().set("graph.request_timeout_ms", "2000");
    setup.sim.defaults.latency_ms = 300;
    let sim = Sim::start(setup.sim.clone()).await.unwrap();
    let proxy = Proxy::to(&sim.addr().to_string()).await;
    let graph = format!("http://{}", proxy.address);
    let world = World::beyond(setup, sim, &graph).await;
    let ask = |id: String, n: usize| Request::text(&id, &format!("3460000{n:04}"));
    world
        .publish((0..20).map(|n| ask(format!("m-{n}"), n)))
        .await;
    world.in_flight(20).await;
    proxy.set(Mode::BlackHole).await;
    for n in 0..20 {
        let result = world.results.wait(&format!("m-{n}")).await.json();
        assert_eq!(result["status"], "unknown", "{result}");
    }
    assert_eq!(world.sim.ledger().len(), 20);
    proxy.set(Mode::Pass).await;
    let result = world.answer(ask("after".to_owned(), 99)).await;
    assert_eq!(result["status"], "accepted", "{result}");
    world.finish().await;
}

/// What closes idle connections after five seconds, as many servers and proxies do, must find none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_idle_for_long_is_not_used_again() {
    use harness::proxy::Mode;
    let sim = Sim::start(graph_sim::Options::default()).await.unwrap();
    let proxy = Proxy::to(&sim.addr().to_string()).await;
    let graph = format!("http://{}", proxy.address);
    let world = World::beyond(Setup::default(), sim, &graph).await;
    let idle = std::time::Duration::from_secs(5);
    proxy.set(Mode::Forgets(idle)).await;
    for id in ["first", "second"] {
        let result = world.answer(Request::text(id, "34600000001")).await;
        assert_eq!(result["status"], "accepted", "{result}");
        // Not a wait for something to happen: this is how long nothing does.
        tokio::time::sleep(idle + std::time::Duration::from_millis(500)).await;
    }
    world.finish().await;
}

/// A fault's conditions, by recipient, do not leak to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_recipients_trouble_is_nobody_elses() {
    let world = World::start(Setup::default()).await;
    let mut fault = Fault::new(Action::ResetAfter {});
    fault.matches = Match {
        recipient_prefix: Some("346666".to_owned()),
        ..Match::default()
    };
    world.sim.set_script(fault);
    let to = |n: usize| {
        if n.is_multiple_of(4) {
            format!("346666{n:04}")
        } else {
            format!("346000{n:04}")
        }
    };
    world
        .publish((0..60_usize).map(|n| Request::text(&format!("m-{n}"), &to(n))))
        .await;
    for n in 0..60_usize {
        let expected = if n.is_multiple_of(4) {
            "unknown"
        } else {
            "accepted"
        };
        let result = world.results.wait(&format!("m-{n}")).await.json();
        assert_eq!(result["status"], expected, "{result}");
    }
    world.finish().await;
}
