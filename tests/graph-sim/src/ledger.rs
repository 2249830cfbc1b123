//! What truly happened: every accepted message, and counts of everything else.

use crate::limits::SlidingSecond;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// One accepted message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// 1, 2, 3 … in order of acceptance.
    pub seq: u64,
    /// When it arrived, in milliseconds since the simulator started.
    pub at_ms: f64,
    pub phone_number_id: String,
    /// Digits of a phone number, or a user's or group's id.
    pub recipient: String,
    /// The message type, such as `text`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The request's `biz_opaque_callback_data`.
    pub opaque: Option<String>,
    pub wamid: String,
    /// The body's `ttl_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// The request's body, if the options ask to keep bodies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Part of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// What to ask for next: `after=next`.
    pub next: u64,
    /// Whether there was more than fits into a page.
    pub more: bool,
    /// Entries that the capacity has pushed out since the last reset.
    pub dropped: u64,
}

/// A number of things at this moment, and its maximum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    pub now: u64,
    pub max: u64,
}

impl Gauge {
    pub(crate) fn enter(&mut self) {
        self.now += 1;
        self.max = self.max.max(self.now);
    }

    pub(crate) fn leave(&mut self) {
        self.now = self.now.saturating_sub(1);
    }
}

/// Everything the simulator counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Milliseconds since the simulator started.
    pub now_ms: f64,
    /// Requests received and neither answered nor given up.
    pub in_flight: Gauge,
    /// Those of them that are `POST`s: sends, marks as read and typing.
    pub posts_in_flight: Gauge,
    pub connections: Gauge,
    /// Requests for unknown paths, numbers and WABAs.
    pub strays: u64,
    /// `GET`s of a WABA's templates by WABA id, refused or not.
    pub template_gets: BTreeMap<String, u64>,
    /// `GET`s of `/debug_token`, refused or not.
    pub token_gets: u64,
    /// How often each fault of the current script struck, in the script's order.
    pub struck: Vec<u64>,
    /// By phone number id.
    pub numbers: BTreeMap<String, NumberStats>,
}

/// What one number has seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NumberStats {
    /// Sends that arrived, whatever became of them. Without marks as read.
    pub received: u64,
    pub accepted: u64,
    /// Refusals by error code, whether by the rules or by a script.
    pub rejected: BTreeMap<i64, u64>,
    /// Accepted marks as read and typing indicators.
    pub reads: u64,
    /// `GET`s of the number.
    pub gets: u64,
    /// Faults by the action's name.
    pub faults: BTreeMap<String, u64>,
    /// The most sends that arrived in any sliding second.
    pub max_received_per_second: u64,
    /// The most sends that were accepted in any sliding second.
    pub max_accepted_per_second: u64,
    pub first_accepted_ms: Option<f64>,
    pub last_accepted_ms: Option<f64>,
    /// Accepted sends whose `biz_opaque_callback_data` had been accepted before.
    /// Absent when no ledger is kept.
    pub duplicates: Option<u64>,
    pub in_flight: Gauge,
}

#[derive(Debug, Default)]
struct Tally {
    stats: NumberStats,
    received: SlidingSecond,
    accepted: SlidingSecond,
}

/// The accepted messages, as many as the capacity allows, and the counts.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    capacity: usize,
    entries: VecDeque<Entry>,
    accepted: u64,
    /// How often each opaque id is in `entries`.
    seen: HashMap<String, u32>,
    tallies: Vec<(String, Tally)>,
    /// Where each number's tally is.
    index: HashMap<String, usize>,
    in_flight: Gauge,
    posts_in_flight: Gauge,
    strays: u64,
    template_gets: BTreeMap<String, u64>,
    token_gets: u64,
}

/// An accepted message on its way into the ledger.
pub(crate) struct Acceptance<'a> {
    pub(crate) recipient: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) opaque: Option<&'a str>,
    pub(crate) wamid: &'a str,
    pub(crate) ttl_seconds: Option<u64>,
    pub(crate) body: Option<&'a [u8]>,
}

pub(crate) fn as_ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

impl Ledger {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    /// Forgets everything but what is in flight right now.
    pub(crate) fn reset(&mut self) {
        let mut fresh = Self::new(self.capacity);
        fresh.in_flight = still(self.in_flight);
        fresh.posts_in_flight = still(self.posts_in_flight);
        for (number, tally) in &self.tallies {
            fresh.tally(number).stats.in_flight = still(tally.stats.in_flight);
        }
        *self = fresh;
    }

