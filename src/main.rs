//! Arguments, logging, runtime, exit code.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use whatsapp_dispatcher::admin::health;
use whatsapp_dispatcher::app::{self, Ended};
use whatsapp_dispatcher::broker::{self, topology::Topology};
use whatsapp_dispatcher::config::{Config, environment};
use whatsapp_dispatcher::log::{self, Repeats};

/// Sends WhatsApp Cloud API requests from RabbitMQ and answers every one exactly once.
///
/// Exit codes: 0 drained (or the config is sound), 2 bad config or usage, 1 anything else.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Dispatch until SIGTERM or SIGINT, then drain.
    Run(Files),
    /// Read the config, say everything that is wrong with it, and end.
    Check(Files),
    /// Ask the worker that runs with this config whether it is ready: 0 if it is, else 1 and why. For containers.
    Healthcheck(Files),
    /// Print the exchanges, queues and bindings as a RabbitMQ definitions file, for broker.declare = false.
    Definitions(Files),
}

#[derive(clap::Args)]
struct Files {
    /// A TOML file; may be given more than once, later ones win. Every key can also be set as DISPATCHER_<SECTION>__<KEY>.
    #[arg(long, required = true)]
    config: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (files, check) = match &arguments.command {
        What::Run(files) | What::Healthcheck(files) | What::Definitions(files) => (files, false),
        What::Check(files) => (files, true),
    };
    let config = match load(&files.config, check) {
        Ok(config) => config,
        Err(problems) => return fail(2, &problems),
    };
    match arguments.command {
        What::Run(_) => {}
        What::Check(_) => {
            let (accounts, numbers) = (config.accounts.len(), config.numbers().count());
            return say(&format!(
                "the config is sound: {accounts} account(s), {numbers} number(s)"
            ));
        }
        What::Healthcheck(_) => {
            return match health::ask(config.admin.listen) {
                Ok(()) => say("ready"),
                Err(why) => fail(1, &why),
            };
        }
        What::Definitions(_) => return print_definitions(&config),
    }
    let repeats = match log::start(&config.log) {
        Ok(repeats) => repeats,
        Err(error) => return fail(2, &format!("log.level: {error:#}")),
    };
    match run(config, repeats) {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::Failed(why)) => fail(1, &why),
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

fn load(files: &[PathBuf], check: bool) -> Result<Config, String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() {
        "worker"
    } else {
        host.trim()
    };
    let config = Config::load(files, environment(), host).map_err(|errors| errors.to_string())?;
    config
        .require_numbers()
        .map_err(|errors| errors.to_string())?;
    let unusable = if check { config.check_files() } else { vec![] };
    if unusable.is_empty() {
        Ok(config)
    } else {
        Err(unusable.join("\n"))
    }
}

fn print_definitions(config: &Config) -> ExitCode {
    let topology = Topology {
        phone_number_ids: config.phone_number_ids(),
    };
    let definitions = topology.definitions(&broker::vhost(&config.broker.url));
    say(&format!("{definitions:#}"))
}

#[expect(clippy::print_stdout, reason = "what the operator asked for")]
fn say(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

fn run(config: Config, repeats: Repeats) -> anyhow::Result<Ended> {
    // One TLS provider for the whole process; left to feature unification, rustls panics at first use.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("a TLS provider was installed before main");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(app::run(config, repeats))
}

#[expect(
    clippy::print_stderr,
    reason = "the one clear line an operator gets, also before logging is up"
)]
fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("whatsapp-dispatcher: {why}");
    ExitCode::from(code)
}
