//! Requests of one person that wait on the delay ladder because the lane has no room for them, and how they keep their order.
//!
//! Each request of a line (a person's of one class) that is away has a place. While one is away, whatever comes after it leaves as
//! well, to come back behind all others. So whatever waits in the lane comes before all that is away. The places are in the memory of the
//! lane: a worker that takes it over knows nothing of them.

use super::allowance::{Debtor, debtor};
use super::line::Key;
use crate::contract::words::Priority;
use crate::core::Now;
use crate::core::request::message::Message;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Delays of different lengths take different ways down the ladder: what must come later is due so much later.
const APART: Duration = Duration::from_secs(1);

/// And so much for each queue that it passes less: each may be a little late.
const HOP: Duration = Duration::from_millis(500);

pub(super) type LineId = (Debtor, Priority);

/// A request, as 64 bits of a hash.
pub(super) type Name = u64;

pub(super) fn name(message: &Message) -> Name {
    let mut hasher = DefaultHasher::new();
    (message.id.as_str(), message.incarnation).hash(&mut hasher);
    hasher.finish()
}

pub(super) fn line_of(message: &Message) -> Option<LineId> {
    let key = Key::Person(message.recipient.clone()?);
    Some((debtor(&key)?, message.priority))
}

/// The requests of one line that are away.
#[derive(Default)]
pub(super) struct Gone {
    /// In the order in which they come off the ladder.
    pub(super) trips: VecDeque<(Name, i64)>,
    pub(super) places: BTreeSet<i64>,
    /// When the last one that left is wanted here again; when it comes off the ladder, and how long it is there.
    pub(super) wanted: Duration,
    pub(super) due: Duration,
    pub(super) delay_s: u32,
}

impl Gone {
    /// Notes that one is back, or somewhere else. Those that should have come before it are lost, or with another worker.
    pub(super) fn came_back(&mut self, name: Name, is_off_the_ladder: bool) -> Option<Back> {
        let index = self.trips.iter().position(|(other, _)| *other == name)?;
        let (_, place) = *self.trips.get(index)?;
        let gone = if is_off_the_ladder {
            self.trips.drain(..=index)
        } else {
            self.trips.drain(index..=index)
        };
        for (_, place) in gone {
            self.places.remove(&place);
        }
        let is_early = self.places.first().is_some_and(|first| *first < place);
        Some(Back { place, is_early })
    }

    pub(super) fn leaves(&mut self, name: Name, place: i64, how: Departure, now: Now) {
        self.trips.push_back((name, place));
        self.places.insert(place);
        self.wanted = how.wanted;
        self.delay_s = how.delay_s;
        self.due = now.mono + Duration::from_secs(how.delay_s.into());
    }

    /// Which delay brings one back at `wanted` or later, behind the last: the same as that one's, whose way keeps the order by itself, or
    /// another that ends late enough.
    pub(super) fn delay_s(&self, wanted: Duration, now: Now) -> u32 {
        let wait_s = wanted.saturating_sub(now.mono).as_secs();
        let least_s = u32::try_from(wait_s + 1).unwrap_or(u32::MAX);
        let left = self.due.saturating_sub(now.mono);
        let is_behind = |delay_s: &u32| {
            let more_hops = self
                .delay_s
                .count_ones()
                .saturating_sub(delay_s.count_ones());
            Duration::from_secs((*delay_s).into()) >= left + APART + HOP * more_hops
        };
        let first_s = u32::try_from(left.as_secs())
            .unwrap_or(u32::MAX)
            .max(least_s);
        let another = (first_s..).find(is_behind).unwrap_or(u32::MAX);
        if self.delay_s >= least_s {
            another.min(self.delay_s)
        } else {
            another
        }
    }
}

/// A request that was away and is delivered again.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Back {
    pub(super) place: i64,
    /// Others that come before it are away still.
    pub(super) is_early: bool,
}

/// How one that leaves stands to those of its line that are away.
#[derive(Clone, Copy)]
pub(in crate::core) enum Leaves {
    /// The request comes after all of them.
    Behind,
    /// The request has this place among them.
    At(i64),
}

/// How a request leaves.
#[derive(Clone, Copy)]
pub(in crate::core) struct Departure {
    pub(in crate::core) delay_s: u32,
    pub(super) wanted: Duration,
}

pub(super) struct Away {
    pub(super) most: usize,
    pub(super) lines: HashMap<LineId, Gone>,
    /// The keys of `lines`, the oldest first, and some that are gone.
    pub(super) since: VecDeque<LineId>,
    pub(super) count: usize,
}

impl Away {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            lines: HashMap::new(),
            since: VecDeque::new(),
            count: 0,
        }
    }

    /// Requests, and what is kept of their lines.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.count, self.since.len())
    }

    /// Makes room for one more. Of the lines that are forgotten some may come back in another order; what went to another worker is
    /// forgotten here in the end.
    pub(super) fn make_room(&mut self) {
        while self.count >= self.most
            && let Some(oldest) = self.since.pop_front()
        {
            let gone = self.lines.remove(&oldest);
            self.count -= gone.map_or(0, |gone| gone.trips.len());
        }
        // Lines come and go; those that are gone are not to pile up.
        if self.since.len() > 2 * self.lines.len() + 16 {
            let (lines, mut seen) = (&self.lines, HashSet::new());
            let is_there = |line: &LineId| lines.contains_key(line) && seen.insert(*line);
            self.since.retain(is_there);
        }
    }
}
