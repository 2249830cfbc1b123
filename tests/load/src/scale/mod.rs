//! `load scale`: workers that come and go as the scaling signal says, under load, and whether everything adds up after it.

mod acts;
mod load;
mod prometheus;
mod scaler;
mod stage;
mod verdict;

use crate::chaos::watch::Watch;
use crate::chaos::worker::{Setting, Worker};
use crate::loopback;
use crate::plan::Number;
use crate::run::fresh_prefix;
use crate::sim;
use acts::{Lanes, Places};
use anyhow::{Context, Result, bail};
use harness::config;
use load::Load;
use scaler::{ScaleDown, ScaledObject, Scaler};
use stage::{Crew, Stage};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// As short as it can be
    #[arg(value_parser = ["quick"])]
    quick: Option<String>,
    /// The broker and an empty virtual host
    #[arg(long)]
    amqp: String,
    /// The simulated API
    #[arg(long)]
    sim: String,
    /// A Prometheus that scrapes the workers' admin ports, with deploy/prometheus/rules.yaml
    #[arg(long)]
    prometheus: String,
    /// Where whatsapp-dispatcher is
    #[arg(long)]
    binaries: PathBuf,
    /// Where logs go
    #[arg(long)]
    logs: PathBuf,
    /// The first of the workers' admin ports
    #[arg(long)]
    admin_port: u16,
    /// Workers' names, as many as there may be
    #[arg(long = "worker", required = true)]
    workers: Vec<String>,
    /// A phone number id with room and its messages per second, ID=MPS, that the campaign is for
    #[arg(long = "campaign", value_name = "ID=MPS", required = true)]
    campaign: Vec<Number>,
    /// One with room that has daily messages only
    #[arg(long = "open", value_name = "ID=MPS", required = true)]
    open: Vec<Number>,
    /// One whose account is blocked, and one whose calls are throttled
    #[arg(long = "held", value_name = "ID=MPS", required = true)]
    held: Vec<Number>,
}

/// How much of everything.
pub(crate) struct Size {
    daily_mps: f64,
    held_backlog: usize,
    /// Kept up on each of its lanes until the campaign is over.
    campaign_backlog: usize,
    calm_polls: usize,
    campaign_polls: usize,
    spec: ScaledObject,
}

impl Size {
    fn new(is_quick: bool, workers: usize) -> Self {
        let seconds = |usual, quick| Duration::from_secs(if is_quick { quick } else { usual });
        Self {
            daily_mps: 10.0,
            held_backlog: if is_quick { 1_500 } else { 10_000 },
            campaign_backlog: if is_quick { 2_000 } else { 6_000 },
            calm_polls: if is_quick { 2 } else { 4 },
            campaign_polls: if is_quick { 3 } else { 8 },
            // KEDA's own defaults are 30 s, and 300 s and a replica per 15 s at most for the HPA.
            spec: ScaledObject {
                polling_interval: seconds(5, 2),
                min_replica_count: 1,
                max_replica_count: workers,
                threshold: 1.0,
                scale_down: ScaleDown {
                    stabilization_window: seconds(30, 14),
                    pods: 1,
                    period: seconds(15, 4),
                },
            },
        }
    }
}

/// True if every promise was kept.
pub(crate) async fn scale(options: Options) -> Result<bool> {
    for url in [&options.amqp, &options.sim, &options.prometheus] {
        loopback::check(url, false)?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    // What breaks off leaves processes behind: they are ended when they are dropped.
    tokio::select! {
        done = play(&options) => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("interrupted"),
    }
}

async fn play(options: &Options) -> Result<bool> {
    let size = Size::new(options.quick.is_some(), options.workers.len());
    print_spec(&size.spec);
    let open = options.campaign.iter().chain(&options.open);
    let numbers: Vec<Number> = open.chain(&options.held).cloned().collect();
    let lanes = Lanes {
        numbers: numbers.iter().map(|number| number.id.clone()).collect(),
        campaign: options.campaign.len(),
        open: options.campaign.len() + options.open.len(),
    };
    let zero = sim::zero(&options.sim).await?;
    let mut workers = crew(options)?;
    let first = workers.first_mut().context("no worker")?;
    first.start()?;
    first.ready().await?;
    let admin = first.admin.clone();
    let load = Load::start(&options.amqp, lanes.numbers.clone(), fresh_prefix()).await?;
    let scaler = Scaler::new(size.spec.clone());
    let mut stage = Stage::new(load, options.prometheus.clone(), scaler, workers);
    let mut watch = Watch::start(options.sim.clone(), stage.began);
    let places = Places {
        api: &options.sim,
        admin: &admin,
    };
    acts::quiet(&mut stage, &lanes, &size).await?;
    let held_backlog = acts::held(&mut stage, &lanes, &size, &places).await?;
    let campaign = acts::campaign(&mut stage, &lanes, &size, &places).await?;
    acts::over(&mut stage).await?;
    acts::released(&mut stage, &lanes, &places).await?;
    stage.end().await?;
    // A second result to the same request may still come.
    sleep(Duration::from_millis(1_500)).await;
    for note in watch.end() {
        println!("{note}");
    }
    let truth = sim::truth(places.api).await?;
    verdict::balance(&mut stage, &numbers, &truth);
    println!("The most that waited on held lanes: {held_backlog:.0}.");
    println!(
        "{}",
        verdict::report(&stage, &lanes, campaign, &truth, zero)
    );
    for broken in &stage.broken {
        println!("BROKEN: {broken}");
    }
    if stage.broken.is_empty() {
        println!("Everything adds up.");
    }
    Ok(stage.broken.is_empty())
}

fn crew(options: &Options) -> Result<Vec<Worker>> {
    let open = options.campaign.iter().chain(&options.open);
    let open: Vec<String> = open.map(|number| number.id.clone()).collect();
    let mut more = String::new();
    // Accounts of their own: a block reaches all numbers of its account, a throttle of calls too.
    for (account, Number { id, limit }) in (200..).zip(&options.held) {
        let credentials = format!("token = \"scale-token-{account}\"\napp = \"scale-{account}\"");
        more += &config::account(&account.to_string(), &credentials, [id], limit);
    }
    // The shortest that may be set: a backlog of some seconds asks for the lane's whole rate.
    more += "[metrics]\ndrain_target_s = 10\n";
    // A worker that takes a lane over opens connections, and what it sends meanwhile arrives with what it sends next: bunched by as
    // long as that takes, which is up to half a second while all share two cores.
    more += "[pacing]\nutilization = 0.5\n";
    let setting = Setting {
        amqp: &options.amqp,
        graph: &format!("base_url = \"{}\"", options.sim),
        admin_port: 0,
        lanes: &open,
        limit: options.open.first().map_or(0, |number| number.limit),
        more: &more,
    };
    let crew = Crew {
        binaries: &options.binaries,
        logs: &options.logs,
        admin_port: options.admin_port,
        names: options.workers.clone(),
    };
    stage::workers(&crew, &setting)
}

/// As it would stand in a `ScaledObject`.
fn print_spec(spec: &ScaledObject) {
    let down = &spec.scale_down;
    println!(
        "pollingInterval: {}, minReplicaCount: {}, maxReplicaCount: {}, threshold: {}, \
         scaleDown: {{stabilizationWindowSeconds: {}, policies: [{{type: Pods, value: {}, periodSeconds: {}}}]}}",
        spec.polling_interval.as_secs(),
        spec.min_replica_count,
        spec.max_replica_count,
        spec.threshold,
        down.stabilization_window.as_secs(),
        down.pods,
        down.period.as_secs(),
    );
}
