//! Outbox of one of the workers' logs: in order, many records on their way at once, and each with those who wait for
//! it to be confirmed.

use super::holds::Record;
use std::collections::VecDeque;

struct Letter<Waiter> {
    number: u64,
    record: Record,
    /// Waiters for the others to be able to know.
    waiting: Vec<Waiter>,
}

/// `Waiter`: whoever is to hear once a record is confirmed.
pub struct Outbox<Waiter> {
    letters: VecDeque<Letter<Waiter>>,
    /// Count of those, from the first, that are on their way.
    under_way: usize,
    next: u64,
    /// The log cannot be used: what is to be told waits until it can.
    is_mute: bool,
}

impl<Waiter> Default for Outbox<Waiter> {
    fn default() -> Self {
        Self {
            letters: VecDeque::new(),
            under_way: 0,
            next: 0,
            is_mute: false,
        }
    }
}

impl<Waiter> Outbox<Waiter> {
    /// Puts a record at the end. Returns the one that it makes needless, if that is not on its way yet.
    pub fn put(&mut self, record: Record) -> Option<Record> {
        let slot = record.slot();
        let mut waits = self.letters.iter().skip(self.under_way);
        let outdated = waits.position(|letter| letter.record.slot() == slot);
        let outdated = outdated.and_then(|place| self.letters.remove(self.under_way + place));
        let (before, waiting) = outdated.map_or((None, vec![]), |letter| {
            (Some(letter.record), letter.waiting)
        });
        self.letters.push_back(Letter {
            number: self.next,
            record,
            waiting,
        });
        self.next += 1;
        before
    }

    /// Lets somebody wait for all that is in it now. False if there is nothing to wait for.
    pub fn wait(&mut self, waiter: Waiter) -> bool {
        let last = self.letters.back_mut();
        last.map(|last| last.waiting.push(waiter)).is_some()
    }

    /// The next one to publish; it counts as on its way.
    pub fn take(&mut self) -> Option<(u64, Record)> {
        let letter = self.letters.get(self.under_way)?;
        self.under_way += 1;
        Some((letter.number, letter.record.clone()))
    }

    /// A record is in the log. Returns who waited for it.
    pub fn confirmed(&mut self, number: u64) -> Vec<Waiter> {
        let place = self
            .letters
            .binary_search_by_key(&number, |letter| letter.number);
        let letter = place.ok().and_then(|place| self.letters.remove(place));
        let Some(letter) = letter else {
            return vec![];
        };
        self.under_way = self.under_way.saturating_sub(1);
        letter.waiting
    }

    /// Takes back what was on its way: it may have arrived or not, and is written again. Nobody waits any more.
    pub fn broke_off(&mut self) {
        self.is_mute = true;
        self.under_way = 0;
        for letter in &mut self.letters {
            letter.waiting.clear();
        }
    }

    pub fn opened(&mut self) {
        self.is_mute = false;
        self.under_way = 0;
    }

    pub fn is_mute(&self) -> bool {
        self.is_mute
    }

    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Records that are not confirmed yet.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.letters.iter().map(|letter| &letter.record)
    }

    /// A new session: what was on its way in the last one is written again, except what is not `wanted` any more.
    pub fn begin_anew(&mut self, wanted: impl Fn(&Record) -> bool) {
        self.under_way = 0;
        self.letters.retain(|letter| wanted(&letter.record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::words::Scope;
    use crate::core::fleet::holds::{News, Reach};

    fn record(lane: &str, since_ms: u64) -> Record {
        Record {
            at_ms: since_ms,
            worker: "a".into(),
            run: 1,
            reach: Reach {
                scope: Scope::Lane,
                key: lane.into(),
            },
            news: News::Paused { since_ms },
        }
    }

    #[test]
    fn whoever_waits_hears_of_its_own_record_and_not_of_others() {
        let mut outbox = Outbox::default();
        assert!(!outbox.wait("nobody"), "nothing is to be told");
        assert_eq!(outbox.put(record("1", 1)), None);
        assert!(outbox.wait("first"));
        assert_eq!(outbox.put(record("2", 1)), None);
        assert!(outbox.wait("second"));
        let (one, two) = (outbox.take().unwrap(), outbox.take().unwrap());
        assert_eq!(outbox.take(), None);
        assert_eq!((&*one.1.reach.key, &*two.1.reach.key), ("1", "2"));
        // Confirms may overtake each other.
        assert_eq!(outbox.confirmed(two.0), ["second"]);
        assert_eq!(outbox.confirmed(one.0), ["first"]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_is_on_its_way_is_not_replaced_and_what_waits_is() {
        let mut outbox = Outbox::default();
        outbox.put(record("1", 1));
        let sent = outbox.take().unwrap();
        assert_eq!(outbox.put(record("1", 2)), None);
        assert!(outbox.wait("reader"));
        assert_eq!(outbox.put(record("1", 3)), Some(record("1", 2)));
        assert_eq!(outbox.confirmed(sent.0), [""; 0]);
        let last = outbox.take().unwrap();
        assert_eq!(last.1, record("1", 3));
        // The later record says it, and more recently.
        assert_eq!(outbox.confirmed(last.0), ["reader"]);
    }

    #[test]
    fn a_log_that_breaks_off_keeps_nobody_waiting_and_loses_nothing() {
        let mut outbox = Outbox::default();
        outbox.put(record("1", 1));
        outbox.put(record("2", 1));
        assert!(outbox.wait("reader"));
        outbox.take();
        outbox.broke_off();
        assert!(outbox.is_mute());
        outbox.opened();
        let again = [outbox.take().unwrap(), outbox.take().unwrap()];
        assert_eq!(
            again.map(|(_, record)| record.reach.key.to_string()),
            ["1", "2"]
        );
        outbox.begin_anew(|record| &*record.reach.key == "2");
        let last = outbox.take().unwrap();
        assert_eq!(last.1, record("2", 1));
        assert_eq!(outbox.confirmed(last.0), [""; 0], "nobody waits any more");
    }
}
