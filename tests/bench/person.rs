//! What some people and callers cost the others on a lane: one person's burst, many chatty people, large bodies.

use super::candidate::Candidate;
use super::limits::{TOKEN, accepted, config, ids, ratio, strict};
use super::{Api, PATIENCE, percentile_ms};
use crate::broker::Broker;
use anyhow::{Result, ensure};
use graph_sim::{Entry, NumberRules};
use std::time::{Duration, Instant};

pub(crate) const ROWS: [&str; 3] = ["burst", "chatty", "bodies"];

pub(crate) async fn run(row: &str) -> Result<()> {
    match row {
        "burst" => {
            burst("").await?;
            burst("pacing.pair_interval_ms = 0").await
        }
        "chatty" => chatty().await,
        _ => bodies().await,
    }
}

const LANE: &str = "10001";
const CHATTY: &str = "+34600112233";

fn number(entry: &Entry) -> Option<usize> {
    entry.opaque.as_deref()?.parse().ok()
}

/// 300 requests to one person, then 500 to others, and one-time passwords to yet others all the while.
async fn burst(more: &str) -> Result<()> {
    const BURST: usize = 300;
    const OTHERS: usize = 500;
    const CODES: usize = 100;
    println!(
        "\nburst: {BURST} requests to one person, then {OTHERS} to others and {CODES} one-time passwords, 80 a second {more:?}"
    );
    let api = Api::start(NumberRules {
        pair_interval_ms: if more.is_empty() { 6_000 } else { 0 },
        ..strict(80, 12)
    })?;
    let broker = Broker::fresh(&ids(&[LANE])).await?;
    let candidate = Candidate::ours(&config(&broker, &api, &[(TOKEN, &[LANE])], more))?;
    let mut publisher = broker.publisher().await?;
    let mut published = vec![None; BURST + OTHERS];
    for _ in 0..BURST {
        publisher.publish_to(LANE, CHATTY, 0).await?;
    }
    publisher.flush().await?;
    let began = Instant::now();
    for _ in 0..OTHERS {
        publisher.publish(LANE, 0).await?;
    }
    publisher.flush().await?;
    for _ in 0..CODES {
        published.push(Some(Instant::now()));
        publisher.publish(LANE, 9).await?;
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    publisher.flush().await?;
    await_others(&api, BURST, OTHERS + CODES).await?;
    let bulk = api.sim.ledger();
    let bulk = bulk
        .iter()
        .filter(|e| number(e).is_some_and(|n| (BURST..BURST + OTHERS).contains(&n)));
    let last_ms = bulk.map(|entry| entry.at_ms).fold(0.0, f64::max);
    let took = api.began + Duration::from_secs_f64(last_ms / 1000.0) - began;
    let codes = api.since(&published);
    let ledger = api.sim.ledger();
    let mine: Vec<usize> = ledger
        .iter()
        .filter_map(number)
        .filter(|n| *n < BURST)
        .collect();
    drop(candidate);
    println!(
        "  the others took {:.1} s; passwords from publish to request p50 {:.0} ms, p99 {:.0} ms; {} of the burst sent by then, in order: {}",
        took.as_secs_f64(),
        percentile_ms(&codes, 50),
        percentile_ms(&codes, 99),
        mine.len(),
        mine.is_sorted()
    );
    ensure(
        took <= Duration::from_secs(9),
        "the others took more than 9 s",
    )?;
    ensure(
        percentile_ms(&codes, 99) <= 300.0,
        "the passwords' p99 is above 300 ms",
    )?;
    ensure(mine.is_sorted(), "the burst lost its order")
}

/// Until so many were sent that are not of the burst.
async fn await_others(api: &Api, burst: usize, count: usize) -> Result<()> {
    let began = Instant::now();
    let is_others = |entry: &&Entry| number(entry).is_some_and(|n| n >= burst);
    while api.sim.ledger().iter().filter(is_others).count() < count {
        ensure(began.elapsed() < PATIENCE, "the others were not all sent")?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Twenty people who are each written to far more often than their pair limit allows, on a lane of 20 a second that has work for others.
async fn chatty() -> Result<()> {
    const PEOPLE: usize = 20;
    const EACH: usize = 100;
    const SECONDS: u64 = 60;
    println!(
        "\nchatty: {EACH} requests to each of {PEOPLE} people among others, 20 a second, {SECONDS} s"
    );
    let api = Api::start(strict(20, 12))?;
    let broker = Broker::fresh(&ids(&[LANE])).await?;
    let mut publisher = broker.publisher().await?;
    // All are out of their allowances soon; behind that is work for the others, and more of theirs.
    for n in 0..PEOPLE * EACH {
        let to = format!("+3460011{:04}", n % PEOPLE);
        publisher.publish_to(LANE, &to, 0).await?;
        publisher.publish(LANE, 0).await?;
    }
    publisher.flush().await?;
    let config = config(&broker, &api, &[(TOKEN, &[LANE])], "");
    let candidate = Candidate::ours(&config.replace("mps = 80", "mps = 20"))?;
    api.sim.until(|stats| accepted(stats, LANE) > 0).await;
    let before = accepted(&api.sim.stats(), LANE);
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let sent = accepted(&api.sim.stats(), LANE) - before;
    drop(candidate);
    let share = ratio(sent, 20 * SECONDS);
    println!("  {share:.3} of the lane's rate was sent");
    ensure(share >= 0.9, "the lane sent less than 0.9 of its rate")
}

/// Bodies of 8 MiB, far above what is taken.
async fn bodies() -> Result<()> {
    const BODIES: usize = 100;
    println!("\nbodies: {BODIES} of 8 MiB on one lane");
    let api = Api::start(strict(80, 12))?;
    let broker = Broker::fresh(&ids(&[LANE])).await?;
    let results = broker.results().await?;
    let mut publisher = broker.publisher().await?;
    let body = format!(
        r#"{{"to":"+34600112233","text":"{}"}}"#,
        "x".repeat(8 << 20)
    );
    for _ in 0..BODIES {
        publisher.publish_body(LANE, &body).await?;
    }
    publisher.flush().await?;
    let mut candidate = Candidate::ours(&config(&broker, &api, &[(TOKEN, &[LANE])], ""))?;
    results.wait_for(BODIES, PATIENCE).await?;
    let used = candidate.used()?;
    drop(candidate);
    println!(
        "  {} rejected, peak RSS {:.0} MB",
        results.of("rejected"),
        used.peak_rss_mb
    );
    ensure(used.peak_rss_mb <= 200.0, "the peak is above 200 MB")
}

fn ensure(holds: bool, what: &'static str) -> Result<()> {
    ensure!(holds, "{what}");
    Ok(())
}
