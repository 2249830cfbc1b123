//! Which worker reads how the API sees an account: its numbers, its token and its templates. All workers of an account share the API's
//! budget for such reads, so each thing is read by one of them.
//!
//! There is no election: of the workers that have been heard of lately the hash picks one, as it does for lanes. Where two think so for a
//! moment there is a read too many, where none does one comes later.

use crate::core::Now;
use crate::core::fleet::placement::priority;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A worker that has not been heard of for so long is not there any more: several words of it would have to be lost.
const GONE_AFTER: Duration = Duration::from_secs(45);

/// Reads of all workers of one account together. The API allows 5,000 per hour. Source: Graph API, "Rate limiting" (of an active
/// account).
const READS_PER_HOUR: u32 = 500;

/// Templates that one read brings.
pub const TEMPLATES_PER_READ: u64 = 250;

/// The workers that were heard of, and when.
#[derive(Default)]
pub struct Readers {
    heard: BTreeMap<Arc<str>, Duration>,
}

impl Readers {
    /// A word of that worker was read.
    pub fn heard(&mut self, worker: &Arc<str>, now: Now) {
        self.heard.retain(|_, at| is_lately(*at, now));
        self.heard.insert(worker.clone(), now.mono);
    }

    /// Whether that worker was heard of lately.
    pub fn is_there(&self, worker: &str, now: Now) -> bool {
        let heard = self.heard.get(worker);
        heard.is_some_and(|at| is_lately(*at, now))
    }

    /// Whether `own` is the one that reads this account.
    pub fn is_reader(&self, own: &str, account: &str, now: Now) -> bool {
        let rank = |worker: &str| (priority(worker, account), worker.to_owned());
        let mut others = self.heard.iter().filter(|(_, at)| is_lately(**at, now));
        others.all(|(worker, _)| rank(worker) <= rank(own))
    }
}

fn is_lately(at: Duration, now: Now) -> bool {
    now.mono.saturating_sub(at) < GONE_AFTER
}

/// The holder of a lane, as far as a worker knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Has {
    Us,
    Another,
    Nobody,
}

/// Whether this worker reads a lane's number: whoever has the lane does, as it goes by the number's limit; else the account's reader.
pub fn reads_number(has: Has, is_reader: bool) -> bool {
    match has {
        Has::Us => true,
        Has::Another => false,
        Has::Nobody => is_reader,
    }
}

/// How long a round of reads is apart from the next: no less than `refresh`, and so long that all numbers, the token and all templates of
/// an account, read once each by one worker or another, stay within the budget.
pub fn period(refresh: Duration, numbers: usize, templates: u64) -> Duration {
    let pages = 1 + templates / TEMPLATES_PER_READ;
    let reads = u64::try_from(numbers)
        .unwrap_or(u64::MAX)
        .saturating_add(1 + pages);
    let reads = u32::try_from(reads).unwrap_or(u32::MAX);
    refresh.max((Duration::from_secs(3_600) / READS_PER_HOUR).saturating_mul(reads))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            mono: Duration::from_secs(seconds),
            wall_ms: 0,
            steady_ms: 0,
        }
    }

    fn name(n: usize) -> Arc<str> {
        format!("worker-{n}").into()
    }

    /// Of so many workers, which ones read an account at that second, when `gone` was last heard of at 0 and all others just now.
    fn readers(workers: usize, gone: Option<usize>, account: &str, seconds: u64) -> Vec<usize> {
        let reads = |own: &usize| {
            let mut readers = Readers::default();
            for other in (0..workers).filter(|other| other != own) {
                let heard = if gone == Some(other) { 0 } else { seconds };
                readers.heard(&name(other), at(heard));
            }
            readers.is_reader(&name(*own), account, at(seconds))
        };
        (0..workers)
            .filter(|own| gone != Some(*own))
            .filter(reads)
            .collect()
    }

    #[test]
    fn one_worker_reads_an_account_and_another_once_it_is_gone() {
        let mut shares = [0; 12];
        for account in 0..600 {
            let account = account.to_string();
            let [reader] = readers(12, None, &account, 5)[..] else {
                panic!("one reads {account}");
            };
            shares[reader] += 1;
            assert!(readers(12, Some(reader), &account, 44).is_empty());
            assert_eq!(readers(12, Some(reader), &account, 45).len(), 1);
        }
        assert!(
            shares.iter().all(|share| (20..90).contains(share)),
            "{shares:?}"
        );
        assert_eq!(readers(1, None, "7", 0), [0]);
    }

    #[test]
    fn whoever_has_a_lane_reads_its_number() {
        assert!(reads_number(Has::Us, false));
        assert!(!reads_number(Has::Another, true));
        assert!(reads_number(Has::Nobody, true) && !reads_number(Has::Nobody, false));
    }

    /// Twelve workers read as much as one: a round is each number, the token and each page of templates once.
    #[test]
    fn an_hour_of_rounds_is_a_tenth_of_the_budget_at_most() {
        for (numbers, templates) in [(1, 0), (20, 250), (200, 6_000), (2_000, 6_000)] {
            let period = period(Duration::from_secs(300), numbers, templates);
            let rounds = 3_600.0 / period.as_secs_f64();
            let reads = numbers as f64 + 2.0 + (templates / 250) as f64;
            assert!(rounds * reads <= 500.001, "{numbers} {templates}");
        }
        assert_eq!(
            period(Duration::from_secs(300), 5, 10),
            Duration::from_secs(300)
        );
    }
}
