//! Budgets of single operations, which are smaller than their account's: known ahead, so that no call is spent on a refusal.

use crate::core::Now;
use crate::core::operation::Operation;
use std::collections::VecDeque;

const HOUR_MS: u64 = 3_600_000;

/// Moments at which an operation with a budget of its own was asked for, within the last hour. Forgotten when another worker takes the
/// lane: then Meta refuses what is too many.
#[derive(Default)]
pub(super) struct Quotas {
    asked: Vec<(Operation, VecDeque<u64>)>,
}

impl Quotas {
    /// When one more may be asked for, in milliseconds of the steady clock; `None`: now.
    pub(super) fn used_until_ms(&mut self, operation: Operation, now: Now) -> Option<u64> {
        let most = operation.facts().hourly?;
        let (_, asked) = self.asked.iter_mut().find(|(of, _)| *of == operation)?;
        while asked
            .front()
            .is_some_and(|at| at + HOUR_MS <= now.steady_ms)
        {
            asked.pop_front();
        }
        let is_used_up = asked.len() >= usize::try_from(most).unwrap_or(usize::MAX);
        asked.front().filter(|_| is_used_up).map(|at| at + HOUR_MS)
    }

    pub(super) fn count(&mut self, operation: Operation, now: Now) {
        if operation.facts().hourly.is_none() {
            return;
        }
        match self.asked.iter_mut().find(|(of, _)| *of == operation) {
            Some((_, asked)) => asked.push_back(now.steady_ms),
            None => self
                .asked
                .push((operation, VecDeque::from([now.steady_ms]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(steady_ms: u64) -> Now {
        Now {
            mono: Duration::from_millis(steady_ms),
            wall_ms: steady_ms,
            steady_ms,
        }
    }

    #[test]
    fn no_sliding_hour_has_more_than_the_budget() {
        let create = Operation::of_type("template_create").unwrap();
        let list = Operation::of_type("template_list").unwrap();
        let mut quotas = Quotas::default();
        let mut taken = vec![];
        for minute in 0..300 {
            let now = at(minute * 60_000);
            for _ in 0..3 {
                match quotas.used_until_ms(create, now) {
                    None => {
                        quotas.count(create, now);
                        taken.push(now.steady_ms);
                    }
                    Some(until) => {
                        assert!(until > now.steady_ms && until <= now.steady_ms + HOUR_MS)
                    }
                }
                assert_eq!(quotas.used_until_ms(list, now), None);
                quotas.count(list, now);
            }
        }
        for first in &taken {
            let within = taken
                .iter()
                .filter(|at| (*first..first + HOUR_MS).contains(at));
            assert!(within.count() <= 100);
        }
        assert!(taken.len() >= 450, "{}", taken.len());
    }
}
