//! How requests of a line leave for the delay ladder, and come back.

use super::away::{Back, Departure, Gone, Leaves, line_of, name};
use super::{Backlog, Key, Waiting};
use crate::core::Now;
use crate::core::request::message::Message;
use std::time::Duration;

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
