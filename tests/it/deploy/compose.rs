//! deploy/compose.yaml: sound by its schema, and at one with the files it mounts and the programs it starts. No engine runs it here.

use super::config::paths;
use super::render::{ROOT, list, text, yaml_file};
use crate::sre::tool;
use harness::worker::Folder;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use whatsapp_dispatcher::config::Config;

const FILE: &str = "deploy/compose.yaml";

/// Images that need more than ours do: RabbitMQ's starts as root, to own its data, and writes its configuration.
const MAY_WRITE: &[&str] = &["rabbitmq"];

/// What a worker takes for its goodbyes after `drain.timeout_s`.
const GOODBYES: Duration = Duration::from_secs(5);

fn compose() -> Value {
    yaml_file(FILE)
}

fn in_deploy(path: &str) -> PathBuf {
    Path::new(ROOT).join("deploy").join(path)
}

fn services(compose: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = compose["services"].as_object();
    all.into_iter()
        .flatten()
        .map(|(name, is)| (name.as_str(), is))
}

fn problems(compose: &Value) -> Vec<String> {
    let mut problems = vec![];
    for (name, service) in services(compose) {
        let each = [
            confinement(name, service),
            health(service),
            dependencies(compose, service),
            mounts(compose, service),
            secrets(compose, service),
        ];
        let told = each.into_iter().flatten();
        problems.extend(told.map(|problem| format!("{name}: {problem}")));
    }
    problems.extend(builds(compose));
    problems.extend(workers(compose));
    problems.extend(simulator(compose));
    problems.extend(monitoring(compose));
    problems
}

fn unless(is_so: bool, problem: &str) -> Vec<String> {
    if is_so {
        vec![]
    } else {
        vec![problem.to_owned()]
    }
}

fn confinement(name: &str, service: &Value) -> Vec<String> {
    let image = text(&service["image"]);
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    let own = ["whatsapp-dispatcher:", "graph-sim:"];
    let is_ours = own.iter().any(|start| image.starts_with(start));
    let mut problems = unless(!["", "latest"].contains(&tag), "its image has no fixed tag");
    problems.extend(unless(
        !is_ours || tag == env!("CARGO_PKG_VERSION"),
        "its image is not this version's",
    ));
    problems.extend(unless(
        service["mem_limit"].is_string(),
        "its memory has no limit",
    ));
    let ports = list(&service["ports"]).iter();
    for port in ports.filter(|port| !text(port).starts_with("127.0.0.1:")) {
        problems.push(format!("{port} is open to other machines"));
    }
    if !MAY_WRITE.contains(&name) {
        let confined = service["read_only"] == true
            && service["cap_drop"] == json!(["ALL"])
            && service["security_opt"] == json!(["no-new-privileges:true"]);
        problems.extend(unless(confined, "it may do more than it needs"));
    }
    problems
}

/// Two builds of one image at once get into each other's way.
fn builds(compose: &Value) -> Vec<String> {
    let own = ["whatsapp-dispatcher:", "graph-sim:"].into_iter();
    own.flat_map(|image| {
        let built = services(compose).filter(|(_, service)| {
            text(&service["image"]).starts_with(image) && service["build"].is_object()
        });
        unless(built.count() == 1, &format!("{image} is not built once"))
    })
    .collect()
}

fn health(service: &Value) -> Vec<String> {
    let test = list(&service["healthcheck"]["test"]);
    unless(test.len() > 1 && test[0] == "CMD", "it has no healthcheck")
}

fn dependencies(compose: &Value, service: &Value) -> Vec<String> {
    let all = service["depends_on"].as_object();
    let missing = all
        .into_iter()
        .flatten()
        .filter(|(name, _)| !compose["services"][name.as_str()].is_object());
    missing
        .map(|(name, _)| format!("it waits for {name}, which is not there"))
        .collect()
}

/// `SOURCE:TARGET[:ro]`; a source with a slash is a file of ours.
fn mounted(service: &Value) -> Vec<(&str, &str)> {
    let volumes = list(&service["volumes"]).iter().map(text);
    let parts = volumes.filter_map(|volume| volume.split_once(':'));
    parts
        .map(|(source, target)| (source, target.trim_end_matches(":ro")))
        .collect()
}

fn mounts(compose: &Value, service: &Value) -> Vec<String> {
    let is_there = |source: &str| {
        if source.contains('/') {
            in_deploy(source).exists()
        } else {
            compose["volumes"].get(source).is_some()
        }
    };
    let missing = mounted(service)
        .into_iter()
        .filter(|(source, _)| !is_there(source));
    missing
        .map(|(source, _)| format!("there is no {source} to mount"))
        .collect()
}

