//! What large bodies cost: a worker's memory, and the time of the other lanes. With `DISPATCHER_TEST_OTHER_BUILD`, another build of the
//! dispatcher, such as one of an earlier commit, takes turns with this one.

use super::candidate::{Candidate, other_build};
use super::limits::{TOKEN, accepted, config, ids};
use super::{Api, PATIENCE, percentile_ms, unlimited};
use crate::broker::{Broker, Publisher};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    let ours = Path::new(env!("CARGO_BIN_EXE_whatsapp-dispatcher")).to_owned();
    let other = other_build().map(|path| ("another build", path));
    other.into_iter().chain([("this build", ours)]).collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| (10_001 + n).to_string()).collect()
}

/// Backlogs of large bodies: one lane of 1,000 a second, and a hundred of 80.
async fn large() -> Result<()> {
    for (lanes, mps, each) in [(1, 1_000, 2_000), (100, 80, 20)] {
        println!(
            "\nlarge: {each} bodies of 250 KiB waiting on each of {lanes} lanes of {mps} a second, the API answers after 350 ms"
        );
        for (name, binary) in builds() {
            let api = Api::start(unlimited(350))?;
            let numbers = numbers(lanes);
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
            broker.drop_all().await?;
            ensure!(sent == (lanes * each) as u64, "not each was sent once");
        }
    }
    Ok(())
}

/// A hundred and sixteen large bodies that are refused, at once, beside a lane that is written to every few milliseconds.
async fn refusals() -> Result<()> {
    const REFUSED: usize = 116;
    const ROUNDS: usize = 12;
    const QUIET: &str = "10001";
    const REFUSING: &str = "10002";
    println!(
        "\nrefusals: {ROUNDS} times {REFUSED} bodies of 250 KiB that are refused, beside a lane with a message every 5 ms"
    );
    for (name, binary) in builds().into_iter().cycle().take(3 * builds().len()) {
        let api = Api::start(unlimited(20))?;
        let broker = Broker::fresh(&ids(&[QUIET, REFUSING])).await?;
        let results = broker.results().await?;
        let toml = config(&broker, &api, &[(TOKEN, &[QUIET, REFUSING])], "");
        let toml = toml.replace("mps = 80\n", "mps = 1000\n");
        let candidate = Candidate::build(&binary, &toml)?;
        let mut quiet = broker.publisher().await?;
        // The first ones open connections.
        for _ in 0..100 {
            quiet.publish(QUIET, 0).await?;
        }
        quiet.flush().await?;
        results.wait_for(100, PATIENCE).await?;
        let mut refused = broker.publisher().await?;
        let publishing = tokio::spawn(async move {
            for _ in 0..ROUNDS {
                burst(&mut refused, REFUSING, REFUSED).await?;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            anyhow::Ok(())
        });
        let mut published = vec![None; 100];
        while !publishing.is_finished() {
            published.push(Some(Instant::now()));
            quiet.publish(QUIET, 0).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        publishing.await??;
        quiet.flush().await?;
        let all = published.len() + ROUNDS * REFUSED;
        results.wait_for(all, PATIENCE).await?;
        drop(candidate);
        let took = api.since(&published);
        let longest = took.last().context("nothing was sent")?;
        println!(
            "  {name:<14} publish to request: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms; {} rejected",
            percentile_ms(&took, 50),
            percentile_ms(&took, 99),
            longest.as_secs_f64() * 1_000.0,
            results.of("rejected")
        );
        broker.drop_all().await?;
    }
    Ok(())
}

async fn burst(publisher: &mut Publisher, lane: &str, count: usize) -> Result<()> {
    // No recipient, and a text that is far too long.
    let body = format!(
        r#"{{"type":"text","text":{{"body":"{}"}}}}"#,
        "x".repeat(BODY)
    );
    for _ in 0..count {
        publisher.publish_body(lane, &body).await?;
    }
    publisher.flush().await
}
