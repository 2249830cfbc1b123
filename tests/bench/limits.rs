//! Limits and errors: what they cost, and what they cost others. The dispatcher alone.

use super::candidate::Candidate;
use super::{Api, PATIENCE, percentile_ms};
use crate::broker::Broker;
use anyhow::{Context, Result};
use graph_sim::{Action, Fault, NumberRules, On, Stats, Token, TokenState};
use harness::config;
use std::time::{Duration, Instant};

pub(crate) const ROWS: [&str; 7] = [
    "ceiling",
    "jitter",
    "pair",
    "pairs",
    "token",
    "isolation",
    "codes",
];

pub(crate) async fn run(row: &str) -> Result<()> {
    match row {
        "ceiling" => paced(row, 60, 12).await,
        "jitter" => paced(row, 80, 25).await,
        "pair" => pair().await,
        "pairs" => super::pairs::run(),
        "token" => token().await,
        "isolation" => isolation().await,
        _ => codes().await,
    }
}

/// Accounts with their tokens and numbers of 80 messages a second.
pub(crate) fn config(
    broker: &Broker,
    api: &Api,
    accounts: &[(&str, &[&str])],
    more: &str,
) -> String {
    let servers = config::servers(broker.amqp(), &api.sim.url());
    let mut text =
        format!("{servers}admin.listen = \"127.0.0.1:0\"\nlog.level = \"error\"\n{more}\n");
    for (waba, (token, numbers)) in (1..).zip(accounts) {
        text += &config::account(&waba.to_string(), token, *numbers, 80);
    }
    text
}

pub(crate) use harness::config::TOKEN;

pub(crate) fn strict(mps: u32, jitter_ms: u64) -> NumberRules {
    NumberRules {
        mps: Some(mps),
        latency_ms: 100,
        latency_jitter_ms: 30,
        arrival_jitter_ms: jitter_ms,
        ..NumberRules::default()
    }
}

pub(crate) fn ids(lanes: &[&str]) -> Vec<String> {
    lanes.iter().map(|lane| (*lane).to_owned()).collect()
}

pub(crate) fn accepted(stats: &Stats, number: &str) -> u64 {
    stats
        .numbers
        .get(number)
        .map_or(0, |number| number.accepted)
}

fn received(stats: &Stats, number: &str) -> u64 {
    stats
        .numbers
        .get(number)
        .map_or(0, |number| number.received)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a bench are far below 2^52"
)]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// One lane configured for 80 messages a second, for a minute.
async fn paced(row: &str, allowed_mps: u32, jitter_ms: u64) -> Result<()> {
    const SECONDS: u64 = 60;
    println!(
        "\n{row}: a lane configured for 80 a second, {allowed_mps} allowed in any second, arrivals spread over ± {jitter_ms} ms, {SECONDS} s"
    );
    let lanes = ["10001"];
    let api = Api::start(strict(allowed_mps, jitter_ms))?;
    let broker = super::backlog(&ids(&lanes), 80 * 70).await?;
    let candidate = Candidate::ours(&config(&broker, &api, &[(TOKEN, &lanes)], ""))?;
    api.sim.until(|stats| accepted(stats, lanes[0]) > 0).await;
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let stats = api.sim.stats();
    drop(candidate);
    let number = stats.numbers.get(lanes[0]).context("no request came")?;
    let share = ratio(number.accepted, u64::from(allowed_mps) * SECONDS);
    let rejected = number.received - number.accepted;
    println!(
        "  {share:.3} of the allowed, {rejected} of {} rejected ({:.2} %)",
        number.received,
        ratio(rejected, number.received) * 100.0
    );
    Ok(())
}