fn secrets(compose: &Value, service: &Value) -> Vec<String> {
    let mut problems = vec![];
    for name in list(&service["secrets"]).iter().map(text) {
        let file = text(&compose["secrets"][name]["file"]);
        if file.is_empty() || !in_deploy(file).is_file() {
            problems.push(format!("the secret {name} is no file"));
        }
    }
    let variables = service["environment"].as_object().into_iter().flatten();
    for (name, _) in variables {
        let is_secret = ["PASS", "TOKEN", "SECRET"]
            .iter()
            .any(|word| name.contains(word));
        if is_secret && !name.ends_with("_FILE") {
            problems.push(format!("{name} stands in its environment"));
        }
    }
    problems
}

/// The config that the workers share, read by their own loader.
fn config() -> Config {
    let files = [in_deploy("compose/dispatcher.toml")];
    Config::load(&files, HashMap::new(), "worker").unwrap()
}

fn workers(compose: &Value) -> Vec<String> {
    let config = config();
    let workers: Vec<_> = services(compose)
        .filter(|(_, service)| text(&service["image"]).starts_with("whatsapp-dispatcher:"))
        .collect();
    let names: BTreeSet<&str> = workers.iter().map(|(_, w)| text(&w["hostname"])).collect();
    let mut problems = unless(names.len() == 2, "not two workers with names of their own");
    for (name, worker) in workers {
        let grace = text(&worker["stop_grace_period"])
            .trim_end_matches('s')
            .parse();
        let grace = Duration::from_secs(grace.unwrap_or(0));
        let health = list(&worker["healthcheck"]["test"]);
        let target = mounted(worker)
            .into_iter()
            .find(|(source, _)| source.ends_with("compose/dispatcher.toml"))
            .map_or("", |(_, target)| target);
        let port = format!(":{}", config.admin.listen.port());
        let mut told = unless(
            grace >= config.drain_timeout + GOODBYES,
            "it is killed before it has drained",
        );
        // The image's own command names that file.
        told.extend(unless(
            target == "/etc/whatsapp-dispatcher/config.toml",
            "its config is not where the image looks for it",
        ));
        told.extend(unless(
            health
                == [
                    json!("CMD"),
                    json!("/whatsapp-dispatcher"),
                    json!("healthcheck"),
                    json!("--config"),
                    json!(target),
                ],
            "its healthcheck asks with another config",
        ));
        told.extend(unless(
            list(&worker["ports"])
                .iter()
                .any(|p| text(p).ends_with(&port)),
            "its admin port is not shown",
        ));
        for path in paths(&config) {
            let secret = path
                .strip_prefix("/run/secrets")
                .ok()
                .and_then(Path::to_str);
            let has = list(&worker["secrets"])
                .iter()
                .any(|s| Some(text(s)) == secret);
            told.extend(unless(has, &format!("it has no {}", path.display())));
        }
        problems.extend(told.into_iter().map(|problem| format!("{name}: {problem}")));
    }
    let (host, port) = config.broker.url.server().unwrap();
    let rabbitmq = &compose["services"][&host];
    let shown = format!("127.0.0.1:{port}:{port}");
    problems.extend(unless(
        list(&rabbitmq["ports"]).iter().any(|p| *p == json!(shown)),
        "broker.url names no RabbitMQ that is here",
    ));
    problems
}

fn simulator(compose: &Value) -> Vec<String> {
    let base_url = config().graph.base_url;
    let command = list(&compose["services"]["graph-sim"]["command"]);
    let listens = command.windows(2).find(|pair| pair[0] == "--listen");
    let port = listens.and_then(|pair| text(&pair[1]).rsplit_once(':'));
    let expected = port.map(|(_, port)| format!("http://graph-sim:{port}"));
    unless(
        expected.as_ref() == Some(&base_url),
        "graph.base_url is not where graph-sim listens",
    )
}

fn monitoring(compose: &Value) -> Vec<String> {
    let prometheus = yaml_file("deploy/compose/prometheus.yaml");
    let job = list(&prometheus["scrape_configs"])
        .iter()
        .find(|job| job["job_name"] == "whatsapp-dispatcher");
    let targets = job.map_or(&[][..], |job| list(&job["static_configs"][0]["targets"]));
    let admin = config().admin;
    let port = admin.listen.port();
    let workers: Vec<&str> = services(compose)
        .filter(|(_, service)| text(&service["image"]).starts_with("whatsapp-dispatcher:"))
        .map(|(name, _)| name)
        .collect();
    let expected = workers.iter().map(|name| json!(format!("{name}:{port}")));
    let mut problems = unless(
        expected.collect::<Vec<_>>() == targets,
        "Prometheus does not scrape exactly the workers",
    );
    problems.extend(unless(
        *admin.hosts == workers,
        "admin.hosts are not the names that Prometheus asks by",
    ));
    let grafana = mounted(&compose["services"]["grafana"]);
    let provider = yaml_file("deploy/compose/grafana-dashboards.yaml");
    let path = text(&provider["providers"][0]["options"]["path"]);
    problems.extend(unless(
        grafana.contains(&("../dashboards", path)),
        "Grafana looks for dashboards where there are none",
    ));
    let rules = mounted(&compose["services"]["prometheus"]);
    let file = text(&prometheus["rule_files"][0]);
    problems.extend(unless(
        rules.contains(&("./prometheus/rules.yaml", file)),
        "Prometheus has not our rules",
    ));
    problems
}

