//! Child processes that are signalled, awaited and never left behind.

use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Term,
    Kill,
    Stop,
    Cont,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        })
    }
}

/// Its pid stays taken until it is awaited here, so a signal meets no other process.
pub(crate) struct Process {
    name: String,
    child: Child,
    pid: u32,
    pid_file: PathBuf,
}

impl Process {
    /// Output goes to the end of `<logs>/<name>.log`. `pids` is where the script looks if this program is killed itself;
    /// `mark` is what in its command line tells it from a process that got its pid later.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        mark: &str,
        logs: &Path,
        pids: &Path,
    ) -> Result<Self> {
        let log = log_file(&logs.join(format!("{name}.log")))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            // Ctrl-C reaches this program, which then ends them in order.
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let pid = child.id().context("a process without an id")?;
        let pid_file = pids.join(format!("{name}.pid"));
        fs::write(&pid_file, format!("{pid}\n{mark}\n"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            pid,
            pid_file,
        })
    }

    pub(crate) async fn signal(&self, signal: Signal) -> Result<()> {
        // The shell's own: not every machine has the program.
        let kill = Command::new("sh")
            .args(["-c", r#"kill -s "$1" "$2""#, "-"])
            .args([signal.to_string(), self.pid.to_string()])
            .status()
            .await?;
        if !kill.success() {
            bail!("{signal} did not reach {}", self.name);
        }
        Ok(())
    }

    /// Its exit code; none if a signal ended it.
    pub(crate) async fn exit(&mut self, patience: Duration) -> Result<Option<i32>> {
        let status = timeout(patience, self.child.wait())
            .await
            .with_context(|| format!("{} did not end within {patience:?}", self.name))??;
        drop(fs::remove_file(&self.pid_file));
        Ok(status.code())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// TERM, and KILL if that is not enough.
    pub(crate) async fn end(mut self, patience: Duration) {
        drop(self.signal(Signal::Cont).await);
        drop(self.signal(Signal::Term).await);
        if self.exit(patience).await.is_err() {
            drop(self.child.start_kill());
            drop(self.exit(patience).await);
        }
    }
}

pub(crate) fn log_file(path: &Path) -> Result<File> {
    let open = OpenOptions::new().create(true).append(true).open(path);
    open.with_context(|| path.display().to_string())
}

/// Whether a process that logs there has.
pub(crate) fn has_panicked(logs: &Path) -> Result<bool> {
    for file in fs::read_dir(logs)? {
        if String::from_utf8_lossy(&fs::read(file?.path())?).contains("panicked at") {
            return Ok(true);
        }
    }
    Ok(false)
}
