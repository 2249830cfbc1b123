//! What an operator says to one worker counts in all.

use super::*;
use harness::broker::VirtualHost;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_reaches_every_worker_and_outlives_them() {
    let mut world = World::start(setup()).await;
    let mut other = world.second().await;
    assert_eq!(world.worker.post("/lanes/111/pause").await.status, 202);
    for worker in [&world.worker, &other] {
        worker.lane_state("111", "paused").await;
        let told = worker.lane("111").await;
        assert_eq!(told["held_by"], "operator");
        assert!(told["since"].is_string());
    }
    let held = publish(&world, "111", 5).await;
    let free = publish(&world, "112", 5).await;
    world.accepted_once(&free).await;
    // Both are replaced by new ones, which read it from the log.
    world.worker.drain().await;
    other.drain().await;
    world.restart().await;
    let mut other = world.second().await;
    world.worker.lane_state("111", "paused").await;
    other.lane_state("111", "paused").await;
    let free: Vec<String> = publish(&world, "222", 5).await;
    world.accepted_once(&free).await;
    assert_eq!(received(&world.sim.stats(), &["111"]), 0);

    assert_eq!(other.post("/lanes/111/resume").await.status, 202);
    world.accepted_once(&held).await;
    world.worker.lane_state("111", "flowing").await;
    other.drain().await;
    world.finish().await;
}

/// A broker's user without rights on the log, as before there was one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_log_a_worker_works_alone_and_says_so() {
    let mut world = World::start(setup()).await;
    world.worker.drain().await;
    let (write, read) = (
        r"^(wa\.results|wa\.dead|wa\.delay\.[0-9]+)$",
        r"^(wa\.lane\..*|wa\.unrouted)$",
    );
    let login = world.vhost.user("alone", "^$", write, read);
    let url = world.vhost.url_as(&login, &VirtualHost::address());
    let config = world
        .config
        .replace(&world.vhost.url(&VirtualHost::address()), &url);
    world.worker = Worker::start(&world.folder, &format!("broker.declare = false\n{config}"));
    world.worker.ready().await;
    world.worker.log.line("wa.lanes.log cannot be used").await;
    world.counts("lanes_log_available", 0.0).await;
    let ids = publish(&world, "111", 5).await;
    world.accepted_once(&ids).await;
    let paused = world.worker.post("/lanes/111/pause").await;
    assert_eq!(paused.status, 503);
    assert!(
        paused.body.contains("done in this worker"),
        "{}",
        paused.body
    );
    world.worker.lane_state("111", "paused").await;
    world.worker.post("/lanes/111/resume").await;
    let ids = publish(&world, "112", 5).await;
    world.accepted_once(&ids).await;
    world.worker.lane_state("111", "flowing").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_may_be_deleted_and_made_anew() {
    let world = World::start(setup()).await;
    world.counts("lanes_log_available", 1.0).await;
    assert_eq!(world.worker.post("/lanes/222/pause").await.status, 202);
    world.vhost.delete_queue("wa.lanes.log");
    world.counts("lanes_log_available", 0.0).await;
    let ids = publish(&world, "111", 5).await;
    world.accepted_once(&ids).await;
    world.counts("lanes_log_available", 1.0).await;
    assert_eq!(world.worker.post("/lanes/111/pause").await.status, 202);
    // What the old one said is told again.
    let mut other = world.second().await;
    other.lane_state("111", "paused").await;
    other.lane_state("222", "paused").await;
    other.drain().await;
    world.finish().await;
}
