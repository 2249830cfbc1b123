//! `load chaos`: faults under full load, each with the same question at its end: does everything add up?

mod bounds;
mod mix;
mod nodes;
mod play;
mod play_api;
mod play_broker;
mod play_evidence;
pub(crate) mod process;
mod report;
mod scenario;
mod stage;
mod traffic;
pub(crate) mod verdict;
pub(crate) mod watch;
pub(crate) mod worker;

use anyhow::{Result, anyhow};
use nodes::Nodes;
use report::Row;
use scenario::{Scenario, chosen};
use stage::{Ground, Stage};
use std::path::PathBuf;
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Scenarios by name, or by the start of some; all but quick and mix if left out
    names: Vec<String>,
    /// Name the scenarios and end
    #[arg(long)]
    list: bool,
    /// The source of all chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long mix goes on causing faults
    #[arg(long, default_value_t = 3)]
    minutes: u64,
    /// The script that runs RabbitMQ nodes
    #[arg(long, default_value = "deploy/dev")]
    dev: PathBuf,
    /// Where whatsapp-dispatcher and graph-sim are
    #[arg(long, default_value = "target/debug")]
    binaries: PathBuf,
    /// Where logs go
    #[arg(long, default_value = "target/dev/chaos")]
    logs: PathBuf,
    /// The first of eight ports
    #[arg(long, default_value_t = 21_712)]
    port: u16,
    /// The AMQP port of the first of three nodes
    #[arg(long, default_value_t = 21_732)]
    node_port: u16,
}

/// True if every scenario kept its promises.
pub(crate) async fn chaos(options: Options) -> Result<bool> {
    if options.list {
        print!("{}", report::list());
        return Ok(true);
    }
    let scenarios = chosen(&options.names).map_err(|error| anyhow!(error))?;
    let mut nodes = Nodes::new(options.dev.canonicalize()?, options.node_port);
    let ground = Ground {
        binaries: options.binaries,
        logs: options.logs,
        port: options.port,
        seed: options.seed,
    };
    let mut rows = vec![];
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = all(&scenarios, &ground, &mut nodes, options.minutes, &mut rows) => {}
        _ = tokio::signal::ctrl_c() => println!("interrupted"),
        _ = terminate.recv() => println!("interrupted"),
    }
    nodes.down().await;
    print!("{}", report::table(&rows));
    Ok(rows.len() == scenarios.len() && rows.iter().all(Row::passed))
}

async fn all(
    scenarios: &[Scenario],
    ground: &Ground,
    nodes: &mut Nodes,
    minutes: u64,
    rows: &mut Vec<Row>,
) {
    for &scenario in scenarios {
        println!("==> {}: {}", scenario.name(), scenario.about());
        let row = one(scenario, ground, nodes, minutes).await;
        println!("{}", row.verdict());
        rows.push(row);
    }
}

async fn one(scenario: Scenario, ground: &Ground, nodes: &mut Nodes, minutes: u64) -> Row {
    let began = Instant::now();
    let mut row = Row::new(scenario.name());
    if scenario == Scenario::Clock && play::faketime().is_none() {
        row.not_tried = true;
        return row;
    }
    match Stage::set(scenario, ground, nodes).await {
        Ok(mut stage) => {
            let played = play::play(scenario, &mut stage, minutes).await;
            // Also of a play that broke off: what it did must add up all the same.
            match stage.close().await {
                Ok(figures) => row.judged(figures, &scenario.bounds()),
                Err(error) => row.broken.push(format!("{error:#}")),
            }
            row.notes.append(&mut stage.notes);
            row.broken.append(&mut stage.broken);
            row.broken
                .extend(played.err().map(|error| format!("{error:#}")));
            row.broken
                .extend(stage.clear().await.err().map(|error| format!("{error:#}")));
        }
        Err(error) => row.broken.push(format!("{error:#}")),
    }
    row.took = began.elapsed();
    row
}
