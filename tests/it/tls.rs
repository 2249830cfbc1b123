//! TLS to the API and to the broker: a CA of one's own is trusted when it is named, and nothing leaves for anyone else.

use crate::support::{NUMBER, Setup, World};
use graph_sim::Sim;
use harness::broker::VirtualHost;
use harness::client::{Client, Request};
use harness::tls::{Authority, Front};
use harness::worker::{Folder, Worker, free_port};

/// A world whose API is behind TLS by `authority` for `host`, and which trusts `trusted`.
async fn world(authority: &Authority, host: &str, trusted: &Authority) -> World {
    let folder = Folder::create();
    let ca = folder.write("ca.pem", &trusted.pem());
    let setup = Setup::default().set("graph.ca_file", &format!("{ca:?}"));
    let sim = Sim::start(setup.sim.clone()).await.unwrap();
    let front = Front::start(authority.acceptor(host), sim.addr().to_string()).await;
    let graph = format!("https://localhost:{}", front.port);
    World::beyond(setup, sim, &graph).await
}

/// Nothing reaches the API; the message waits and is nobody's possible duplicate.
async fn nothing_leaves(mut world: World) {
    world.publish([Request::text("kept", "34600000001")]).await;
    let not_sent = [("phone_number_id", NUMBER), ("outcome", "not_sent")];
    world
        .metric("attempts_total", &not_sent, |n| n >= 3.0)
        .await;
    world.worker.drain().await;
    assert!(world.sim.stats().numbers.is_empty(), "a request has left");
    assert!(world.all_results().await.is_empty());
    let kept = world.client.read("wa.lane.111").await;
    assert_eq!(kept.wait("kept").await.routing_key, NUMBER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_with_a_certificate_of_the_named_authority_is_trusted() {
    let authority = Authority::new();
    let world = world(&authority, "localhost", &authority).await;
    let ids = world.publish_many(20).await;
    world.check_nothing_lost(&ids).await;
    assert_eq!(world.sim.ledger().len(), 20);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_for_an_api_of_another_authority() {
    nothing_leaves(world(&Authority::new(), "localhost", &Authority::new()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_for_an_api_of_another_name() {
    let authority = Authority::new();
    nothing_leaves(world(&authority, "graph.example.com", &authority).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_for_a_server_that_speaks_no_tls() {
    let setup = Setup::default();
    let sim = Sim::start(setup.sim.clone()).await.unwrap();
    let graph = format!("https://localhost:{}", sim.addr().port());
    nothing_leaves(World::beyond(setup, sim, &graph).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_file_that_is_none_ends_run_with_1_and_one_line() {
    for content in [
        "",
        "not a certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let folder = Folder::create();
        let ca = folder.write("ca.pem", content);
        let token = folder.write("token", "EAAG");
        let setup = Setup::default().set("graph.ca_file", &format!("{ca:?}"));
        let config = setup.config_file(
            "amqp://127.0.0.1:1",
            "https://localhost:1",
            token.to_str().unwrap(),
        );
        let mut worker = Worker::start(&folder, &config);
        assert_eq!(worker.end().await.code(), Some(1), "{content:?}");
        let log = worker.log.text();
        let line = log.lines().last().unwrap();
        assert!(
            line.starts_with("whatsapp-dispatcher: graph"),
            "{content:?}: {log}"
        );
    }
}

fn over_tls(vhost: &VirtualHost, port: u16) -> String {
    vhost
        .url(&format!("localhost:{port}"))
        .replace("amqp://", "amqps://")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_behind_tls_is_served_if_its_authority_is_named() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let vhost = VirtualHost::create();
    let sim = Sim::start(Setup::default().sim).await.unwrap();
    let front = Front::start(authority.acceptor("localhost"), VirtualHost::address()).await;
    let folder = Folder::create();
    let token = folder.write("token", "EAAG");
    let config = |authority: &Authority, name: &str| {
        let ca = folder.write(name, &authority.pem());
        let setup = Setup::default().set("broker.ca_file", &format!("{ca:?}"));
        setup.config_file(
            &over_tls(&vhost, front.port),
            &sim.url(),
            token.to_str().unwrap(),
        )
    };
    let mut refusing = Worker::start(&folder, &config(&stranger, "stranger.pem"));
    let line = refusing.log.line("no broker session").await;
    assert!(line.to_ascii_lowercase().contains("certificate"), "{line}");
    refusing.drain().await;

    let mut worker = Worker::start(&folder, &config(&authority, "ca.pem"));
    worker.ready().await;
    let url = vhost.url(&VirtualHost::address());
    let (client, results) = Client::with_results(&url).await;
    client.publish([Request::text("m", "34600000001")]).await;
    assert_eq!(results.wait("m").await.json()["status"], "accepted");
    worker.drain().await;
}

/// The port is nobody's: what a wrong `graph.base_url` looks like.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_for_a_port_where_nobody_listens() {
    let setup = Setup::default();
    let sim = Sim::start(setup.sim.clone()).await.unwrap();
    let graph = format!("https://localhost:{}", free_port());
    nothing_leaves(World::beyond(setup, sim, &graph).await).await;
}
