//! The producers' examples in `deploy/contract/examples/`: each run as its first lines say, with an upstream service's rights and no more.
//!
//! Where a language or its library is not installed its test passes, unchecked; `deploy/dev test` tells at its start which those are.

use crate::support::{NUMBER, Setup, World, within};
use harness::broker::VirtualHost;
use harness::client::{Client, Letter};
use harness::worker::Folder;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::SystemTime;
use tokio::process::Command;

const TO: &str = "+34600000001";
/// What nobody serves where there is a worker.
const STRANGER: &str = "999";
/// Where there is none: what no queue takes, what only a full one would, and what the test reads itself.
const NOBODY: &str = "201";
const FULL: &str = "202";
const KEPT: &str = "203";

/// An example that can be run here.
struct Example {
    file: &'static str,
    /// What runs it, before its arguments, and what its environment has beside RabbitMQ's address.
    program: Vec<PathBuf>,
    environment: Vec<(&'static str, String)>,
    folder: Folder,
}

fn path_of(file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("deploy/contract/examples").join(file)
}

impl Example {
    /// `None` where the language or its library is not installed. Python, curl and bash always are.
    fn of(file: &'static str) -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("DISPATCHER_TEST_CLIENTS_{name}"));
        let source = path_of(file);
        let folder = Folder::create();
        let mut environment = vec![];
        let program = match file {
            "publish.py" => {
                let python = variable("PYTHON").unwrap_or_else(|_| {
                    panic!("no clients in Python: run `deploy/dev tools` and `eval \"$(deploy/dev url)\"`")
                });
                vec![python.into(), source]
            }
            "publish.js" => {
                environment.push(("NODE_PATH", variable("NODE").ok()?));
                vec!["node".into(), source]
            }
            "Publish.java" => {
                let classes = variable("JAVA").ok()?;
                vec!["java".into(), "-cp".into(), classes.into(), source]
            }
            "publish.go" => vec![built_with_go(&source, &folder, &variable("GO").ok()?)],
            "publish.php" => {
                let program = vec![variable("PHP").ok()?.into(), source];
                std::fs::create_dir(folder.0.join("vendor")).unwrap();
                // Debian's package in place of Composer's.
                folder.write(
                    "vendor/autoload.php",
                    "<?php require 'PhpAmqpLib/autoload.php';",
                );
                program
            }
            _ => vec![source],
        };
        Some(Self {
            file,
            program,
            environment,
            folder,
        })
    }

    /// With that password of the caller's, for that number.
    fn command(&self, vhost: &VirtualHost, login: &str, number: &str) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args([number, TO]);
        command.current_dir(&self.folder.0).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.is_http() {
            let address = format!("http://{}", VirtualHost::management());
            command.env("MANAGEMENT_URL", address);
            command.env("RABBITMQ_LOGIN", login);
            command.env("VHOST", &vhost.name);
        } else {
            command.env("AMQP_URL", vhost.url_as(login, &VirtualHost::address()));
        }
        command
    }

    fn is_http(&self) -> bool {
        self.file == "publish.sh"
    }

    async fn run(&self, vhost: &VirtualHost, login: &str, number: &str) -> Output {
        let mut command = self.command(vhost, login, number);
        within(self.file, command.output()).await.unwrap()
    }

    /// The rights that the contract says a caller needs, and no more.
    fn login(&self, vhost: &VirtualHost) -> String {
        let (tag, own) = if self.is_http() {
            ("management", r"^results\.")
        } else {
            ("", "^$")
        };
        let login = vhost.user("upstream", own, r"^wa\.send$", own);
        let (user, password) = login.split_once(':').unwrap();
        let account = json!({ "password": password, "tags": tag });
        vhost.manage("PUT", &format!("/api/users/{user}"), Some(account));
        login
    }

    /// The result that it has printed, and whether it ended as that asks for.
    fn result(&self, output: &Output) -> Value {
        let told = String::from_utf8_lossy(&output.stderr);
        let mut result: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}: {:?}: {told}", self.file, output.status));
        if self.is_http() {
            result = serde_json::from_str(result[0]["payload"].as_str().unwrap()).unwrap();
        }
        let code = i32::from(result["status"] != "accepted");
        assert_eq!(output.status.code(), Some(code), "{}: {told}", self.file);
        result
    }

    /// It has no result, and says why, without its password.
    fn fails(&self, output: &Output, why: &str) {
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{}, {why}: {told}",
            self.file
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{why}");
        assert!(
            !told.is_empty() && !told.contains("password-of-it"),
            "{told}"
        );
        assert!(why != "returned" || told.contains("returned"), "{told}");
    }
}

fn built_with_go(source: &Path, folder: &Folder, libraries: &str) -> PathBuf {
    let program = folder.0.join("publish");
    let mut go = std::process::Command::new("go");
    // Debian has libraries where Go looked for them before there were modules.
    go.env("GO111MODULE", "off").env("GOPATH", libraries);
    go.arg("build").arg("-o").arg(&program).arg(source);
    let built = go.output().unwrap();
    let told = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{told}");
    program
}

