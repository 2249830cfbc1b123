//! How far back the log of results has to be read for requests that RabbitMQ delivers again.
//!
//! Places in the log are counted in entries, never in hours: whose clock is right nobody knows. It is read backwards, in steps, until
//! each request was found, or nothing older can be of it:
//! * Each entry says which worker wrote it, when, and until when that worker had settled all, by that worker's own monotonic clock.
//!   What the former holder of a lane had not settled when it wrote its last, it published after that. So enough was read once an entry
//!   of its was seen that is older. With many thousand entries a minute this is soon.
//! * Whose former holder is not known, or had the lane for a moment only: RabbitMQ notices a silent worker after two to three
//!   heartbeats, and so much time, by any one worker's clock, is read.

use crate::core::ms;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// Entries of the first step. Source: measured, RabbitMQ 4.0 delivers some 40,000 a second, and a step more costs 15 ms.
pub const FIRST_STEP: u64 = 6_000;

/// Entries of the longest step.
const LONGEST_STEP: u64 = 8_000;

/// How much entries may stand out of order.
const DISORDER: Duration = Duration::from_secs(1);

/// The writer of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// A life of a worker.
    pub run: u64,
    /// When, in milliseconds of that life.
    pub at_ms: u64,
    /// All that began before then is settled.
    pub settled_ms: u64,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.run, self.at_ms, self.settled_ms)
    }
}

impl Stamp {
    /// `None` if it is not one.
    pub fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ').map(|number| number.parse().ok());
        Some(Self {
            run: numbers.next()??,
            at_ms: numbers.next()??,
            settled_ms: numbers.next()??,
        })
    }
}

/// The request whose result is looked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Wanted {
    /// A phone number id.
    pub lane: String,
    pub id: String,
    /// The result of an earlier publication of the same id is another's.
    pub incarnation: Option<u64>,
    /// How often it has come off the ladder: a copy that was made before that is itself.
    pub hops: u32,
}

/// One request that is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    pub wanted: Wanted,
    /// The former holder, if that is known.
    pub former: Option<Former>,
}

/// The former holder of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Former {
    pub run: u64,
    /// For how long it has not had the lane any more. It may have lost no more than that: then it has gone on, and settled other lanes'
    /// requests.
    pub gone: Duration,
}

/// The word of an entry on a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// How it has ended.
    Ended,
    /// The request was copied onto the ladder when it had come off it so often.
    Copied(u32),
}

/// One entry of the log.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub offset: u64,
    pub lane: &'a str,
    pub id: &'a str,
    /// `None`: it does not say.
    pub incarnation: Option<Option<u64>>,
    pub told: Told,
    pub stamp: Option<Stamp>,
}

/// The entries seen of one worker, by its own clock.
struct Seen {
    first_ms: u64,
    last_ms: u64,
    /// Requests that began later may be unsettled.
    settled_ms: u64,
}

/// A search as it goes on. `F`: what is kept of an entry that was looked for.
pub struct Scan<F> {
    questions: Vec<Question>,
    by_id: HashMap<String, Vec<usize>>,
    /// Any result counts for more than a copy, and of several the last.
    found: HashMap<Wanted, (bool, u64, F)>,
    workers: HashMap<u64, Seen>,
    lookback_ms: u64,
    first_step: u64,
    entries: u64,
}

impl<F> Scan<F> {
    /// `lookback`: what is read if nothing shows that less is enough; `first_step`: entries.
    pub fn new(questions: Vec<Question>, lookback: Duration, first_step: u64) -> Self {
        let mut by_id: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, question) in questions.iter().enumerate() {
            let id = question.wanted.id.clone();
            by_id.entry(id).or_default().push(number);
        }
        Self {
            questions,
            by_id,
            found: HashMap::new(),
            workers: HashMap::new(),
            lookback_ms: ms(lookback),
            first_step,
            entries: 0,
        }
    }

    /// An entry was read. `keep`: called if it is one that is looked for.
    pub fn note(&mut self, entry: &Entry<'_>, keep: impl Fn() -> F) {
        self.entries += 1;
        if let Some(stamp) = entry.stamp {
            self.note_stamp(stamp);
        }
        let Some(numbers) = self.by_id.get(entry.id) else {
            return;
        };
        for number in numbers {
            let question = self.questions.get(*number);
            let Some(Question { wanted, .. }) = question.filter(|q| is_of(entry, &q.wanted)) else {
                continue;
            };
            let is_result = entry.told == Told::Ended;
            let known = self.found.get(wanted);
            if known.is_none_or(|(was, offset, _)| (is_result, entry.offset) > (*was, *offset)) {
                let found = (is_result, entry.offset, keep());
                self.found.insert(wanted.clone(), found);
            }
        }
    }

    fn note_stamp(&mut self, stamp: Stamp) {
        let at_ms = stamp.at_ms;
        let seen = self.workers.entry(stamp.run).or_insert(Seen {
            first_ms: at_ms,
            last_ms: at_ms,
            settled_ms: 0,
        });
        seen.first_ms = seen.first_ms.min(at_ms);
        seen.last_ms = seen.last_ms.max(at_ms);
        seen.settled_ms = seen.settled_ms.max(stamp.settled_ms);
    }

    /// Where to read from next, up to `known_from`, from where on all was read; `None`: enough was.
    pub fn next_step(&self, known_from: u64) -> Option<u64> {
        let is_far_back = self.is_far_back();
        let is_enough = |question: &Question| {
            self.found.contains_key(&question.wanted)
                || is_far_back
                || question
                    .former
                    .is_some_and(|former| self.is_covered(former))
        };
        if known_from == 0 || self.questions.iter().all(is_enough) {
            return None;
        }
        let step = (self.entries / 2).clamp(self.first_step, LONGEST_STEP.max(self.first_step));
        Some(known_from.saturating_sub(step))
    }

    fn is_far_back(&self) -> bool {
        let mut workers = self.workers.values();
        workers.any(|seen| seen.last_ms - seen.first_ms > self.lookback_ms)
    }

    fn is_covered(&self, former: Former) -> bool {
        let seen = self.workers.get(&former.run);
        let more_ms = ms(former.gone + DISORDER);
        seen.is_some_and(|seen| seen.first_ms.saturating_add(more_ms) < seen.settled_ms)
    }

    /// How much was read.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    pub fn into_found(self) -> HashMap<Wanted, F> {
        let found = self.found.into_iter();
        found
            .map(|(wanted, (_, _, found))| (wanted, found))
            .collect()
    }
}

fn is_of(entry: &Entry<'_>, wanted: &Wanted) -> bool {
    // Entries of an earlier version of this program do not say.
    let is_same = entry
        .incarnation
        .is_none_or(|its| its == wanted.incarnation);
    let is_after = match entry.told {
        Told::Ended => true,
        Told::Copied(hops) => hops >= wanted.hops,
    };
    entry.lane == wanted.lane && is_same && is_after
}

#[cfg(test)]
mod tests;
