//! Requests that say `dedupe`: what a lane remembers of ids, so that none of them is sent again too soon.
//!
//! * Of several deliveries with one id that the lane has in hand, the first *leads*. Those that say `dedupe` wait for its end on the delay
//!   ladder, where they hold up nobody.
//! * How ids have ended, and which went onto the ladder, is remembered from the first request on that says `dedupe`, as far back as those
//!   ask: eight bytes of hash and two moments for each id.
//! * What was before, and while another worker may have had the lane, is read from `wa.results.log`, once for all requests, and comes in
//!   parts of which none is kept. Until all is read, nothing that needs it is sent.
//! * What does not fit is forgotten, the oldest first; the log is then searched for single ids.

use crate::contract::request::DEDUPE_MAX_S;
use crate::core::Now;
use crate::core::lane::backlog::Ticket;
use crate::core::request::message::Message;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

mod ids;
mod word;

pub(super) use word::Look;
pub use word::{Ended, Note, Read, Recalled, Word, key};

use ids::Ids;
use word::Known;

/// Time by which ids are remembered for longer than the longest `dedupe`: whoever waits for an earlier one looks again within this.
const MARGIN_S: u32 = 600;

/// After the log could not be read, nobody waits for it in the lane for so long.
const READ_PAUSE: Duration = Duration::from_secs(5);

/// The deliveries of one id in the lane's hands.
#[derive(Default)]
struct Hand {
    lead: Option<Ticket>,
    count: u32,
}

/// From when on all is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    Nothing,
    /// Up to a moment, from which on another worker may have had the lane.
    Until {
        since_s: u32,
        until_s: u32,
    },
    Now {
        since_s: u32,
    },
}

struct Reading {
    read: Read,
    since_s: u32,
    is_late: bool,
    /// Ids of which something was noted here since it began, which supersedes what is read of them. Of those beyond what fits one that is
    /// over may count as on the ladder: what follows it waits until its own look back ends.
    heard: HashSet<u64>,
    /// Single ids, if it is of those, and what was read of them so far.
    answers: HashMap<u64, Known>,
}

impl Reading {
    fn new(read: Read, since_s: u32) -> Self {
        let only = read.only.iter().flat_map(|only| only.iter());
        Self {
            answers: only.map(|key| (*key, Known::default())).collect(),
            read,
            since_s,
            is_late: false,
            heard: HashSet::new(),
        }
    }

    fn hear(&mut self, note: &Note, most: usize) {
        if self.heard.len() < most {
            self.heard.insert(note.key);
        }
        if let Some(answer) = self.answers.get_mut(&note.key) {
            answer.apply(note);
        }
    }
}

/// The memory of one lane.
pub(super) struct Dedupe {
    /// A request has said `dedupe`.
    is_on: bool,
    in_hand: HashMap<u64, Hand>,
    ids: Ids,
    /// Ids were forgotten that somebody may ask for.
    is_full: bool,
    longest_s: u32,
    reach: Reach,
    reading: Option<Reading>,
    reads: u64,
    not_before: Duration,
    /// Wanted by somebody who waits: from when on, and of which ids where not all can be remembered.
    wanted: Option<(u32, Option<BTreeSet<u64>>)>,
    /// The log's word on single ids, for those that wait here.
    answers: HashMap<u64, Known>,
    /// When the lane was last surely this worker's.
    held_s: u32,
    now: Now,
}

impl Dedupe {
    pub(super) fn new(ids_max: usize, now: Now) -> Self {
        Self {
            is_on: false,
            in_hand: HashMap::new(),
            ids: Ids::new(ids_max),
            is_full: false,
            longest_s: 0,
            reach: Reach::Nothing,
            reading: None,
            reads: 0,
            not_before: Duration::ZERO,
            wanted: None,
            answers: HashMap::new(),
            held_s: seconds(now.wall_ms),
            now,
        }
    }

    /// Ids that are remembered.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// A delivery came into the lane's hands.
    pub(super) fn enter(&mut self, id: &str, ticket: Ticket) {
        let hand = self.in_hand.entry(key(id)).or_default();
        hand.count += 1;
        hand.lead.get_or_insert(ticket);
    }

