//! Who goes first.

use crate::support::{NUMBER, Setup, World, within};
use harness::client::Request;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recipients_messages_keep_their_order() {
    let mut setup = Setup::default();
    setup.sim.defaults.latency_ms = 1;
    setup.sim.defaults.latency_jitter_ms = 40;
    let world = World::start(setup).await;
    let ids: Vec<String> = (0..200)
        .map(|n| format!("{:02}-{:03}", n % 10, n / 10))
        .collect();
    let requests = ids
        .iter()
        .map(|id| Request::text(id, &format!("346000000{}", &id[..2])));
    world.publish(requests).await;
    for id in &ids {
        world.results.wait(id).await;
    }
    let ledger = world.sim.ledger();
    for person in 0..10 {
        let prefix = format!("{person:02}-");
        let sent: Vec<&str> = ledger
            .iter()
            .filter_map(|entry| entry.opaque.as_deref())
            .filter(|id| id.starts_with(&prefix))
            .collect();
        assert_eq!(sent.len(), 20);
        assert!(sent.is_sorted(), "{sent:?}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_high_request_overtakes_a_bulk_backlog() {
    let world = World::start(Setup::default().numbers(&[(NUMBER, 100)])).await;
    let to = |n: usize| format!("3460000{n:04}");
    world
        .publish((0..400).map(|n| Request::text(&format!("bulk-{n}"), &to(n))))
        .await;
    let high =
        |n: usize| Request::text(&format!("high-{n}"), &to(5000 + n)).with(|p| p.with_priority(9));
    world.publish((0..5).map(high)).await;
    for n in 0..5 {
        world.results.wait(&format!("high-{n}")).await;
    }
    // Not a matter of time but of place: most of the backlog is behind them.
    let ledger = world.sim.ledger();
    let last = ledger.iter().rposition(|entry| {
        entry
            .opaque
            .as_deref()
            .is_some_and(|id| id.starts_with("high"))
    });
    assert!(
        last.unwrap() < 200,
        "the last high request was number {last:?}"
    );
    let all_sent = world
        .sim
        .until(|stats| stats.numbers[NUMBER].accepted == 405);
    within("all sends", all_sent).await;
    world.results.all(405).await;
    world.finish().await;
}
