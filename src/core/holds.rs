//! What keeps lanes from sending beyond the one message that met it: blocks, throttles and outages of a number, an account, a token or an
//! app, and operators' pauses. One fold of records, the same in every worker, whatever each found out by itself.
//!
//! A worker acts on what it finds at once and publishes it to `wa.lanes.log`; what comes from there counts in the log's order. So all workers
//! end with the same holds, and one that starts reads them back.

use super::Now;
use super::message::LaneId;
use super::outcome::Scope;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

mod entry;
mod hold;
mod place;
mod record;

use entry::Entry;
pub use hold::{Finding, Health, Held, Hold, ProbePeriods, Why};
pub use place::{Place, Reach};
pub use record::{News, Record, Slot};

/// A pause that ends so much later is worth telling.
const NEWS_MS: u64 = 5_000;

/// The log keeps records for 30 days, or as many as it holds: a pause is told again before it would be forgotten.
const TELL_AGAIN_MS: u64 = 24 * 3_600 * 1_000;

/// What has to be done when a moment has come.
#[derive(Debug, PartialEq)]
pub enum Due {
    /// Ask the API whether this is over, by this lane's number.
    Ask(Reach, LaneId),
    /// Over: tell the lanes.
    Ended(Reach),
    /// Tell the others again.
    Tell(Record),
}

pub struct Holds {
    worker: Arc<str>,
    /// Tells this life of the worker from its others.
    run: u64,
    periods: ProbePeriods,
    faults: BTreeMap<Reach, Entry>,
    /// Since when, and when it was told last.
    pauses: BTreeMap<Arc<str>, (u64, u64)>,
    /// By account and template: until when.
    templates: BTreeMap<Arc<str>, u64>,
    /// Own records that have not come back from the log: until they do, they are newer than whatever comes from it.
    outstanding: HashMap<Slot, Vec<Record>>,
}

impl Holds {
    pub fn new(worker: &str, run: u64, periods: ProbePeriods) -> Self {
        Self {
            worker: worker.into(),
            run,
            periods,
            faults: BTreeMap::new(),
            pauses: BTreeMap::new(),
            templates: BTreeMap::new(),
            outstanding: HashMap::new(),
        }
    }

    /// What holds a lane there. Of several the widest is told: it is the one to mend first.
    pub fn on(&self, place: &Place, now: Now) -> Held {
        let active = place.reaches().filter_map(|reach| self.faults.get(&reach));
        let active = active.filter(|entry| !entry.hold.is_over(now));
        Held {
            paused_since_ms: self
                .pauses
                .get(&place.lane.0)
                .map(|(since_ms, _)| *since_ms),
            hold: active.map(|entry| entry.hold).max_by_key(|hold| hold.scope),
        }
    }

    pub fn is_held(&self, reach: &Reach) -> bool {
        self.faults.contains_key(reach)
    }

    /// Why all of this reach is held, if it is.
    pub fn why(&self, reach: &Reach) -> Option<Why> {
        self.faults.get(reach).map(|entry| entry.hold.why)
    }

