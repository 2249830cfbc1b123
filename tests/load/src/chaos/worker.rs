//! A worker process of the suite: its config, its life, and what its admin port says.

use super::process::Process;
use crate::workers::Lane;
use anyhow::{Result, bail};
use harness::{config, http};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// A stopped process accepts connections and answers nothing.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) admin: String,
    pub(crate) process: Option<Process>,
    binary: PathBuf,
    config: PathBuf,
    logs: PathBuf,
    pids: PathBuf,
    pub(crate) wrap: Wrap,
}

/// What stands before its command line.
#[derive(Clone, Debug, Default)]
pub(crate) enum Wrap {
    #[default]
    Nothing,
    /// So many file descriptors at most.
    Descriptors(u32),
    /// A clock that follows a file: the library, and that file.
    Clock(PathBuf, PathBuf),
}

pub(crate) struct Places<'a> {
    pub(crate) binaries: &'a Path,
    pub(crate) logs: &'a Path,
    pub(crate) pids: &'a Path,
}

pub(crate) struct Setting<'a> {
    pub(crate) amqp: &'a str,
    /// Keys of `[graph]`, as TOML.
    pub(crate) graph: &'a str,
    pub(crate) admin_port: u16,
    pub(crate) lanes: &'a [String],
    pub(crate) limit: usize,
    /// What else its config says, as TOML.
    pub(crate) more: &'a str,
}

impl Worker {
    pub(crate) fn new(name: &str, places: &Places<'_>, setting: &Setting<'_>) -> Result<Self> {
        let config = places.logs.join(format!("{name}.toml"));
        std::fs::write(&config, setting.text(name))?;
        Ok(Self {
            name: name.to_owned(),
            admin: format!("http://127.0.0.1:{}", setting.admin_port),
            process: None,
            binary: places.binaries.join("whatsapp-dispatcher"),
            config,
            logs: places.logs.to_owned(),
            pids: places.pids.to_owned(),
            wrap: Wrap::Nothing,
        })
    }

    /// The file whose being there makes a debug build panic.
    pub(crate) fn wish(&self) -> PathBuf {
        self.logs.join(format!("{}.panic", self.name))
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        let mut command = match &self.wrap {
            Wrap::Nothing => Command::new(&self.binary),
            Wrap::Descriptors(count) => {
                let mut command = Command::new("sh");
                let limited = format!(r#"ulimit -n {count} && exec "$@""#);
                command.args(["-c", &limited, "-"]).arg(&self.binary);
                command
            }
            Wrap::Clock(library, file) => {
                let mut command = Command::new(&self.binary);
                command
                    .env("LD_PRELOAD", library)
                    .env("FAKETIME_TIMESTAMP_FILE", file)
                    .env("FAKETIME_NO_CACHE", "1")
                    // A clock that is set moves wall time only.
                    .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
                command
            }
        };
        command.arg("run").arg("--config").arg(&self.config);
        command.env("WA_TEST_PANIC", self.wish());
        let mark = self.config.to_string_lossy();
        let process = Process::start(&self.name, command, &mark, &self.logs, &self.pids)?;
        self.process = Some(process);
        Ok(())
    }

    pub(crate) async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while self.readiness().await != "ready" {
            let runs = self.process.as_mut().is_some_and(Process::is_running);
            if !runs || Instant::now() > deadline {
                bail!("{} did not become ready", self.name);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// `ready`, or why not.
    pub(crate) async fn readiness(&self) -> String {
        match timeout(LOOK, http::text(&self.admin, "/readyz")).await {
            Ok(Ok(text)) => text.trim().to_owned(),
            Ok(Err(error)) => error.root_cause().to_string().trim().to_owned(),
            Err(_) => "no answer".to_owned(),
        }
    }

    /// Requests that it has moved to the delay ladder.
    pub(crate) async fn moved(&self) -> f64 {
        let text = timeout(LOOK, http::text(&self.admin, "/metrics")).await;
        let text = text.ok().and_then(Result::ok).unwrap_or_default();
        let moved = text
            .lines()
            .filter(|line| line.starts_with("wa_dispatcher_delayed_total"));
        let moved = moved.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        moved.sum()
    }

    /// The lanes whose messages it has.
    pub(crate) async fn lanes(&self) -> Vec<String> {
        if self.process.is_none() {
            return vec![];
        }
        let lanes = timeout(LOOK, http::get::<Vec<Lane>>(&self.admin, "/lanes")).await;
        let lanes = lanes.ok().and_then(Result::ok).unwrap_or_default();
        let busy = lanes.into_iter().filter(Lane::is_busy);
        busy.map(|lane| lane.phone_number_id).collect()
    }
}

impl Setting<'_> {
    fn text(&self, name: &str) -> String {
        let Self {
            amqp,
            graph,
            admin_port,
            ..
        } = self;
        let lanes = config::account(
            "100",
            "token = \"chaos-token\"\napp = \"chaos\"",
            self.lanes,
            self.limit,
        );
        let more = self.more;
        format!(
            "[broker]\nurl = \"{amqp}\"\n[graph]\n{graph}\n\
             [admin]\nlisten = \"127.0.0.1:{admin_port}\"\nactions = true\n[worker]\nid = \"{name}\"\n{lanes}{more}"
        )
    }
}
