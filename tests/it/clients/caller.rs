//! A caller of one client beside a worker: what it publishes, and what it hears of it.

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
/// Routing keys without a lane: of a queue that the test reads itself, of a full one, and of none.
pub(super) const KEPT: &str = "203";
const FULL: &str = "202";
pub(super) const NOBODY: &str = "201";
/// How a script says that its client is not there.
const NOT_INSTALLED: i32 = 77;

/// A world with a caller of one client.
pub(super) struct Caller {
    client: &'static str,
    pub(super) world: World,
    login: String,
    answers: Inbox,
    /// When each request was enqueued, in seconds: some time ago.
    enqueued_s: u64,
}

impl Caller {
    /// `None` where the client is not installed.
    pub(super) async fn of(client: &'static str) -> Option<Self> {
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
    pub(super) async fn publishes(&self, oddity: &str) -> String {
        let (id, output) = self.tries(NUMBER, oddity).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}, {oddity}: {told}", self.client);
        id
    }

    /// The same for any number, whatever becomes of it.
    pub(super) async fn tries(&self, number: &str, oddity: &str) -> (String, Output) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("00000000-0000-4000-8000-{count:012}");
        let body = json!({ "to": "34600000001", "type": "text", "text": { "body": "hello" } });
        let (user, password) = self.login.split_once(':').unwrap();
        let broker = VirtualHost::address();
        let (host, port) = broker.rsplit_once(':').unwrap();
        let request = json!({
            "oddity": oddity, "id": id, "number": number, "body": body.to_string(), "enqueued": self.enqueued_s,
            "user": user, "password": password, "vhost": self.world.vhost.name,
            "host": host, "port": port.parse::<u16>().unwrap(),
            "stomp_port": port_of("DISPATCHER_TEST_STOMP"), "mqtt_port": port_of("DISPATCHER_TEST_MQTT"),
            "answers": ANSWERS, "answers_encoded": ANSWERS_ENCODED,
        });
        let output = run(self.client, Some(&request)).await;
        (id, output)
    }

    /// The result of one request, with that oddity.
    pub(super) async fn result_of(&self, oddity: &str) -> Letter {
        let id = self.publishes(oddity).await;
        self.world.results.wait(&id).await
    }

    pub(super) async fn dates(&self, dates: Dates) {
        if let Some(past) = dates.past {
            assert_eq!(self.status_of(past).await, "expired");
        }
        if let Some(lost) = dates.lost {
            let (at, _) = self.fault_of(lost).await;
            assert_eq!(at, "/@amqp/headers/expires-at");
        }
    }

    /// What an operator does for callers of MQTT, which publish to one exchange only.
    pub(super) fn bind_mqtt(&self, number: &str) {
        let vhost = &self.world.vhost;
        let path = format!("/api/bindings/{}/e/amq.topic/e/wa.send", vhost.name);
        vhost.manage("POST", &path, Some(json!({ "routing_key": number })));
    }

    /// A queue that gets the requests for the number of its name.
    fn binds_queue(&self, name: &str, arguments: &Value) {
        let vhost = &self.world.vhost;
        let queue = json!({ "durable": true, "arguments": arguments });
        vhost.manage(
            "PUT",
            &format!("/api/queues/{}/{name}", vhost.name),
            Some(queue),
        );
        let path = format!("/api/bindings/{}/e/wa.send/q/{name}", vhost.name);
        vhost.manage("POST", &path, Some(json!({ "routing_key": name })));
    }

    /// RabbitMQ is asked to keep the request over a restart, of a kind of queue that would not by itself.
    pub(super) async fn is_persistent(&self) {
        self.binds_queue(KEPT, &json!({}));
        let kept = self.world.client.read(KEPT).await;
        let (_, output) = self.tries(KEPT, "").await;
        assert!(output.status.success(), "{}", self.client);
        let request = kept.all(1).await.remove(0);
        let mode = request.properties.delivery_mode();
        assert_eq!(mode, &Some(2), "{}", self.client);
    }

    /// The client fails where a queue refuses the request, and where not even `wa.unrouted` takes it.
    pub(super) async fn hears_that_it_is_not_stored(&self) {
        let full = json!({ "x-max-length": 0, "x-overflow": "reject-publish" });
        self.binds_queue(FULL, &full);
        self.leads_strays_nowhere();
        for number in [FULL, NOBODY] {
            let (_, output) = self.tries(number, "").await;
            assert!(!output.status.success(), "{}, {number}", self.client);
        }
    }

    /// From now on what is for no number's lane is in no queue.
    pub(super) fn leads_strays_nowhere(&self) {
        let vhost = &self.world.vhost;
        let binding = format!("/api/bindings/{}/e/wa.unrouted/q/wa.unrouted/~", vhost.name);
        vhost.manage("DELETE", &binding, None);
    }

    /// The status of one request with that oddity.
    pub(super) async fn status_of(&self, oddity: &str) -> String {
        let result = self.result_of(oddity).await.json();
        result["status"].as_str().unwrap().to_owned()
    }

    /// Of the first result that there is, which may have no id.
    pub(super) async fn first_fault(&self) -> (String, String) {
        let results = &self.world.results;
        let letters = results.until("a refusal", |all| !all.is_empty()).await;
        fault(&letters[0].json())
    }

    /// A refused request's pointer and problem of its first fault.
    pub(super) async fn fault_of(&self, oddity: &str) -> (String, String) {
        let result = self.result_of(oddity).await.json();
        assert_eq!(result["status"], "rejected", "{oddity}: {result}");
        fault(&result)
    }

    /// All that a request can say is heard: id, body, header, time, priority, and where the reply goes.
    pub(super) async fn is_heard(&self) {
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
    pub(super) async fn is_replied_to(&self, oddity: &str) {
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
pub(super) struct Dates {
    /// The oddity that says "expired long ago" by a date.
    pub(super) past: Option<&'static str>,
    /// The one that says it by a date that the client turns into nothing.
    pub(super) lost: Option<&'static str>,
}