    /// The templates of an account that are held, and until when.
    pub fn templates<'a>(&'a self, waba: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        self.templates.iter().filter_map(move |(key, until_ms)| {
            let (of, template) = key.split_once('/')?;
            (of == waba).then_some((template, *until_ms))
        })
    }

    /// A lane of ours met something; `places` are those of all lanes that are known. Returns what it struck, if that is news, and what to
    /// tell the others.
    pub fn found(
        &mut self,
        place: &Place,
        finding: &Finding,
        places: &[Place],
        now: Now,
    ) -> Option<(Reach, Option<Record>)> {
        if let Some(template) = &finding.template {
            return self.found_template(place, template, finding, now);
        }
        let scope = self.narrowed(place, finding, places, now);
        let reach = place.reach(scope)?;
        let mut hold = self.hold(scope, finding, now);
        // Without a code it may be this worker's own way to the API: another may still reach it.
        let is_own = finding.why == Why::Outage && finding.code.is_none();
        let known = self.faults.get(&reach);
        if let Some(known) = known.filter(|known| !known.hold.is_over(now)) {
            let told = hold;
            // What others can know goes before what is this worker's own.
            let replaces = told.outweighs(&known.hold) || known.is_own && !is_own;
            if !replaces {
                hold = known.hold;
            }
            // A pause that the API asked for ends no earlier for something else that was met in it.
            if replaces || told.why == Why::Throttle {
                hold.until_ms = told.until_ms.max(known.hold.until_ms);
            }
            let later_ms = hold.until_ms.abs_diff(known.hold.until_ms);
            let is_same = (hold.why, hold.code) == (known.hold.why, known.hold.code);
            // Stragglers of one pause each end it a moment later: that is no news, and not forgotten.
            if is_same && later_ms < NEWS_MS {
                if let Some(known) = self.faults.get_mut(&reach) {
                    known.hold.until_ms = hold.until_ms;
                }
                return None;
            }
        }
        let entry = Entry {
            hold,
            author: self.worker.clone(),
            is_asked: false,
            is_own,
        };
        self.faults.insert(reach.clone(), entry);
        let record = (!is_own).then(|| self.tell(reach.clone(), News::Held(hold), now));
        Some((reach, record))
    }

    /// An outage that one lane met is that lane's, until a second one meets it.
    fn narrowed(&self, place: &Place, finding: &Finding, places: &[Place], now: Now) -> Scope {
        if finding.why != Why::Outage || finding.scope == Scope::Lane {
            return finding.scope;
        }
        let is_same = |(reach, entry): (&Reach, &Entry)| {
            let hold = &entry.hold;
            let recent = now.wall_ms.saturating_sub(hold.since_ms) < 60_000;
            let is_lanes = reach.scope == Scope::Lane && !place.is_in(reach);
            let is_beside = |other: &Place| {
                other.is_in(reach) && other.reach(finding.scope) == place.reach(finding.scope)
            };
            is_lanes && hold.code == finding.code && recent && places.iter().any(is_beside)
        };
        let is_wide = place
            .reach(finding.scope)
            .is_some_and(|reach| self.faults.contains_key(&reach));
        let was_wide = finding
            .before
            .is_some_and(|hold| hold.scope == finding.scope);
        if is_wide || was_wide || self.faults.iter().any(is_same) {
            finding.scope
        } else {
            Scope::Lane
        }
    }

    fn hold(&self, scope: Scope, finding: &Finding, now: Now) -> Hold {
        let failed_probes = match finding.before {
            Some(before) if before.why == finding.why => before.failed_probes + 1,
            Some(_) | None => 0,
        };
        let wait = self.periods.wait(finding.why, failed_probes, finding.pause);
        Hold {
            scope,
            why: finding.why,
            code: finding.code,
            remedy: finding.remedy,
            since_ms: finding.since_ms(now),
            until_ms: now.wall_ms + ms(wait),
            failed_probes,
        }
    }

    fn found_template(
        &mut self,
        place: &Place,
        template: &str,
        finding: &Finding,
        now: Now,
    ) -> Option<(Reach, Option<Record>)> {
        let key: Arc<str> = format!("{}/{template}", place.waba).into();
        let until_ms = now.wall_ms + ms(finding.pause.unwrap_or_default());
        self.templates.retain(|_, until_ms| *until_ms > now.wall_ms);
        let known_ms = self.templates.get(&key);
        if known_ms.is_some_and(|known_ms| until_ms < known_ms + NEWS_MS) {
            return None;
        }
        self.templates.insert(key.clone(), until_ms);
        let reach = Reach {
            scope: Scope::Template,
            key,
        };
        let record = self.tell(reach.clone(), News::TemplateHeld { until_ms }, now);
        Some((reach, Some(record)))
    }

    /// A record for the others, of something that is no hold.
    pub fn record(&self, reach: Reach, news: News, now: Now) -> Record {
        Record {
            at_ms: now.wall_ms,
            worker: self.worker.clone(),
            run: self.run,
            reach,
            news,
        }
    }

    /// A record for the others. Until it comes back from the log, nothing from there counts against it.
    fn tell(&mut self, reach: Reach, news: News, now: Now) -> Record {
        let record = self.record(reach, news, now);
        let outstanding = self.outstanding.entry(record.slot()).or_default();
        outstanding.push(record.clone());
        record
    }

    /// This life of this worker wrote it.
    pub fn is_own(&self, record: &Record) -> bool {
        record.run == self.run
    }

    /// What the log says, in its order. Returns what it struck, if that is news here.
    pub fn heard(&mut self, record: Record) -> Option<Reach> {
        if self.is_own(&record) && self.not_told(&record) {
            return None;
        }
        // What follows is another's, or ours written twice as its first confirm was lost: then the others go by the second.
        // Ours comes later in the log, and stands.
        if self.outstanding.contains_key(&record.slot()) {
            return None;
        }
        let Record {
            at_ms,
            worker,
            run: _,
            reach,
            news,
        } = record;
        match news {
            News::Held(hold) => {
                let entry = Entry {
                    hold,
                    author: worker,
                    is_asked: false,
                    is_own: false,
                };
                self.faults.insert(reach.clone(), entry);
            }
            News::Lifted => {
                self.faults.remove(&reach)?;
            }
            News::Paused { since_ms } => {
                self.pauses.insert(reach.key.clone(), (since_ms, at_ms));
            }
            News::Resumed => {
                let had_pause = self.pauses.remove(&reach.key).is_some();
                // What this worker alone knows of, an operator means as well.
                let own = self.faults.get(&reach).is_some_and(|entry| entry.is_own);
                if own {
                    self.faults.remove(&reach);
                }
                if !had_pause && !own {
                    return None;
                }
            }
            News::TemplateHeld { until_ms } => {
                self.templates.insert(reach.key.clone(), until_ms);
            }
            // No holds: see [`crate::core::tenure`].
            News::Taken | News::Left { .. } => return None,
        }
        Some(reach)
    }

    /// The record came back, or never will: whatever comes from the log counts again. False if it was not waited for.
    pub fn not_told(&mut self, record: &Record) -> bool {
        let slot = record.slot();
        let Some(waits) = self.outstanding.get_mut(&slot) else {
            return false;
        };
        let Some(index) = waits.iter().position(|waits| waits == record) else {
            return false;
        };
        waits.remove(index);
        if waits.is_empty() {
            self.outstanding.remove(&slot);
        }
        true
    }

    /// When [`Holds::due`] should be asked next, in wall time.
    pub fn next_due_ms(&self) -> Option<u64> {
        let faults = self
            .faults
            .values()
            .filter(|entry| !entry.is_asked)
            .map(|entry| entry.due_ms(&self.worker));
        let pauses = self
            .pauses
            .values()
            .map(|(_, told_ms)| told_ms + TELL_AGAIN_MS);
        faults.chain(pauses).min()
    }

    /// What has to be done by now. A hold that none of `places` is under is another worker's to look after.
    pub fn due(&mut self, places: &[Place], now: Now) -> Vec<Due> {
        let mut due = vec![];
        let mut over = vec![];
        let worker = self.worker.clone();
        for (reach, entry) in &mut self.faults {
            if entry.is_asked || entry.due_ms(&worker) > now.wall_ms {
                continue;
            }
            // By another number each time: one may be sick of its own.
            let in_reach = || places.iter().filter(|place| place.is_in(reach));
            let turn = usize::try_from(entry.hold.failed_probes).unwrap_or(0);
            let place = in_reach().nth(turn % in_reach().count().max(1));
            match (entry.hold.why, place) {
                (Why::Throttle, _) => over.push(reach.clone()),
                (Why::Block | Why::Penalty | Why::Outage, Some(place)) => {
                    entry.is_asked = true;
                    due.push(Due::Ask(reach.clone(), place.lane.clone()));
                }
                // Nobody here is struck: not looked at again before somebody is.
                (Why::Block | Why::Penalty | Why::Outage, None) => entry.is_asked = true,
            }
        }
        for reach in over {
            self.faults.remove(&reach);
            due.push(Due::Ended(reach));
        }
        let old = self
            .pauses
            .iter()
            .filter(|(_, (_, told_ms))| told_ms + TELL_AGAIN_MS <= now.wall_ms);
        let old: Vec<_> = old
            .map(|(lane, (since_ms, _))| (lane.clone(), *since_ms))
            .collect();
        for (lane, since_ms) in old {
            self.pauses.insert(lane.clone(), (since_ms, now.wall_ms));
            let reach = Reach {
                scope: Scope::Lane,
                key: lane,
            };
            due.push(Due::Tell(self.tell(reach, News::Paused { since_ms }, now)));
        }
        due
    }

    /// The API was asked whether the hold is over. Returns what to tell the others.
    pub fn asked(&mut self, reach: &Reach, health: Health, now: Now) -> Option<Record> {
        // Lifted or replaced in between: nobody waits for this answer any more.
        let entry = self.faults.get(reach).filter(|entry| entry.is_asked)?;
        let (mut hold, is_own) = (entry.hold, entry.is_own);
        if health.ends(hold.why) {
            self.faults.remove(reach);
            return (!is_own).then(|| self.tell(reach.clone(), News::Lifted, now));
        }
        hold.failed_probes += 1;
        hold.until_ms = now.wall_ms + ms(self.periods.wait(hold.why, hold.failed_probes, None));
        let entry = Entry {
            hold,
            author: self.worker.clone(),
            is_asked: false,
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
            let looks = |entry: &&mut Entry| entry.hold.why == Why::Block || entry.is_asked;
            if let Some(entry) = self.faults.get_mut(&reach).filter(looks) {
                entry.hold.until_ms = now.wall_ms;
                entry.is_asked = false;
                entry.author = self.worker.clone();
            }
        }
    }

    /// An operator stops a lane, in every worker.
    pub fn pause(&mut self, place: &Place, now: Now) -> Option<Record> {
        let reach = place.reach(Scope::Lane)?;
        let (since_ms, _) = *self
            .pauses
            .entry(reach.key.clone())
            .or_insert((now.wall_ms, now.wall_ms));
        Some(self.tell(reach, News::Paused { since_ms }, now))
    }

    /// An operator says go: ends a pause, and whatever else holds the lane, for all that it holds.
    pub fn resume(&mut self, place: &Place, now: Now) -> Vec<(Reach, Record)> {
        let mut ended = vec![];
        if let Some(reach) = place.reach(Scope::Lane) {
            self.pauses.remove(&reach.key);
            // Also if there is none here: another worker may know of one.
            let record = self.tell(reach.clone(), News::Resumed, now);
            ended.push((reach, record));
        }
        for reach in place.reaches() {
            if self.faults.remove(&reach).is_some() {
                let record = self.tell(reach.clone(), News::Lifted, now);
                ended.push((reach, record));
            }
        }
        ended
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
