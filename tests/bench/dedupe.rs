//! Requests that say `dedupe`: what that costs beside the same without, what a remembered id takes, and reading the log back.

use super::candidate::{Candidate, Kind, Settings, Used};
use super::{Api, PATIENCE, lanes, per_thousand, run_to_end, unlimited};
use crate::broker::Broker;
use anyhow::Result;
use std::time::Instant;

pub(crate) const ROWS: [&str; 1] = ["dedupe"];

/// An hour: more than a run takes, so that nothing is forgotten.
const DEDUPE_S: i32 = 3_600;

const WAYS: [(Option<i32>, &str); 2] = [(None, "without"), (Some(DEDUPE_S), "with dedupe")];

pub(crate) async fn run() -> Result<()> {
    cost().await?;
    memory().await?;
    read_back().await
}

/// So many messages on one lane.
async fn drained(count: usize, mps: u32, dedupe_s: Option<i32>) -> Result<Used> {
    let lanes = lanes(1);
    let api = Api::start(unlimited(20))?;
    let broker = Broker::fresh(&lanes).await?;
    let mut publisher = broker.publisher().await?;
    publisher.dedupe_s = dedupe_s;
    for _ in 0..count {
        publisher.publish(&lanes[0], 0).await?;
    }
    publisher.flush().await?;
    let results = broker.results().await?;
    let url = api.sim.url();
    let settings = Settings {
        mps,
        ..Settings::unlimited(broker.amqp(), &url, &lanes)
    };
    run_to_end(Kind::Ours, &settings, &results, count).await
}

/// CPU at a steady rate, in turns, so that what else the machine does meets both.
async fn cost() -> Result<()> {
    const MPS: u32 = 1_000;
    const SECONDS: u32 = 20;
    const ROUNDS: usize = 4;
    println!(
        "\ndedupe: {MPS} a second for {SECONDS} s on one lane, {ROUNDS} times in turns, the API answers after 20 ms"
    );
    let count = usize::try_from(MPS * SECONDS)?;
    let mut cost = [vec![], vec![]];
    for _ in 0..ROUNDS {
        for ((dedupe_s, name), cost) in WAYS.into_iter().zip(&mut cost) {
            let used = drained(count, MPS, dedupe_s).await?;
            println!(
                "  {name:<12} {:>7.1} ms CPU per 1,000",
                per_thousand(used, count)
            );
            cost.push(per_thousand(used, count));
        }
    }
    let [without, with] = cost.map(|mut all| {
        all.sort_by(f64::total_cmp);
        f64::midpoint(all[(ROUNDS - 1) / 2], all[ROUNDS / 2])
    });
    println!("  with / without: CPU {:.3} (medians)", with / without);
    Ok(())
}

async fn memory() -> Result<()> {
    const COUNT: u32 = 300_000;
    println!("\ndedupe: {COUNT} messages waiting on one lane, no limit");
    let mut peaks = vec![];
    for (dedupe_s, name) in WAYS {
        let used = drained(usize::try_from(COUNT)?, 100_000, dedupe_s).await?;
        println!("  {name:<12} {:>6.1} MB peak RSS", used.peak_rss_mb);
        peaks.push(used.peak_rss_mb);
    }
    if let [without, with] = peaks[..] {
        let each = (with - without) * 100_000.0 / f64::from(COUNT);
        println!("  {each:.1} MB per 100,000 ids");
    }
    Ok(())
}

/// A lane that is taken over, with much in the log. Nothing of it is remembered, as it has no time: what is left is what reading takes.
async fn read_back() -> Result<()> {
    const COUNT: usize = 1_000_000;
    println!("\ndedupe: a log of {COUNT} results of one lane, read back for one request");
    let lanes = lanes(1);
    let api = Api::start(unlimited(20))?;
    let broker = Broker::fresh(&lanes).await?;
    let key = format!("accepted.{}", lanes[0]);
    let mut log = broker.publisher().await?;
    for _ in 0..COUNT {
        log.publish_result(&key, 100).await?;
    }
    log.flush().await?;
    let url = api.sim.url();
    for kind in Kind::all().into_iter().filter(|kind| *kind != Kind::Bare) {
        let results = broker.results().await?;
        let settings = Settings::unlimited(broker.amqp(), &url, &lanes);
        let mut candidate = Candidate::start(kind, &settings)?;
        let began = Instant::now();
        let mut publisher = broker.publisher().await?;
        publisher.dedupe_s = Some(DEDUPE_S);
        publisher.publish(&lanes[0], 0).await?;
        publisher.flush().await?;
        results.wait_for(1, PATIENCE).await?;
        println!(
            "  {:<20} its result after {:.1} s, {:.1} MB peak RSS",
            kind.name(),
            began.elapsed().as_secs_f64(),
            candidate.used()?.peak_rss_mb
        );
    }
    Ok(())
}
