//! A dispatcher under measurement: its own process, so that its CPU time and memory are its own.

use crate::http::Client;
use anyhow::{Context, Result};
use harness::config;
pub(crate) use harness::figures::Used;
use harness::worker::{Folder, binary};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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
    /// Deleted with it.
    _config: Option<Folder>,
}

impl Candidate {
    pub(crate) fn start(kind: Kind, settings: &Settings<'_>) -> Result<Self> {
        match kind {
            Kind::Ours => return Self::ours(&toml(settings)),
            Kind::Other => {
                let binary = other_build().context("DISPATCHER_TEST_OTHER_BUILD is not set")?;
                return Self::build(&binary, &toml(settings));
            }
            Kind::Bare => {}
        }
        let limits = [
            settings.mps.to_string(),
            settings.in_flight.to_string(),
            settings.prefetch.to_string(),
        ];
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "bare",
            settings.amqp,
            settings.api,
            &settings.lanes.join(","),
        ]);
        command.args(limits).stdout(Stdio::null());
        Self::spawn(command, None)
    }

    /// The dispatcher with a config of its own.
    pub(crate) fn ours(toml: &str) -> Result<Self> {
        Self::build(&binary(), toml)
    }

    /// Another build of it.
    pub(crate) fn build(binary: &Path, toml: &str) -> Result<Self> {
        let folder = Folder::create();
        let config = folder.write("config.toml", toml);
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(config);
        command.stdout(Stdio::null());
        Self::spawn(command, Some(folder))
    }

    /// The client of [`super::http`].
    pub(crate) fn http(api: &str, client: Client, mps: u32, seconds: u32) -> Result<Self> {
        let numbers = [
            client.connections().to_string(),
            mps.to_string(),
            seconds.to_string(),
        ];
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["http", api]).args(numbers);
        Self::spawn(command, None)
    }

    fn spawn(mut command: Command, config: Option<Folder>) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn()?;
        Ok(Self {
            child,
            _config: config,
        })
    }

    pub(crate) fn used(&mut self) -> Result<Used> {
        if let Some(status) = self.child.try_wait()? {
            anyhow::bail!("the process ended by itself: {status}");
        }
        Used::by(self.child.id())
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // Nothing it holds is needed any more.
        drop(self.child.kill());
        drop(self.child.wait());
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
    let buffer_ms = buffer_ms.clamp(0, 10_000);
    format!(
        "{}admin.listen = \"127.0.0.1:0\"\nlog.level = \"warn\"\nlanes.max_in_flight = {in_flight}\nlanes.buffer_ms = {buffer_ms}\n{}",
        config::servers(amqp, api),
        config::account("1", config::TOKEN, *lanes, *mps)
    )
}
