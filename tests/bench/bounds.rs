//! How much one worker bears: many lanes, and many messages that wait. The dispatcher alone.

use super::candidate::Candidate;
use super::{Api, PATIENCE, unlimited};
use crate::broker::Broker;
use anyhow::{Context, Result};
use harness::worker::free_port;
use harness::{config, http};
use std::fmt::Write;
use std::time::{Duration, Instant};

pub(crate) const ROWS: [&str; 2] = ["lanes", "backlog"];

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A worker and its admin port.
pub(crate) struct Worker {
    pub(crate) candidate: Candidate,
    admin: String,
    started: Instant,
}

impl Worker {
    fn start(broker: &Broker, api: &Api, lanes: &[String], mps: u32) -> Result<Self> {
        Self::named("bench", broker, api, lanes, mps)
    }

    pub(crate) fn named(
        name: &str,
        broker: &Broker,
        api: &Api,
        lanes: &[String],
        mps: u32,
    ) -> Result<Self> {
        let admin = format!("127.0.0.1:{}", free_port());
        let toml = format!(
            "{}admin.listen = \"{admin}\"\nmetrics.max_lanes = 2000\nworker.id = \"{name}\"\nlog.level = \"error\"\n{}",
            config::servers(broker.amqp(), &api.sim.url()),
            config::account("1", config::TOKEN, lanes, mps)
        );
        Ok(Self {
            candidate: Candidate::ours(&toml)?,
            admin: format!("http://{admin}"),
            started: Instant::now(),
        })
    }

    pub(crate) async fn text(&self, path: &str) -> Option<String> {
        http::text(&self.admin, path).await.ok()
    }

    /// How long it took from its start until `path` answers what is wanted.
    pub(crate) async fn until(
        &self,
        path: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Duration> {
        let waiting = async {
            loop {
                if self.text(path).await.is_some_and(|text| wanted(&text)) {
                    return self.started.elapsed();
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let took = tokio::time::timeout(PATIENCE, waiting).await;
        took.with_context(|| format!("{path} never answers what is wanted"))
    }
}

pub(crate) fn subscribed(metrics: &str) -> usize {
    lanes_with("wa_dispatcher_lane_subscribed{", metrics)
}

/// Lanes whose gauge of this name is 1.
pub(crate) fn lanes_with(gauge: &str, metrics: &str) -> usize {
    let lanes = metrics.lines().filter(|line| line.starts_with(gauge));
    lanes.filter(|line| line.ends_with(" 1")).count()
}

/// A thousand numbers in one worker: until it is ready, and what it takes.
pub(crate) async fn lanes() -> Result<()> {
    const LANES: usize = 1_000;
    println!("\nlanes: {LANES} numbers of 80 messages a second in one worker");
    let numbers = super::lanes(LANES);
    let api = Api::start(unlimited(20))?;
    // No lane has a queue yet.
    let broker = Broker::fresh(&[]).await?;
    let results = broker.results().await?;
    for what in ["queues to be made", "queues there"] {
        let mut worker = Worker::start(&broker, &api, &numbers, 80)?;
        let ready = worker.until("/readyz", |_| true).await?;
        let all = worker.until("/metrics", |text| subscribed(text) == LANES);
        let all = all.await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let used = worker.candidate.used()?;
        let asked = Instant::now();
        let metrics = worker.text("/metrics").await.context("no metrics")?;
        println!(
            "  {what:<18} ready after {:.1} s, every lane subscribed after {:.1} s; {:.0} MB RSS; /metrics: {} kB in {:.0} ms",
            ready.as_secs_f64(),
            all.as_secs_f64(),
            used.rss_mb,
            metrics.len() / 1_000,
            asked.elapsed().as_secs_f64() * 1_000.0
        );
        let idle = worker.candidate.used()?;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let busy = worker.candidate.used()?.cpu.saturating_sub(idle.cpu);
        println!(
            "  {:<18} at rest {:.1} % of a core",
            "",
            busy.as_secs_f64() * 10.0
        );
        let mut publisher = broker.publisher().await?;
        let before = results.of("accepted");
        for lane in numbers.iter().chain(&numbers) {
            publisher.publish(lane, 0).await?;
        }
        publisher.flush().await?;
        results.wait_for(before + 2 * LANES, PATIENCE).await?;
        let used = worker.candidate.used()?;
        println!(
            "  {:<18} then two messages for each: {} accepted, {:.0} MB RSS, {:.0} MB at most",
            "",
            results.of("accepted") - before,
            used.rss_mb,
            used.peak_rss_mb
        );
    }
    Ok(())
}

/// A hundred lanes with a thousand messages each: what waits must not be in memory.
pub(crate) async fn backlog() -> Result<()> {
    const LANES: usize = 100;
    const COUNT: usize = 100_000;
    const MPS: u32 = 20;
    println!("\nbacklog: {COUNT} messages waiting on {LANES} lanes of {MPS} a second");
    let numbers = super::lanes(LANES);
    let api = Api::start(unlimited(100))?;
    let broker = super::backlog(&numbers, COUNT).await?;
    let results = broker.results().await?;
    let mut worker = Worker::start(&broker, &api, &numbers, MPS)?;
    worker
        .until("/metrics", |text| subscribed(text) == LANES)
        .await?;
    let mut line = String::new();
    let (mut first, mut most) = (f64::NAN, 0.0_f64);
    for second in 1.. {
        let done = results
            .wait_for(COUNT, Duration::from_secs(5))
            .await
            .is_ok();
        let rss_mb = worker.candidate.used()?.rss_mb;
        if second == 1 {
            first = rss_mb;
        }
        most = most.max(rss_mb);
        write!(line, " {rss_mb:.0}")?;
        if done || worker.started.elapsed() > PATIENCE {
            break;
        }
    }
    println!(
        "  MB RSS every 5 s:{line}; at most {:.2} of the first; {} accepted",
        most / first,
        results.of("accepted")
    );
    Ok(())
}
