//! How far a block reaches: every lane of its scope in every worker, and no other lane.

use super::*;
use crate::support::within;
use graph_sim::{Action, Fault};
use std::path::Path;

/// As Kubernetes mounts a secret: the file is a link through a folder that is swapped.
fn mount(folder: &Path, version: &str, token: &str) {
    let versioned = folder.join(version);
    std::fs::create_dir_all(&versioned).unwrap();
    std::fs::write(versioned.join("token"), token).unwrap();
    let next = folder.join("..next");
    std::os::unix::fs::symlink(version, &next).unwrap();
    std::fs::rename(&next, folder.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_token_stops_its_account_and_no_other() {
    let mut setup = setup().set("retry.max_attempts", "1");
    setup.sim.tokens = vec![
        token(TOKEN, TokenState::Expired),
        token(OTHER_TOKEN, TokenState::Valid),
    ];
    let mut world = World::start(setup).await;
    // The same worker again, with its token in a mount.
    world.worker.drain().await;
    let folder = world.folder.0.clone();
    mount(&folder, "..v1", TOKEN);
    std::os::unix::fs::symlink("..data/token", folder.join("mounted")).unwrap();
    let config = world.config.replace(
        folder.join("token").to_str().unwrap(),
        folder.join("mounted").to_str().unwrap(),
    );
    world.worker = Worker::start(&world.folder, &config);
    world.worker.ready().await;

    let mut held = publish(&world, "111", 500).await;
    held.extend(publish(&world, "112", 500).await);
    let free = publish(&world, "222", 100).await;
    world.accepted_once(&free).await;
    for lane in ["111", "112"] {
        world.worker.lane_state(lane, "away").await;
        let told = world.worker.lane(lane).await;
        assert_eq!(told["held_by"], "block");
        assert_eq!(told["cause"]["scope"], "token");
        assert_eq!(told["cause"]["code"], 190);
        assert_eq!(told["cause"]["remedy"], "load a new token");
        assert_eq!(told["waiting"], 0, "its messages are RabbitMQ's again");
    }
    let wasted = received(&world.sim.stats(), &["111", "112"]);
    assert!(
        wasted <= 40,
        "{wasted} requests were wasted on a dead token"
    );
    world.results.all(100).await;
    assert_eq!(
        world.all_results().await.len(),
        100,
        "nobody else was answered"
    );

    world.sim.set_tokens([
        token("EAAGnew", TokenState::Valid),
        token(OTHER_TOKEN, TokenState::Valid),
    ]);
    mount(&folder, "..v2", "EAAGnew\n");
    world.accepted_once(&held).await;
    assert_eq!(world.sim.ledger().len(), 1_100, "each once");
    let metrics = world.worker.metrics().await;
    assert_eq!(metrics.sum("dead_letters_total", &[]), 0.0);
    assert_eq!(metrics.sum("holds_found_total", &[("scope", "token")]), 1.0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_known_to_every_worker_and_to_those_that_start() {
    let world = World::start(setup()).await;
    let mut other = world.second().await;
    // 131031: account locked.
    world
        .sim
        .change_waba("900", |rules| rules.blocked_code = Some(131_031))
        .unwrap();
    let mut ids = publish(&world, "111", 200).await;
    ids.extend(publish(&world, "112", 200).await);
    for worker in [&world.worker, &other] {
        for lane in ["111", "112"] {
            worker.lane_state(lane, "away").await;
            let cause = &worker.lane(lane).await["cause"];
            assert_eq!(cause["scope"], "waba");
            assert_eq!(cause["code"], 131_031);
        }
        worker.lane_state("222", "flowing").await;
    }
    let wasted = received(&world.sim.stats(), &["111", "112"]);
    assert!(wasted <= 40, "{wasted} requests were wasted");

    other.drain().await;
    let mut other = world.second().await;
    other.lane_state("111", "away").await;
    other.lane_state("112", "away").await;
    assert_eq!(received(&world.sim.stats(), &["111", "112"]), wasted);

    world
        .sim
        .change_waba("900", |rules| rules.blocked_code = None)
        .unwrap();
    assert_eq!(other.post("/lanes/112/resume").await.status, 202);
    world.accepted_once(&ids).await;
    // Whoever has no message to try with goes on being careful.
    for worker in [&world.worker, &other] {
        let state = worker.lane("111").await["state"].clone();
        assert!(state == "flowing" || state == "probing", "{state}");
    }
    other.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_asked_whether_a_block_is_over_and_no_message_is_spent() {
    let setup = setup()
        .set("lanes.halt_probe_s", "1")
        .set("lanes.halt_probe_max_s", "1");
    let world = World::start(setup).await;
    // 133010: not registered.
    world.block("111", Some(133_010));
    let ids = publish(&world, "111", 20).await;
    world.worker.lane_state("111", "away").await;
    let spent = received(&world.sim.stats(), &["111"]);
    let asked = |stats: &Stats| questions(stats, "111") >= 2;
    within("two questions", world.sim.until(asked)).await;
    assert_eq!(received(&world.sim.stats(), &["111"]), spent);
    let told = world.worker.lane("111").await;
    assert!(told["cause"]["next_probe"].is_string() && told["cause"]["since"].is_string());
    world.block("111", None);
    world.accepted_once(&ids).await;
    world
        .metric("health_probes_total", &[("result", "well")], |n| n == 1.0)
        .await;
    world.finish().await;
}

/// 403s may be one message's own fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_one_person_meets_blocks_nobody() {
    let world = World::start(setup()).await;
    let fault = Fault::to("34620000000", Action::error(131_005));
    world.sim.set_script(fault.times(1));
    let ids = publish(&world, "111", 20).await;
    world.accepted(&ids).await;
    assert_eq!(world.sim.stats().struck, [1], "the person met it");
    world.worker.lane_state("111", "flowing").await;
    assert_eq!(world.sum("holds_found_total", &[]).await, 0.0);
    world.finish().await;
}

/// A request that alone always meets what means a dead token: others try after the hold, and go on, whichever worker has the lane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_request_meets_alone_ends_it_and_nobody_else_waits_for_long() {
    for (code, status) in [
        (190, None),
        (3, None),
        (999_999, Some(401)),
        (999_999, Some(403)),
    ] {
        let setup = setup()
            .set("lanes.halt_probe_s", "1")
            .set("lanes.halt_probe_max_s", "1")
            .set("retry.max_attempts", "2")
            .set("retry.base_s", "1");
        let world = World::start(setup).await;
        let mut other = world.second().await;
        let action = Action::Error {
            code,
            status,
            subcode: None,
            details: None,
        };
        world.sim.set_script(Fault::to("34699999999", action));
        let lone = ["lone-1", "lone-2"].map(|id| Request::text(id, "34699999999").number("111"));
        world.publish(lone).await;
        let mut ids = publish(&world, "111", 50).await;
        ids.extend(publish(&world, "112", 20).await);
        for id in &ids {
            let result = world.results.wait(id).await.json();
            assert_eq!(result["status"], "accepted", "{code} {status:?}: {result}");
        }
        for id in ["lone-1", "lone-2"] {
            let result = world.results.wait(id).await.json();
            assert_eq!(result["status"], "failed", "{result}");
            assert_eq!(result["attempts"], 2, "{result}");
            assert_eq!(result["error"]["class"], "blocked", "{result}");
            assert_eq!(result["error"]["code"], code, "{result}");
        }
        // And what comes later finds no hold.
        let late = Request::text("late", "34600000001").number("111");
        world.publish([late]).await;
        assert_eq!(
            world.results.wait("late").await.json()["status"],
            "accepted"
        );
        assert_eq!(world.sim.ledger().len(), ids.len() + 1, "each once");
        other.drain().await;
        world.finish().await;
    }
}
