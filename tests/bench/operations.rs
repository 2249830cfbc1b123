//! Operations at their budget's limit beside messages: whether these notice.

use super::candidate::Candidate;
use super::limits::{TOKEN, config, ids};
use super::{Api, PATIENCE, percentile_ms, unlimited};
use crate::broker::Broker;
use anyhow::Result;
use std::time::{Duration, Instant};

pub(crate) const ROWS: [&str; 1] = ["operations"];

const LANE: &str = "10001";
const ROUNDS: usize = 4;
/// Messages a second, on a lane that may send more.
const MPS: u32 = 400;
const SECONDS: u32 = 20;
/// More than the account may have done meanwhile: its burst at once, and then all that the pace lets through.
const OPERATIONS: usize = 2_000;

/// The middle of these.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    values.get(middle).copied().unwrap_or(f64::NAN)
}

pub(crate) async fn run() -> Result<()> {
    println!(
        "\noperations: {MPS} messages a second for {SECONDS} s, {ROUNDS} times in turns, with and without {OPERATIONS} operations that wait"
    );
    let (mut p99, mut rate) = ([vec![], vec![]], [vec![], vec![]]);
    for _ in 0..ROUNDS {
        for (way, operations) in [0, OPERATIONS].into_iter().enumerate() {
            let (took, per_second, done) = messages(operations).await?;
            println!(
                "  {:<8} publish to request: p50 {:>5.2} ms, p99 {:>5.2} ms; {per_second:.1} messages/s, {done} operations done",
                if operations == 0 { "without" } else { "with" },
                percentile_ms(&took, 50),
                percentile_ms(&took, 99)
            );
            if let (Some(p99), Some(rate)) = (p99.get_mut(way), rate.get_mut(way)) {
                p99.push(percentile_ms(&took, 99));
                rate.push(per_second);
            }
        }
    }
    let [without, with] = p99.map(median);
    let [rate_without, rate_with] = rate.map(median);
    println!(
        "  with / without, medians: p99 {:.2}, rate {:.3}",
        with / without,
        rate_with / rate_without
    );
    Ok(())
}

/// From publish to request of each message; messages a second; and operations that were done meanwhile.
async fn messages(operations: usize) -> Result<(Vec<Duration>, f64, u64)> {
    let api = Api::start(unlimited(20))?;
    let broker = Broker::fresh(&ids(&[LANE])).await?;
    let results = broker.results().await?;
    let mut publisher = broker.publisher().await?;
    let toml = config(&broker, &api, &[(TOKEN, &[LANE])], "");
    let toml = toml.replace("mps = 80\n", "mps = 1000\n");
    let candidate = Candidate::ours(&toml)?;
    // The first messages open connections.
    let warm_up = usize::try_from(MPS)?;
    let count = warm_up + usize::try_from(MPS * SECONDS)?;
    let mut published = Vec::with_capacity(count);
    let mut began = tokio::time::Instant::now();
    for n in 0..count {
        if n == warm_up {
            for operation in 0..operations {
                publisher.publish_operation(LANE, operation).await?;
            }
            began = tokio::time::Instant::now();
        }
        let since = u32::try_from(if n < warm_up { n } else { n - warm_up })?;
        tokio::time::sleep_until(began + Duration::from_secs(1) * since / MPS).await;
        published.push((n >= warm_up).then(Instant::now));
        publisher.publish(LANE, 0).await?;
    }
    publisher.flush().await?;
    let arrived = |stats: &graph_sim::Stats| super::limits::accepted(stats, LANE) >= count as u64;
    tokio::time::timeout(PATIENCE, api.sim.until(arrived)).await?;
    let took_s = began.elapsed().as_secs_f64();
    drop(candidate);
    drop(results);
    let done = api.sim.operations().values().sum();
    Ok((
        api.since(&published),
        f64::from(MPS * SECONDS) / took_s,
        done,
    ))
}
