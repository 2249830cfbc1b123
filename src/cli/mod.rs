//! The commands: one file each, with its options and its `run`. A command that needs a config loads it itself.

use crate::config::{Config, environment};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

mod check;
mod definitions;
mod healthcheck;
mod reference;
mod run;

/// Sends WhatsApp Cloud API requests from RabbitMQ and answers every one exactly once.
///
/// Exit codes: 0 drained (or the config is sound), 2 bad config or usage, 1 anything else.
#[derive(Parser)]
#[command(version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Dispatch until SIGTERM or SIGINT, then drain.
    Run(run::Options),
    /// Read the config, say everything that is wrong with it, and end.
    Check(check::Options),
    /// Ask the worker that runs with this config whether it is ready: 0 if it is, else 1 and why. For containers.
    Healthcheck(healthcheck::Options),
    /// Print the exchanges, queues and bindings as a RabbitMQ definitions file, for broker.declare = false.
    Definitions(definitions::Options),
    /// Write the reference pages (every config key, metric, command and error code), or compare them with --check.
    Reference(reference::Options),
}

/// What a command prints when it succeeds; empty if it has nothing to say.
pub type Done = Result<String, Failure>;

/// Why a command did not succeed.
pub struct Failure {
    /// The process's exit code: [`Failure::USAGE`] or [`Failure::OTHER`].
    pub code: u8,
    /// For the operator; may have several lines.
    pub why: String,
}

impl Failure {
    /// The config or the arguments are wrong: trying again helps nothing.
    pub const USAGE: u8 = 2;
    pub const OTHER: u8 = 1;

    fn usage(why: impl ToString) -> Self {
        let (code, why) = (Self::USAGE, why.to_string());
        Self { code, why }
    }

    fn other(why: impl ToString) -> Self {
        let (code, why) = (Self::OTHER, why.to_string());
        Self { code, why }
    }
}

impl Command {
    pub fn run(self) -> Done {
        match self {
            Self::Run(options) => options.run(),
            Self::Check(options) => options.run(),
            Self::Healthcheck(options) => options.run(),
            Self::Definitions(options) => options.run(),
            Self::Reference(options) => options.run(),
        }
    }
}

/// The option of every command that needs a config.
#[derive(clap::Args)]
struct ConfigFiles {
    /// A TOML file; may be given more than once, later ones win. Every key can also be set as DISPATCHER_<SECTION>__<KEY>.
    #[arg(long, required = true)]
    config: Vec<PathBuf>,
}

impl ConfigFiles {
    /// The config of these files and the environment, with at least one number.
    fn load(&self) -> Result<Config, Failure> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "worker",
            name => name,
        };
        let config = Config::load(&self.config, environment(), host).map_err(Failure::usage)?;
        config.require_numbers().map_err(Failure::usage)?;
        Ok(config)
    }
}
