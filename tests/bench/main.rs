//! The dispatcher beside a bare loop, in one run on one machine: cost, throughput, pace and latency.
//!
//! `deploy/dev bench [ROW…]`: drain, pace-80, pace-1000, idle, priority, http2, shard, tracing, keepalive, and those of [`bounds`],
//! [`limits`], [`person`], [`large`], [`schema`], [`search`], [`dedupe`], [`media`] and [`operations`]; all of them if none is named.
//! The simulated API runs in this process with a strict sliding second, the candidates in processes of their own; RabbitMQ is the one that
//! DISPATCHER_TEST_AMQP names.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool: the terminal is its output"
)]

mod bare;
mod bounds;
mod broker;
mod candidate;
mod dedupe;
mod http;
mod keepalive;
mod large;
mod limits;
mod media;
mod operations;
mod pairs;
mod person;
mod schema;
mod search;
mod shard;
mod tracing;

use crate::http::Client;
use anyhow::{Context, Result, bail};
use broker::{Broker, Results};
use candidate::{Candidate, Kind, Settings, Used};
use graph_sim::{NumberRules, Options, Sim};
use harness::figures::percentile;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        bail!("a TLS provider was installed before");
    }
    match arguments.split_first() {
        Some((first, rest)) if first == "bare" => return bare::run(rest),
        Some((first, rest)) if first == "http" => return http::run(rest),
        Some(_) | None => {}
    }
    let own = ["drain", "pace-80", "pace-1000", "idle", "priority", "http2"];
    let known: Vec<&str> = own
        .into_iter()
        .chain(bounds::ROWS)
        .chain(limits::ROWS)
        .chain(person::ROWS)
        .chain(large::ROWS)
        .chain(schema::ROWS)
        .chain(search::ROWS)
        .chain(dedupe::ROWS)
        .chain(media::ROWS)
        .chain(operations::ROWS)
        .chain(["shard", "tracing", "keepalive"])
        .collect();
    if let Some(unknown) = arguments
        .iter()
        .find(|argument| !known.contains(&argument.as_str()))
    {
        bail!("no row is called {unknown}: there are {}", known.join(", "));
    }
    let rows = known
        .into_iter()
        .filter(|row| arguments.is_empty() || arguments.iter().any(|argument| argument == row));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for row in rows {
            match row {
                "drain" => drain().await?,
                "pace-80" => pace(80, 100, 12, 45).await?,
                "pace-1000" => pace(1000, 350, 12, 25).await?,
                "idle" => idle().await?,
                "priority" => priority().await?,
                "http2" => http2().await?,
                "lanes" => bounds::lanes().await?,
                "backlog" => bounds::backlog().await?,
                "shard" => shard::run().await?,
                "tracing" => tracing::run().await?,
                "keepalive" => keepalive::run().await?,
                row if person::ROWS.contains(&row) => person::run(row).await?,
                row if schema::ROWS.contains(&row) => schema::run()?,
                row if search::ROWS.contains(&row) => search::run().await?,
                row if dedupe::ROWS.contains(&row) => dedupe::run().await?,
                row if operations::ROWS.contains(&row) => operations::run().await?,
                row if media::ROWS.contains(&row) => media::run().await?,
                row if large::ROWS.contains(&row) => large::run(row).await?,
                row => limits::run(row).await?,
            }
        }
        Ok(())
    })
}

/// The simulator on a thread of its own, and the moment from which its clock counts.
struct Api {
    sim: Sim,
    began: Instant,
    /// Dropped, it ends the thread.
    _running: oneshot::Sender<()>,
}

impl Api {
    fn start(rules: NumberRules) -> Result<Self> {
        let (started, starts) = std::sync::mpsc::channel();
        let (_running, stopped) = oneshot::channel::<()>();
        let options = Options {
            defaults: rules,
            ..Options::default()
        };
        std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                started.send(Sim::start(options).await)?;
                // An error says that the sender is gone, which is the sign to end.
                stopped.await.or(Ok(()))
            })
        });
        let sim = starts.recv()??;
        let now = Duration::from_secs_f64(sim.stats().now_ms / 1000.0);
        Ok(Self {
            sim,
            began: Instant::now() - now,
            _running,
        })
    }

    /// From each publish to the arrival of its request, ascending; the id of a request is its place in `published`.
    fn since(&self, published: &[Option<Instant>]) -> Vec<Duration> {
        let arrived = self.sim.ledger().into_iter().filter_map(|entry| {
            let published = (*published.get(entry.opaque?.parse::<usize>().ok()?)?)?;
            Some(
                (self.began + Duration::from_secs_f64(entry.at_ms / 1000.0))
                    .saturating_duration_since(published),
            )
        });
        let mut took: Vec<Duration> = arrived.collect();
        took.sort_unstable();
        took
    }
}

fn unlimited(latency_ms: u64) -> NumberRules {
    NumberRules {
        unlimited: true,
        latency_ms,
        ..NumberRules::default()
    }
}

