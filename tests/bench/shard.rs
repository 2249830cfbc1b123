//! As many numbers as one installation takes, served by three workers at a fifth of a million messages a minute: what it costs in RabbitMQ
//! and in the workers, and what the exchange of a worker costs. The unit that larger installations are counted in (deploy/README.md).

use super::bounds::{Worker, lanes_with, subscribed};
use super::candidate::Used;
use super::{Api, PATIENCE, unlimited};
use crate::broker::Broker;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

const LANES: usize = 2_000;
const WORKERS: [&str; 3] = ["a", "b", "c"];
const MPS: usize = 3_333;
const SECONDS: usize = 30;

pub(crate) async fn run() -> Result<()> {
    println!(
        "\nshard: {LANES} numbers, {} workers, {MPS} messages a second for {SECONDS} s",
        WORKERS.len()
    );
    let numbers = super::lanes(LANES);
    let api = Api::start(unlimited(100))?;
    let broker = Broker::fresh(&[]).await?;
    let results = broker.results().await?;
    let (rabbitmq, _) = broker.nodes().await?;
    let bare = all_of(&rabbitmq)?;
    let mut workers = vec![];
    for name in WORKERS {
        let worker = Worker::named(name, &broker, &api, &numbers, 80)?;
        let all = worker
            .until("/metrics", |text| subscribed(text) == LANES)
            .await?;
        println!(
            "  worker {name}: every lane subscribed after {:.1} s",
            all.as_secs_f64()
        );
        workers.push(worker);
    }
    // The management plugin counts every five seconds.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (_, [channels, consumers, queues]) = broker.nodes().await?;
    let at_rest = all_of(&rabbitmq)?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = all_of(&rabbitmq)?;
    println!(
        "  at rest: {queues} queues, {consumers} consumers, {channels} channels; RabbitMQ (all its nodes) {:.0} MB ({:.0} MB without), {:.0} % of a core; a worker {:.0} MB",
        idle.rss_mb,
        bare.rss_mb,
        (idle.cpu - at_rest.cpu).as_secs_f64() * 10.0,
        workers[0].candidate.used()?.rss_mb,
    );
    let before = used(&mut workers)?;
    let began = Instant::now();
    publish(&broker, &numbers).await?;
    results.wait_for(MPS * SECONDS, PATIENCE).await?;
    let took = began.elapsed();
    let after = used(&mut workers)?;
    let node = all_of(&rabbitmq)?;
    let thousands = MPS * SECONDS / 1_000;
    let per_thousand = |cpu: Duration| {
        cpu.as_secs_f64() * 1_000.0 / f64::from(u32::try_from(thousands).unwrap_or(1))
    };
    println!(
        "  under load: {} results in {:.1} s; CPU per 1,000 messages: workers {:.0} ms, RabbitMQ {:.0} ms; RabbitMQ {:.0} MB, a worker {:.0} MB",
        results.total(),
        took.as_secs_f64(),
        per_thousand(after.cpu - before.cpu),
        per_thousand(node.cpu.saturating_sub(idle.cpu)),
        node.rss_mb,
        after.rss_mb,
    );
    owned(&workers).await?;
    Ok(())
}

/// To each lane in turn, at the rate.
async fn publish(broker: &Broker, numbers: &[String]) -> Result<()> {
    let mut publisher = broker.publisher().await?;
    let began = Instant::now();
    let lanes = numbers.iter().cycle();
    for (n, lane) in lanes.take(MPS * SECONDS).enumerate() {
        let due = Duration::from_secs(1)
            .mul_f64(f64::from(u32::try_from(n)?) / f64::from(u32::try_from(MPS)?));
        let early = due.saturating_sub(began.elapsed());
        // Timers have no finer grain.
        if early > Duration::from_millis(2) {
            tokio::time::sleep(early).await;
        }
        publisher.publish(lane, 0).await?;
    }
    publisher.flush().await
}

/// CPU time and memory of all nodes.
fn all_of(rabbitmq: &[u32]) -> Result<Used> {
    let mut sum = Used::by(*rabbitmq.first().context("no node")?)?;
    for pid in &rabbitmq[1..] {
        let used = Used::by(*pid)?;
        sum.cpu += used.cpu;
        sum.rss_mb += used.rss_mb;
    }
    Ok(sum)
}

/// CPU time of all, and the memory of the one with most.
fn used(workers: &mut [Worker]) -> Result<Used> {
    let mut sum = workers[0].candidate.used()?;
    for worker in &mut workers[1..] {
        let used = worker.candidate.used()?;
        sum.cpu += used.cpu;
        sum.rss_mb = sum.rss_mb.max(used.rss_mb);
    }
    Ok(sum)
}

/// How the lanes are spread.
async fn owned(workers: &[Worker]) -> Result<()> {
    let mut spread = vec![];
    for worker in workers {
        let metrics = worker.text("/metrics").await.context("no metrics")?;
        spread.push(lanes_with("wa_dispatcher_lane_owned{", &metrics));
    }
    println!("  lanes per worker: {spread:?}");
    Ok(())
}
