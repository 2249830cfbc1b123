//! Publishes that end the connection that they are made on: they end few, and no request is lost over one. A proxy ends it; what
//! makes RabbitMQ do so stays out of the tests.

use crate::support::{NUMBER, Setup, World};
use harness::broker::VirtualHost;
use harness::client::Request;
use harness::proxy::Proxy;

/// Every connection ends on which a worker publishes this.
async fn world(mark: &str) -> (World, Proxy) {
    let setup = Setup::default().numbers(&[(NUMBER, 100), ("222", 100)]);
    let proxy = Proxy::closing(&VirtualHost::address(), mark.as_bytes()).await;
    (World::before(setup, &proxy.address).await, proxy)
}

/// At most two sessions ended, the other lane goes on, and nobody got anything twice.
async fn check(world: World, sent: usize) {
    let others: Vec<Request> = (0..20)
        .map(|n| Request::text(&format!("other-{n}"), &format!("3460{n:07}")).number("222"))
        .collect();
    let ids: Vec<String> = others.iter().map(Request::id).collect();
    world.publish(others).await;
    world.check_nothing_lost(&ids).await;
    let metrics = world.worker.metrics().await;
    let sessions = metrics.sum("broker_sessions_total", &[]);
    assert!(sessions <= 3.0, "{sessions} sessions");
    assert_eq!(world.sim.ledger().len(), sent + ids.len());
    world.finish_after_loss().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_goes_without_the_headers_that_end_its_session() {
    let (world, _proxy) = world("not-to-be-carried").await;
    let request = Request::text("m", "34600000001")
        .header("x-mark", "not-to-be-carried")
        .with(|p| p.with_correlation_id("call-1".into()));
    let result = world.call(request).await;
    assert_eq!(result.json()["status"], "accepted");
    assert_eq!(
        result.header("wa-headers-left-out").as_deref(),
        Some("Boolean(true)")
    );
    assert_eq!(result.header("x-mark"), None);
    check(world, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_a_copy_for_later() {
    let (world, _proxy) = world("not-to-be-carried").await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let request = Request::text("m", "34600000001")
        .header("x-mark", "not-to-be-carried")
        .header("not-before", &soon.to_string());
    let result = world.call(request).await;
    assert_eq!(result.json()["status"], "accepted");
    assert_eq!(
        result.header("wa-headers-left-out").as_deref(),
        Some("Boolean(true)")
    );
    check(world, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_cannot_be_told_leaves_its_request_in_wa_dead() {
    let (mut world, _proxy) = world("accepted.111").await;
    world.worker.expect_error("ends each connection");
    let dead = world.dead().await;
    world.publish([Request::text("m", "34600000001")]).await;
    let letter = dead.wait("m").await;
    assert_eq!(
        letter.header("wa-dead-reason").as_deref(),
        Some("unpublishable")
    );
    assert_eq!(
        letter.header("wa-possible-duplicate").as_deref(),
        Some("Boolean(true)")
    );
    assert!(letter.json()["to"].is_string(), "the whole request");
    check(world, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_published_for_later_fails() {
    let (mut world, _proxy) = world("wa-hops").await;
    world.worker.expect_error("ends each connection");
    let dead = world.dead().await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
    let request = Request::text("m", "34600000001").header("not-before", &soon.to_string());
    let result = world.answer(request).await;
    assert_eq!(result["status"], "failed");
    assert_eq!(result["error"]["class"], "poison");
    let letter = dead.wait("m").await;
    assert_eq!(
        letter.header("wa-dead-reason").as_deref(),
        Some("unpublishable")
    );
    check(world, 0).await;
}

/// Those that were under way with it lose nothing, and what its caller sends next ends no session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_such_requests_ends_as_few_sessions_as_one_request() {
    let (world, _proxy) = world("not-to-be-carried").await;
    let fatal = |n: u32| {
        Request::text(&format!("fatal-{n}"), &format!("3461{n:07}"))
            .header("x-mark", "not-to-be-carried")
    };
    let beside: Vec<Request> = (0..40)
        .map(|n| Request::text(&format!("beside-{n}"), &format!("3462{n:07}")))
        .map(|request| request.header("x-mark", "carried"))
        .zip([NUMBER, "222"].into_iter().cycle())
        .map(|(request, number)| request.number(number))
        .collect();
    let mut ids: Vec<String> = beside.iter().map(Request::id).collect();
    world.publish([fatal(0)].into_iter().chain(beside)).await;
    world.check_nothing_lost(&ids).await;
    for id in &ids {
        let result = &world.results.of(id)[0];
        assert_eq!(result.header("wa-headers-left-out"), None, "{id}");
        assert!(result.header("x-mark").is_some(), "{id}");
    }
    for n in 1..4 {
        let result = world.call(fatal(n)).await;
        assert!(result.header("wa-headers-left-out").is_some());
    }
    ids.extend((0..4).map(|n| format!("fatal-{n}")));
    world.check_nothing_lost(&ids).await;
    check(world, ids.len()).await;
}

/// Its id is all that is left of it: it can be neither told nor kept. It is tried ever more rarely, where it ends nothing of others'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_even_be_kept_harms_nobody() {
    let (mut world, _proxy) = world("a-fatal-id").await;
    world.worker.expect_error("ends each connection");
    world
        .worker
        .expect_error("RabbitMQ does not take a publish");
    world
        .publish([Request::text("a-fatal-id", "34600000001")])
        .await;
    let waits = world.metric("refused_publishes_waiting", &[], |n| n >= 1.0);
    waits.await;
    let beside = Request::text("beside", "34600000002");
    assert_eq!(world.answer(beside).await["status"], "accepted");
    let metrics = world.worker.metrics().await;
    assert!(metrics.sum("broker_sessions_total", &[]) <= 3.0);
    // It cannot drain: that request is not settled.
    world.worker.kill().await;
}