fn lanes(count: usize) -> Vec<String> {
    (0..count).map(|n| (10_001 + n).to_string()).collect()
}

/// Many lanes, no limit: what a message costs, and how many there can be.
async fn drain() -> Result<()> {
    const COUNT: usize = 60_000;
    println!("\ndrain: {COUNT} messages waiting on 8 lanes, no limit, the API answers after 20 ms");
    let mut all = vec![];
    for kind in Kind::all() {
        let lanes = lanes(8);
        let api = Api::start(unlimited(20))?;
        let broker = backlog(&lanes, COUNT).await?;
        let results = broker.results().await?;
        let url = api.sim.url();
        let settings = Settings::unlimited(broker.amqp(), &url, &lanes);
        let used = run_to_end(kind, &settings, &results, COUNT).await?;
        all.push((results.rate(), per_thousand(used, COUNT)));
        println!(
            "  {:<20} {:>8.0} messages/s {:>7.1} ms CPU per 1,000 {:>6.0} MB peak RSS",
            kind.name(),
            results.rate(),
            per_thousand(used, COUNT),
            used.peak_rss_mb
        );
    }
    for (name, one, to) in ratios(&all) {
        println!(
            "  {name}: throughput {:.2}, CPU {:.2}",
            one.0 / to.0,
            one.1 / to.1
        );
    }
    Ok(())
}

/// One lane at its limit, against a strict sliding second.
async fn pace(mps: u32, latency_ms: u64, jitter_ms: u64, seconds: u32) -> Result<()> {
    println!(
        "\npace-{mps}: one lane for {seconds} s, the API answers after {latency_ms} ms, arrivals spread over ± {jitter_ms} ms"
    );
    let count = usize::try_from(mps * seconds)?;
    let mut cost = vec![];
    for kind in Kind::all() {
        let lanes = lanes(1);
        let rules = NumberRules {
            mps: Some(mps),
            latency_ms,
            arrival_jitter_ms: jitter_ms,
            ..NumberRules::default()
        };
        let api = Api::start(rules)?;
        let broker = backlog(&lanes, count).await?;
        let results = broker.results().await?;
        let in_flight = usize::try_from(mps * 97 / 100)?;
        let prefetch = u16::try_from(in_flight + in_flight / 2)?;
        let settings = Settings {
            amqp: broker.amqp(),
            api: &api.sim.url(),
            lanes: &lanes,
            mps,
            in_flight,
            prefetch,
        };
        let used = run_to_end(kind, &settings, &results, count).await?;
        let stats = api.sim.stats();
        let number = stats.numbers.get(&lanes[0]).context("no request came")?;
        let window_ms = number
            .last_accepted_ms
            .zip(number.first_accepted_ms)
            .map_or(f64::NAN, |(last, first)| last - first);
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a bench are far below 2^52"
        )]
        let (accepted, received) = (number.accepted as f64, number.received as f64);
        let share = (accepted - 1.0) / (window_ms / 1000.0) / f64::from(mps);
        let rejected = (received - accepted) / received;
        println!(
            "  {:<20} {share:>6.3} of the limit {:>7.2} % rejected {:>7.1} ms CPU per 1,000, at most {} in a second, {} accepted",
            kind.name(),
            rejected * 100.0,
            per_thousand(used, count),
            number.max_received_per_second,
            results.of("accepted")
        );
        cost.push(per_thousand(used, count));
    }
    for (name, one, to) in ratios(&cost) {
        println!("  {name}: CPU {:.2}", one / to);
    }
    Ok(())
}

/// What is compared with what, of measurements in the order of [`Kind::all`].
fn ratios<T: Copy>(all: &[T]) -> Vec<(&'static str, T, T)> {
    let &[bare, ours, ref others @ ..] = all else {
        return vec![];
    };
    let others = others
        .iter()
        .map(|other| ("ours / another build", ours, *other));
    std::iter::once(("ours / bare", ours, bare))
        .chain(others)
        .collect()
}

/// One message at a time: from publish to the arrival of its request at the API.
async fn idle() -> Result<()> {
    const COUNT: usize = 500;
    println!(
        "\nidle: a message every 20 ms on one lane of 1,000 per second, from publish to its request"
    );
    let mut p99 = vec![];
    for kind in Kind::BOTH {
        let lanes = lanes(1);
        let api = Api::start(unlimited(20))?;
        let broker = Broker::fresh(&lanes).await?;
        let results = broker.results().await?;
        let settings = Settings {
            amqp: broker.amqp(),
            api: &api.sim.url(),
            lanes: &lanes,
            mps: 1_000,
            in_flight: 200,
            prefetch: 400,
        };
        let candidate = Candidate::start(kind, &settings)?;
        let mut publisher = broker.publisher().await?;
        // The first ones open connections.
        let warm_up = 20;
        let mut published = vec![];
        for n in 0..warm_up + COUNT {
            tokio::time::sleep(Duration::from_millis(20)).await;
            published.push((n >= warm_up).then(Instant::now));
            publisher.publish(&lanes[0], 0).await?;
        }
        publisher.flush().await?;
        results.wait_for(warm_up + COUNT, PATIENCE).await?;
        drop(candidate);
        let took = api.since(&published);
        println!(
            "  {:<20} p50 {:>6.2} ms, p99 {:>6.2} ms",
            kind.name(),
            percentile_ms(&took, 50),
            percentile_ms(&took, 99)
        );
        p99.push(percentile_ms(&took, 99));
    }
    if let [bare, ours] = p99[..] {
        println!("  ours / bare: p99 {:.2}", ours / bare);
    }
    Ok(())
}

