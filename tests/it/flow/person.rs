//! One person's burst: the others do not wait behind it, and it keeps its order.

use crate::support::{NUMBER, Setup, World};
use graph_sim::{Entry, NumberRules};
use harness::client::Request;
use std::time::Duration;

const CHATTY: &str = "34600000001";

/// Requests of the burst, of which a lane of 80 a second would hold 116 at once.
const BURST: usize = 240;

fn setup() -> Setup {
    let mut setup = Setup::default()
        .numbers(&[(NUMBER, 80)])
        .set("log.level", "\"info\"")
        // The pair limit would have them wait elsewhere in any case.
        .set("pacing.pair_interval_ms", "0");
    setup.sim.defaults = NumberRules {
        latency_ms: 100,
        ..setup.sim.defaults
    };
    setup
}

fn is_of(entry: &Entry, prefix: &str) -> bool {
    let opaque = entry.opaque.as_deref();
    opaque.is_some_and(|id| id.starts_with(prefix))
}

/// The burst, then 300 requests to others, and a one-time password now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_do_not_wait_behind_one_persons_burst() {
    let world = World::start(setup()).await;
    // The lane knows how long the API takes.
    let early = |n: usize| Request::text(&format!("early-{n:02}"), CHATTY);
    world.publish((0..8).map(early)).await;
    for n in 0..8 {
        world.results.wait(&format!("early-{n:02}")).await;
    }
    let burst = |n: usize| Request::text(&format!("chatty-{n:03}"), CHATTY);
    world.publish((0..BURST).map(burst)).await;
    let other = |n: usize| Request::text(&format!("other-{n:03}"), &format!("3461000{n:04}"));
    world.publish((0..300).map(other)).await;
    for n in 0..10 {
        let password = Request::text(&format!("password-{n}"), &format!("3462000{n:04}"));
        let password = password.with(|p| p.with_priority(9));
        world.publish([password]).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for n in 0..300 {
        world.results.wait(&format!("other-{n:03}")).await;
    }
    for n in 0..10 {
        world.results.wait(&format!("password-{n}")).await;
    }
    // Not a matter of time but of place: one after the other, the person could have had fifty by then.
    let ledger = world.sim.ledger();
    let last = ledger.iter().rposition(|entry| !is_of(entry, "chatty"));
    let before = ledger.iter().take(last.unwrap());
    let before = before.filter(|entry| is_of(entry, "chatty")).count();
    assert!(before < 100, "{before} of the burst came first");
    world
        .metric("delayed_total", &[], |delayed| delayed >= 100.0)
        .await;
    for n in 0..BURST {
        world.results.wait(&format!("chatty-{n:03}")).await;
    }
    let ledger = world.sim.ledger();
    let chatty = ledger.iter().filter(|entry| is_of(entry, "chatty"));
    let sent: Vec<_> = chatty.map(|entry| entry.opaque.as_deref()).collect();
    assert_eq!(sent.len(), BURST);
    assert!(sent.is_sorted(), "{sent:?}");
    world.finish().await;
}