/// Many messages to one person among others.
async fn pair() -> Result<()> {
    const ONE: usize = 50;
    const OTHERS: usize = 600;
    println!("\npair: {ONE} messages to one person among {OTHERS} to others, 80 a second");
    let lanes = ["10001"];
    let api = Api::start(strict(80, 12))?;
    let broker = Broker::fresh(&ids(&lanes)).await?;
    let results = broker.results().await?;
    let mut publisher = broker.publisher().await?;
    for n in 0..ONE + OTHERS {
        let is_one = n % 13 == 0 && n / 13 < ONE;
        if is_one {
            publisher.publish_to(lanes[0], "+34600112233", 0).await?;
        } else {
            publisher.publish(lanes[0], 0).await?;
        }
    }
    publisher.flush().await?;
    let candidate = Candidate::ours(&config(&broker, &api, &[(TOKEN, &lanes)], ""))?;
    results.wait_for(ONE + OTHERS, PATIENCE).await?;
    drop(candidate);
    let ledger = api.sim.ledger();
    let number = |entry: &graph_sim::Entry| entry.opaque.as_deref()?.parse::<usize>().ok();
    let mine = |entry: &&graph_sim::Entry| entry.recipient == "34600112233";
    let order: Vec<usize> = ledger.iter().filter(mine).filter_map(number).collect();
    let inversions = order.windows(2).filter(|pair| pair[0] > pair[1]).count();
    let others: Vec<f64> = ledger
        .iter()
        .filter(|entry| !mine(entry))
        .map(|entry| entry.at_ms)
        .collect();
    let took_s = others
        .last()
        .zip(others.first())
        .map_or(f64::NAN, |(last, first)| last - first)
        / 1000.0;
    let stats = api.sim.stats();
    let refused = stats.numbers.get(lanes[0]).map_or(0, |number| {
        number.rejected.get(&131_056).copied().unwrap_or(0)
    });
    println!(
        "  {refused} × 131056, {inversions} inversions among {}, the {} others took {took_s:.1} s ({:.1} a second)",
        order.len(),
        others.len(),
        ratio(others.len().try_into()?, 1) / took_s
    );
    Ok(())
}

/// A dead token on one of two accounts.
async fn token() -> Result<()> {
    const HELD: usize = 1_000;
    println!(
        "\ntoken: {HELD} messages behind a dead token, another account beside it; then a new token"
    );
    let lanes = ["10001", "10002"];
    let api = Api::start(strict(80, 12))?;
    let state = |token: &str, state| Token {
        token: token.to_owned(),
        state,
        numbers: None,
        expires_at: None,
        app_id: None,
    };
    let alone = quiet_p99(&api, &lanes, &[], 1).await?;
    api.sim.reset();
    api.sim.set_tokens([
        state("old", TokenState::Expired),
        state("new", TokenState::Valid),
        state("token", TokenState::Valid),
    ]);
    let file = std::env::temp_dir().join(format!("sidebyside-token-{}", std::process::id()));
    std::fs::write(&file, "old")?;
    let broker = super::backlog(&ids(&lanes[..1]), HELD).await?;
    broker.declare(&ids(&lanes[1..])).await?;
    let results = broker.results().await?;
    let from_file = format!("token_file = \"{}\"", file.display());
    let accounts: [(&str, &[&str]); 2] = [(&from_file, &lanes[..1]), (TOKEN, &lanes[1..])];
    let candidate = Candidate::ours(&config(&broker, &api, &accounts, ""))?;
    let mut publisher = broker.publisher().await?;
    publisher.skip_to(HELD);
    let published = steadily(&mut publisher, lanes[1], HELD, 500).await?;
    results.wait_for(500, PATIENCE).await?;
    let wasted = received(&api.sim.stats(), lanes[0]);
    let beside = api.since(&published);
    let changed = Instant::now();
    std::fs::write(&file, "new")?;
    api.sim.until(|stats| accepted(stats, lanes[0]) >= 1).await;
    let first = changed.elapsed();
    api.sim
        .until(|stats| accepted(stats, lanes[0]) >= 100)
        .await;
    let flowing = changed.elapsed();
    results.wait_for(HELD + 500, PATIENCE).await?;
    drop(candidate);
    drop(std::fs::remove_file(&file));
    println!(
        "  {wasted} requests wasted, {} of {} accepted; the other account's p99 {:.1} ms (alone {alone:.1} ms)",
        results.of("accepted"),
        HELD + 500,
        percentile_ms(&beside, 99)
    );
    println!(
        "  after the new token: first accepted after {:.1} s, the hundredth after {:.1} s",
        first.as_secs_f64(),
        flowing.as_secs_f64()
    );
    Ok(())
}

/// One message every 20 ms; when each was published, by its number.
async fn steadily(
    publisher: &mut crate::broker::Publisher,
    lane: &str,
    from: usize,
    count: usize,
) -> Result<Vec<Option<Instant>>> {
    let mut published = vec![None; from];
    for n in 0..count {
        tokio::time::sleep(Duration::from_millis(20)).await;
        // The first ones open connections.
        published.push((n >= 20).then(Instant::now));
        publisher.publish(lane, 0).await?;
    }
    publisher.flush().await?;
    Ok(published)
}