#[test]
fn nothing_is_wrong_with_compose() {
    let found = problems(&compose());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn schema_problems(text: &str) -> Option<String> {
    let folder = Folder::create();
    let file = folder.write("compose.yaml", text);
    let output = Command::new(tool("DISPATCHER_TEST_CHECK_JSONSCHEMA"))
        .args(["--builtin-schema", "vendor.compose-spec"])
        .arg(file)
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8(told).unwrap())
}

#[test]
fn compose_is_what_its_specification_knows() {
    let text = std::fs::read_to_string(Path::new(ROOT).join(FILE)).unwrap();
    assert_eq!(schema_problems(&text), None);
    let slip = text.replacen("healthcheck:", "healthchecks:", 1);
    assert!(schema_problems(&slip).unwrap().contains("healthchecks"));
}

#[test]
fn prometheus_takes_its_config() {
    let output = Command::new(tool("DISPATCHER_TEST_PROMTOOL"))
        .args(["check", "config", "--syntax-only"])
        .arg(in_deploy("compose/prometheus.yaml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Every slip is told.
#[test]
fn what_is_wrong_with_compose_is_told() {
    let slips = yaml_file("tests/cases/compose_slips.yaml");
    for slip in list(&slips) {
        let (at, wanted) = (text(&slip["at"]), text(&slip["told"]));
        let mut compose = compose();
        let (parent, key) = at.rsplit_once('/').unwrap();
        let place = compose.pointer_mut(&format!("/services/{parent}")).unwrap();
        match place {
            Value::Array(values) => values[key.parse::<usize>().unwrap()] = slip["put"].clone(),
            Value::Object(map) => drop(map.insert(key.to_owned(), slip["put"].clone())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                panic!("no place: {slip}")
            }
        }
        let found = problems(&compose);
        let is_told = found.iter().any(|problem| problem.contains(wanted));
        assert!(is_told, "{at}: {found:?}");
    }
    let mut compose = compose();
    let services = compose["services"].as_object_mut().unwrap();
    services.remove("dispatcher-2");
    let found = problems(&compose).join("\n");
    assert!(found.contains("exactly the workers"), "{found}");
}

/// The users' hashed passwords are those that the workers and this file's reader are told.
#[test]
fn rabbitmqs_users_have_the_passwords_that_are_told() {
    let read = |path: &str| std::fs::read_to_string(in_deploy(path)).unwrap();
    let users: Value = serde_json::from_str(&read("compose/users.json")).unwrap();
    let access: Value = serde_json::from_str(&read("k8s/components/rabbitmq/access.json")).unwrap();
    let here = read("compose.yaml");
    let admin: Value = serde_json::from_str(&read("compose/admin.json")).unwrap();
    let rights = [&access, &admin]
        .map(|file| list(&file["permissions"]))
        .concat();
    let with_rights: BTreeSet<&str> = rights.iter().map(|p| text(&p["user"])).collect();
    let names: BTreeSet<&str> = list(&users["users"])
        .iter()
        .map(|u| text(&u["name"]))
        .collect();
    assert_eq!(names, with_rights);
    for user in list(&users["users"]) {
        let name = text(&user["name"]);
        let password = format!("{name}-on-this-machine");
        // A salt of four bytes, and the SHA-256 of salt and password; base64 of 36 bytes has no padding.
        let hash = base64(text(&user["password_hash"]));
        let (salt, digest) = hash.split_at(4);
        let salted = [salt, password.as_bytes()].concat();
        let expected = ring::digest::digest(&ring::digest::SHA256, &salted);
        assert_eq!(digest, expected.as_ref(), "{name}");
        let is_told = here.contains(&format!("{name}:{password}"));
        assert!(is_told || name == "dispatcher", "{name}");
    }
    let secret = read("compose/secrets/dispatcher-rabbitmq-password");
    assert_eq!(secret.trim(), "dispatcher-on-this-machine");
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: u8| DIGITS.iter().position(|d| *d == byte).unwrap();
    let groups = text.as_bytes().chunks(4);
    let numbers = groups.map(|group| {
        group
            .iter()
            .fold(0, |number, byte| number << 6 | digit(*byte))
    });
    let bytes = numbers.flat_map(|number| [number >> 16, number >> 8, number]);
    bytes
        .map(|byte| u8::try_from(byte & 255).unwrap())
        .collect()
}
