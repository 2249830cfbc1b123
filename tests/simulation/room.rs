//! What one person may hold of a lane, and the order of what has no room there (P8).

use super::Us;
use super::broker::{Copy, seconds};
use super::checks::{Checked, ensure};
use super::conduct::{Conduct, Item};
use super::publishing::Held;
use super::worker::Who;
use super::world::{Event, Simulation};
use std::collections::BTreeMap;
use whatsapp_dispatcher::core::request::decide::Decision;

/// What takes the lane's memory of places, or has a copy come behind others. What a lost channel had on its way comes again as if it had
/// had its place here before those that left meanwhile.
const DISORDER: [&str; 5] = [
    "session lost",
    "connection ended by a delivery",
    "channel lost",
    "lane given back",
    "publish refused",
];

impl Conduct {
    /// P8: of one person and class no more wait here than there is room for. What came again had its place before.
    pub(super) fn check_room(&self) -> Checked {
        let mut people: BTreeMap<(usize, bool), usize> = BTreeMap::new();
        for (ticket, item) in &self.waiting {
            let came_again = item.copy.redelivered || self.doubted.contains(ticket);
            if let Some(person) = item.person.filter(|_| !came_again) {
                *people.entry((person, item.copy.high)).or_default() += 1;
            }
        }
        let most = people.into_values().max().unwrap_or(0);
        // The one that was in flight may have come back to its place.
        let room = 2 * self.config.person_max(None) + 1;
        ensure(most <= room, "P8", || {
            format!("{most} requests to one person wait, there is room for {room}")
        })
    }
}

impl Simulation {
    /// It leaves because there is no room for it, or its person has no allowance left: it keeps its place.
    pub(super) fn note_departure(&mut self, who: Who, held: &Held, decision: &Decision) {
        let Decision::Delay { message, .. } = decision else {
            return;
        };
        let now = self.now();
        let request = held.request;
        let conduct = &self.shell_mut(who).conduct;
        let is_held = conduct.is_paused(message.template.as_ref(), now);
        // Or another of its id is under way, and it loses its place.
        let facts = &self.plan.requests[request];
        let may_wait = facts.dedupe_s.is_some() || facts.link.is_some();
        let due_ms = self.plan.requests[request].not_before_ms.unwrap_or(0);
        if !is_held && !may_wait && due_ms <= now.wall_ms {
            self.tally.count("no room for its person");
            self.note(|| format!("{who} has no room for request {request}"));
            self.departures.insert(held.tag);
        }
    }

    /// Among what is sent for the first time and never left for the ladder, or for its person's sake only, each person's requests of a
    /// class keep their order. Of those that left only the process knows that had them leave, so it must have had the lane all the time,
    /// and all that it published must have been taken at once.
    pub(super) fn check_order(&mut self, lane: usize, item: &Item) -> Checked {
        let Some(person) = item.person else {
            return Ok(());
        };
        let has_left = self.departed.contains(&item.request);
        let lost = DISORDER.iter().any(|what| self.tally.0.contains_key(what));
        if has_left && (self.plan.workers > 1 || self.memory_was_lost || lost) {
            return Ok(());
        }
        if has_left {
            self.tally.count("kept its place on the ladder");
        }
        let high = self.plan.requests[item.request].high;
        let last = self.order.entry((lane, person, high)).or_default();
        let (before, this) = (*last, self.publications[&item.request]);
        *last = this;
        ensure(before < this, "order", || {
            format!(
                "request {} overtook a later one to the same person",
                item.request
            )
        })
    }

    /// When the next publish of this worker's reaches the broker: it has one channel for them.
    pub(super) fn publish_frame(&mut self, worker: usize) -> Us {
        let at = self.now_us + self.hop();
        let last = self.publishes.entry(worker).or_default();
        *last = at.max(*last);
        *last
    }

    /// Onto the ladder: it comes off within a moment of its time, and behind those that were there before it for as long.
    pub(super) fn climb(&mut self, copy: Copy, delay_s: u32) {
        self.broker.climb(copy.request);
        let late = self.chance.within(0..=300_000);
        let at = self.now_us + seconds(delay_s) + late;
        let last = self.ladder.entry(delay_s).or_default();
        *last = at.max(*last);
        let at = *last;
        self.at(at, Event::OffLadder(copy));
    }
}
