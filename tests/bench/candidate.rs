//! A dispatcher under measurement: its own process, so that its CPU time and memory are its own.

use crate::http::Client;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Ours,
    Bare,
    /// The build that DISPATCHER_TEST_OTHER_BUILD names, such as one of an earlier commit.
    Other,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Bare, Self::Ours];

    /// Both, and another build if there is one.
    pub(crate) fn all() -> Vec<Self> {
        let other = other_build().map(|_| Self::Other);
        Self::BOTH.into_iter().chain(other).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "whatsapp-dispatcher",
            Self::Bare => "bare loop",
            Self::Other => "another build",
        }
    }
}

/// A dispatcher to compare with.
pub(crate) fn other_build() -> Option<PathBuf> {
    std::env::var_os("DISPATCHER_TEST_OTHER_BUILD").map(PathBuf::from)
}

/// What both are told, so that they may do the same.
pub(crate) struct Settings<'a> {
    pub(crate) amqp: &'a str,
    pub(crate) api: &'a str,
    pub(crate) lanes: &'a [String],
    pub(crate) mps: u32,
    pub(crate) in_flight: usize,
    pub(crate) prefetch: u16,
}

impl<'a> Settings<'a> {
    /// What a message costs shows where no limit holds it.
    pub(crate) fn unlimited(amqp: &'a str, api: &'a str, lanes: &'a [String]) -> Self {
        Self {
            amqp,
            api,
            lanes,
            mps: 100_000,
            in_flight: 200,
            prefetch: 400,
        }
    }
}

pub(crate) struct Candidate {
    child: Child,
    config: PathBuf,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    pub(crate) rss_mb: f64,
    pub(crate) peak_rss_mb: f64,
}

impl Candidate {
    pub(crate) fn start(kind: Kind, settings: &Settings<'_>) -> Result<Self> {
        let config = std::env::temp_dir().join(format!("sidebyside-{}.toml", std::process::id()));
        let mut command = match kind {
            Kind::Ours => return Self::ours(&toml(settings)),
            Kind::Other => {
                let binary = other_build().context("DISPATCHER_TEST_OTHER_BUILD is not set")?;
                return Self::build(&binary, &toml(settings));
            }
            Kind::Bare => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args([
                    "bare",
                    settings.amqp,
                    settings.api,
                    &settings.lanes.join(","),
                ]);
                command.args([
                    settings.mps.to_string(),
                    settings.in_flight.to_string(),
                    settings.prefetch.to_string(),
                ]);
                command
            }
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        Ok(Self { child, config })
    }

    /// The dispatcher with a config of its own.
    pub(crate) fn ours(toml: &str) -> Result<Self> {
        Self::build(Path::new(env!("CARGO_BIN_EXE_whatsapp-dispatcher")), toml)
    }

    /// Another build of it.
    pub(crate) fn build(binary: &Path, toml: &str) -> Result<Self> {
        let config = std::env::temp_dir().join(format!("sidebyside-{}.toml", std::process::id()));
        std::fs::write(&config, toml)?;
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&config);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        Ok(Self { child, config })
    }

    /// The client of [`super::http`].
    pub(crate) fn http(api: &str, client: Client, mps: u32, seconds: u32) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["http", api, &client.connections().to_string()]);
        command.args([mps.to_string(), seconds.to_string()]);
        Ok(Self {
            child: command.stdin(Stdio::null()).spawn()?,
            config: PathBuf::new(),
        })
    }

    pub(crate) fn used(&mut self) -> Result<Used> {
        if let Some(status) = self.child.try_wait()? {
            anyhow::bail!("the process ended by itself: {status}");
        }
        Used::by(self.child.id())
    }
}

impl Used {
    /// What the process with this id has used.
    pub(crate) fn by(pid: u32) -> Result<Self> {
        let proc = Path::new("/proc").join(pid.to_string());
        let stat = std::fs::read_to_string(proc.join("stat"))?;
        // Fields 14 and 15, counted behind the name in brackets; in ticks of 1/100 s on every Linux we run on.
        let behind_name = stat.rsplit_once(')').context("stat")?.1;
        let ticks: u64 = behind_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        let status = std::fs::read_to_string(proc.join("status"))?;
        let megabytes = |name: &'static str| -> Result<f64> {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name));
            let value = value.context(name)?.trim().trim_end_matches("kB");
            Ok(value.trim().parse::<f64>()? / 1024.0)
        };
        Ok(Used {
            cpu: Duration::from_millis(ticks * 10),
            rss_mb: megabytes("VmRSS:")?,
            peak_rss_mb: megabytes("VmHWM:")?,
        })
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // Nothing it holds is needed any more.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_file(&self.config));
    }
}

pub(crate) fn toml(settings: &Settings<'_>) -> String {
    let Settings {
        amqp,
        api,
        lanes,
        mps,
        in_flight,
        prefetch,
    } = settings;
    // The prefetch is in flight plus rate × buffer: this gives the same as the bare loop's.
    let buffer_ms =
        (usize::from(*prefetch) - in_flight) * 1000 / usize::try_from(*mps).unwrap_or(1);
    let mut text = format!(
        "[broker]\nurl = \"{amqp}\"\n[graph]\nbase_url = \"{api}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n\
         [lanes]\nmax_in_flight = {in_flight}\nbuffer_ms = {}\n[[accounts]]\nwaba_id = \"1\"\ntoken = \"token\"\n",
        buffer_ms.clamp(0, 10_000)
    );
    for lane in *lanes {
        text.push_str(&format!(
            "[[accounts.numbers]]\nphone_number_id = \"{lane}\"\nmps = {mps}\n"
        ));
    }
    text
}
