//! Requests that end whoever has them: they are told from the others, and kept.

use crate::support::{NUMBER, Setup, World};
use harness::client::Request;
use harness::worker::Worker;
use std::path::Path;

/// A worker whose lane panics when it is about to send what `wish` names.
fn ill_wished(world: &World, wish: &Path) -> Worker {
    let wish = [("WA_TEST_PANIC", wish.to_str().unwrap())];
    let mut worker = Worker::start_with(&world.folder, &world.config, &wish);
    worker.expect_error("panicked at");
    worker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_panics_takes_nobody_with_it() {
    let setup = Setup::default().numbers(&[(NUMBER, 50), ("222", 50)]);
    let mut world = World::start(setup).await;
    world.worker.drain().await;
    let wish = world.folder.write("wish", "");
    world.worker = ill_wished(&world, &wish);
    world.worker.ready().await;
    let ids = world.publish_many(50).await;
    let other = |n| Request::text(&format!("other-{n}"), &format!("3461{n:07}")).number("222");
    world.publish((0..50).map(other)).await;
    assert_eq!(world.worker.end().await.code(), Some(1));
    let text = world.worker.log.text();
    assert!(text.contains("a test asks for it"), "{text}");
    let last = text.lines().last().unwrap();
    assert_eq!(last, "whatsapp-dispatcher: a consumer panicked");
    assert!(!wish.exists());
    world.worker = ill_wished(&world, &wish);
    world.worker.ready().await;
    world.check_nothing_lost(&ids).await;
    for n in 0..50 {
        let letter = world.results.wait(&format!("other-{n}")).await;
        assert_eq!(letter.json()["possible_duplicate"], false, "it was drained");
    }
    world.finish_after_loss().await;
}

/// The ones that were delivered with it have their say once it is apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_every_worker_is_told_from_those_around_it_and_kept() {
    let setup = Setup::default()
        .numbers(&[(NUMBER, 50), ("222", 50)])
        .set("redelivery.max_deliveries", "2");
    let mut world = World::start(setup).await;
    world.worker.drain().await;
    let dead = world.dead().await;
    let wish = world.folder.write("wish", "poison");
    let poison = Request::text("poison", "34600000001").header("x-own", "1");
    let ids: Vec<String> = (0..6).map(|n| format!("m-{n}")).collect();
    let around = ids
        .iter()
        .zip(2..)
        .map(|(id, n)| Request::text(id, &format!("3460{n:07}")));
    let mut requests: Vec<Request> = around.collect();
    requests.insert(1, poison.clone());
    world.publish(requests).await;
    let mut lives = 0;
    while dead.letters().is_empty() {
        lives += 1;
        assert!(lives < 10, "the poison is still about");
        world.worker = ill_wished(&world, &wish);
        let kept = dead.until("the poison", |letters| !letters.is_empty());
        tokio::select! {
            status = world.worker.end() => {
                assert_eq!(status.code(), Some(1));
                let text = world.worker.log.text();
                assert!(text.contains("its text may quote a request"), "{text}");
                assert!(!text.contains("asks for it, at"), "{text}");
            }
            _ = kept => {}
        }
    }
    // Twice as often as a request may be delivered without a word.
    assert!(lives >= 5, "{lives}");
    world.check_nothing_lost(&ids).await;
    for id in &ids {
        assert_eq!(world.results.wait(id).await.json()["status"], "accepted");
    }
    let result = world.results.wait("poison").await.json();
    assert_eq!(result["status"], "failed");
    assert_eq!(result["error"]["class"], "poison");
    assert_eq!(result["possible_duplicate"], true);
    let kept = dead.wait("poison").await;
    assert_eq!(kept.header("wa-dead-reason").as_deref(), Some("poison"));
    assert_eq!(kept.header("x-own").as_deref(), Some("1"));
    assert_eq!(kept.body, poison.body);
    world.worker.ready().await;
    world.finish_after_loss().await;
}