/// From publish to request on a quiet lane, beside others with messages waiting: the last of `lanes` is the quiet one.
async fn quiet_p99(api: &Api, lanes: &[&str], waiting: &[&str], accounts: usize) -> Result<f64> {
    const QUIET: usize = 500;
    let quiet = lanes.last().copied().context("no lane")?;
    let broker = Broker::fresh(&ids(lanes)).await?;
    let mut publisher = broker.publisher().await?;
    for n in 0..2_000 * waiting.len() {
        let lane = waiting[n % waiting.len()];
        if lane.ends_with('3') {
            publisher.publish_garbage(lane).await?;
        } else {
            publisher.publish(lane, 0).await?;
        }
    }
    publisher.flush().await?;
    let per_account = lanes.len().div_ceil(accounts);
    let accounts: Vec<(&str, &[&str])> = lanes
        .chunks(per_account)
        .map(|lanes| (TOKEN, lanes))
        .collect();
    let hasty = "graph.request_timeout_ms = 2000\ngraph.connect_timeout_ms = 1000";
    let candidate = Candidate::ours(&config(&broker, api, &accounts, hasty))?;
    let from = 2_000 * waiting.len();
    let published = steadily(&mut publisher, quiet, from, QUIET).await?;
    let wanted = u64::try_from(QUIET)?;
    api.sim
        .until(|stats| accepted(stats, quiet) >= wanted)
        .await;
    drop(candidate);
    let took = api.since(&published);
    Ok(percentile_ms(&took, 99))
}

/// A lane whose API hangs, one that is blocked, one that is fed garbage; and a quiet one.
async fn isolation() -> Result<()> {
    println!(
        "\nisolation: a quiet lane beside a hanging, a blocked and a garbage-fed one with 2,000 messages each"
    );
    let lanes = ["10001", "10002", "10003", "10004"];
    let rules = NumberRules {
        latency_ms: 20,
        unlimited: true,
        ..NumberRules::default()
    };
    let mut ratios = vec![];
    for _ in 0..3 {
        let api = Api::start(rules.clone())?;
        let alone = quiet_p99(&api, &lanes, &[], 4).await?;
        api.sim.reset();
        api.sim
            .change_number("10002", |rules| rules.blocked_code = Some(131_031));
        let mut hang = Fault::new(Action::Hang {});
        hang.matches.phone_number_id = Some("10001".to_owned());
        hang.matches.on = On::Any;
        api.sim.set_script(hang);
        let beside = quiet_p99(&api, &lanes, &lanes[..3], 4).await?;
        println!("  p99 from publish to request: alone {alone:.2} ms, beside them {beside:.2} ms");
        ratios.push(beside / alone);
    }
    ratios.sort_by(f64::total_cmp);
    println!("  beside / alone: {:.2} (median of three)", ratios[1]);
    Ok(())
}

/// One-time passwords behind a bulk backlog on the same lane.
async fn codes() -> Result<()> {
    const BULK: usize = 20_000;
    const CODES: usize = 200;
    println!("\ncodes: one-time passwords behind {BULK} bulk messages on one lane of 80 a second");
    let lanes = ["10001"];
    let api = Api::start(strict(80, 12))?;
    let broker = super::backlog(&ids(&lanes), BULK).await?;
    let candidate = Candidate::ours(&config(&broker, &api, &[(TOKEN, &lanes)], ""))?;
    api.sim.until(|stats| accepted(stats, lanes[0]) > 200).await;
    let mut publisher = broker.publisher().await?;
    publisher.skip_to(BULK);
    let mut published = vec![None; BULK];
    for _ in 0..CODES {
        tokio::time::sleep(Duration::from_millis(150)).await;
        published.push(Some(Instant::now()));
        publisher.publish(lanes[0], 9).await?;
    }
    publisher.flush().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(candidate);
    let took = api.since(&published);
    println!(
        "  from publish to request: p50 {:.0} ms, p99 {:.0} ms, {} of {CODES} sent",
        percentile_ms(&took, 50),
        percentile_ms(&took, 99),
        took.len()
    );
    Ok(())
}
