//! Pair limits: what each person has had of theirs.

use super::line::Key;
use crate::core::Now;
use crate::core::lane::pacing::{Debt, Spacing};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// A person who has used up some of a pair limit, as 64 bits of a hash: small, and no number. Among a million people, two share an
/// allowance with a chance of one in forty million.
pub(super) type Debtor = u64;

pub(super) fn debtor(key: &Key) -> Option<Debtor> {
    let Key::Person(recipient) = key else {
        return None;
    };
    let mut hasher = DefaultHasher::new();
    recipient.hash(&mut hasher);
    Some(hasher.finish())
}

pub(super) struct Allowances {
    pair: Spacing,
    most: usize,
    owed: HashMap<Debtor, Debt>,
    /// The keys of `owed`, in the order in which they are looked at for forgetting them.
    sweep: VecDeque<Debtor>,
}

impl Allowances {
    pub(super) fn new(pair: Spacing, most: usize) -> Self {
        Self {
            pair,
            most,
            owed: HashMap::new(),
            sweep: VecDeque::new(),
        }
    }

    fn of(&mut self, debtor: Debtor) -> &mut Debt {
        self.owed.entry(debtor).or_insert_with(|| {
            self.sweep.push_back(debtor);
            Debt::default()
        })
    }

    fn forget_one(&mut self, now: Now) {
        let Some(debtor) = self.sweep.pop_front() else {
            return;
        };
        // Too many: who was looked at longest ago goes. Should the API count it still, it says so, to that person alone.
        let is_over = self.owed.len() > self.most;
        match self.owed.get(&debtor) {
            Some(owed) if is_over || owed.is_clear(now) => drop(self.owed.remove(&debtor)),
            Some(_) => self.sweep.push_back(debtor),
            None => {}
        }
    }

    /// People whose pair limit is remembered.
    pub(super) fn people(&self) -> usize {
        self.owed.len()
    }

    /// When the next message to this person may go.
    pub(super) fn not_before(&self, key: &Key) -> Duration {
        let owed = debtor(key).and_then(|debtor| self.owed.get(&debtor));
        owed.map_or(Duration::ZERO, |owed| owed.not_before(&self.pair))
    }

    /// The API may have counted a message.
    pub(super) fn count(&mut self, key: &Key, now: Now) {
        let pair = self.pair;
        if let Some(debtor) = debtor(key) {
            self.of(debtor).charge(&pair, now);
        }
    }

    /// The API refused this person until then, whatever we had counted.
    pub(super) fn forbid(&mut self, key: &Key, until: Duration) {
        let pair = self.pair;
        if let Some(debtor) = debtor(key) {
            self.of(debtor).forbid_until(&pair, until);
        }
    }

    /// Looks at two people and forgets those that owe nothing. A send adds one at most, so what is remembered stays at the people
    /// written to within the time of their debt: rate × interval, or the messages outstanding × interval after bursts.
    pub(super) fn forget_some(&mut self, now: Now) {
        for _ in 0..2 {
            self.forget_one(now);
        }
    }
}
