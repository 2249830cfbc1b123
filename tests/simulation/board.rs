//! What holds which lane in one process, and who tells whom; as `src/roles/dispatcher/board.rs` does it.

use super::Us;
use super::checks::Checked;
use super::flaws::Flaw;
use super::knowledge::Knowledge;
use super::plan::{Plan, WALL_START_MS};
use super::worker::Who;
use super::world::{Event, PATIENCE, Simulation};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use whatsapp_dispatcher::contract::words::Scope;
use whatsapp_dispatcher::core::fleet::holds::{
    Due, Finding, Health, Holds, News, Place, Reach, Read, Record, Why,
};
use whatsapp_dispatcher::core::fleet::outbox::Outbox;
use whatsapp_dispatcher::core::fleet::tenure::{Owner, Tenures};
use whatsapp_dispatcher::core::request::message::LaneId;

pub(crate) struct Board {
    pub(super) holds: Holds,
    /// By lane.
    pub(super) places: Vec<Place>,
    /// Which token each account's lanes send with.
    pub(super) tokens: Vec<u64>,
    /// Records to write, and which step of a lane that leaves waits for them.
    pub(super) outbox: Outbox<(Who, u64)>,
    pub(super) is_writing: bool,
    /// How many records of the log it has read.
    pub(super) read: usize,
    pub(super) is_reading: bool,
    /// What stood in the log when its session began, and which lanes that says are paused.
    pub(super) stood: (usize, BTreeSet<Arc<str>>),
    /// It has read the log to its end once.
    pub(super) has_read: bool,
    /// Its lanes begin once it has read so many.
    pub(super) catches_up_to: Option<usize>,
    pub(super) knowledge: Knowledge,
    pub(super) tenures: Tenures,
    /// Lanes that wait for the log to say that they are this worker's.
    pub(super) claims: BTreeMap<Arc<str>, Record>,
    timer: u64,
}

/// What a board is woken by, in that life of its process.
pub(crate) enum Tending {
    /// Something may be due.
    Due(usize, u64, u64),
    /// The API has said whether a number can send.
    Asked(usize, u64, Option<Us>, Reach, bool),
    /// A new token of an account's was loaded.
    TokenTold(usize, u64, usize, u64),
}

impl Tending {
    pub(super) fn worker(&self) -> usize {
        match self {
            Self::Due(worker, ..) | Self::Asked(worker, ..) | Self::TokenTold(worker, ..) => {
                *worker
            }
        }
    }
}

impl Board {
    pub(super) fn new(plan: &Plan, worker: usize, run: u64, tokens: Vec<u64>) -> Self {
        let place = |lane: usize| {
            let of = &plan.lanes[lane];
            Place {
                lane: LaneId::new(&of.id),
                waba: format!("waba-{}", of.account).into(),
                token: fingerprint(of.account, tokens[of.account]),
                app: "app".into(),
            }
        };
        Self {
            holds: Holds::new(&plan.name(worker), run, plan.probes),
            places: (0..plan.lanes.len()).map(place).collect(),
            tokens,
            outbox: Outbox::default(),
            is_writing: false,
            read: 0,
            is_reading: false,
            stood: (0, BTreeSet::new()),
            has_read: false,
            catches_up_to: None,
            knowledge: Knowledge::default(),
            tenures: Tenures::default(),
            claims: BTreeMap::new(),
            timer: 0,
        }
    }
}

impl Board {
    /// Of a lane.
    pub(super) fn reach(&self, lane: usize) -> Option<Reach> {
        self.places[lane].reach(Scope::Lane)
    }

    /// Who has a lane, by the log.
    pub(super) fn owner(&self, lane: &str) -> Option<Owner> {
        let tenure = self.tenures.of(lane).filter(|tenure| !tenure.left)?;
        Some(Owner {
            worker: tenure.worker.clone(),
            since_ms: tenure.since_ms,
            is_us: self.holds.is_run(tenure.run),
        })
    }
}

fn fingerprint(account: usize, token: u64) -> Arc<str> {
    format!("token-{account}-{token}").into()
}

