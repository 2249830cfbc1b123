//! Holds keep lanes from sending beyond the one message that met them: blocks, throttles and outages of a number, an account, a token or an
//! app, and operators' pauses. One fold of records, the same in every worker, whatever each found out by itself.
//!
//! A worker acts on what it finds at once and publishes it to `wa.lanes.log`; what comes from there counts in the log's order. So all
//! workers end with the same holds, and one that starts reads them back.

use crate::contract::words::Scope;
use crate::core::fleet::tenure::Tenures;
use crate::core::{Now, ms};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

mod due;
mod entry;
mod hold;
mod pause;
mod place;
mod record;

pub use due::Due;
use entry::Entry;
pub use hold::{Finding, Health, Held, Hold, ProbePeriods, Why};
use pause::Pause;
pub use place::{Place, Reach};
pub use record::{News, Record, Slot};

/// A pause that ends so much later is worth telling.
const NEWS_MS: u64 = 5_000;

/// How a record was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// As it was written.
    Live,
    /// Later: it was written before this worker began to read.
    Missed,
}

pub struct Holds {
    worker: Arc<str>,
    /// Tells this life of the worker from its others.
    run: u64,
    periods: ProbePeriods,
    faults: BTreeMap<Reach, Entry>,
    pauses: BTreeMap<Arc<str>, Pause>,
    /// Bytes of the log that were read in this life of the worker.
    read_bytes: u64,
    /// Where the API said that all is well, which ended the last block or penalty there.
    well: BTreeSet<Reach>,
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
            well: BTreeSet::new(),
            pauses: BTreeMap::new(),
            read_bytes: 0,
            templates: BTreeMap::new(),
            outstanding: HashMap::new(),
        }
    }

    /// Returns what holds a lane there. Of several the widest is told: it is the one to mend first.
    pub fn on(&self, place: &Place, now: Now) -> Held {
        let active = place.reaches().filter_map(|reach| self.faults.get(&reach));
        let active = active.filter(|entry| !entry.hold.is_over(now));
        Held {
            paused_since_ms: self.pauses.get(&place.lane.0).map(|pause| pause.since_ms),
            hold: active.map(|entry| entry.hold).max_by_key(|hold| hold.scope),
            is_said_to_be_well: place.reaches().any(|reach| self.well.contains(&reach)),
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
            // A hold that others can know goes before one that is this worker's own.
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
            is_probing: false,
            is_own,
        };
        self.well.remove(&reach);
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
            let recent = now.steady_ms.saturating_sub(hold.since_ms) < 60_000;
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
            until_ms: now.steady_ms + ms(wait),
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
        let until_ms = now.steady_ms + ms(finding.pause.unwrap_or_default());
        self.templates
            .retain(|_, until_ms| *until_ms > now.steady_ms);
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

    /// A record for the others, with the times of this worker's wall clock.
    pub fn record(&self, reach: Reach, news: News, now: Now) -> Record {
        let record = Record {
            at_ms: now.steady_ms,
            worker: self.worker.clone(),
            run: self.run,
            reach,
            news,
        };
        record.moved_to(now.wall_ms)
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
        self.is_run(record.run)
    }

    /// The lanes that this life of this worker has, and since when.
    pub fn own_lanes(&self, tenures: &Tenures) -> Vec<(Arc<str>, u64)> {
        tenures.of_run(self.run)
    }

    /// True if the record is of this life of this worker.
    pub fn is_run(&self, run: u64) -> bool {
        run == self.run
    }

    /// Notes how much of the log was read by now.
    pub fn has_read(&mut self, bytes: u64) {
        self.read_bytes = bytes;
    }

    /// The log was lost with all that it said: what must outlive it is told again.
    pub fn log_lost(&mut self, now: Now) {
        for pause in self.pauses.values_mut() {
            pause.tell_at_ms = now.steady_ms;
        }
    }

    /// Takes a record of the log, in its order. Returns what it struck, if that is news here.
    ///
    /// Times in a record are its writer's, whose clock may be hours off. How long something lasts is their difference, and how old a record
    /// is that was read as it was written, is known: nothing. Only of one that was `Missed` the two clocks have to tell.
    pub fn apply_record(&mut self, record: Record, read: Read, now: Now) -> Option<Reach> {
        if self.is_own(&record) && self.stop_waiting_for(&record) {
            return None;
        }
        // The record is another's, or ours written twice as its first confirm was lost: then the others go by the second.
        // Ours comes later in the log, and stands.
        if self.outstanding.contains_key(&record.slot()) {
            return None;
        }
        let age_ms = match read {
            Read::Live => 0,
            Read::Missed => now.wall_ms.saturating_sub(record.at_ms),
        };
        let written_ms = now.steady_ms.saturating_sub(age_ms);
        let is_ours = self.is_own(&record);
        let Record {
            at_ms: _,
            worker,
            run: _,
            reach,
            news,
        } = record.moved_to(written_ms);
        match news {
            News::Held(hold) => {
                let entry = Entry {
                    hold,
                    author: worker,
                    is_probing: false,
                    is_own: false,
                };
                self.well.remove(&reach);
                self.faults.insert(reach.clone(), entry);
            }
            News::Lifted => {
                self.well.remove(&reach);
                self.faults.remove(&reach)?;
            }
            News::Paused { since_ms } => {
                let pause = Pause::told(since_ms, written_ms, self.read_bytes, is_ours);
                self.pauses.insert(reach.key.clone(), pause);
            }
            News::Resumed => {
                let had_pause = self.pauses.remove(&reach.key).is_some();
                // The operator means what this worker alone knows of as well.
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
            // No holds: see [`crate::core::fleet::tenure`].
            News::Taken | News::Left { .. } | News::Present { .. } => return None,
        }
        Some(reach)
    }

    /// The record came back, or never will: whatever comes from the log counts again. False if it was not waited for.
    pub fn stop_waiting_for(&mut self, record: &Record) -> bool {
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

    /// An operator stops a lane, in every worker.
    pub fn pause(&mut self, place: &Place, now: Now) -> Option<Record> {
        let reach = place.reach(Scope::Lane)?;
        let paused = self.pauses.get(&reach.key);
        let since_ms = paused.map_or(now.steady_ms, |pause| pause.since_ms);
        let pause = Pause::told(since_ms, now.steady_ms, self.read_bytes, true);
        self.pauses.insert(reach.key.clone(), pause);
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

#[cfg(test)]
mod tests;
