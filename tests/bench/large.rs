//! What large bodies cost: a worker's memory, and the time of the other lanes. With `DISPATCHER_TEST_OTHER_BUILD`, another build of the
//! dispatcher, such as one of an earlier commit, takes turns with this one.

use super::candidate::{Candidate, other_build};
use super::limits::{TOKEN, accepted, config, ids};
use super::{Api, PATIENCE, percentile_ms, unlimited};
use crate::broker::Broker;
use anyhow::{Context, Result, ensure};
use harness::worker::binary;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const ROWS: [&str; 2] = ["large", "refusals"];

pub(crate) async fn run(row: &str) -> Result<()> {
    match row {
        "large" => large().await,
        _ => refusals().await,
    }
}

/// Bodies that are as large as are taken, all but.
const BODY: usize = 250 * 1024;

fn builds() -> Vec<(&'static str, PathBuf)> {
    let other = other_build().map(|path| ("another build", path));
    other
        .into_iter()
        .chain([("this build", binary())])
        .collect()
}

/// Backlogs of large bodies: one lane of 1,000 a second, and a hundred of 80.
async fn large() -> Result<()> {
    for (lanes, mps, each) in [(1, 1_000, 2_000), (100, 80, 20)] {
        println!(
            "\nlarge: {each} bodies of 250 KiB waiting on each of {lanes} lanes of {mps} a second, the API answers after 350 ms"
        );
        for (name, binary) in builds() {
            let api = Api::start(unlimited(350))?;
            let numbers = super::lanes(lanes);
            let broker = Broker::fresh(&numbers).await?;
            let results = broker.results().await?;
            let mut publisher = broker.publisher().await?;
            for n in 0..lanes * each {
                let to = format!("+1555{n:07}");
                let body = format!(
                    r#"{{"to":"{to}","type":"text","text":{{"body":"hi"}},"more":"{}"}}"#,
                    "x".repeat(BODY)
                );
                publisher.publish_body(&numbers[n % lanes], &body).await?;
            }
            publisher.flush().await?;
            let lanes_of: Vec<&str> = numbers.iter().map(String::as_str).collect();
            let toml = config(&broker, &api, &[(TOKEN, &lanes_of)], "");
            let toml = toml.replace("mps = 80\n", &format!("mps = {mps}\n"));
            let mut candidate = Candidate::build(&binary, &toml)?;
            results.wait_for(lanes * each, PATIENCE).await?;
            let used = candidate.used()?;
            drop(candidate);
            let sent: u64 = numbers.iter().map(|n| accepted(&api.sim.stats(), n)).sum();
            println!(
                "  {name:<14} peak RSS {:.0} MB, {:.0} messages/s, {} accepted, {sent} sent",
                used.peak_rss_mb,
                results.rate(),
                results.of("accepted"),
            );
            ensure!(sent == (lanes * each) as u64, "not each was sent once");
        }
    }
    Ok(())
}

/// A backlog of large bodies that are refused, many at once, beside a lane that sends from its own. Seen from the API: how long no request of
/// that one comes.
async fn refusals() -> Result<()> {
    /// What a lane of 80 a second asks RabbitMQ for at once.
    const AT_ONCE: usize = 116;
    /// How often it gets so many: each time the other lane may have to wait.
    const TIMES: usize = 12;
    const REFUSED: usize = AT_ONCE * TIMES;
    const OTHERS: usize = 6_000;
    const QUIET: &str = "10001";
    const REFUSING: &str = "10002";
    /// Its first requests open connections, which takes longer.
    const WARM_UP: usize = 100;
    println!(
        "\nrefusals: {REFUSED} bodies of 250 KiB that are refused, {AT_ONCE} at once, beside a lane that sends 500 a second"
    );
    for (name, binary) in builds().into_iter().cycle().take(3 * builds().len()) {
        let api = Api::start(unlimited(20))?;
        let broker = Broker::fresh(&ids(&[QUIET, REFUSING])).await?;
        let results = broker.results().await?;
        let mut publisher = broker.publisher().await?;
        // No recipient, and a text that is far too long.
        let text = "x".repeat(BODY);
        let body = format!(r#"{{"type":"text","text":{{"body":"{text}"}}}}"#);
        for _ in 0..REFUSED {
            publisher.publish_body(REFUSING, &body).await?;
        }
        for _ in 0..OTHERS {
            publisher.publish(QUIET, 0).await?;
        }
        publisher.flush().await?;
        let toml = config(&broker, &api, &[(TOKEN, &[QUIET, REFUSING])], "");
        let toml = toml.replacen("mps = 80\n", "mps = 500\n", 1);
        let candidate = Candidate::build(&binary, &toml)?;
        results.wait_for(REFUSED + OTHERS, PATIENCE).await?;
        drop(candidate);
        ensure!(results.of("rejected") == REFUSED, "not each was refused");
        let ledger = api.sim.ledger();
        ensure!(ledger.len() == OTHERS, "not each other was sent once");
        let at = ledger
            .iter()
            .map(|e| Duration::from_secs_f64(e.at_ms / 1000.0));
        let at: Vec<Duration> = at.collect();
        let gap = |pair: &[Duration]| pair[1].saturating_sub(pair[0]);
        let mut gaps: Vec<Duration> = at.windows(2).skip(WARM_UP).map(gap).collect();
        gaps.sort_unstable();
        let longest = gaps.last().context("nothing was sent")?;
        println!(
            "  {name:<14} between two of its requests: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            percentile_ms(&gaps, 50),
            percentile_ms(&gaps, 99),
            longest.as_secs_f64() * 1_000.0
        );
    }
    Ok(())
}
