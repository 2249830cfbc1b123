//! The images, run as a cautious operator runs them.

use harness::worker::{Folder, Worker};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// What a container of ours may have: no writable file, no capability, no more memory than this, and not root by the image's own word.
/// The network is the machine's, since broker and API are on its loopback. Raised limits would need a capability of the engine's.
const CONFINED: &[&str] = &[
    "--network=host",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=64m",
    "--pids-limit=32",
    "--ulimit=nofile=4096:4096",
    "--ulimit=nproc=4096:4096",
];

/// What the broker's machine is called in a worker's container.
pub(crate) const BROKER_HOST: &str = "rabbitmq.test";

/// Without the images these tests fail: a skipped test proves nothing.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs the images. Run `deploy/dev test`, or `deploy/dev image` and `eval \"$(deploy/dev url)\"`")
    })
}

pub(crate) fn dispatcher_image() -> String {
    variable("DISPATCHER_TEST_IMAGE")
}

pub(crate) fn sim_image() -> String {
    variable("DISPATCHER_TEST_SIM_IMAGE")
}

/// Seconds. Longest wait for an answer of the engine's: longer than it gives a container to end.
const PATIENCE_S: &str = "120";

/// The container engine, such as `podman --runtime runc`.
fn engine() -> Vec<String> {
    let words = variable("DISPATCHER_TEST_CONTAINERS");
    words.split_whitespace().map(str::to_owned).collect()
}

/// An engine that hangs fails the test, and not only the patience of whoever waits for it.
pub(crate) fn ask(arguments: &[&str]) -> Output {
    let mut bounded = Command::new("timeout");
    bounded.arg(PATIENCE_S).args(engine()).args(arguments);
    bounded.output().unwrap()
}

/// What the engine prints; panics if it fails.
pub(crate) fn told(arguments: &[&str]) -> String {
    let output = ask(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Removed when dropped, whatever it is doing.
pub(crate) struct Container(String);

impl Container {
    pub(crate) fn name() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(format!("dispatcher-it-{}-{count}", std::process::id()))
    }

    /// The dispatcher's image with a config of this folder's, as a worker.
    pub(crate) fn worker(&self, folder: &Folder, config: &str) -> Worker {
        let mount = folder.0.to_str().unwrap();
        Worker::launch(folder, config, |file| {
            let engine = engine();
            let mut run = Command::new(&engine[0]);
            run.args(&engine[1..]);
            run.args(["run", "--rm", "--name", &self.0]).args(CONFINED);
            run.args(["--volume", &format!("{mount}:{mount}:ro")]);
            run.args(["--add-host", &format!("{BROKER_HOST}:127.0.0.1")]);
            run.arg(dispatcher_image());
            run.args(["run", "--config", file.to_str().unwrap()]);
            run.into()
        })
    }

    pub(crate) fn run(&self, image: &str, arguments: &[&str]) {
        let mut all = vec!["run", "--rm", "--detach", "--name", &self.0];
        all.extend_from_slice(CONFINED);
        all.push(image);
        all.extend_from_slice(arguments);
        told(&all);
    }

    pub(crate) fn exec(&self, arguments: &[&str]) -> Output {
        ask(&[&["exec", &self.0], arguments].concat())
    }

    /// As an operator, or Kubernetes, ends it: SIGTERM to process 1, and SIGKILL only much later.
    pub(crate) fn stop(&self) {
        told(&["stop", "--time", "80", &self.0]);
    }

    /// Every file of its image.
    pub(crate) fn files(&self, image: &str, folder: &Folder) -> Vec<String> {
        told(&["create", "--name", &self.0, image]);
        let archive = folder.0.join("files.tar");
        let archive = archive.to_str().unwrap();
        told(&["export", "--output", archive, &self.0]);
        let list = Command::new("tar").args(["tf", archive]).output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        let files = list.lines().filter(|line| !line.ends_with('/'));
        files.map(str::to_owned).collect()
    }

    /// Bytes of memory that it is charged with, its page cache included.
    pub(crate) fn memory(&self) -> String {
        let format = "{{.MemUsage}}";
        told(&["stats", "--no-stream", "--format", format, &self.0])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(ask(&["rm", "--force", &self.0]));
    }
}
