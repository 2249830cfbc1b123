//! The production overlay's own files on a real RabbitMQ: users, permissions, exchanges and queues are imported, and each role does what
//! it is there for, and is refused the rest.

use super::generated::made_secrets;
use super::render::{DEV, PRODUCTION, find, list, rendered, text};
use crate::support::Setup;
use graph_sim::Sim;
use harness::amqp;
use harness::broker::VirtualHost;
use harness::client::{Client, Request};
use harness::tls::{Authority, Front};
use harness::worker::{Folder, Worker};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};
use serde_json::Value;

/// The number and account of production's installation.toml.
const NUMBER: &str = "106540352242922";
const WABA: &str = "102290129340398";

/// A virtual host with everything that production's RabbitMQ starts with. Users are the whole broker's, so here they carry its name.
fn imported() -> VirtualHost {
    let vhost = VirtualHost::create();
    let objects = rendered(PRODUCTION);
    let of_map = |name: &str, key: &str| {
        let map = find(&objects, "ConfigMap", name).unwrap();
        text(&map["data"][key]).to_owned()
    };
    let users = find(made_secrets(), "Secret", "rabbitmq-users").unwrap();
    // In the order in which a node reads them.
    for file in [
        text(&users["stringData"]["users.json"]).to_owned(),
        of_map("rabbitmq-access", "access.json"),
        of_map("rabbitmq-topology", "topology.json"),
    ] {
        let mut definitions: Value = serde_json::from_str(&file).unwrap();
        for section in definitions.as_object_mut().unwrap().values_mut() {
            section
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .for_each(|entry| rename(entry, &vhost));
        }
        for user in list(&definitions["users"]) {
            vhost.adopt_user(text(&user["name"]));
        }
        vhost.manage("POST", "/api/definitions", Some(definitions));
    }
    vhost
}

fn rename(entry: &mut Value, vhost: &VirtualHost) {
    let is_user = !entry["password_hash"].is_null();
    let is_vhost = entry["name"] == "whatsapp";
    for (key, value) in entry.as_object_mut().unwrap() {
        match key.as_str() {
            "vhost" => *value = vhost.name.as_str().into(),
            "name" if is_vhost => *value = vhost.name.as_str().into(),
            "user" => *value = user(vhost, text(value)).into(),
            "name" if is_user => *value = user(vhost, text(value)).into(),
            _ => {}
        }
    }
}

fn user(vhost: &VirtualHost, role: &str) -> String {
    format!("{}-{role}", vhost.name)
}

/// The password in the Secret of this role.
fn password(role: &str) -> &'static str {
    let secret = find(made_secrets(), "Secret", &format!("{role}-rabbitmq")).unwrap();
    text(&secret["stringData"]["password"])
}

fn url(vhost: &VirtualHost, role: &str) -> String {
    let login = format!("{}:{}", user(vhost, role), password(role));
    vhost.url_as(&login, &VirtualHost::address())
}

/// A worker with this overlay's installation.toml, and what its pod mounts; `places` are below `/run/secrets`.
async fn worker(
    overlay: &str,
    folder: &Folder,
    places: &[(&str, &str)],
    broker: &str,
    graph: &str,
) -> Worker {
    for (place, content) in places {
        let file = folder.0.join(place);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }
    let texts = super::config::texts(&rendered(overlay)).unwrap();
    let installation = texts.last().unwrap();
    let installation = installation.replace("/run/secrets", folder.0.to_str().unwrap());
    let variables = [
        ("DISPATCHER_BROKER__URL", broker),
        ("DISPATCHER_GRAPH__BASE_URL", graph),
    ];
    let worker = Worker::start_with(folder, &installation, &variables);
    worker.ready().await;
    worker
}

async fn channel(url: &str) -> Channel {
    let connection = amqp::connect(url).await.unwrap();
    amqp::confirming(&connection).await.unwrap()
}

/// Each on a channel of its own: a refusal ends it.
async fn declare(url: &str, queue: &str) -> anyhow::Result<()> {
    let (options, none) = (
        QueueDeclareOptions {
            durable: true,
            ..Default::default()
        },
        FieldTable::default(),
    );
    let channel = channel(url).await;
    let declaring = channel.queue_declare(queue.into(), options, none);
    amqp::patient("declare", declaring).await.map(drop)
}

async fn bind(url: &str, queue: &str, exchange: &str) -> anyhow::Result<()> {
    amqp::bind(&channel(url).await, queue, exchange, "#").await
}

async fn consume(url: &str, queue: &str) -> anyhow::Result<()> {
    let channel = channel(url).await;
    // A stream wants it.
    channel.basic_qos(1, Default::default()).await.unwrap();
    amqp::consume(&channel, queue, true).await.map(drop)
}

async fn publish(url: &str, exchange: &str) -> anyhow::Result<()> {
    let channel = channel(url).await;
    let (to, properties) = ((exchange, "nowhere"), BasicProperties::default());
    let confirm = amqp::publish(&channel, to, b"{}", properties).await?;
    amqp::patient("a confirm", confirm).await.map(drop)
}

