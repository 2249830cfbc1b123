//! Requests of one person that wait on the delay ladder because the lane has no room for them, and how they keep their order.
//!
//! Of a line (a person's requests of one class) each that is away has a place. While one is away, whatever comes after it leaves as
//! well, to come back behind all others. So whatever waits in the lane comes before all that is away. The places are in the memory of the
//! lane: a worker that takes it over knows nothing of them.

use super::allowance::{Debtor, debtor};
use super::{Backlog, Key, Waiting};
use crate::core::Now;
use crate::core::message::{Message, Priority};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Delays of different lengths take different ways down the ladder: what must come later is due so much later.
const APART: Duration = Duration::from_secs(1);

/// And so much for each queue that it passes less: each may be a little late.
const HOP: Duration = Duration::from_millis(500);

type LineId = (Debtor, Priority);

/// A request, as 64 bits of a hash.
type Name = u64;

fn name(message: &Message) -> Name {
    let mut hasher = DefaultHasher::new();
    (message.id.as_str(), message.incarnation).hash(&mut hasher);
    hasher.finish()
}

fn line_of(message: &Message) -> Option<LineId> {
    let key = Key::Person(message.recipient.clone()?);
    Some((debtor(&key)?, message.priority))
}

/// Of one line, what is away.
#[derive(Default)]
struct Gone {
    /// In the order in which they come off the ladder.
    trips: VecDeque<(Name, i64)>,
    places: BTreeSet<i64>,
    /// When the last one that left is wanted here again; when it comes off the ladder, and how long it is there.
    wanted: Duration,
    due: Duration,
    delay_s: u32,
}

impl Gone {
    /// It is back, or somewhere else. Those that should have come before it are lost, or with another worker.
    fn came_back(&mut self, name: Name, is_off_the_ladder: bool) -> Option<Back> {
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

    fn leaves(&mut self, name: Name, place: i64, how: Departure, now: Now) {
        self.trips.push_back((name, place));
        self.places.insert(place);
        self.wanted = how.wanted;
        self.delay_s = how.delay_s;
        self.due = now.mono + Duration::from_secs(how.delay_s.into());
    }

    /// Which delay brings one back at `wanted` or later, behind the last: the same as that one's, whose way keeps the order by itself, or
    /// another that ends late enough.
    fn delay_s(&self, wanted: Duration, now: Now) -> u32 {
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

/// What was away is delivered again.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Back {
    place: i64,
    /// Others that come before it are away still.
    is_early: bool,
}

/// How one that leaves stands to those of its line that are away.
#[derive(Clone, Copy)]
pub(in crate::core) enum Leaves {
    /// It comes after all of them.
    Behind,
    /// It has this place among them.
    At(i64),
}

/// How a request leaves.
#[derive(Clone, Copy)]
pub(in crate::core) struct Departure {
    pub(in crate::core) delay_s: u32,
    wanted: Duration,
}

pub(super) struct Away {
    most: usize,
    lines: HashMap<LineId, Gone>,
    /// Those of `lines`, the oldest first, and some that are gone.
    since: VecDeque<LineId>,
    count: usize,
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
    fn make_room(&mut self) {
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

impl Backlog {
    /// A request is delivered. Whether it was away.
    pub(in crate::core) fn came_back(&mut self, message: &Message) -> Option<Back> {
        // Another publication of its id was never away.
        let may_have_been = message.history.hops > 0 || message.redelivered;
        if self.away.lines.is_empty() || !may_have_been {
            return None;
        }
        let line = line_of(message)?;
        let gone = self.away.lines.get_mut(&line)?;
        let before = gone.trips.len();
        let is_off_the_ladder = !message.redelivered;
        let back = gone.came_back(name(message), is_off_the_ladder);
        self.away.count -= before - gone.trips.len();
        if gone.trips.is_empty() {
            self.away.lines.remove(&line);
        }
        back
    }

    /// How a request that is delivered for the first time has to leave: its person has `most` waiting here, or others of its line are
    /// away that come before it. What was on the ladder has twice the room, so that it need not leave again.
    pub(in crate::core) fn has_to_leave(
        &self,
        message: &Message,
        back: Option<Back>,
        most: usize,
    ) -> Option<Leaves> {
        let line = line_of(message)?;
        let key = Key::Person(message.recipient.clone()?);
        let here = self.waiting_in(&key, message.priority);
        let history = &message.history;
        let most = if history.hops > 0 { 2 * most } else { most };
        if let Some(back) = back {
            return (back.is_early || here >= most).then_some(Leaves::At(back.place));
        }
        // A retry has lost its place in any case.
        let follows = history.attempts == 0 && self.away.lines.contains_key(&line);
        (follows || here >= most).then_some(Leaves::Behind)
    }

    /// From where on these have places before all that are away.
    pub(in crate::core) fn place_before_all(&self, waiting: &[Waiting]) -> i64 {
        let line = waiting.first().and_then(|first| line_of(&first.message));
        let gone = line.and_then(|line| self.away.lines.get(&line));
        let first = gone.and_then(|gone| gone.places.first().copied());
        let count = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
        first.unwrap_or(0).saturating_sub(count)
    }

    /// How one leaves that is wanted here again at that moment, or `spacing` after the last one that left.
    pub(in crate::core) fn departure(
        &self,
        message: &Message,
        wanted: Duration,
        spacing: Duration,
        now: Now,
    ) -> Departure {
        let gone = line_of(message).and_then(|line| self.away.lines.get(&line));
        let wanted = gone.map_or(wanted, |gone| wanted.max(gone.wanted + spacing));
        let none = Gone::default();
        Departure {
            delay_s: gone.unwrap_or(&none).delay_s(wanted, now),
            wanted,
        }
    }

    /// Notes that it leaves.
    pub(in crate::core) fn leaves(
        &mut self,
        message: &Message,
        leaves: Leaves,
        how: Departure,
        now: Now,
    ) {
        let Some(line) = line_of(message) else {
            return;
        };
        self.away.make_room();
        let since = &mut self.away.since;
        let gone = self.away.lines.entry(line).or_insert_with(|| {
            since.push_back(line);
            Gone::default()
        });
        let place = match leaves {
            Leaves::Behind => gone.places.last().map_or(0, |last| last + 1),
            Leaves::At(place) => place,
        };
        gone.leaves(name(message), place, how, now);
        self.away.count += 1;
    }
}
