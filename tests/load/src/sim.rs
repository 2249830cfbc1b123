//! The simulated API's side: its fault script before, its ledger and counts after.

use anyhow::{Context, Result, ensure};
pub(crate) use graph_sim::Entry as Taken;
use graph_sim::{Page, Stats};
use harness::http;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// When it arrived, since the simulator started, to the microsecond it counts in.
pub(crate) fn at(taken: &Taken) -> Duration {
    Duration::from_secs_f64(taken.at_ms / 1_000.0 + 5e-7)
}

/// What the API says happened.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) ledger: Vec<Taken>,
    pub(crate) stats: Stats,
}

/// Empties ledger and counts, and sets the faults to come.
pub(crate) async fn prepare(base: &str, script: Value) -> Result<()> {
    http::post(base, "/_sim/reset", json!({})).await?;
    http::post(base, "/_sim/script", script).await
}

pub(crate) async fn truth(base: &str) -> Result<Truth> {
    let mut ledger = vec![];
    let mut after = 0;
    loop {
        let page: Page = http::get(base, &format!("/_sim/ledger?after={after}")).await?;
        ensure!(page.dropped == 0, "the ledger has dropped entries");
        ledger.extend(page.entries);
        after = page.next;
        if !page.more {
            break;
        }
    }
    let stats = http::get(base, "/_sim/stats").await?;
    Ok(Truth { ledger, stats })
}

pub(crate) async fn now(base: &str) -> Result<Duration> {
    let stats: Stats = http::get(base, "/_sim/stats").await?;
    Ok(Duration::from_secs_f64(stats.now_ms / 1_000.0))
}

/// When the simulator's clock began, by ours.
pub(crate) async fn zero(base: &str) -> Result<Instant> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match now(base).await {
            Ok(now) => {
                return Instant::now()
                    .checked_sub(now)
                    .context("a clock before our own");
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Messages that the API took so far.
pub(crate) async fn accepted(base: &str) -> Result<u64> {
    let stats: Stats = http::get(base, "/_sim/stats").await?;
    Ok(stats.numbers.values().map(|number| number.accepted).sum())
}

/// Messages that the API refused for the rate so far.
pub(crate) async fn refused(base: &str) -> Result<u64> {
    let stats: Stats = http::get(base, "/_sim/stats").await?;
    let truth = Truth {
        ledger: vec![],
        stats,
    };
    Ok(truth.refusals_in_all(RATE))
}

/// Refusals for a number's throughput, and for too many messages to one person.
pub(crate) const RATE: i64 = 130_429;
pub(crate) const PAIR_RATE: i64 = 131_056;

impl Truth {
    pub(crate) fn refusals(&self, number: &str, code: i64) -> u64 {
        let stats = self.stats.numbers.get(number);
        let count = stats.and_then(|stats| stats.rejected.get(&code));
        count.copied().unwrap_or_default()
    }

    pub(crate) fn refusals_in_all(&self, code: i64) -> u64 {
        let numbers = self.stats.numbers.keys();
        numbers.map(|number| self.refusals(number, code)).sum()
    }

    /// Messages beyond the first of the same request.
    pub(crate) fn repeats(&self) -> usize {
        let requests: HashSet<_> = self.ledger.iter().map(|taken| &taken.opaque).collect();
        self.ledger.len() - requests.len()
    }

    /// When the messages of one number, or to one person, arrived; ascending.
    pub(crate) fn arrivals(&self, of: impl Fn(&Taken) -> bool) -> Vec<Duration> {
        let ours = self.ledger.iter().filter(|taken| of(taken));
        let mut arrivals: Vec<Duration> = ours.map(at).collect();
        arrivals.sort_unstable();
        arrivals
    }

    /// The most messages of a number that any sliding second holds.
    pub(crate) fn peak(&self, number: &str) -> usize {
        most_in_a_second(&self.arrivals(|taken| taken.phone_number_id == number))
    }
}

/// The window is half open: what is exactly one second old has left it. `sorted` ascends.
fn most_in_a_second(sorted: &[Duration]) -> usize {
    let mut oldest = sorted.iter().peekable();
    let (mut held, mut most) = (0, 0);
    for newest in sorted {
        held += 1;
        while oldest
            .next_if(|oldest| *newest - **oldest >= Duration::from_secs(1))
            .is_some()
        {
            held -= 1;
        }
        most = most.max(held);
    }
    most
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn taken(number: &str, opaque: &str, wamid: &str, at_ms: f64) -> Taken {
        Taken {
            seq: 1,
            at_ms,
            phone_number_id: number.to_owned(),
            recipient: "15550000001".to_owned(),
            kind: "text".to_owned(),
            opaque: Some(opaque.to_owned()),
            wamid: wamid.to_owned(),
            ttl_seconds: None,
            body: None,
        }
    }

    #[test]
    fn arrivals_are_read_to_the_microsecond() {
        let arrived = |at_ms| at(&taken("1", "a", "w", at_ms));
        assert_eq!(arrived(12.345).as_micros(), 12_345);
        assert_eq!(arrived(0.0).as_micros(), 0);
    }

    #[test]
    fn a_second_is_half_open() {
        let at = |ms: &[u64]| {
            ms.iter()
                .copied()
                .map(Duration::from_millis)
                .collect::<Vec<_>>()
        };
        assert_eq!(most_in_a_second(&at(&[])), 0);
        assert_eq!(most_in_a_second(&at(&[0, 500, 999])), 3);
        assert_eq!(most_in_a_second(&at(&[0, 500, 1_000, 1_400, 1_499])), 4);
    }

    #[test]
    fn refusals_are_counted_by_number_and_code() {
        let mut stats = Stats::default();
        let number = graph_sim::NumberStats {
            rejected: [(RATE, 3)].into(),
            ..Default::default()
        };
        stats.numbers.insert("1".to_owned(), number);
        let truth = Truth {
            ledger: vec![],
            stats,
        };
        let counts = ["1", "2"].map(|number| truth.refusals(number, RATE));
        assert_eq!((counts, truth.refusals_in_all(RATE)), ([3, 0], 3));
    }
}