/// High-class requests behind a bulk backlog on the same lane.
async fn priority() -> Result<()> {
    const BULK: usize = 100_000;
    const HIGH: usize = 160;
    println!(
        "\npriority: {BULK} bulk messages waiting on one lane of 80 per second, a high one every 250 ms"
    );
    let lanes = lanes(1);
    let rules = NumberRules {
        mps: Some(80),
        latency_ms: 100,
        arrival_jitter_ms: 12,
        ..NumberRules::default()
    };
    let api = Api::start(rules)?;
    let broker = backlog(&lanes, BULK).await?;
    let settings = Settings {
        amqp: broker.amqp(),
        api: &api.sim.url(),
        lanes: &lanes,
        mps: 80,
        in_flight: 78,
        prefetch: 117,
    };
    let mut candidate = Candidate::start(Kind::Ours, &settings)?;
    api.sim
        .until(|stats| stats.numbers.values().any(|number| number.accepted > 200))
        .await;
    let mut publisher = broker.publisher().await?;
    // Their ids follow those of the backlog.
    publisher.skip_to(BULK);
    let mut published = vec![None; BULK];
    for _ in 0..HIGH {
        tokio::time::sleep(Duration::from_millis(250)).await;
        published.push(Some(Instant::now()));
        publisher.publish(&lanes[0], 9).await?;
    }
    publisher.flush().await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let used = candidate.used()?;
    drop(candidate);
    let took = api.since(&published);
    println!(
        "  publish to request: p50 {:.0} ms, p99 {:.0} ms, {} of {HIGH} sent; {:.0} MB peak RSS",
        percentile_ms(&took, 50),
        percentile_ms(&took, 99),
        took.len(),
        used.peak_rss_mb
    );
    Ok(())
}

/// A client alone at 1,000 messages a second and 350 ms, over either version of HTTP.
async fn http2() -> Result<()> {
    const MPS: u32 = 1_000;
    const SECONDS: u32 = 20;
    println!(
        "\nhttp2: a client alone, {MPS} requests a second for {SECONDS} s, the API answers after 350 ms"
    );
    for client in Client::ALL {
        let api = Api::start(unlimited(350))?;
        let mut candidate = Candidate::http(&api.sim.url(), client, MPS, SECONDS)?;
        let count = u64::from(MPS * SECONDS);
        let accepted = |stats: &graph_sim::Stats| -> u64 {
            stats.numbers.values().map(|number| number.accepted).sum()
        };
        let stats = api.sim.until(|stats| accepted(stats) >= count - 1).await;
        let used = candidate.used()?;
        let number = stats.numbers.values().next().context("no request came")?;
        let times = number.last_accepted_ms.zip(number.first_accepted_ms);
        let window_s = times.map_or(f64::NAN, |(last, first)| last - first) / 1000.0;
        println!(
            "  {:<26} {:>5.0} requests/s {:>7.1} ms CPU per 1,000, {} connections",
            client.name(),
            f64::from(MPS * SECONDS) / window_s,
            per_thousand(used, usize::try_from(count)?),
            stats.connections.max
        );
    }
    Ok(())
}

async fn backlog(lanes: &[String], count: usize) -> Result<Broker> {
    let broker = Broker::fresh(lanes).await?;
    let mut publisher = broker.publisher().await?;
    for lane in lanes.iter().cycle().take(count) {
        publisher.publish(lane, 0).await?;
    }
    publisher.flush().await?;
    Ok(broker)
}

async fn run_to_end(
    kind: Kind,
    settings: &Settings<'_>,
    results: &Results,
    count: usize,
) -> Result<Used> {
    let mut candidate = Candidate::start(kind, settings)?;
    let done = results.wait_for(count, PATIENCE).await;
    let used = candidate.used()?;
    done.map(|()| used)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a bench are far below 2^52"
)]
fn per_thousand(used: Used, count: usize) -> f64 {
    used.cpu.as_secs_f64() * 1_000_000.0 / count as f64
}

fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = percentile(sorted, percent);
    rank.map_or(f64::NAN, |took| took.as_secs_f64() * 1000.0)
}
