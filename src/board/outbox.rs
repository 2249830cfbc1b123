//! Outbox of one of the workers' logs: in order, many records on their way at once, and each with those who wait for
//! it to be confirmed.

use crate::core::fleet::holds::Record;
use std::collections::VecDeque;
use tokio::sync::oneshot;

struct Letter {
    number: u64,
    record: Record,
    /// Waiters for the others to be able to know.
    waiting: Vec<oneshot::Sender<()>>,
}

/// Ends once what it waits for is confirmed; with an error if the log cannot be used. `None`: it cannot be used now.
pub(super) type Told = Option<oneshot::Receiver<()>>;

#[derive(Default)]
pub(super) struct Outbox {
    letters: VecDeque<Letter>,
    /// Count of those, from the first, that are on their way.
    under_way: usize,
    next: u64,
    /// The log cannot be used: what is to be told waits until it can.
    is_mute: bool,
}

impl Outbox {
    /// Puts a record at the end. Returns the one that it makes needless, if that is not on its way yet.
    pub(super) fn put(&mut self, record: Record) -> Option<Record> {
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

    /// For all that is in it now.
    pub(super) fn when_told(&mut self) -> Told {
        let (sender, told) = oneshot::channel();
        match self.letters.back_mut() {
            None => drop(sender.send(())),
            Some(_) if self.is_mute => return None,
            Some(last) => last.waiting.push(sender),
        }
        Some(told)
    }

    /// The next one to publish; it counts as on its way.
    pub(super) fn take(&mut self) -> Option<(u64, Record)> {
        let letter = self.letters.get(self.under_way)?;
        self.under_way += 1;
        Some((letter.number, letter.record.clone()))
    }

    pub(super) fn confirmed(&mut self, number: u64) {
        let place = self
            .letters
            .binary_search_by_key(&number, |letter| letter.number);
        let letter = place.ok().and_then(|place| self.letters.remove(place));
        let Some(letter) = letter else { return };
        self.under_way = self.under_way.saturating_sub(1);
        for waiting in letter.waiting {
            // Dropped: who waits no longer needs no answer.
            waiting.send(()).ok();
        }
    }

    /// Takes back what was on its way: it may have arrived or not, and is written again.
    pub(super) fn broke_off(&mut self) {
        self.is_mute = true;
        self.under_way = 0;
        for letter in &mut self.letters {
            letter.waiting.clear();
        }
    }

    pub(super) fn opened(&mut self) {
        self.is_mute = false;
        self.under_way = 0;
    }

    pub(super) fn is_mute(&self) -> bool {
        self.is_mute
    }

    /// A new session: what was on its way in the last one is written again, except what is not `wanted` any more.
    pub(super) fn begin_anew(&mut self, wanted: impl Fn(&Record) -> bool) {
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

    fn is_told(told: &mut Told) -> bool {
        told.as_mut().is_some_and(|told| told.try_recv().is_ok())
    }

    #[test]
    fn whoever_waits_hears_of_its_own_record_and_not_of_others() {
        let mut outbox = Outbox::default();
        assert!(is_told(&mut outbox.when_told()), "nothing is to be told");
        assert_eq!(outbox.put(record("1", 1)), None);
        let mut first = outbox.when_told();
        assert_eq!(outbox.put(record("2", 1)), None);
        let mut second = outbox.when_told();
        let (one, two) = (outbox.take().unwrap(), outbox.take().unwrap());
        assert_eq!(outbox.take(), None);
        assert_eq!((&*one.1.reach.key, &*two.1.reach.key), ("1", "2"));
        // Confirms may overtake each other.
        outbox.confirmed(two.0);
        assert!(!is_told(&mut first) && is_told(&mut second));
        outbox.confirmed(one.0);
        assert!(is_told(&mut first));
    }

    #[test]
    fn what_is_on_its_way_is_not_replaced_and_what_waits_is() {
        let mut outbox = Outbox::default();
        outbox.put(record("1", 1));
        let sent = outbox.take().unwrap();
        assert_eq!(outbox.put(record("1", 2)), None);
        let mut told = outbox.when_told();
        assert_eq!(outbox.put(record("1", 3)), Some(record("1", 2)));
        outbox.confirmed(sent.0);
        assert!(!is_told(&mut told));
        let last = outbox.take().unwrap();
        assert_eq!(last.1, record("1", 3));
        outbox.confirmed(last.0);
        assert!(
            is_told(&mut told),
            "the later record says it, and more recently"
        );
    }

    #[test]
    fn a_log_that_breaks_off_keeps_nobody_waiting_and_loses_nothing() {
        let mut outbox = Outbox::default();
        outbox.put(record("1", 1));
        outbox.put(record("2", 1));
        let mut told = outbox.when_told();
        outbox.take();
        outbox.broke_off();
        assert!(told.as_mut().unwrap().try_recv().is_err());
        assert!(outbox.when_told().is_none());
        outbox.opened();
        let again = [outbox.take().unwrap(), outbox.take().unwrap()];
        assert_eq!(
            again.map(|(_, record)| record.reach.key.to_string()),
            ["1", "2"]
        );
        outbox.begin_anew(|record| &*record.reach.key == "2");
        assert_eq!(outbox.take().unwrap().1, record("2", 1));
    }
}
