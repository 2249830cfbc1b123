//! Work on holds as time goes by: asking the API, ending what is over, telling pauses again.

use super::entry::Entry;
use super::pause::Pause;
use super::{Health, Holds, News, Place, Reach, Record, Why};
use crate::contract::words::Scope;
use crate::core::request::message::LaneId;
use crate::core::{Now, ms};

/// The work that a moment brings.
#[derive(Debug, PartialEq)]
pub enum Due {
    /// Ask the API whether this is over, by this lane's number.
    Ask(Reach, LaneId),
    /// Over: tell the lanes.
    Ended(Reach),
    /// Tell the others again.
    Tell(Record),
}

impl Holds {
    /// Something has to be done now.
    pub fn is_due(&self, now: Now) -> bool {
        let tells = |pause: &Pause| pause.due_ms(self.read_bytes) <= now.steady_ms;
        self.pauses.values().any(tells)
    }

    /// When [`Holds::due`] should be asked next, by [`Now::steady_ms`].
    pub fn next_due_ms(&self) -> Option<u64> {
        let faults = self
            .faults
            .values()
            .filter(|entry| !entry.is_probing)
            .map(|entry| entry.due_ms(&self.worker));
        let pauses = self.pauses.values();
        let pauses = pauses.map(|pause| pause.due_ms(self.read_bytes));
        faults.chain(pauses).min()
    }

    /// Lists what has to be done by now. A hold that none of `places` is under is another worker's to look after.
    pub fn due(&mut self, places: &[Place], now: Now) -> Vec<Due> {
        let mut due = vec![];
        let mut over = vec![];
        let worker = self.worker.clone();
        for (reach, entry) in &mut self.faults {
            if entry.is_probing || entry.due_ms(&worker) > now.steady_ms {
                continue;
            }
            // By another number each time: one may be sick of its own.
            let in_reach = || places.iter().filter(|place| place.is_in(reach));
            let turn = usize::try_from(entry.hold.failed_probes).unwrap_or(0);
            let place = in_reach().nth(turn % in_reach().count().max(1));
            match (entry.hold.why, place) {
                (Why::Throttle, _) => over.push(reach.clone()),
                (Why::Block | Why::Penalty | Why::Outage, Some(place)) => {
                    entry.is_probing = true;
                    due.push(Due::Ask(reach.clone(), place.lane.clone()));
                }
                // The hold strikes nobody here: it is not looked at again before it does.
                (Why::Block | Why::Penalty | Why::Outage, None) => entry.is_probing = true,
            }
        }
        for reach in over {
            self.faults.remove(&reach);
            due.push(Due::Ended(reach));
        }
        let mut old = vec![];
        for (lane, pause) in &mut self.pauses {
            if pause.due_ms(self.read_bytes) <= now.steady_ms {
                *pause = Pause::told(pause.since_ms, now.steady_ms, self.read_bytes, true);
                old.push((lane.clone(), pause.since_ms));
            }
        }
        for (lane, since_ms) in old {
            let reach = Reach {
                scope: Scope::Lane,
                key: lane,
            };
            due.push(Due::Tell(self.tell(reach, News::Paused { since_ms }, now)));
        }
        due
    }

    /// The API was asked whether the hold is over. Returns what to tell the others.
    pub fn probed(&mut self, reach: &Reach, health: Health, now: Now) -> Option<Record> {
        // Lifted or replaced in between: nobody waits for this answer any more.
        let entry = self.faults.get(reach).filter(|entry| entry.is_probing)?;
        let (mut hold, is_own) = (entry.hold, entry.is_own);
        if health.ends(hold.why) {
            self.faults.remove(reach);
            if health == Health::Well && matches!(hold.why, Why::Block | Why::Penalty) {
                self.well.insert(reach.clone());
            }
            return (!is_own).then(|| self.tell(reach.clone(), News::Lifted, now));
        }
        hold.failed_probes += 1;
        hold.until_ms = now.steady_ms + ms(self.periods.wait(hold.why, hold.failed_probes, None));
        let entry = Entry {
            hold,
            author: self.worker.clone(),
            is_probing: false,
            is_own,
        };
        self.faults.insert(reach.clone(), entry);
        // Outages are asked about often, and each worker may find out for itself.
        let is_told = !is_own && hold.why != Why::Outage;
        is_told.then(|| self.tell(reach.clone(), News::Held(hold), now))
    }

    /// Something changed that may have mended what holds this place: it is looked at now.
    pub fn look_again(&mut self, place: &Place, now: Now) {
        for reach in place.reaches() {
            // A question that is under way is asked with what was before.
            let looks = |entry: &&mut Entry| entry.hold.why == Why::Block || entry.is_probing;
            if let Some(entry) = self.faults.get_mut(&reach).filter(looks) {
                entry.hold.until_ms = now.steady_ms;
                entry.is_probing = false;
                entry.author = self.worker.clone();
            }
        }
    }
}
