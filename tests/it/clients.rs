//! Requests as callers of other clients and protocols publish them, each by the real client: `clients/publish.py` and `clients/publish.js`.
//! They log in with an upstream service's rights and no more. deploy/contract/README.md, "Callers of other clients and protocols", is the table of these.
//!
//! Where a client is not installed its test passes, unchecked; `deploy/dev test` tells at its start which could not be installed.

use crate::support::{NUMBER, Setup, World, within};
use harness::broker::VirtualHost;
use harness::client::{Inbox, Letter};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use tokio::process::Command;

/// A queue whose name no protocol can have in an address as it is.
const ANSWERS: &str = "answers of/shop";
const ANSWERS_ENCODED: &str = "answers%20of%2Fshop";
/// How a script says that its client is not there.
const NOT_INSTALLED: i32 = 77;

/// A world with a caller of one client.
struct Caller {
    client: &'static str,
    world: World,
    login: String,
    answers: Inbox,
    /// When each request was enqueued, in seconds: some time ago.
    enqueued_s: u64,
}

impl Caller {
    /// `None` where the client is not installed.
    async fn of(client: &'static str) -> Option<Self> {
        if !is_installed(client).await {
            eprintln!("{client}: NOT CHECKED");
            return None;
        }
        let world = World::start(Setup::default()).await;
        let path = format!("/api/queues/{}/{ANSWERS_ENCODED}", world.vhost.name);
        let queue = json!({ "durable": true });
        world.vhost.manage("PUT", &path, Some(queue));
        let write = if client == "paho-mqtt" {
            r"^amq\.topic$"
        } else {
            r"^wa\.send$"
        };
        let login = world.vhost.user("upstream", "^$", write, "^$");
        let answers = world.client.read(ANSWERS).await;
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let enqueued_s = now.saturating_sub(Duration::from_secs(5)).as_secs();
        Some(Self {
            client,
            world,
            login,
            answers,
            enqueued_s,
        })
    }

    /// Publishes one request, plain but for the oddity (of those that the scripts know), and returns its id.
    async fn publishes(&self, oddity: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("00000000-0000-4000-8000-{count:012}");
        let body = json!({ "to": "34600000001", "type": "text", "text": { "body": "hello" } });
        let (user, password) = self.login.split_once(':').unwrap();
        let broker = VirtualHost::address();
        let (host, port) = broker.rsplit_once(':').unwrap();
        let request = json!({
            "oddity": oddity, "id": id, "number": NUMBER, "body": body.to_string(), "enqueued": self.enqueued_s,
            "user": user, "password": password, "vhost": self.world.vhost.name,
            "host": host, "port": port.parse::<u16>().unwrap(),
            "stomp_port": port_of("DISPATCHER_TEST_STOMP"), "mqtt_port": port_of("DISPATCHER_TEST_MQTT"),
            "answers": ANSWERS, "answers_encoded": ANSWERS_ENCODED,
        });
        let output = run(self.client, Some(&request)).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}, {oddity}: {told}", self.client);
        id
    }

    /// The result of one request, with that oddity.
    async fn result_of(&self, oddity: &str) -> Letter {
        let id = self.publishes(oddity).await;
        self.world.results.wait(&id).await
    }

    async fn dates(&self, dates: Dates) {
        if let Some(past) = dates.past {
            assert_eq!(self.status_of(past).await, "expired");
        }
        if let Some(lost) = dates.lost {
            let (at, _) = self.fault_of(lost).await;
            assert_eq!(at, "/@amqp/headers/expires-at");
        }
    }

    /// What an operator does for callers of MQTT, which publish to one exchange only.
    fn bind_mqtt(&self) {
        let vhost = &self.world.vhost;
        let path = format!("/api/bindings/{}/e/amq.topic/e/wa.send", vhost.name);
        vhost.manage("POST", &path, Some(json!({ "routing_key": NUMBER })));
    }

    /// The status of one request with that oddity.
    async fn status_of(&self, oddity: &str) -> String {
        let result = self.result_of(oddity).await.json();
        result["status"].as_str().unwrap().to_owned()
    }

    /// Of the first result that there is, which may have no id.
    async fn first_fault(&self) -> (String, String) {
        let results = &self.world.results;
        let letters = results.until("a refusal", |all| !all.is_empty()).await;
        fault(&letters[0].json())
    }

    /// A refused request's pointer and problem of its first fault.
    async fn fault_of(&self, oddity: &str) -> (String, String) {
        let result = self.result_of(oddity).await.json();
        assert_eq!(result["status"], "rejected", "{oddity}: {result}");
        fault(&result)
    }

    /// All that a request can say is heard: id, body, header, time, priority, and where the reply goes.
    async fn is_heard(&self) {
        let result = self.result_of("").await;
        let told = result.json();
        assert_eq!(told["status"], "accepted", "{told}");
        assert_eq!(result.header("x-campaign").as_deref(), Some("spring"));
        let enqueued: jiff::Timestamp = told["enqueued_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(enqueued.as_second(), self.enqueued_s.cast_signed());
        let high = [("priority", "high"), ("status", "accepted")];
        let worker = &self.world.worker;
        worker.metric("requests_total", &high, |n| n == 1.0).await;
    }

    /// The reply to a request with that oddity comes to the queue that it names.
    async fn is_replied_to(&self, oddity: &str) {
        let id = self.publishes(oddity).await;
        let reply = self.answers.wait(&id).await;
        let correlation = reply.properties.correlation_id().clone();
        assert_eq!(correlation.unwrap().as_str(), "order-5");
    }
}