fn assert_refused(what: &str, result: anyhow::Result<()>) {
    let Err(error) = result else {
        panic!("{what}, and may");
    };
    let error = format!("{error:#}");
    assert!(
        error.contains("ACCESS_REFUSED") || error.contains("ACCESS-REFUSED"),
        "{what}: {error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_serves_a_request_with_the_rights_it_gives() {
    let (vhost, folder) = (imported(), Folder::create());
    let mut setup = Setup::default();
    WABA.clone_into(&mut setup.sim.defaults.waba_id);
    let sim = Sim::start(setup.sim).await.unwrap();
    // TLS in front of the broker.
    let authority = Authority::new();
    let front = Front::start(authority.acceptor("localhost"), VirtualHost::address()).await;
    let login = user(&vhost, "dispatcher");
    let broker = format!("amqps://{login}@localhost:{}/{}", front.port, vhost.name);
    let places = [
        ("rabbitmq/password", password("dispatcher")),
        ("rabbitmq/ca.crt", &authority.pem()),
        (&format!("whatsapp/waba-{WABA}"), "EAAG"),
    ];
    let mut worker = worker(PRODUCTION, &folder, &places, &broker, &sim.url()).await;

    let reader = url(&vhost, "results-reader");
    declare(&reader, "results.test").await.unwrap();
    bind(&reader, "results.test", "wa.results").await.unwrap();
    let results = Client::connect(&reader).await.read("results.test").await;
    let upstream = Client::connect(&url(&vhost, "upstream")).await;
    upstream
        .publish([Request::text("m", "34600000001").number(NUMBER)])
        .await;
    let result = results.wait("m").await;
    assert_eq!(result.json()["status"], "accepted");
    assert_eq!(result.routing_key, format!("accepted.{NUMBER}"));
    assert_eq!(sim.ledger().len(), 1);
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_refuses_each_role_what_is_not_its_own() {
    let vhost = imported();
    let (upstream, reader) = (url(&vhost, "upstream"), url(&vhost, "results-reader"));
    let dispatcher = url(&vhost, "dispatcher");
    let lane = format!("wa.lane.{NUMBER}");
    // So that it is a right that is missing, and no queue.
    declare(&reader, "results.test").await.unwrap();

    assert_refused(
        "upstream reads results",
        consume(&upstream, "wa.results.log").await,
    );
    assert_refused("upstream reads its lane", consume(&upstream, &lane).await);
    assert_refused(
        "upstream makes results",
        publish(&upstream, "wa.results").await,
    );
    assert_refused("upstream goes round wa.send", publish(&upstream, "").await);
    assert_refused("upstream declares", declare(&upstream, "wa.lane.1").await);

    assert_refused("a reader sends", publish(&reader, "wa.send").await);
    assert_refused(
        "a reader makes results",
        publish(&reader, "wa.results").await,
    );
    assert_refused("a reader reads requests", consume(&reader, &lane).await);
    assert_refused(
        "a reader listens to requests",
        bind(&reader, "results.test", "wa.send").await,
    );
    assert_refused(
        "a reader declares anything",
        declare(&reader, "wa.results.mine").await,
    );

    assert_refused(
        "a worker reads what others keep",
        consume(&dispatcher, "results.test").await,
    );
    assert_refused(
        "a worker declares anything",
        declare(&dispatcher, "results.other").await,
    );

    // Elsewhere they are nobody.
    for role in ["dispatcher", "upstream", "results-reader"] {
        let login = format!("{}:{}", user(&vhost, role), password(role));
        let other = format!("amqp://{login}@{}/%2f", VirtualHost::address());
        let error = amqp::connect(&other).await.map(drop).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("NOT_ALLOWED") || error.contains("NOT-ALLOWED"),
            "{role}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_serves_a_request_of_each_of_its_numbers() {
    let (vhost, folder) = (VirtualHost::create(), Folder::create());
    // As the simulator of the overlay: every number, every token, and the account that it gives them.
    let sim = Sim::start(graph_sim::Options::default()).await.unwrap();
    // An administrator, as the image makes of its default user.
    let login = vhost.user("dispatcher", ".*", ".*", ".*");
    let (name, password) = login.split_once(':').unwrap();
    let broker = format!("amqp://{name}@{}/{}", VirtualHost::address(), vhost.name);
    let config = super::config::config(&rendered(DEV)).unwrap();
    let token = config.accounts[0].token.file().unwrap();
    let token = token.strip_prefix("/run/secrets").unwrap();
    let places = [
        ("rabbitmq/password", password),
        (token.to_str().unwrap(), "EAAG"),
    ];
    let mut worker = worker(DEV, &folder, &places, &broker, &sim.url()).await;
    let url = vhost.url(&VirtualHost::address());
    let (client, results) = Client::with_results(&url).await;
    for number in config.phone_number_ids() {
        let request = Request::text(&number, "34600000001").number(&number);
        client.publish([request]).await;
        assert_eq!(results.wait(&number).await.json()["status"], "accepted");
    }
    worker.drain().await;
}
