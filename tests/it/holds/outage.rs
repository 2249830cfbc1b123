//! An API in trouble: it is left alone, and nobody's attempts are spent on it.

use super::*;
use crate::support::within;
use graph_sim::{Action, Fault, On, Script};

fn everywhere(action: Action) -> Fault {
    let mut fault = Fault::new(action);
    fault.matches.on = On::Any;
    fault
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_burns_no_attempts() {
    let world = World::start(setup().set("retry.max_attempts", "2")).await;
    // 2: downtime or overload. Health cannot be asked for either.
    world.sim.set_script(everywhere(Action::error(2)));
    let ids = publish(&world, "111", 200).await;
    world.worker.lane_state("111", "away").await;
    let cause = &world.worker.lane("111").await["cause"];
    assert_eq!(
        (&cause["why"], &cause["code"]),
        (&"outage".into(), &2.into())
    );
    let spent = received(&world.sim.stats(), &["111"]);
    assert!(spent <= 15, "{spent} requests before the lane stopped");
    let asked = |stats: &Stats| questions(stats, "111") >= 2;
    within("two questions", world.sim.until(asked)).await;
    assert_eq!(
        received(&world.sim.stats(), &["111"]),
        spent,
        "asked by health only"
    );
    world.sim.set_script(Script::default());
    world.accepted(&ids).await;
    world.worker.lane_state("111", "flowing").await;
    world.finish().await;
}

/// Health may be well while sends fail: then one request at a time finds out, ever more seldom, and is not charged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_at_a_time_tries_whether_an_outage_is_over() {
    let world = World::start(setup().set("retry.max_attempts", "2")).await;
    world.sim.set_script(Fault::new(Action::error(131_016)));
    let ids = publish(&world, "111", 50).await;
    world.worker.lane_state("111", "away").await;
    let spent = received(&world.sim.stats(), &["111"]);
    let tried = |stats: &Stats| received(stats, &["111"]) >= spent + 2;
    within("two tries", world.sim.until(tried)).await;
    world.sim.set_script(Script::default());
    world.accepted(&ids).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_hangs_makes_few_results_unknown() {
    let setup = setup()
        .set("graph.request_timeout_ms", "500")
        .set("graph.connect_timeout_ms", "400")
        .set("lanes.latency_ms", "100");
    let world = World::start(setup).await;
    world.sim.set_script(everywhere(Action::Hang {}));
    let ids = publish(&world, "111", 100).await;
    world.worker.lane_state("111", "away").await;
    let asked = |stats: &Stats| questions(stats, "111") >= 1;
    within("a question", world.sim.until(asked)).await;
    world.sim.set_script(Script::default());
    let mut unknown = 0;
    for id in &ids {
        let result = world.results.wait(id).await.json();
        if result["status"] == "unknown" {
            unknown += 1;
        } else {
            assert_eq!(result["status"], "accepted", "{result}");
        }
    }
    // Eight in flight, and no more once five have timed out.
    assert!(unknown <= 16, "{unknown} results are unknown");
    world.finish().await;
}