impl Simulation {
    /// A lane met something that concerns more than the message it was about.
    pub(super) fn found(&mut self, who: Who, finding: &Finding) -> Checked {
        let now = self.now_of(who.worker);
        let Some(board) = &mut self.processes[who.worker].board else {
            return Ok(());
        };
        let place = board.places[who.lane].clone();
        let places = board.places.clone();
        let struck = board.holds.found(&place, finding, &places, now);
        // Its times are those of the worker's wall.
        let hold = |record: &Record| match record.clone().moved_to(now.steady_ms).news {
            News::Held(hold) => Some(hold),
            News::Lifted
            | News::Paused { .. }
            | News::Resumed
            | News::TemplateHeld { .. }
            | News::Taken
            | News::Left { .. }
            | News::Present { .. } => None,
        };
        let reach = struck
            .as_ref()
            .map(|(reach, record)| (reach, record.as_ref().and_then(hold)));
        board
            .knowledge
            .found(&place, finding, reach, now.steady_ms)?;
        self.note(|| format!("{who} finds {finding:?}, which strikes {reach:?}"));
        if let Some((reach, record)) = struck {
            self.tally.count(word(finding, &reach));
            if let Some(record) = record {
                self.share(who.worker, record);
            }
            if self.flaw != Some(Flaw::ForgetsSiblings) {
                self.order(who.worker, &reach);
            }
        }
        // Whatever came of it: the lane has stopped, and must hear until when.
        self.order_lane(who);
        self.tend_later(who.worker);
        Ok(())
    }

    /// Tells every lane in reach what holds it now.
    fn order(&mut self, worker: usize, reach: &Reach) {
        for who in self.whos(worker) {
            let board = self.processes[worker].board.as_ref();
            let is_struck = |place: &Place| {
                let template_of = reach.key.strip_prefix(&*place.waba);
                place.is_in(reach) || template_of.is_some_and(|rest| rest.starts_with('/'))
            };
            if board.is_some_and(|board| is_struck(&board.places[who.lane])) {
                self.order_lane(who);
            }
        }
    }

    /// True if there is nothing to tell, or else once all of it is told the lane goes on.
    pub(super) fn has_told(&mut self, who: Who) -> bool {
        let step = self.shell_mut(who).leaving.step;
        let board = self.processes[who.worker].board.as_mut();
        board.is_none_or(|board| !board.outbox.wait((who, step)))
    }

    pub(super) fn heard(&mut self, worker: usize, record: Record) -> Checked {
        if record.is_of_tenure() {
            return self.heard_of_tenure(worker, &record);
        }
        self.heard_of_hold(worker, record);
        Ok(())
    }

    fn heard_of_hold(&mut self, worker: usize, record: Record) {
        let (now, true_ms) = (self.now_of(worker), self.now().steady_ms);
        let joined = self.processes[worker].joined;
        let Some(board) = &mut self.processes[worker].board else {
            return;
        };
        // What stands before its mark it has missed, also while the mark is on its way.
        let read = match joined && board.read > board.stood.0 {
            true => Read::Live,
            false => Read::Missed,
        };
        let Some(reach) = board.holds.apply_record(record.clone(), read, now) else {
            return;
        };
        let age_ms = match read {
            Read::Live => 0,
            Read::Missed => now.wall_ms.saturating_sub(record.at_ms),
        };
        let record = record.moved_to(true_ms.saturating_sub(age_ms));
        board.knowledge.heard(&record, &board.places, true_ms);
        self.tally.count("heard from another worker");
        self.order(worker, &reach);
        self.tend_later(worker);
    }

    /// An operator stops a lane, by a word to this worker.
    pub(super) fn pause(&mut self, who: Who) {
        let now = self.now_of(who.worker);
        let Some(board) = &mut self.processes[who.worker].board else {
            return;
        };
        let place = board.places[who.lane].clone();
        if let Some(record) = board.holds.pause(&place, now) {
            self.share(who.worker, record);
        }
        self.order_lane(who);
        self.tend_later(who.worker);
    }

    pub(super) fn resume(&mut self, who: Who) {
        let now = self.now_of(who.worker);
        let Some(board) = &mut self.processes[who.worker].board else {
            return;
        };
        let place = board.places[who.lane].clone();
        let ended = board.holds.resume(&place, now);
        board.knowledge.resumed(&place);
        for (reach, record) in ended {
            self.share(who.worker, record);
            self.order(who.worker, &reach);
        }
        self.tend_later(who.worker);
    }

    pub(super) fn tends(&mut self, event: Tending) {
        match event {
            Tending::Due(worker, life, timer) => self.tend(worker, life, timer),
            Tending::Asked(worker, life, session, reach, is_well) => {
                let drops = self.flaw == Some(Flaw::DropsQuestions);
                if !drops || self.processes[worker].session == session {
                    self.asked(worker, life, &reach, is_well);
                }
            }
            Tending::TokenTold(worker, life, account, token) => {
                if self.processes[worker].life == life {
                    self.token_told(worker, account, token);
                }
            }
        }
    }