    /// A delivery left the lane's hands.
    pub(super) fn leave(&mut self, id: &str, ticket: Ticket) {
        let key = key(id);
        let Some(hand) = self.in_hand.get_mut(&key) else {
            return;
        };
        hand.count = hand.count.saturating_sub(1);
        hand.lead = hand.lead.filter(|lead| *lead != ticket);
        if hand.count == 0 {
            self.in_hand.remove(&key);
            self.answers.remove(&key);
        }
    }

    /// The lane's channel is gone, and another worker may have the lane. These are what it still has in hand.
    pub(super) fn lost<'a>(&mut self, in_hand: impl Iterator<Item = (&'a str, Ticket)>) {
        self.in_hand.clear();
        for (id, ticket) in in_hand {
            self.enter(id, ticket);
        }
        // A worker that stood still may learn of it late, and take deliveries before.
        if let Reach::Now { since_s } = self.reach {
            let until_s = self.held_s;
            self.reach = Reach::Until { since_s, until_s };
        }
        self.reading = None;
        self.wanted = None;
        self.answers.clear();
    }

    /// Notes that the lane may send now: so it is nobody else's.
    pub(super) fn hold(&mut self, now: Now) {
        self.turn(now);
        self.held_s = self.now_s();
    }

    /// Notes what time it is.
    pub(super) fn turn(&mut self, now: Now) {
        self.now = now;
    }

    fn now_s(&self) -> u32 {
        seconds(self.now.wall_ms)
    }

    /// Takes note that a request of this id is on the ladder, or elsewhere, and will be back.
    pub(super) fn note_away(&mut self, id: &str) {
        self.note(id, self.now.wall_ms, Word::Away);
    }

    /// Takes note of an end.
    pub(super) fn note(&mut self, id: &str, at_ms: u64, word: Word) {
        if !self.is_on {
            return;
        }
        let (key, at_s) = (key(id), seconds(at_ms));
        let note = Note { key, at_s, word };
        self.ids.apply(&note, false);
        // Answers outlive what there is no room for.
        if let Some(answer) = self.answers.get_mut(&key) {
            answer.apply(&note);
        }
        if let Some(reading) = &mut self.reading {
            reading.hear(&note, self.ids.max());
        }
        self.forget();
    }

    fn forget(&mut self) {
        let horizon_s = self.now_s().saturating_sub(self.longest_s + MARGIN_S);
        let all_since_s = self.ids.forget(horizon_s);
        self.is_full |= all_since_s.is_some();
        let all_since_s = all_since_s.map_or(horizon_s, |s| s.max(horizon_s));
        match &mut self.reach {
            Reach::Nothing => {}
            Reach::Until { since_s, .. } | Reach::Now { since_s } => {
                *since_s = (*since_s).max(all_since_s);
            }
        }
        if let Some(reading) = &mut self.reading {
            reading.since_s = reading.since_s.max(all_since_s);
        }
    }

    /// Looks for an earlier request of the id of one that is about to be sent.
    pub(super) fn look(&mut self, message: &Message, ticket: Ticket) -> Look {
        let Some(dedupe_s) = message.dedupe_s else {
            return Look::Goes;
        };
        self.is_on = true;
        let key = key(message.id.as_str());
        let hand = self.in_hand.entry(key).or_default();
        if *hand.lead.get_or_insert(ticket) != ticket {
            return Look::Follows;
        }
        let look = self.look_alone(message, key, dedupe_s);
        // Nobody waits for one that is not sent: it may itself wait for another that is here.
        let hand = self.in_hand.entry(key).or_default();
        hand.lead = hand
            .lead
            .filter(|_| matches!(look, Look::Goes | Look::Unread));
        look
    }

    /// As if no other of its id were here.
    fn look_alone(&mut self, message: &Message, key: u64, dedupe_s: u32) -> Look {
        let now_s = self.now_s();
        let history = &message.history;
        // A request may have waited in RabbitMQ for long before anybody took it; one that was to be sent later came when it was due.
        let published_ms = message.enqueued_at_ms.unwrap_or(u64::MAX);
        let came_ms = history.arrived_ms.min(published_ms);
        let came_ms = came_ms.max(message.not_before_ms.unwrap_or(0));
        let came_s = seconds(came_ms.min(self.now.wall_ms));
        let since_s = came_s
            .saturating_sub(dedupe_s)
            .max(now_s.saturating_sub(DEDUPE_MAX_S));
        self.longest_s = self.longest_s.max(now_s.saturating_sub(since_s));
        let is_own_copy = history.hops > 0 && !history.follows;
        let look = self.ids.get(key).look(since_s, is_own_copy);
        // An end stays true; what was on the ladder may have ended since.
        if matches!(look, Look::Ended(_)) || self.reaches(since_s) {
            return look;
        }
        if let Some(answer) = self.answers.get(&key) {
            return answer.look(since_s, is_own_copy);
        }
        self.want(key, since_s);
        let is_late = self.reading.as_ref().is_some_and(|r| r.is_late);
        if is_late || self.now.mono < self.not_before {
            Look::Follows
        } else {
            Look::Unread
        }
    }

    fn reaches(&self, since_s: u32) -> bool {
        matches!(self.reach, Reach::Now { since_s: known_s } if known_s <= since_s)
    }

    fn want(&mut self, key: u64, since_s: u32) {
        let is_beyond = self.is_full && matches!(self.reach, Reach::Now { .. });
        let wanted = self.wanted.take();
        let since_s = wanted
            .as_ref()
            .map_or(since_s, |wanted| since_s.min(wanted.0));
        let only = match wanted {
            Some((_, None)) => None,
            Some((_, only @ Some(_))) if is_beyond => only,
            None if is_beyond => Some(BTreeSet::new()),
            Some(_) | None => None,
        };
        let only = only.map(|mut only| {
            only.insert(key);
            only
        });
        self.wanted = Some((since_s, only));
    }

    /// Says what is to be read now.
    pub(super) fn next_read(&mut self) -> Option<Read> {
        if self.reading.is_some() || self.now.mono < self.not_before {
            return None;
        }
        let (wanted_s, only) = self.wanted.take()?;
        let (from_s, since_s) = match self.reach {
            Reach::Until { since_s, until_s } if (since_s..=until_s).contains(&wanted_s) => {
                (until_s, since_s)
            }
            Reach::Until { .. } | Reach::Nothing | Reach::Now { .. } => (wanted_s, wanted_s),
        };
        self.reads += 1;
        let read = Read {
            number: self.reads,
            from_s,
            only: only.map(Arc::new),
        };
        // All is read again, and not only what came last: what was forgotten comes again.
        self.is_full &= read.only.is_some() || from_s != since_s;
        self.reading = Some(Reading::new(read.clone(), since_s));
        Some(read)
    }

    /// Whether more of this is wanted.
    pub(super) fn is_reading(&self, number: u64) -> bool {
        self.reading
            .as_ref()
            .is_some_and(|r| r.read.number == number)
    }

    /// Takes what was read. True if whoever waits for it may look again.
    pub(super) fn recalled(&mut self, number: u64, recalled: Recalled) -> bool {
        let Some(mut reading) = self.reading.take_if(|r| r.read.number == number) else {
            return false;
        };
        match recalled {
            Recalled::Notes(notes) => {
                self.reading = Some(reading);
                notes.iter().for_each(|note| self.learn(note));
                return false;
            }
            Recalled::Late => {
                reading.is_late = true;
                self.reading = Some(reading);
                return true;
            }
            Recalled::Failed => self.not_before = self.now.mono + READ_PAUSE,
            Recalled::Whole if reading.read.only.is_some() => {
                let answers = reading.answers.into_iter();
                let waits = |(key, _): &(u64, Known)| self.in_hand.contains_key(key);
                self.answers.extend(answers.filter(waits));
            }
            Recalled::Whole => {
                let since_s = reading.since_s;
                self.reach = Reach::Now { since_s };
            }
        }
        // All that wait look again, and say so if they need more.
        self.wanted = None;
        true
    }

    fn learn(&mut self, note: &Note) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        let superseded = reading.heard.contains(&note.key);
        if reading.read.only.is_none() {
            self.ids.apply(note, superseded);
            return self.forget();
        }
        if let Some(answer) = reading.answers.get_mut(&note.key) {
            if superseded {
                answer.apply_superseded(note);
            } else {
                answer.apply(note);
            }
        }
    }
}

fn seconds(ms: u64) -> u32 {
    u32::try_from(ms / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
