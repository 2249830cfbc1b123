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

mod record;

pub use record::{News, Record};

/// Who found a hold looks whether it is over; should that worker be gone, another one does this much later.
const GRACE_MS: u64 = 15_000;

/// A penalty for quality: hammering makes it worse. Source: "Error codes", 131048 and 131064, and experience.
const PENALTY_PROBES: [Duration; 3] = [
    Duration::from_secs(15 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(6 * 3_600),
];

/// First look at an outage, and the longest pause between two of them.
const OUTAGE_PROBE: Duration = Duration::from_secs(2);
const OUTAGE_PROBE_MAX: Duration = Duration::from_secs(30);

/// Longest pause of a throttle that is met again and again.
const THROTTLE_MAX: Duration = Duration::from_secs(3_600);

/// The log keeps records for 30 days: a pause is told again before it would be forgotten.
const TELL_AGAIN_MS: u64 = 7 * 24 * 3_600 * 1_000;

/// Where a lane belongs: what a fault of a wider scope strikes it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub lane: LaneId,
    pub waba: Arc<str>,
    /// A fingerprint of the access token, never the token.
    pub token: Arc<str>,
    pub app: Arc<str>,
}

/// Everything of one scope with one name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Reach {
    pub scope: Scope,
    pub key: Arc<str>,
}

impl Place {
    /// `None`: a message, a pair or a template is no place of a lane's.
    pub fn reach(&self, scope: Scope) -> Option<Reach> {
        let key = match scope {
            Scope::Lane => self.lane.0.clone(),
            Scope::Waba => self.waba.clone(),
            Scope::Token => self.token.clone(),
            Scope::App => self.app.clone(),
            Scope::Message | Scope::Pair | Scope::Template => return None,
        };
        Some(Reach { scope, key })
    }

    fn reaches(&self) -> impl Iterator<Item = Reach> {
        let scopes = [Scope::Lane, Scope::Waba, Scope::Token, Scope::App];
        scopes.into_iter().filter_map(|scope| self.reach(scope))
    }

    pub fn is_in(&self, reach: &Reach) -> bool {
        self.reach(reach.scope).as_ref() == Some(reach)
    }
}

/// Why nobody in scope sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Until something changes: a token, a registration, a payment method, …
    Block,
    /// Lifts by itself, in hours.
    Penalty,
    /// The API asked for a pause.
    Throttle,
    /// The API has trouble, or cannot be reached.
    Outage,
}

impl Why {
    pub const ALL: [Self; 4] = [Self::Block, Self::Penalty, Self::Throttle, Self::Outage];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Penalty => "penalty",
            Self::Throttle => "throttle",
            Self::Outage => "outage",
        }
    }
}

/// What keeps a lane from sending. Holds codes, never texts of the API.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Hold {
    pub scope: Scope,
    pub why: Why,
    pub code: Option<i64>,
    /// What would mend it.
    pub remedy: &'static str,
    pub since_ms: u64,
    /// The end of a throttle; for others, when the API is asked whether it is over.
    pub until_ms: u64,
    pub failed_probes: u32,
}

/// What an answer tells about more than its message.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    pub scope: Scope,
    pub why: Why,
    pub code: Option<i64>,
    pub remedy: &'static str,
    /// How long the API wants to be left alone.
    pub pause: Option<Duration>,
    /// The hold whose end was being tried, in vain.
    pub before: Option<Hold>,
    /// Which template, if that is the scope.
    pub template: Option<Arc<str>>,
}

/// All that holds one lane.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Held {
    pub paused_since_ms: Option<u64>,
    pub hold: Option<Hold>,
}

/// How soon it is looked whether a block is over, and how seldom at last.
#[derive(Clone, Copy, Debug)]
pub struct ProbePeriods {
    pub first: Duration,
    pub longest: Duration,
}

