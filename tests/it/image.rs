//! The images themselves, run as a cautious operator runs them: read-only, without capabilities, with little memory.

use crate::support::container::{self, BROKER_HOST, Container, dispatcher_image, sim_image};
use crate::support::{NUMBER, Setup, World, poll, within};
use harness::http;
use harness::worker::{Folder, Worker, free_port};
use serde_json::Value;
use std::collections::HashSet;
use std::time::Instant;

/// Bytes. Both images together are pulled faster than RabbitMQ answers.
const SIZE_MAX: u64 = 20_000_000;

fn inspect(image: &str) -> Value {
    let answer: Value =
        serde_json::from_str(&container::told(&["image", "inspect", image])).unwrap();
    answer[0].clone()
}

#[test]
fn the_images_are_small_and_say_what_they_are() {
    for (image, title) in [
        (dispatcher_image(), "whatsapp-dispatcher"),
        (sim_image(), "graph-sim"),
    ] {
        let told = inspect(&image);
        let config = &told["Config"];
        assert_eq!(config["User"], "65532:65532", "{told}");
        assert_eq!(config["Entrypoint"][0], format!("/{title}"), "{told}");
        let labels = &config["Labels"];
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(labels["org.opencontainers.image.title"], title, "{told}");
        assert_eq!(
            labels["org.opencontainers.image.version"], version,
            "{told}"
        );
        let size = told["Size"].as_u64().unwrap();
        assert!(size < SIZE_MAX, "{image} has {size} bytes");
        println!("{image}: {:.1} MB", size as f64 / 1e6);
    }
}

/// No shell, no package manager, nobody's home: what is not there cannot be used by who gets in.
#[test]
fn there_is_nothing_in_the_images_but_the_programs() {
    let folder = Folder::create();
    let authorities = "etc/ssl/certs/ca-certificates.crt";
    let expected = [
        (dispatcher_image(), vec![authorities, "whatsapp-dispatcher"]),
        (sim_image(), vec!["graph-sim"]),
    ];
    for (image, mut expected) in expected {
        let mut files = Container::name().files(&image, &folder);
        files.sort_unstable();
        // What engines put into every container, empty, to mount their own over.
        let mounts = [
            "etc/hosts",
            "etc/hostname",
            "etc/mtab",
            "etc/resolv.conf",
            "run/.containerenv",
            ".dockerenv",
        ];
        files.retain(|file| !file.starts_with("dev/") && !mounts.contains(&file.as_str()));
        expected.sort_unstable();
        assert_eq!(files, expected, "{image}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_drains_under_load_and_the_next_goes_on() {
    let mut setup = Setup::default().numbers(&[(NUMBER, 100)]);
    setup.sim.defaults.latency_ms = 50;
    let mut world = World::start(setup).await;
    world.worker.drain().await;
    let ids = world.publish_many(900).await;
    for round in 1..=2 {
        let container = Container::name();
        let began = Instant::now();
        world.worker = container.worker(&world.folder, &world.config);
        world.worker.ready().await;
        println!("from `run` to ready: {} ms", began.elapsed().as_millis());
        world.has_sent(round * 100).await;
        println!("memory: {}", container.memory().trim());
        let config = config_of(&world);
        let asked = container.exec(&["/whatsapp-dispatcher", "healthcheck", "--config", &config]);
        assert!(asked.status.success(), "{asked:?}");
        let shell = container.exec(&["/bin/sh", "-c", "true"]);
        assert!(!shell.status.success());

        container.stop();
        let status = world.worker.end().await;
        assert_eq!(status.code(), Some(0), "{}", world.worker.log.text());
        // Nothing is half done: what the API has taken has its result.
        let results = world.all_results().await.len();
        assert_eq!(results, world.sim.ledger().len());
        assert!(
            results < 900,
            "the load was too small to be drained in the middle"
        );
    }
    world.worker = Worker::start(&world.folder, &world.config);
    world.check_nothing_lost(&ids).await;
    let sent: Vec<_> = world.sim.ledger().into_iter().map(|e| e.opaque).collect();
    let once: HashSet<_> = sent.iter().collect();
    assert_eq!(once.len(), sent.len(), "something was sent twice");
    world.finish().await;
}

/// The config file that the worker runs with.
fn config_of(world: &World) -> String {
    let name = format!("{}.toml", world.worker.admin_address().replace(':', "-"));
    world.folder.0.join(name).to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_images_work_together() {
    let mut world = World::start(Setup::default()).await;
    world.worker.drain().await;
    let sim = Container::name();
    let address = format!("127.0.0.1:{}", free_port());
    sim.run(&sim_image(), &["--listen", &address, "--latency-ms", "20"]);
    let healthy = poll(|| async {
        let asked = sim.exec(&["/graph-sim", "--healthcheck", "--listen", &address]);
        asked.status.success()
    });
    within("graph-sim to be healthy", healthy).await;
    let container = Container::name();
    // A program that is linked statically has the means to find names with it.
    let config = world
        .config
        .replace(&world.sim.url(), &format!("http://{address}"))
        .replace("@127.0.0.1:", &format!("@{BROKER_HOST}:"));
    assert!(config.contains(BROKER_HOST), "{config}");
    world.worker = container.worker(&world.folder, &config);
    world.worker.ready().await;
    let ids = world.publish_many(50).await;
    world.accepted(&ids).await;
    let stats = http::ask(&address, "GET", "/_sim/stats", None, None).unwrap();
    assert_eq!(
        stats.json()["numbers"][NUMBER]["accepted"],
        50,
        "{}",
        stats.body
    );
    sim.stop();
    container.stop();
    assert_eq!(world.worker.end().await.code(), Some(0));
}