    fn tally(&mut self, number: &str) -> &mut Tally {
        let at = match self.index.get(number) {
            Some(at) => *at,
            None => {
                self.index.insert(number.to_owned(), self.tallies.len());
                self.tallies.push((number.to_owned(), Tally::default()));
                self.tallies.len() - 1
            }
        };
        &mut self.tallies[at].1
    }

    pub(crate) fn received(&mut self, number: &str, now_us: u64) {
        let tally = self.tally(number);
        tally.stats.received += 1;
        tally.received.push(now_us);
    }

    pub(crate) fn accept(&mut self, number: &str, now_us: u64, message: Acceptance<'_>) {
        let at_ms = as_ms(now_us);
        let duplicate = self.keep(number, at_ms, message);
        let tally = self.tally(number);
        tally.accepted.push(now_us);
        tally.stats.accepted += 1;
        tally.stats.first_accepted_ms.get_or_insert(at_ms);
        tally.stats.last_accepted_ms = Some(at_ms);
        tally.stats.duplicates =
            duplicate.map(|duplicate| tally.stats.duplicates.unwrap_or(0) + u64::from(duplicate));
    }

    /// Adds an entry; says whether its opaque id is there already, if that is known.
    fn keep(&mut self, number: &str, at_ms: f64, message: Acceptance<'_>) -> Option<bool> {
        self.accepted += 1;
        if self.capacity == 0 {
            return None;
        }
        while self.entries.len() >= self.capacity {
            self.drop_oldest();
        }
        let body = message
            .body
            .map(|body| String::from_utf8_lossy(body).into_owned());
        self.entries.push_back(Entry {
            seq: self.accepted,
            at_ms,
            phone_number_id: number.to_owned(),
            recipient: message.recipient.to_owned(),
            kind: message.kind.to_owned(),
            opaque: message.opaque.map(str::to_owned),
            wamid: message.wamid.to_owned(),
            ttl_seconds: message.ttl_seconds,
            body,
        });
        let Some(opaque) = message.opaque else {
            return Some(false);
        };
        let times = self.seen.entry(opaque.to_owned()).or_default();
        *times += 1;
        Some(*times > 1)
    }

    fn drop_oldest(&mut self) {
        let Some(opaque) = self.entries.pop_front().and_then(|entry| entry.opaque) else {
            return;
        };
        if let Some(times) = self.seen.get_mut(&opaque) {
            *times -= 1;
            if *times == 0 {
                self.seen.remove(&opaque);
            }
        }
    }

    /// Counts a refusal; not one of a request that is about no number.
    pub(crate) fn reject(&mut self, number: Option<&str>, code: i64) {
        if let Some(number) = number {
            *self.tally(number).stats.rejected.entry(code).or_default() += 1;
        }
    }

