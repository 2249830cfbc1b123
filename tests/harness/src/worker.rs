//! The dispatcher itself: the binary as a child process with a config of its own.

use super::http::{self, Answer};
use super::log::Log;
use super::metrics::Scrape;
use super::{poll, within};
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// Where cargo puts what it builds, as this program was.
fn built() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let mut folder = program.parent().unwrap();
    // Tests and benches lie one folder deeper than programs.
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap();
    }
    folder.to_owned()
}

/// The dispatcher of the same build.
pub fn binary() -> PathBuf {
    built().join("whatsapp-dispatcher")
}

/// Runs another of its commands, without environment; the exit code, and all that was printed.
pub fn command(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(binary());
    let output = command.args(arguments).env_clear().output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// A directory that is deleted when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = built().join(format!("tmp/it-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A running dispatcher. Killed when dropped.
pub struct Worker {
    child: Child,
    admin: String,
    pub log: Log,
    readers: Vec<JoinHandle<()>>,
    /// ERROR lines that this test causes on purpose.
    announced: Vec<String>,
    checked: bool,
}

impl Worker {
    /// Starts `run` with this config; `admin.listen` is added.
    pub fn start(folder: &Folder, config: &str) -> Self {
        Self::start_with(folder, config, &[])
    }

    /// As [`Worker::start`], with these environment variables and no other.
    pub fn start_with(folder: &Folder, config: &str, variables: &[(&str, &str)]) -> Self {
        Self::launch(folder, config, |file| {
            let mut command = Command::new(binary());
            command.arg("run").arg("--config").arg(file).env_clear();
            command.envs(variables.iter().copied());
            command
        })
    }

    /// As [`Worker::start`], by the command that is made for its config file.
    pub fn launch(folder: &Folder, config: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        let admin = format!("127.0.0.1:{}", free_port());
        let config = format!("admin.listen = \"{admin}\"\n{config}");
        let file = folder.write(&format!("{}.toml", admin.replace(':', "-")), &config);
        let mut child = command(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Log::default();
        let readers = vec![
            tokio::spawn(log.clone().read(child.stdout.take().unwrap())),
            tokio::spawn(log.clone().read(child.stderr.take().unwrap())),
        ];
        Self {
            child,
            admin,
            log,
            readers,
            announced: vec![],
            checked: false,
        }
    }

    /// ERROR lines that hold `text` are part of this test.
    pub fn expect_error(&mut self, text: &str) {
        self.announced.push(text.to_owned());
    }

    pub async fn ready(&self) {
        let ready = poll(|| async {
            // The one line that ends it, such as a mistake in the config.
            let line = self
                .log
                .lines()
                .into_iter()
                .find(|line| line.starts_with("whatsapp-dispatcher: "));
            assert_eq!(line, None, "the worker has ended");
            self.get("/readyz").await.is_some_and(|a| a.status == 200)
        });
        within("the worker to be ready", ready).await;
    }

    /// `host:port` of the admin endpoints.
    pub fn admin_address(&self) -> String {
        self.admin.clone()
    }

    /// `None` if nobody answers.
    pub async fn get(&self, path: &str) -> Option<Answer> {
        self.ask("GET", path).await
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.ask("POST", path).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str) -> Option<Answer> {
        http::ask_aside(&self.admin, method, path, None, None)
            .await
            .ok()
    }

    /// What `/lanes/{id}` says.
    pub async fn lane(&self, id: &str) -> Value {
        self.get(&format!("/lanes/{id}")).await.unwrap().json()
    }

    pub async fn lane_state(&self, id: &str, state: &str) {
        let reached = poll(|| async { self.lane(id).await["state"] == state });
        within(&format!("lane {id} to be {state}"), reached).await;
    }

    pub async fn lane_held_by(&self, id: &str, what: &str) {
        let reached = poll(|| async { self.lane(id).await["held_by"] == what });
        within(&format!("lane {id} to be held by {what}"), reached).await;
    }

    pub async fn metrics(&self) -> Scrape {
        Scrape::parse(&self.get("/metrics").await.unwrap().body)
    }

    /// Waits until a metric, summed over the series that carry all these labels, is what `wanted` asks for.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)], wanted: impl Fn(f64) -> bool) {
        let reached = poll(|| async { wanted(self.metrics().await.sum(name, labels)) });
        within(&format!("metric {name} {labels:?}"), reached).await;
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = std::process::Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
        self.end().await;
    }

    /// Waits for the end, with every line read, and checks the log.
    pub async fn end(&mut self) -> ExitStatus {
        let status = within("the worker to end", self.child.wait())
            .await
            .unwrap();
        for reader in self.readers.drain(..) {
            within("the log to be read", reader).await.unwrap();
        }
        self.check_log();
        status
    }

    /// SIGTERM, and an orderly end.
    pub async fn drain(&mut self) {
        self.signal("TERM");
        let status = self.end().await;
        assert_eq!(status.code(), Some(0), "{}", self.log.text());
    }

    /// No ERROR line and no panic that the test did not announce. lapin logs a lost connection as an error of its own,
    /// whoever ended it: only the dispatcher's own lines count.
    pub fn check_log(&mut self) {
        self.checked = true;
        let is_bad = |line: &String| {
            line.contains(" ERROR whatsapp_dispatcher") || line.contains("panicked at")
        };
        let is_announced = |line: &String| self.announced.iter().any(|text| line.contains(text));
        let bad: Vec<String> = self
            .log
            .lines()
            .into_iter()
            .filter(|line| is_bad(line) && !is_announced(line))
            .collect();
        assert!(bad.is_empty(), "unannounced errors:\n{}", bad.join("\n"));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What a failed test is understood by.
            let mut lines = self.log.lines();
            // Under load these alone would fill what is shown.
            lines.retain(|line| !line.contains("observe: attempt "));
            let tail = lines.len().saturating_sub(60);
            eprintln!("--- the worker's log:\n{}", lines[tail..].join("\n"));
        } else if !self.checked {
            self.check_log();
        }
    }
}
