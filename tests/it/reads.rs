//! Reads of the API beside sending: all workers of an account share its budget for them.

use crate::support::{Setup, WABA, World};
use harness::worker::Worker;
use std::time::Duration;

/// From its start until a worker has read all that is its to read.
const FIRST_ROUND: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_read_an_account_as_often_as_one() {
    let setup = Setup::default()
        .set("worker.id", "\"worker-0\"")
        .numbers(&[("111", 80), ("112", 80)]);
    let world = World::start(setup).await;
    let mut others: Vec<Worker> = (1..4)
        .map(|n| {
            let name = format!("\"worker-{n}\"");
            Worker::start(&world.folder, &world.config.replace("\"worker-0\"", &name))
        })
        .collect();
    for other in &others {
        other.ready().await;
    }
    // Not a wait for something to happen: most of them do nothing.
    tokio::time::sleep(FIRST_ROUND).await;
    let stats = world.sim.stats();
    let counts = [
        stats.token_gets,
        stats.template_gets.get(WABA).copied().unwrap_or_default(),
        stats.numbers["111"].gets,
        stats.numbers["112"].gets,
    ];
    // Once more where one had not heard of another yet.
    assert!(
        counts.iter().all(|count| (1..=2).contains(count)),
        "{counts:?}"
    );
    for other in &mut others {
        other.drain().await;
    }
    world.finish().await;
}