#[derive(Clone, Debug)]
struct Entry {
    hold: Hold,
    /// Who found it and looks after it.
    author: Arc<str>,
    /// Being looked at right now.
    is_asked: bool,
    /// Known here only: the network may be this worker's alone.
    is_own: bool,
}

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
    outstanding: HashMap<record::Slot, u32>,
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
        let active = active.filter(|entry| !is_over(&entry.hold, now));
        Held {
            paused_since_ms: self
                .pauses
                .get(&place.lane.0)
                .map(|(since_ms, _)| *since_ms),
            hold: active.map(|entry| entry.hold).max_by_key(|hold| hold.scope),
        }
    }

    /// The templates of an account that are held, and until when.
    pub fn templates<'a>(&'a self, waba: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        self.templates.iter().filter_map(move |(key, until_ms)| {
            let (of, template) = key.split_once('/')?;
            (of == waba).then_some((template, *until_ms))
        })
    }

    /// A lane of ours met something. Returns what it struck, if that is news, and what to tell the others.
    pub fn found(
        &mut self,
        place: &Place,
        finding: &Finding,
        now: Now,
    ) -> Option<(Reach, Option<Record>)> {
        if let Some(template) = &finding.template {
            return self.found_template(place, template, finding, now);
        }
        let scope = self.narrowed(place, finding, now);
        let reach = place.reach(scope)?;
        let hold = self.hold(scope, finding, now);
        if let Some(known) = self.faults.get(&reach)
            && !is_over(&known.hold, now)
            && !outweighs(&hold, &known.hold)
        {
            return None;
        }
        // Without a code it may be this worker's own way to the API: another may still reach it.
        let is_own = finding.why == Why::Outage && finding.code.is_none();
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
    fn narrowed(&self, place: &Place, finding: &Finding, now: Now) -> Scope {
        if finding.why != Why::Outage || finding.scope == Scope::Lane {
            return finding.scope;
        }
        let is_same = |(reach, entry): (&Reach, &Entry)| {
            let hold = &entry.hold;
            let recent = now.wall_ms.saturating_sub(hold.since_ms) < 60_000;
            !place.is_in(reach) && reach.scope == Scope::Lane && hold.code == finding.code && recent
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
        let wait = self.wait(finding.why, failed_probes, finding.pause);
        Hold {
            scope,
            why: finding.why,
            code: finding.code,
            remedy: finding.remedy,
            since_ms: finding.before.map_or(now.wall_ms, |before| before.since_ms),
            until_ms: now.wall_ms + ms(wait),
            failed_probes,
        }
    }

    /// How long to leave the API alone.
    fn wait(&self, why: Why, failed_probes: u32, pause: Option<Duration>) -> Duration {
        let doubled = |first: Duration, longest: Duration| {
            first
                .saturating_mul(1 << failed_probes.min(16))
                .min(longest)
        };
        let asked = pause.unwrap_or_default();
        match why {
            Why::Block => doubled(self.periods.first, self.periods.longest).max(asked),
            Why::Penalty => {
                let last = PENALTY_PROBES.len() - 1;
                let step = usize::try_from(failed_probes).unwrap_or(last).min(last);
                PENALTY_PROBES[step].max(asked)
            }
            // What the API asks for is never shortened.
            Why::Throttle => doubled(asked, THROTTLE_MAX).max(asked),
            Why::Outage => doubled(OUTAGE_PROBE, OUTAGE_PROBE_MAX).max(asked),
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
        if self.templates.contains_key(&key) {
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

    /// A record for the others. Until it comes back from the log, nothing from there counts against it.
    fn tell(&mut self, reach: Reach, news: News, now: Now) -> Record {
        let record = Record {
            at_ms: now.wall_ms,
            worker: self.worker.clone(),
            run: self.run,
            reach,
            news,
        };
        *self.outstanding.entry(record.slot()).or_default() += 1;
        record
    }

    /// What the log says, in its order. Returns what it struck, if that is news here.
    pub fn heard(&mut self, record: Record) -> Option<Reach> {
        if record.run == self.run {
            self.not_told(&record);
            return None;
        }
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
                self.pauses.remove(&reach.key)?;
            }
            News::TemplateHeld { until_ms } => {
                self.templates.insert(reach.key.clone(), until_ms);
            }
        }
        Some(reach)
    }

    /// The record came back, or never will: whatever comes from the log counts again.
    pub fn not_told(&mut self, record: &Record) {
        let slot = record.slot();
        if let Some(count) = self.outstanding.get_mut(&slot) {
            *count -= 1;
            if *count == 0 {
                self.outstanding.remove(&slot);
            }
        }
    }

    /// When [`Holds::due`] should be asked next, in wall time.
    pub fn next_due_ms(&self) -> Option<u64> {
        let faults = self
            .faults
            .values()
            .filter(|entry| !entry.is_asked)
            .map(|entry| self.due_ms(entry));
        let pauses = self
            .pauses
            .values()
            .map(|(_, told_ms)| told_ms + TELL_AGAIN_MS);
        faults.chain(pauses).min()
    }

    fn due_ms(&self, entry: &Entry) -> u64 {
        let is_ours = entry.hold.why == Why::Throttle || entry.author == self.worker;
        entry.hold.until_ms + if is_ours { 0 } else { GRACE_MS }
    }

    /// What has to be done by now. A hold that none of `places` is under is another worker's to look after.
    pub fn due(&mut self, places: &[Place], now: Now) -> Vec<Due> {
        let mut due = vec![];
        let mut over = vec![];
        let worker = self.worker.clone();
        for (reach, entry) in &mut self.faults {
            let is_ours = entry.hold.why == Why::Throttle || entry.author == worker;
            let grace_ms = if is_ours { 0 } else { GRACE_MS };
            if entry.is_asked || entry.hold.until_ms + grace_ms > now.wall_ms {
                continue;
            }
            let place = places.iter().find(|place| place.is_in(reach));
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
    pub fn asked(&mut self, reach: &Reach, is_well: bool, now: Now) -> Option<Record> {
        // Lifted or replaced in between: nobody waits for this answer any more.
        let entry = self.faults.get(reach).filter(|entry| entry.is_asked)?;
        let (mut hold, is_own) = (entry.hold, entry.is_own);
        if is_well {
            self.faults.remove(reach);
            return (!is_own).then(|| self.tell(reach.clone(), News::Lifted, now));
        }
        hold.failed_probes += 1;
        hold.until_ms = now.wall_ms + ms(self.wait(hold.why, hold.failed_probes, None));
        let entry = Entry {
            hold,
            author: self.worker.clone(),
            is_asked: false,
            is_own,
        };
        self.faults.insert(reach.clone(), entry);
        (!is_own).then(|| self.tell(reach.clone(), News::Held(hold), now))
    }

    /// Something changed that may have mended what holds this place: it is looked at now.
    pub fn look_again(&mut self, place: &Place, now: Now) {
        for reach in place.reaches() {
            if let Some(entry) = self
                .faults
                .get_mut(&reach)
                .filter(|entry| entry.hold.why == Why::Block)
            {
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

fn is_over(hold: &Hold, now: Now) -> bool {
    hold.why == Why::Throttle && hold.until_ms <= now.wall_ms
}

/// Whether what was met now says more than what is known. Stragglers of the same fault do not.
fn outweighs(found: &Hold, known: &Hold) -> bool {
    let rank = |hold: &Hold| match hold.why {
        Why::Throttle => 0,
        Why::Outage => 1,
        Why::Block => 2,
        Why::Penalty => 3,
    };
    let is_longer = found.why == Why::Throttle && found.until_ms > known.until_ms;
    rank(found) > rank(known) || rank(found) == rank(known) && is_longer
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
