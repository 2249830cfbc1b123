//! The RabbitMQ nodes, which `deploy/dev` starts and stops, each on ports of its own.

use super::process::Signal;
use anyhow::{Context, Result, ensure};
use harness::http;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// Unpacking is done before; a start takes ten seconds at worst.
const PATIENCE: Duration = Duration::from_secs(120);
/// What `deploy/dev` takes off a node's port for its epmd.
const EPMD_BELOW: u16 = 303;
const MANAGEMENT_ABOVE: u16 = 10_000;

/// Users with their passwords: what happens to the workers' must not happen to the load's.
pub(crate) const LOADS_USER: &str = "guest";
pub(crate) const WORKERS_USER: &str = "worker";

pub(crate) struct Nodes {
    dev: PathBuf,
    first_port: u16,
    /// How many run.
    count: u16,
    pub(crate) vhost: String,
}

impl Nodes {
    pub(crate) fn new(dev: PathBuf, first_port: u16) -> Self {
        Self {
            dev,
            first_port,
            count: 0,
            vhost: String::new(),
        }
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    pub(crate) fn address(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.first_port + node)
    }

    pub(crate) fn amqp(&self, user: &str, address: &str) -> String {
        format!("amqp://{user}:{user}@{address}/{}", self.vhost)
    }

    /// As many nodes as that and no more, in one cluster.
    pub(crate) async fn ensure(&mut self, count: u16) -> Result<()> {
        if self.count != count {
            self.down().await;
            self.count = count;
            for node in 0..count {
                if let Err(error) = self.up(node).await {
                    self.down().await;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The first node last: the epmd of all is its.
    pub(crate) async fn down(&mut self) {
        for node in (0..self.count).rev() {
            drop(self.dev(node, &["down", "--broker"]).await);
        }
        self.count = 0;
    }

    pub(crate) async fn up(&self, node: u16) -> Result<()> {
        self.dev(node, &["up"]).await.map(drop)
    }

    pub(crate) async fn halt(&self, node: u16, how: Signal) -> Result<()> {
        self.dev(node, &["halt", &how.to_string()]).await.map(drop)
    }

    pub(crate) async fn ctl(&self, node: u16, arguments: &[&str]) -> Result<String> {
        self.dev(node, &[&["ctl"], arguments].concat()).await
    }

    async fn dev(&self, node: u16, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.dev);
        command
            .args(arguments)
            .env("DEV_AMQP_PORT", (self.first_port + node).to_string())
            .env("DEV_EPMD_PORT", (self.first_port - EPMD_BELOW).to_string())
            // A Ctrl-C in the middle of a start would leave half a broker.
            .process_group(0);
        // Each joins those before it: a node waits long for others that are yet to come.
        if node > 0 {
            let ports = self.first_port..=self.first_port + node;
            let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
            command.env("DEV_CLUSTER", ports.join(" "));
        }
        let output = timeout(PATIENCE, command.output())
            .await
            .with_context(|| format!("deploy/dev {}: no end", arguments.join(" ")))??;
        ensure!(
            output.status.success(),
            "deploy/dev {}: {}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A virtual host of its own for each scenario.
    pub(crate) async fn fresh_vhost(&mut self, name: &str) -> Result<()> {
        name.clone_into(&mut self.vhost);
        let base = self.management();
        http::manage(&base, "PUT", &format!("/api/vhosts/{name}"), None).await?;
        let worker = json!({ "password": WORKERS_USER, "tags": "" });
        let user = format!("/api/users/{WORKERS_USER}");
        http::manage(&base, "PUT", &user, Some(worker)).await?;
        for user in [LOADS_USER, WORKERS_USER] {
            let permissions = format!("/api/permissions/{name}/{user}");
            let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
            http::manage(&base, "PUT", &permissions, Some(all)).await?;
        }
        Ok(())
    }

    pub(crate) async fn drop_vhost(&self) {
        let path = format!("/api/vhosts/{}", self.vhost);
        drop(http::manage(&self.management(), "DELETE", &path, None).await);
    }

    pub(crate) async fn manage(&self, method: &str, path: &str, body: Option<Value>) -> Result<()> {
        http::manage(&self.management(), method, path, body).await
    }

    /// As `deploy/dev` names it.
    pub(crate) fn erlang_name(&self, node: u16) -> String {
        format!("dispatcher-dev-{}@localhost", self.first_port + node)
    }

    pub(crate) fn numbered(&self, erlang_name: &str) -> Result<u16> {
        let mut nodes = 0..self.count;
        nodes
            .find(|&node| self.erlang_name(node) == erlang_name)
            .with_context(|| format!("no node of ours: {erlang_name}"))
    }

    fn management(&self) -> String {
        format!("http://127.0.0.1:{}", self.first_port + MANAGEMENT_ABOVE)
    }
}
