//! The worker's config as its pod sees it, read by the worker's own loader: it is sound, and says of ports, files, names and times what
//! the manifests say.

use super::links::file_at;
use super::render::{DEV, HPA, PRODUCTION, find, list, our_container, our_pod, rendered, text};
use harness::tls::Authority;
use harness::worker::{Folder, binary};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use whatsapp_dispatcher::broker::vhost;
use whatsapp_dispatcher::config::Config;

/// What a worker takes for its goodbyes after `drain.timeout_s`.
const GOODBYES: Duration = Duration::from_secs(5);

/// The texts of the files that the worker is started with, in their order.
pub(super) fn texts(objects: &[Value]) -> Result<Vec<String>, String> {
    let arguments = list(&our_container(objects)["args"]);
    let pairs = arguments.windows(2).filter(|pair| pair[0] == "--config");
    let paths: Vec<&str> = pairs.map(|pair| text(&pair[1])).collect();
    if text(arguments.first().unwrap_or(&Value::Null)) != "run" || paths.is_empty() {
        return Err(format!("the arguments {arguments:?} start no worker"));
    }
    let read = |path: &&str| {
        let (kind, name, key) = file_at(objects, path)?;
        let object = find(objects, kind, &name);
        Ok(text(&object.ok_or(format!("{path}: no {name}"))?["data"][key]).to_owned())
    };
    paths.iter().map(read).collect()
}

fn load(objects: &[Value], texts: &[String]) -> Result<Config, String> {
    let folder = Folder::create();
    let files = texts.iter().enumerate();
    let files = files.map(|(n, text)| folder.write(&format!("{n}.toml"), text));
    let variables = list(&our_container(objects)["env"]).iter();
    let environment: HashMap<String, String> = variables
        .map(|variable| {
            (
                text(&variable["name"]).to_owned(),
                text(&variable["value"]).to_owned(),
            )
        })
        .collect();
    let config = Config::load(&files.collect::<Vec<_>>(), environment, "pod");
    let config = config.map_err(|errors| errors.to_string())?;
    config
        .require_numbers()
        .map_err(|errors| errors.to_string())?;
    Ok(config)
}

/// `None`: not sound, which [`problems`] tells.
pub(super) fn config(objects: &[Value]) -> Option<Config> {
    load(objects, &texts(objects).ok()?).ok()
}

pub(super) fn problems(objects: &[Value]) -> Vec<String> {
    let config = match texts(objects).and_then(|texts| load(objects, &texts)) {
        Ok(config) => config,
        Err(problem) => return vec![problem],
    };
    let (pod, container) = (our_pod(objects), our_container(objects));
    let mut problems = vec![];
    let ports = list(&container["ports"]);
    let admin = ports.iter().find(|port| port["name"] == "admin");
    let listens = config.admin.listen;
    if admin.is_none_or(|port| port["containerPort"] != listens.port())
        || !listens.ip().is_unspecified()
    {
        problems.push(format!(
            "admin.listen = {listens} is not what the pod shows"
        ));
    }
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    if Duration::from_secs(grace) < config.drain_timeout + GOODBYES {
        problems.push(format!(
            "a grace of {grace} s ends a worker before it has drained"
        ));
    }
    for path in paths(&config) {
        problems.extend(file_at(objects, path.to_str().unwrap()).err());
    }
    for (what, inline) in [
        ("the broker's password", config.broker.password.is_none()),
        (
            "a token",
            config
                .accounts
                .iter()
                .any(|account| account.token.file().is_none()),
        ),
    ] {
        if inline {
            problems.push(format!("{what} is not taken from a file"));
        }
    }
    problems.extend(broker(objects, &config));
    problems.extend(graph(objects, &config));
    problems
}

pub(super) fn paths(config: &Config) -> Vec<&Path> {
    let secrets = config.accounts.iter().flat_map(|account| {
        let app = account.app_secret.as_ref().and_then(|secret| secret.file());
        [account.token.file(), app]
    });
    let broker = &config.broker;
    let password = broker.password.as_ref().and_then(|secret| secret.file());
    let others = [
        password,
        broker.ca_file.as_deref(),
        config.graph.ca_file.as_deref(),
    ];
    secrets.chain(others).flatten().collect()
}

/// Host, port, transport, virtual host and user are those of the RabbitMQ that is brought along.
fn broker(objects: &[Value], config: &Config) -> Vec<String> {
    let url = &config.broker.url;
    let Some((host, port)) = url.server() else {
        return vec!["broker.url names no server".to_owned()];
    };
    let login = url.expose().split_once("://").map_or("", |(_, rest)| rest);
    let login = login.split(['@', ':']).next().unwrap_or_default();
    if find(objects, "RabbitmqCluster", &host).is_none() {
        return match has_service(objects, &host, port) {
            true => vec![],
            false => vec![format!("broker.url: there is no {host}:{port}")],
        };
    }
    let mut problems = vec![];
    // The operator's Service has the name of the cluster; without plain listeners only this port is left.
    if port != 5671 || !url.is_tls() || config.broker.ca_file.is_none() {
        problems.push("broker.url is not RabbitMQ's port with TLS, or trusts nobody".to_owned());
    }
    let access = find(objects, "ConfigMap", "rabbitmq-access");
    let access = access.map_or("{}", |access| text(&access["data"]["access.json"]));
    let access: Value = serde_json::from_str(access).unwrap_or_default();
    let vhost = vhost(url);
    let may = |entry: &Value| entry["user"] == login && entry["vhost"] == vhost;
    if !list(&access["vhosts"])
        .iter()
        .any(|entry| entry["name"] == vhost)
        || !list(&access["permissions"]).iter().any(may)
    {
        problems.push(format!("broker.url: {login} may do nothing on {vhost}"));
    }
    problems
}

fn graph(objects: &[Value], config: &Config) -> Vec<String> {
    let url = config.graph.base_url.as_str();
    if url == "https://graph.facebook.com" {
        return vec![];
    }
    let address = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once(':'));
    let is_there = address.is_some_and(|(host, port)| {
        port.parse()
            .is_ok_and(|port| has_service(objects, host, port))
    });
    if is_there {
        vec![]
    } else {
        vec![format!("graph.base_url: there is no {url}")]
    }
}

fn has_service(objects: &[Value], host: &str, port: u16) -> bool {
    let service = find(objects, "Service", host);
    let ports = service.map_or(&[][..], |service| list(&service["spec"]["ports"]));
    ports.iter().any(|known| known["port"] == port)
}

/// The program itself, with every file in its place.
#[test]
fn check_finds_nothing_wrong_with_the_pods_config() {
    let authority = Authority::new();
    for overlay in [DEV, PRODUCTION, HPA] {
        let objects = rendered(overlay);
        let folder = Folder::create();
        let inside = |path: &Path| folder.0.join(path.strip_prefix("/").unwrap());
        let texts = texts(&objects).unwrap();
        for path in paths(&config(&objects).unwrap()) {
            let file = inside(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            let is_authority = path.ends_with("ca.crt");
            let content = if is_authority {
                authority.pem()
            } else {
                "a-secret".to_owned()
            };
            std::fs::write(file, content).unwrap();
        }
        let mut command = Command::new(binary());
        command.arg("check").env_clear();
        for (n, text) in texts.iter().enumerate() {
            let moved = text.replace(
                "/run/secrets",
                inside(Path::new("/run/secrets")).to_str().unwrap(),
            );
            let file = folder.write(&format!("{n}.toml"), &moved);
            command.arg("--config").arg(file);
        }
        let output = command.output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{overlay}: {told}");
    }
}