    /// A new token was loaded for an account, by one worker.
    fn token_told(&mut self, worker: usize, account: usize, token: u64) {
        let now = self.now_of(worker);
        for who in self.whos(worker) {
            if self.plan.lanes[who.lane].account != account {
                continue;
            }
            let Some(board) = &mut self.processes[worker].board else {
                return;
            };
            board.tokens[account] = token;
            board.places[who.lane].token = fingerprint(account, token);
            let place = board.places[who.lane].clone();
            board.holds.look_again(&place, now);
            board.knowledge.renewed(&place);
            self.order_lane(who);
        }
        self.tend_later(worker);
    }

    pub(super) fn tend_later(&mut self, worker: usize) {
        let late = self.chance.within(0..=self.plan.network.late_us);
        let process = &mut self.processes[worker];
        let Some(board) = &mut process.board else {
            return;
        };
        board.timer += 1;
        let (life, timer) = (process.life, board.timer);
        let Some(due_ms) = board.holds.next_due_ms() else {
            return;
        };
        let at = due_ms.saturating_sub(WALL_START_MS) * 1_000 + late;
        // A pause is told again after a week; nothing here lasts that long.
        if at < self.plan.calm_at + PATIENCE {
            self.at(at, Event::Tend(Tending::Due(worker, life, timer)));
        }
    }

    /// Asks the API what may be over, ends what is.
    fn tend(&mut self, worker: usize, life: u64, timer: u64) {
        let now = self.now_of(worker);
        let process = &mut self.processes[worker];
        let is_current = process.life == life;
        let Some(board) = process
            .board
            .as_mut()
            .filter(|b| is_current && b.timer == timer)
        else {
            return;
        };
        let places = board.places.clone();
        for due in board.holds.due(&places, now) {
            match due {
                Due::Ask(reach, lane) => self.ask(worker, reach, &lane),
                Due::Ended(reach) => self.order(worker, &reach),
                Due::Tell(record) => self.share(worker, record),
            }
        }
        self.tend_later(worker);
    }

    fn ask(&mut self, worker: usize, reach: Reach, lane: &LaneId) {
        let lanes = &self.plan.lanes;
        let (Some(lane), Some(board)) = (
            lanes.iter().position(|plan| plan.id == lane.as_str()),
            &self.processes[worker].board,
        ) else {
            return;
        };
        let token = board.tokens[self.plan.lanes[lane].account];
        let (is_well, at) = self.api.health(lane, token, self.now_us);
        self.note(|| format!("worker {worker} asks whether {reach:?} is over: {is_well}"));
        self.tally.count(match is_well {
            true => "health well",
            false => "health not well",
        });
        let (life, session) = (self.processes[worker].life, self.processes[worker].session);
        self.at(
            at,
            Event::Tend(Tending::Asked(worker, life, session, reach, is_well)),
        );
    }

    fn asked(&mut self, worker: usize, life: u64, reach: &Reach, is_well: bool) {
        let (now, process) = (self.now_of(worker), &mut self.processes[worker]);
        let is_current = process.life == life;
        let Some(board) = process.board.as_mut().filter(|_| is_current) else {
            return;
        };
        let health = if is_well {
            Health::Well
        } else {
            Health::Unanswered
        };
        let record = board.holds.probed(reach, health, now);
        if is_well && board.holds.on(&only(reach), now).hold.is_none() {
            board.knowledge.lifted(reach);
        }
        if let Some(record) = record {
            self.share(worker, record);
        }
        self.order(worker, reach);
        self.tend_later(worker);
    }
}

/// A place in nothing but this.
fn only(reach: &Reach) -> Place {
    let key = |scope| match reach.scope == scope {
        true => reach.key.clone(),
        false => "".into(),
    };
    Place {
        lane: LaneId::new(&key(Scope::Lane)),
        waba: key(Scope::Waba),
        token: key(Scope::Token),
        app: key(Scope::App),
    }
}

fn word(finding: &Finding, reach: &Reach) -> &'static str {
    if finding.template.is_some() {
        return "template paused";
    }
    let is_wide = reach.scope != Scope::Lane;
    match (finding.why, is_wide) {
        (Why::Block, false) => "block of a lane",
        (Why::Block, true) => "block of more than a lane",
        (Why::Penalty, _) => "penalty",
        (Why::Throttle, false) => "throttle of a lane",
        (Why::Throttle, true) => "throttle of more than a lane",
        (Why::Outage, false) => "outage of a lane",
        (Why::Outage, true) => "outage of more than a lane",
    }
}