    /// Counts a fault; not one of a request that is about no number.
    pub(crate) fn fault(&mut self, number: Option<&str>, name: &str) {
        if let Some(number) = number {
            let faults = &mut self.tally(number).stats.faults;
            *faults.entry(name.to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn read(&mut self, number: &str) {
        self.tally(number).stats.reads += 1;
    }

    pub(crate) fn get(&mut self, number: &str) {
        self.tally(number).stats.gets += 1;
    }

    pub(crate) fn template_get(&mut self, waba: &str) {
        *self.template_gets.entry(waba.to_owned()).or_default() += 1;
    }

    pub(crate) fn token_get(&mut self) {
        self.token_gets += 1;
    }

    pub(crate) fn stray(&mut self) {
        self.strays += 1;
    }

    /// Notes a request in flight; without a number for one that is about none, or one
    /// that nobody serves.
    pub(crate) fn enter(&mut self, number: Option<&str>, is_post: bool) {
        self.in_flight.enter();
        if is_post {
            self.posts_in_flight.enter();
        }
        if let Some(number) = number {
            self.tally(number).stats.in_flight.enter();
        }
    }

    pub(crate) fn leave(&mut self, number: Option<&str>, is_post: bool) {
        self.in_flight.leave();
        if is_post {
            self.posts_in_flight.leave();
        }
        if let Some(number) = number {
            self.tally(number).stats.in_flight.leave();
        }
    }

    /// Up to `limit` entries after sequence number `after`.
    pub(crate) fn page(&self, after: u64, limit: usize) -> Page {
        let first_seq = self
            .entries
            .front()
            .map_or(self.accepted + 1, |entry| entry.seq);
        let skip = usize::try_from((after + 1).saturating_sub(first_seq)).unwrap_or(usize::MAX);
        let entries: Vec<Entry> = self
            .entries
            .iter()
            .skip(skip)
            .take(limit)
            .cloned()
            .collect();
        let next = entries.last().map_or(after, |entry| entry.seq);
        Page {
            more: next < self.accepted && !entries.is_empty(),
            next,
            entries,
            dropped: first_seq - 1,
        }
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    pub(crate) fn stats(&self, now_us: u64) -> Stats {
        let numbers = self.tallies.iter().map(|(number, tally)| {
            let stats = NumberStats {
                max_received_per_second: tally.received.peak(),
                max_accepted_per_second: tally.accepted.peak(),
                ..tally.stats.clone()
            };
            (number.clone(), stats)
        });
        Stats {
            now_ms: as_ms(now_us),
            in_flight: self.in_flight,
            posts_in_flight: self.posts_in_flight,
            strays: self.strays,
            template_gets: self.template_gets.clone(),
            token_gets: self.token_gets,
            numbers: numbers.collect(),
            ..Stats::default()
        }
    }
}

/// A gauge whose maximum starts over.
fn still(gauge: Gauge) -> Gauge {
    Gauge {
        now: gauge.now,
        max: gauge.now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(ledger: &mut Ledger, opaque: &str, now_us: u64) {
        let message = Acceptance {
            recipient: "34600112233",
            kind: "text",
            opaque: Some(opaque),
            wamid: "wamid.1",
            ttl_seconds: None,
            body: None,
        };
        ledger.accept("111", now_us, message);
    }

    #[test]
    fn pages_follow_each_other() {
        let mut ledger = Ledger::new(100);
        (0..5).for_each(|i| accept(&mut ledger, &i.to_string(), i));
        let first = ledger.page(0, 3);
        assert_eq!((first.entries.len(), first.next, first.more), (3, 3, true));
        let second = ledger.page(first.next, 3);
        assert_eq!(
            (second.entries.len(), second.next, second.more),
            (2, 5, false)
        );
        let third = ledger.page(second.next, 3);
        assert_eq!((third.entries.len(), third.next, third.more), (0, 5, false));
    }

    #[test]
    fn the_capacity_bounds_the_entries_and_says_what_it_dropped() {
        let mut ledger = Ledger::new(2);
        (0..5).for_each(|i| accept(&mut ledger, &i.to_string(), i));
        let page = ledger.page(0, 10);
        assert_eq!(
            (page.entries[0].seq, page.entries.len(), page.dropped),
            (4, 2, 3)
        );
        assert_eq!(ledger.seen.len(), 2);
        assert_eq!(ledger.accepted(), 5);
    }

    #[test]
    fn duplicates_are_counted_by_opaque_id_and_unknown_without_a_ledger() {
        let mut ledger = Ledger::new(100);
        ["a", "b", "a", "a"]
            .iter()
            .for_each(|id| accept(&mut ledger, id, 1));
        assert_eq!(ledger.stats(2).numbers["111"].duplicates, Some(2));

        let mut counters_only = Ledger::new(0);
        ["a", "a"]
            .iter()
            .for_each(|id| accept(&mut counters_only, id, 1));
        let stats = &counters_only.stats(2).numbers["111"];
        assert_eq!((stats.duplicates, stats.accepted), (None, 2));
        assert!(counters_only.page(0, 10).entries.is_empty());
    }

    #[test]
    fn a_reset_keeps_only_what_is_in_flight() {
        let mut ledger = Ledger::new(100);
        ledger.enter(Some("111"), true);
        ledger.enter(Some("111"), false);
        ledger.leave(Some("111"), false);
        accept(&mut ledger, "a", 1);
        ledger.reset();
        let stats = ledger.stats(2);
        assert_eq!(stats.in_flight, Gauge { now: 1, max: 1 });
        assert_eq!(stats.posts_in_flight, Gauge { now: 1, max: 1 });
        assert_eq!(stats.numbers["111"].in_flight, Gauge { now: 1, max: 1 });
        assert_eq!(
            (
                stats.numbers["111"].accepted,
                ledger.page(0, 1).entries.len()
            ),
            (0, 0)
        );
    }
}
