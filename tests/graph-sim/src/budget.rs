//! The calls an hour that Meta allows an app to each account, other than messages. Source: Meta docs, "Rate limits", Business Use Case.

use std::collections::{HashMap, VecDeque};

const HOUR_US: u64 = 3_600 * 1_000_000;

/// An account and an app.
type Key = (String, String);

/// When each call of the last hour was made.
#[derive(Debug, Default)]
pub(crate) struct Budgets(HashMap<Key, VecDeque<u64>>);

impl Budgets {
    /// Notes a call, if one is left. One that is refused uses nothing.
    pub(crate) fn charge(&mut self, key: Key, limit: u32, now_us: u64) -> bool {
        let calls = self.0.entry(key).or_default();
        forget(calls, now_us);
        let is_left = (calls.len() as u64) < u64::from(limit);
        if is_left {
            calls.push_back(now_us);
        }
        is_left
    }

    /// The share that is used, in percent, and if it is all, the minutes until a call is left again.
    pub(crate) fn usage(&mut self, key: &Key, limit: u32, now_us: u64) -> (u64, u64) {
        let Some(calls) = self.0.get_mut(key) else {
            return (0, 0);
        };
        forget(calls, now_us);
        let used = calls.len() as u64;
        let percent = (used * 100).checked_div(u64::from(limit)).unwrap_or(100);
        let first = calls.front().filter(|_| used >= u64::from(limit));
        let regain_us = first.map_or(0, |first| first + HOUR_US - now_us);
        (percent, regain_us.div_ceil(60_000_000))
    }
}

fn forget(calls: &mut VecDeque<u64>, now_us: u64) {
    while calls.front().is_some_and(|at_us| at_us + HOUR_US <= now_us) {
        calls.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_holds_so_many_calls_of_an_app_to_an_account() {
        let key = |app: &str| ("900".to_owned(), app.to_owned());
        let mut budgets = Budgets::default();
        let minute_us = 60_000_000;
        for call in 0..10 {
            assert!(budgets.charge(key("a"), 10, call * minute_us));
        }
        assert_eq!(budgets.usage(&key("a"), 10, 9 * minute_us), (100, 51));
        assert!(!budgets.charge(key("a"), 10, 9 * minute_us));
        assert!(budgets.charge(key("b"), 10, 9 * minute_us), "another app");
        assert!(!budgets.charge(key("a"), 10, HOUR_US - 1));
        assert!(budgets.charge(key("a"), 10, HOUR_US));
        assert_eq!(budgets.usage(&key("a"), 20, HOUR_US), (50, 0));
    }
}