async fn is_as_the_contract_says(file: &'static str) {
    let Some(example) = Example::of(file) else {
        eprintln!("{file}: NOT CHECKED");
        return;
    };
    with_a_worker(&example).await;
    without_workers(&example).await;
}

/// What it prints is what everybody hears on `wa.results`.
async fn with_a_worker(example: &Example) {
    let world = World::start(Setup::default()).await;
    let login = example.login(&world.vhost);
    for (number, status, class) in [
        (NUMBER, "accepted", Value::Null),
        (STRANGER, "rejected", json!("unknown_number")),
    ] {
        let output = example.run(&world.vhost, &login, number).await;
        let result = example.result(&output);
        assert_eq!(result["status"], status, "{result}");
        assert_eq!(result["error"]["class"], class, "{result}");
        let id = result["id"].as_str().unwrap();
        assert_eq!(world.results.wait(id).await.json(), result);
    }
    world.finish().await;
}

async fn without_workers(example: &Example) {
    let vhost = VirtualHost::create();
    let name = &vhost.name;
    let exchange = json!({ "type": "direct", "durable": true });
    let path = format!("/api/exchanges/{name}/wa.send");
    vhost.manage("PUT", &path, Some(exchange));
    let full = json!({ "x-max-length": 0, "x-overflow": "reject-publish" });
    for (queue, arguments) in [(FULL, full), (KEPT, json!({}))] {
        let queue_path = format!("/api/queues/{name}/{queue}");
        let durable = json!({ "durable": true, "arguments": arguments });
        vhost.manage("PUT", &queue_path, Some(durable));
        let bindings = format!("/api/bindings/{name}/e/wa.send/q/{queue}");
        vhost.manage("POST", &bindings, Some(json!({ "routing_key": queue })));
    }
    let login = example.login(&vhost);
    for (number, why) in [(NOBODY, "returned"), (FULL, "not confirmed")] {
        example.fails(&example.run(&vhost, &login, number).await, why);
    }
    let wrong = format!("{}:password-of-it", login.split_once(':').unwrap().0);
    example.fails(&example.run(&vhost, &wrong, KEPT).await, "password");
    is_answered_by_hand(example, &vhost, &login).await;
}

/// The test takes the request, looks at it, and answers in a worker's place.
async fn is_answered_by_hand(example: &Example, vhost: &VirtualHost, login: &str) {
    let client = Client::connect(&vhost.url(&VirtualHost::address())).await;
    let requests = client.read(KEPT).await;
    let running = example.command(vhost, login, KEPT).spawn().unwrap();
    let request = requests.all(1).await.remove(0);
    let reply_to = check(&request, example.is_http());
    let id = request.id().unwrap();
    let failed = json!({ "id": id, "status": "failed" });
    let reply = json!({
        "routing_key": reply_to, "properties": {}, "payload": failed.to_string(), "payload_encoding": "string",
    });
    // Whether a direct reply was routed is not what RabbitMQ says of it.
    let path = format!("/api/exchanges/{}/amq.default/publish", vhost.name);
    vhost.manage("POST", &path, Some(reply));
    let output = within(example.file, running.wait_with_output()).await;
    assert_eq!(example.result(&output.unwrap()), failed);
}

/// All that the contract asks of a request; returns where the result shall go.
fn check(request: &Letter, is_http: bool) -> String {
    let text = json!({ "body": "Your parcel is on its way." });
    let body = json!({ "to": TO, "type": "text", "text": text });
    assert_eq!(request.json(), body);
    let properties = &request.properties;
    assert_eq!(properties.delivery_mode(), &Some(2));
    let content_type = properties.content_type().clone().unwrap();
    assert_eq!(content_type.as_str(), "application/json");
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let timestamp = properties.timestamp().unwrap();
    assert!(
        now.abs_diff(timestamp) < 60,
        "{timestamp} is not in seconds"
    );
    let reply_to = properties.reply_to().clone().unwrap().to_string();
    let home = if is_http {
        "results.curl."
    } else {
        "amq.rabbitmq.reply-to."
    };
    assert!(reply_to.starts_with(home), "{reply_to}");
    reply_to
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python() {
    is_as_the_contract_says("publish.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node() {
    is_as_the_contract_says("publish.js").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java() {
    is_as_the_contract_says("Publish.java").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn go() {
    is_as_the_contract_says("publish.go").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn php() {
    is_as_the_contract_says("publish.php").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl() {
    is_as_the_contract_says("publish.sh").await;
}

/// Also where a language is here and its library is not.
#[test]
fn every_example_is_well_formed() {
    let checks: [(&str, &[&str], &str); 4] = [
        ("node", &["--check"], "publish.js"),
        ("gofmt", &["-l"], "publish.go"),
        ("php", &["-l"], "publish.php"),
        ("bash", &["-n"], "publish.sh"),
    ];
    for (program, arguments, file) in checks {
        let mut command = std::process::Command::new(program);
        let Ok(output) = command.args(arguments).arg(path_of(file)).output() else {
            eprintln!("{file}: NOT CHECKED (no {program})");
            continue;
        };
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}");
        assert!(program != "gofmt" || told.is_empty(), "not as gofmt has it");
    }
}
