//! What tracing costs: the dispatcher with it off, on for one message in a hundred, and on for all, in turns. With
//! `DISPATCHER_TEST_OTHER_BUILD`, also another build of the dispatcher with it off, such as one of an earlier commit.

use super::candidate::{self, Candidate, Settings};
use super::{Api, PATIENCE, backlog, lanes, per_thousand, unlimited};
use anyhow::{Context, Result};
use axum::Router;
use axum::routing::post;
use harness::worker::binary;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;

const ROUNDS: usize = 7;
const COUNT: usize = 20_000;

struct Variant {
    name: &'static str,
    /// `None`: tracing is off.
    ratio: Option<&'static str>,
    binary: PathBuf,
    /// CPU milliseconds per 1,000 messages, by round.
    cost: Vec<f64>,
}

pub(crate) async fn run() -> Result<()> {
    println!(
        "\ntracing: {COUNT} messages waiting on 8 lanes, no limit, the API answers after 20 ms; {ROUNDS} rounds in turns"
    );
    let (endpoint, requests) = collector().await?;
    let ours = binary();
    let variant = |name, ratio, binary: &Path| Variant {
        name,
        ratio,
        binary: binary.to_owned(),
        cost: vec![],
    };
    let mut variants = vec![
        variant("off", None, &ours),
        variant("on, 1 %", Some("0.01"), &ours),
        variant("on, 100 %", Some("1.0"), &ours),
    ];
    if let Some(other) = candidate::other_build() {
        variants.push(variant("another build, off", None, &other));
    }
    for round in 0..ROUNDS {
        // Each comes first, second, … as often as the others.
        let count = variants.len();
        for turn in 0..count {
            let variant = &mut variants[(round + turn) % count];
            let cost = one(variant, &endpoint).await?;
            variant.cost.push(cost);
        }
    }
    let off = variants[0].cost.clone();
    for variant in &variants {
        let ratios = variant.cost.iter().zip(&off).map(|(cost, off)| cost / off);
        let ratios = sorted(ratios);
        let cost = sorted(variant.cost.iter().copied());
        println!(
            "  {:<20} {:>6.1} ms CPU per 1,000; of that with it off: {:.3} (rounds: {:.3} to {:.3})",
            variant.name,
            cost[ROUNDS / 2],
            ratios[ROUNDS / 2],
            ratios[0],
            ratios[ROUNDS - 1]
        );
    }
    println!(
        "  the collector took {} requests",
        requests.load(Ordering::Relaxed)
    );
    Ok(())
}

async fn one(variant: &Variant, endpoint: &str) -> Result<f64> {
    let lanes = lanes(8);
    let api = Api::start(unlimited(20))?;
    let broker = backlog(&lanes, COUNT).await?;
    let results = broker.results().await?;
    let mut toml = String::new();
    if let Some(ratio) = variant.ratio {
        toml = format!("tracing.endpoint = \"{endpoint}\"\ntracing.sample_ratio = {ratio}\n");
    }
    let url = api.sim.url();
    toml += &candidate::toml(&Settings::unlimited(broker.amqp(), &url, &lanes));
    let mut candidate = Candidate::build(&variant.binary, &toml)?;
    let done = results.wait_for(COUNT, PATIENCE).await;
    let used = candidate.used()?;
    drop(candidate);
    done.context(variant.name)?;
    Ok(per_thousand(used, COUNT))
}

/// Takes whatever comes, and counts it.
async fn collector() -> Result<(String, Arc<AtomicUsize>)> {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let take = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/v1/traces", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((endpoint, requests))
}

fn sorted(costs: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut costs: Vec<f64> = costs.collect();
    costs.sort_by(f64::total_cmp);
    costs
}