fn fault(result: &Value) -> (String, String) {
    let fault = &result["error"]["faults"][0];
    let word = |name: &str| fault[name].as_str().unwrap_or_default().to_owned();
    (word("at"), word("problem"))
}

fn port_of(variable: &str) -> Option<u16> {
    let address = std::env::var(variable).ok()?;
    address.rsplit_once(':')?.1.parse().ok()
}

fn protocol_is_there(client: &str) -> bool {
    match client {
        "stomp.py" => port_of("DISPATCHER_TEST_STOMP").is_some(),
        "paho-mqtt" => port_of("DISPATCHER_TEST_MQTT").is_some(),
        _ => true,
    }
}

/// What runs the client, without its arguments.
fn command(client: &str) -> Option<Command> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients");
    if !protocol_is_there(client) {
        return None;
    }
    let mut command;
    if matches!(client, "amqplib" | "rabbitmq-client" | "rhea") {
        let modules = std::env::var("DISPATCHER_TEST_CLIENTS_NODE").ok()?;
        command = Command::new("node");
        command
            .env("NODE_PATH", modules)
            .arg(scripts.join("publish.js"));
    } else {
        command = Command::new(std::env::var("DISPATCHER_TEST_CLIENTS_PYTHON").ok()?);
        command.arg(scripts.join("publish.py"));
    }
    Some(command)
}

/// `None`: only whether it is there.
async fn run(client: &str, request: Option<&Value>) -> Output {
    let mut command = command(client).unwrap();
    command.arg(client).args(request.map(Value::to_string));
    within(client, command.kill_on_drop(true).output())
        .await
        .unwrap()
}

async fn is_installed(client: &str) -> bool {
    command(client).is_some() && run(client, None).await.status.code() != Some(NOT_INSTALLED)
}

/// What the language's own date becomes in a header. `None`: a type that every client refuses by itself.
struct Dates {
    /// The oddity that says "expired long ago" by a date.
    past: Option<&'static str>,
    /// The one that says it by a date that the client turns into nothing.
    lost: Option<&'static str>,
}

/// AMQP 0-9-1: everything is a property or a header of that name.
async fn amqp_0_9_1(client: &'static str, dates: Dates) {
    let Some(caller) = Caller::of(client).await else {
        return;
    };
    caller.is_heard().await;
    caller.is_replied_to("").await;
    caller.dates(dates).await;
    // What the language calls nothing is a header that is not there.
    assert_eq!(caller.status_of("absent").await, "accepted");
    caller.world.finish().await;
}

/// AMQP 1.0: sections, addresses, and other names for the same.
async fn amqp_1_0(client: &'static str, dates: Dates) {
    let Some(caller) = Caller::of(client).await else {
        return;
    };
    caller.is_heard().await;
    caller.is_replied_to("").await;
    caller.dates(dates).await;
    caller.world.finish().await;
}

