//! The commands: one file each, with its `run`, and its options where it has more than a config.

use clap::{CommandFactory, Parser, Subcommand};

mod check;
mod common;
mod definitions;
mod healthcheck;
mod reference;
mod run;

use common::ConfigFiles;
pub use common::{Done, Failure};

/// Sends WhatsApp Cloud API requests from RabbitMQ and publishes a result of each.
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
    Run(ConfigFiles),
    /// Read the config, say everything that is wrong with it, and end.
    Check(ConfigFiles),
    /// Ask the worker that runs with this config whether it is ready: 0 if it is, else 1 and why. For containers.
    Healthcheck(ConfigFiles),
    /// Print the exchanges, queues and bindings as a RabbitMQ definitions file, for broker.declare = false.
    Definitions(ConfigFiles),
    /// Write the reference pages (every config key, metric, command and error code) and the contract files (JSON Schemas, AsyncAPI), or
    /// compare them with --check.
    Reference(reference::Options),
}

impl Command {
    pub fn run(self) -> Done {
        match self {
            Self::Run(files) => run::run(files.load()?),
            Self::Check(files) => check::run(&files.load()?),
            Self::Healthcheck(files) => healthcheck::run(&files.load()?),
            Self::Definitions(files) => definitions::run(&files.load()?),
            Self::Reference(options) => options.run(Arguments::command()),
        }
    }
}
