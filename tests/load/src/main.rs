//! Publishes requests, collects their results and checks that the two add up.
//!
//! `run` is the measuring tool; `demo` shows the product with a live table; `chaos` breaks things
//! around it; `scale` lets the scaling signal decide how many workers there are. Each ends with 1 when anything is missing or doubled.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool: the terminal is its output"
)]

mod balance;
mod book;
mod broker;
mod chaos;
mod demo;
mod figures;
mod loopback;
mod plan;
mod run;
mod scale;
mod screen;
mod sim;
mod stories;
mod summary;
mod table;
mod workers;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish requests, await every result, report latency, loss and duplicates
    Run(run::Options),
    /// The demo: a mixed load over four numbers, live, and whether it adds up
    Demo(demo::Options),
    /// The fault suite: deploy/dev chaos
    Chaos(chaos::Options),
    /// Workers that come and go as the scaling signal says: deploy/dev scale
    Scale(scale::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome: Result<bool> = match Cli::parse().command {
        Command::Run(options) => run::run(options).await,
        Command::Demo(options) => demo::demo(options).await,
        Command::Chaos(options) => chaos::chaos(options).await,
        Command::Scale(options) => scale::scale(options).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}