const DATETIME: Dates = Dates {
    past: Some("past date"),
    lost: None,
};
const NO_DATES: Dates = Dates {
    past: None,
    lost: None,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pika() {
    amqp_0_9_1("pika", DATETIME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aio_pika() {
    amqp_0_9_1("aio-pika", DATETIME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kombu() {
    amqp_0_9_1("kombu", DATETIME).await;
}

/// JavaScript's `Date` is an empty table in both; amqplib has a way to say a timestamp.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amqplib() {
    let dates = Dates {
        past: Some("past date"),
        lost: Some("date"),
    };
    amqp_0_9_1("amqplib", dates).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_client() {
    let dates = Dates {
        past: None,
        lost: Some("date"),
    };
    amqp_0_9_1("rabbitmq-client", dates).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rhea() {
    amqp_1_0("rhea", DATETIME).await;
}

/// A body that is no data: what these clients make of a string or of bytes by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_amqp_1_0_that_are_values() {
    for client in ["rhea", "proton"] {
        let Some(caller) = Caller::of(client).await else {
            continue;
        };
        for oddity in ["text", "bytes as a value", "absent"] {
            assert_eq!(caller.status_of(oddity).await, "accepted", "{oddity}");
        }
        if client == "rhea" {
            let (at, problem) = caller.fault_of("object").await;
            assert_eq!(at, "");
            assert!(problem.contains("rhea: message.data_section"), "{problem}");
        }
        caller.world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proton() {
    amqp_1_0("proton", NO_DATES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_amqp_python_client() {
    amqp_1_0("rabbitmq-amqp-python-client", NO_DATES).await;
}

/// An id that is a UUID or a number comes as text; one of bytes, or longer than 255, in a header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_amqp_1_0_that_are_no_text() {
    let ways = [
        ("proton", "uuid", "urn:uuid:"),
        ("rhea", "number", ""),
        ("proton", "binary id", ""),
    ];
    for (client, oddity, prefix) in ways {
        let Some(caller) = Caller::of(client).await else {
            continue;
        };
        let id = caller.publishes(oddity).await;
        let id = if oddity == "number" { "4711" } else { &id };
        let result = caller.world.results.wait(&format!("{prefix}{id}")).await;
        assert_eq!(result.json()["status"], "accepted");
        caller.world.finish().await;
    }
}

/// One that is too long is told from one that is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_amqp_1_0_that_is_too_long() {
    let Some(caller) = Caller::of("rhea").await else {
        return;
    };
    caller.publishes("long id").await;
    let (at, problem) = caller.first_fault().await;
    assert_eq!(at, "/@amqp/headers/x-message-id");
    assert!(problem.contains("too long"), "{problem}");
    caller.world.finish().await;
}

/// Milliseconds in place of seconds: JavaScript's own measure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_in_milliseconds() {
    let Some(caller) = Caller::of("amqplib").await else {
        return;
    };
    let (at, problem) = caller.fault_of("past date in ms").await;
    assert_eq!(at, "/@amqp/headers/expires-at");
    assert!(problem.contains("counts seconds"), "{problem}");
    let result = caller.result_of("time in ms").await.json();
    assert_eq!(result["status"], "accepted");
    assert_eq!(result["enqueued_at"], Value::Null);
    caller.world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body() {
    let Some(caller) = Caller::of("kombu").await else {
        return;
    };
    let (_, problem) = caller.fault_of("compressed").await;
    assert!(problem.contains("the header compression"), "{problem}");
    caller.world.finish().await;
}

/// STOMP: names of its own for some properties, everything else a header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stomp() {
    let Some(caller) = Caller::of("stomp.py").await else {
        return;
    };
    caller.is_heard().await;
    caller.is_replied_to("").await;
    caller.is_replied_to("amq queue").await;
    caller.world.finish().await;
}

/// MQTT: no id, but in a user property of MQTT 5; no time or priority, and no reply. It comes to `amq.topic`, which somebody has to bind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mqtt() {
    let Some(caller) = Caller::of("paho-mqtt").await else {
        return;
    };
    caller.bind_mqtt();
    caller.publishes("3.1.1").await;
    let (at, _) = caller.first_fault().await;
    assert_eq!(at, "/@amqp/message_id");
    let result = caller.result_of("").await;
    assert_eq!(result.json()["status"], "accepted");
    assert_eq!(result.header("x-campaign").as_deref(), Some("spring"));
    caller.world.finish().await;
}
