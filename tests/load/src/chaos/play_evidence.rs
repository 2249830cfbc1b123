//! A log of results as dense as a shard's of two thousand numbers, and a worker that is killed: how long what it held is looked for, and
//! whether the lanes of the others notice.

use super::process::Signal;
use super::scenario::LIMIT;
use super::stage::Stage;
use crate::sim::{self, Truth};
use anyhow::{Context, Result, ensure};
use harness::amqp::{channel, connect, now_s, persistent};
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Results a second, those of the lanes included.
const RESULTS: usize = 3_000;

/// Longer than a search goes back.
const FILLED_S: u64 = 75;

/// What a search may take.
const SEARCH_MS: u64 = 2_000;

/// How long before and after the kill the pace is looked at.
const LOOK: Duration = Duration::from_secs(8);

pub(crate) async fn evidence(stage: &mut Stage<'_>) -> Result<()> {
    let others = RESULTS - stage.lanes.len() * LIMIT;
    let writing = write_results(stage.amqp_of_the_load()?, others).await?;
    stage.say(&format!(
        "{others} results a second beside those of the lanes"
    ));
    stage.go_on(FILLED_S).await;
    let victim = stage.busiest().await?;
    let spread = stage.spread().await;
    let its = spread.get(&victim).cloned().unwrap_or_default();
    let killed = sim::now(&stage.sim).await?;
    stage.signal(victim, Signal::Kill).await?;
    stage.healed(&format!("{} is killed", stage.name(victim)));
    stage.go_on(15).await;
    ensure!(!writing.is_finished(), "the results ended early");
    writing.abort();
    searches(stage)?;
    let truth = sim::truth(&stage.sim).await?;
    let lanes: Vec<&String> = stage
        .lanes
        .iter()
        .filter(|lane| !its.contains(lane))
        .collect();
    let before = gap_p99(&truth, &lanes, killed.saturating_sub(LOOK), killed);
    let after = gap_p99(&truth, &lanes, killed, killed + LOOK);
    stage.notes.push(format!(
        "between two sends of a lane that stays, p99: {before:.1?} before, {after:.1?} after"
    ));
    Ok(())
}

/// As other workers would: into the log, and to nobody who reads results.
async fn write_results(amqp: String, per_second: usize) -> Result<JoinHandle<Result<()>>> {
    let connection = connect(&amqp).await?;
    let channel = channel(&connection).await?;
    Ok(tokio::spawn(async move {
        let _open = connection;
        let mut ticks = interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (body, began) = ([b' '; 400], Instant::now());
        for number in 0_u64.. {
            let now = now_s();
            ticks.tick().await;
            for one in 0..per_second / 100 {
                // Of a worker's first life, which has settled all but the last seconds.
                let at_ms = began.elapsed().as_millis();
                let writer = format!("1 {at_ms} {}", at_ms.saturating_sub(5_000));
                let mut headers = FieldTable::default();
                headers.insert("wa-incarnation".into(), AMQPValue::LongLongInt(0));
                headers.insert("wa-writer".into(), AMQPValue::LongString(writer.into()));
                let properties = persistent(&format!("other-{number}-{one}"))
                    .with_timestamp(now)
                    .with_headers(headers);
                let (exchange, key) = ("wa.results.log".into(), "accepted.1".into());
                let options = BasicPublishOptions::default();
                channel
                    .basic_publish(exchange, key, options, &body, properties)
                    .await?;
            }
        }
        Ok(())
    }))
}

/// What the workers' logs say of their searches.
fn searches(stage: &mut Stage<'_>) -> Result<()> {
    let mut count = 0;
    for file in std::fs::read_dir(&stage.logs)? {
        let text = std::fs::read(file?.path())?;
        let text = String::from_utf8_lossy(&text).into_owned();
        for line in text
            .lines()
            .filter(|line| line.contains("wa.results.log searched"))
        {
            count += 1;
            let field = |name: &str| {
                let value = line.split(name).nth(1)?;
                value.split_whitespace().next().map(str::to_owned)
            };
            let took_ms: u64 = field("took_ms=").context("no took_ms")?.parse()?;
            let is_whole = field("is_whole=").context("no is_whole")? == "true";
            let asked = field("asked=").unwrap_or_default();
            let found = field("found_count=").unwrap_or_default();
            let read = field("read=").unwrap_or_default();
            stage.notes.push(format!(
                "{found} of {asked} found in {took_ms} ms among {read} results, whole: {is_whole}"
            ));
            if !is_whole || took_ms > SEARCH_MS {
                stage
                    .broken
                    .push(format!("a search took {took_ms} ms, whole: {is_whole}"));
            }
        }
    }
    ensure!(count > 0, "nothing was looked for");
    Ok(())
}

/// The 99th percentile of the pauses between two sends of these lanes.
fn gap_p99(truth: &Truth, lanes: &[&String], from: Duration, until: Duration) -> Duration {
    let mut gaps = vec![];
    for lane in lanes {
        let arrivals = truth.arrivals(|taken| taken.phone_number_id == **lane);
        let within: Vec<_> = arrivals
            .iter()
            .filter(|at| (from..until).contains(*at))
            .collect();
        gaps.extend(within.windows(2).map(|pair| match pair {
            [first, second] => second.saturating_sub(**first),
            _ => Duration::ZERO,
        }));
    }
    gaps.sort_unstable();
    gaps.get(gaps.len() * 99 / 100).copied().unwrap_or_default()
}
