//! The commands: one file each, with its options and its `run`. A command that needs a config loads it itself.

use clap::{CommandFactory, Parser, Subcommand};

mod check;
mod common;
mod definitions;
mod healthcheck;
mod reference;
mod run;

pub use common::{Done, Failure};

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

impl Command {
    pub fn run(self) -> Done {
        match self {
            Self::Run(options) => options.run(),
            Self::Check(options) => options.run(),
            Self::Healthcheck(options) => options.run(),
            Self::Definitions(options) => options.run(),
            Self::Reference(options) => options.run(Arguments::command()),
        }
    }
}
