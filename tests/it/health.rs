//! `healthcheck`: the worker's readiness, asked from beside it.

use crate::support::{Setup, World, poll, within};
use harness::worker::command;
use std::path::Path;

/// The exit code and the one line.
fn healthcheck(config: &Path) -> (Option<i32>, String) {
    command(&["healthcheck", "--config", config.to_str().unwrap()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_what_readyz_says() {
    let (mut world, proxy) = World::behind_proxy(Setup::default()).await;
    let address = world.worker.admin_address();
    let config = world
        .folder
        .0
        .join(format!("{}.toml", address.replace(':', "-")));
    assert_eq!(healthcheck(&config), (Some(0), "ready\n".to_owned()));

    proxy.cut().await;
    let gone = poll(|| async { world.worker.get("/readyz").await.unwrap().status == 503 });
    within("the session to end", gone).await;
    let said = "whatsapp-dispatcher: not ready: no broker session\n";
    assert_eq!(healthcheck(&config), (Some(1), said.to_owned()));

    world.worker.drain().await;
    let (code, said) = healthcheck(&config);
    assert_eq!(code, Some(1));
    assert!(
        said.contains(&format!("{address} does not answer")),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_takes_nothing_else_for_a_worker() {
    let world = World::start(Setup::default()).await;
    let sim = world.sim.url().replace("http://", "");
    let config = format!("admin.listen = \"{sim}\"\n{}", world.config);
    let config = world.folder.write("other.toml", &config);
    let (code, said) = healthcheck(&config);
    assert_eq!(code, Some(1));
    assert!(said.contains("is no admin port of a worker"), "{said}");
    world.finish().await;
}
