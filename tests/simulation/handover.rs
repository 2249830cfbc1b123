//! Lanes that pass from worker to worker: claims by the log, and what is told of what was not sent. With workers that stop and go on,
//! that have one name, and that all lose the broker at once.

use super::Us;
use super::allowance::us;
use super::broker::Copy;
use super::chance::Chance;
use super::checks::{Checked, ensure};
use super::events::WorkerEvent;
use super::flaws::Flaw;
use super::plan::{Mishap, Plan};
use super::worker::Who;
use super::world::{Event, Simulation};
use std::sync::Arc;
use std::time::Duration;
use whatsapp_dispatcher::core::Now;
use whatsapp_dispatcher::core::fleet::holds::{News, Record};
use whatsapp_dispatcher::core::fleet::tenure::{Legacy, Tenure, Unsent};
use whatsapp_dispatcher::core::lane::driver::LeaveStep;
use whatsapp_dispatcher::core::request::recent::Identity;

/// How long the log may take to say whose a lane is. As in `core/lane/driver/ownership.rs`.
const CLAIM_PATIENCE: Us = 10_000_000;
/// How late a lane may notice that.
const CLAIM_SLACK: Us = 1_000_000;
/// A worker that is stopped for so long goes by its fence when it goes on; for longer, and the broker gives its lanes away.
const FENCE: Us = 1_500_000;
const BROKER_NOTICES: Us = 2_500_000;
/// How long a lane that leaves waits for the others to be told.
const LEAVE_PATIENCE: Us = 10_000_000;
/// How long a lane is left to whoever had it.
pub(super) const OWNER_FIRST: Duration = Duration::from_secs(5);

/// That a request was not sent, as it was told by whoever left its lane.
#[derive(Clone, Copy)]
pub(crate) struct ToldUnsent {
    run: u64,
    lane: usize,
    at: Us,
    /// How long the log was then.
    end: usize,
}

/// What befalls workers that share lanes. Of its own, so that a seed's other mishaps are what they were before there was this.
pub(super) fn draw(plan: &mut Plan, span: Us, seed: u64) {
    let chance = &mut Chance::new(seed ^ 0x4a11_d0e5);
    plan.has_namesakes = plan.workers > 1 && chance.percent(15);
    if chance.percent(50) {
        for _ in 0..chance.within(1..=3) {
            let at = chance.within(0..=span);
            let worker = chance.within(0..=plan.workers as u64 - 1) as usize;
            let for_us = chance.pick(&[200_000, 2_000_000, 4_000_000, 20_000_000]);
            plan.mishaps.push((at, Mishap::Stopped { worker, for_us }));
        }
    }
    if chance.percent(30) {
        let at = chance.within(0..=span);
        let for_us = chance.pick(&[1_000, 1_000_000]);
        plan.mishaps.push((at, Mishap::BrokerLost { for_us }));
    }
}

impl Plan {
    /// `worker.id`.
    pub(crate) fn name(&self, worker: usize) -> String {
        match self.has_namesakes {
            true => "worker-0".to_owned(),
            false => format!("worker-{worker}"),
        }
    }
}

impl Simulation {
    /// The first delivery on a channel: all others are told that the lane is this worker's.
    pub(super) fn claim(&mut self, who: Who) -> Checked {
        let (now, now_us) = (self.now_of(who.worker), self.now_us);
        let end = self.log.len();
        let shell = self.shell_mut(who);
        shell.claim = Some((now_us, end));
        shell.is_overruled = false;
        let until = shell.driver.claim_until();
        let due = WorkerEvent::ClaimDue(who, now_us);
        self.after(CLAIM_PATIENCE + CLAIM_SLACK, Event::Worker(due));
        let is_hasty = self.flaw == Some(Flaw::SendsUnclaimed);
        if is_hasty {
            self.answer_claim(who, Legacy::default())?;
        }
        debug_assert!(is_hasty || until.is_some());
        let Some(board) = &mut self.processes[who.worker].board else {
            return Ok(());
        };
        let Some(reach) = board.reach(who.lane) else {
            return Ok(());
        };
        let record = board.holds.record(reach, News::Taken, now);
        board
            .claims
            .insert(record.reach.key.clone(), record.clone());
        self.share(who.worker, record);
        Ok(())
    }

    /// No lane waits for ever for a log that does not answer.
    fn check_patience(&mut self, who: Who, at: Us) -> Checked {
        let due = Event::Worker(WorkerEvent::ClaimDue(who, at));
        if let Some(until) = self.stopped.get(&who.worker) {
            self.at(until + CLAIM_SLACK, due);
            return Ok(());
        }
        let shell = self.shell_mut(who);
        let waits = shell.claim.is_some_and(|(claimed_at, _)| claimed_at == at);
        let waits = waits && shell.driver.claim_until().is_some();
        ensure(!waits, "P8", || {
            format!("{who} claimed its lane at {at}, and still waits for the log to answer")
        })
    }

    /// A lane hears that it is its worker's.
    fn answer_claim(&mut self, who: Who, legacy: Legacy) -> Checked {
        let now = self.now();
        let shell = self.shell_mut(who);
        let is_leaving = shell.driver.is_leaving();
        let prefetch = shell.opening_prefetch;
        // Nobody listens any more.
        if is_leaving && shell.driver.leave_step(prefetch) != LeaveStep::AwaitClaim {
            return Ok(());
        }
        if !shell.driver.is_owner() {
            shell.conduct.took_over(us(now.mono));
        }
        shell.driver.claimed(legacy, now);
        self.perform_all(who)?;
        if self.shell_mut(who).driver.is_leaving() {
            return self.leave_on(who);
        }
        self.read_unclaimed(who)
    }

    /// What was delivered before the lane was its worker's.
    pub(super) fn read_unclaimed(&mut self, who: Who) -> Checked {
        while self.shell_mut(who).driver.unread().is_some() {
            self.shell_mut(who).driver.read();
            self.perform_all(who)?;
        }
        Ok(())
    }

    /// What the log says of who has a lane.
    pub(super) fn heard_of_tenure(&mut self, worker: usize, record: &Record) -> Checked {
        let now = self.now_of(worker);
        let lane = record.reach.key.clone();
        let Some(index) = self.plan.lanes.iter().position(|plan| *plan.id == *lane) else {
            return Ok(());
        };
        let Some(who) = self.whos(worker).get(index).copied() else {
            return Ok(());
        };
        let Some(board) = &mut self.processes[worker].board else {
            return Ok(());
        };
        let mut answer = None;
        match &record.news {
            News::Taken => {
                let legacy = board.tenures.taken(&lane, tenure(record, now));
                if board.claims.get(&lane) == Some(record) {
                    board.claims.remove(&lane);
                    answer = Some(legacy);
                } else if !board.holds.is_own(record) {
                    // One that is read late, and was written before this worker claimed the lane, is of whoever had it before.
                    let at = self.log.iter().rposition(|written| written == record);
                    let shell = self.shell_mut(who);
                    let claimed = shell.claim.map(|(_, end)| end);
                    shell.is_overruled |= claimed.is_none_or(|end| at.is_some_and(|at| at >= end));
                }
            }
            News::Left { unsent } => board.tenures.left(&lane, record.run, unsent.clone()),
            News::Held(_)
            | News::Lifted
            | News::Paused { .. }
            | News::Resumed
            | News::TemplateHeld { .. }
            | News::Present { .. } => {}
        }
        self.order_lane(who);
        if let Some(legacy) = answer {
            self.tally.count("claim answered");
            self.shell_mut(who).is_overruled = false;
            self.obey(who)?;
            self.answer_claim(who, legacy)?;
            self.turn(who)?;
        }
        Ok(())
    }

    /// Nothing is sent before all others can know whose the lane is, or the log has taken too long; and nothing once another has it.
    pub(super) fn check_claim(&mut self, who: Who) -> Checked {
        let (run, now) = (self.processes[who.worker].run, self.now_us);
        let shell = self.shell_mut(who);
        let (claim, is_overruled) = (shell.claim, shell.is_overruled);
        ensure(!is_overruled, "claim", || {
            format!("{who} sends, and has read that another took the lane")
        })?;
        let id = &self.plan.lanes[who.lane].id;
        let is_its = |record: &Record| {
            record.run == run && record.news == News::Taken && *record.reach.key == **id
        };
        let is_claimed = claim.is_some_and(|(at, end)| {
            now >= at + CLAIM_PATIENCE || self.log[end..].iter().any(is_its)
        });
        ensure(is_claimed, "claim", || {
            format!("{who} sends before all others can know that the lane is its own")
        })
    }

    /// There is a session. After a loss of the broker whoever had the lane is the first to have it, for a while and once.
    pub(super) fn note_owner(&mut self, who: Who, is_back: bool) {
        let (now, name) = (self.now_us, self.plan.name(who.worker));
        let Some(board) = &self.processes[who.worker].board else {
            return;
        };
        let tenure = board.tenures.of(&self.plan.lanes[who.lane].id);
        let others = tenure.filter(|tenure| is_back && !tenure.left && *tenure.worker != *name);
        let owner = others.map(|tenure| tenure.run);
        let shell = self.shell_mut(who);
        shell.owner_until = 0;
        if let Some(run) = owner {
            if shell.owner_first.is_none_or(|(before, _)| before != run) {
                shell.owner_first = Some((run, now + us(OWNER_FIRST)));
            }
            shell.owner_until = shell.owner_first.map_or(0, |(_, until)| until);
            self.tally.count("left to its owner first");
        }
    }

    pub(super) fn check_owner_first(&mut self, who: Who) -> Checked {
        let (now, until) = (self.now_us, self.shell_mut(who).owner_until);
        ensure(now >= until, "owner", || {
            format!("{who} subscribes at {now}, and its owner is to be first until {until}")
        })
    }

    /// What of that which waits, by the second account, is about to be told as unsent.
    pub(super) fn note_unsent(&mut self, who: Who, told: &Unsent) {
        let (run, at, end) = (self.processes[who.worker].run, self.now_us, self.log.len());
        let shell = self.shell_mut(who);
        let waits: Vec<_> = shell.conduct.surely_unsent().into_iter().collect();
        let came: Vec<_> = shell.leaving.came.iter().copied().collect();
        for (request, hops, returns) in came.into_iter().chain(waits) {
            let facts = &self.plan.requests[request];
            let id = facts.id.as_deref().unwrap_or_default();
            let identity = Identity::new(id, hops, facts.incarnation);
            if told.contains(&(identity, returns)) {
                let told = ToldUnsent {
                    run,
                    lane: who.lane,
                    at,
                    end,
                };
                self.told_unsent.insert((request, hops, returns, run), told);
            }
        }
        self.note(|| format!("{who} leaves, and has not sent {told:?}"));
    }

    /// Where the log says what was told.
    fn place_of(&self, told: &ToldUnsent) -> Option<usize> {
        let id = self.plan.lanes[told.lane].id.as_str();
        let is_it = |record: &Record| {
            let is_left = matches!(record.news, News::Left { .. });
            record.run == told.run && is_left && *record.reach.key == *id
        };
        let place = self.log[told.end..].iter().position(is_it)?;
        Some(told.end + place)
    }

    /// RabbitMQ gets back what waits: what was surely not sent is told, and the others can know it.
    pub(super) fn check_told(&mut self, who: Who) -> Checked {
        if !self.shell_mut(who).driver.is_owner() {
            return Ok(());
        }
        let run = self.processes[who.worker].run;
        for (request, hops, returns) in self.shell_mut(who).conduct.surely_unsent() {
            let told = self.told_unsent.get(&(request, hops, returns, run));
            let is_told = told.is_some_and(|told| {
                self.place_of(told).is_some() || self.now_us >= told.at + LEAVE_PATIENCE
            });
            ensure(is_told, "told", || {
                format!(
                    "{who} gives request {request} back, and nobody can know that it was not sent"
                )
            })?;
        }
        Ok(())
    }

    /// Whoever had it has surely not sent it, and this worker can know: that was told before it claimed the lane, and nobody else did.
    pub(super) fn can_know_unsent(&mut self, who: Who, copy: &Copy) -> bool {
        let run = self.processes[who.worker].run;
        let Some(told) = self.told_of(copy) else {
            return false;
        };
        let (Some(place), Some((at, end))) = (self.place_of(&told), self.shell_mut(who).claim)
        else {
            return false;
        };
        let id = self.plan.lanes[who.lane].id.as_str();
        let is_taken = |record: &Record| record.news == News::Taken && *record.reach.key == *id;
        let first = self.log[place..].iter().position(is_taken);
        let is_its =
            first.is_some_and(|first| place + first >= end && self.log[place + first].run == run);
        is_its && self.now_us < at + CLAIM_PATIENCE
    }

    /// By whom this very delivery was told to be unsent.
    fn told_of(&self, copy: &Copy) -> Option<ToldUnsent> {
        let (request, hops) = (copy.request, copy.history.hops);
        let returns = copy.returns.checked_sub(1)?;
        let all = (request, hops, returns, 0)..=(request, hops, returns, u64::MAX);
        let mut told = self.told_unsent.range(all).map(|(_, told)| *told);
        told.next()
    }

    /// Nobody can have sent it.
    pub(super) fn is_surely_unsent(&self, copy: &Copy) -> bool {
        self.told_of(copy).is_some()
            || !self
                .touched_copies
                .contains(&(copy.request, copy.history.hops))
    }

    /// What befalls one worker's process or lane.
    pub(super) fn happen_to_worker(&mut self, event: WorkerEvent) -> Checked {
        match event {
            WorkerEvent::SetLimit(who, limit_mps) if self.is_alive(who) => {
                self.set_limit(who, limit_mps)
            }
            WorkerEvent::ClaimDue(who, at) if self.is_alive(who) => self.check_patience(who, at),
            WorkerEvent::SetLimit(..) | WorkerEvent::ClaimDue(..) => Ok(()),
            WorkerEvent::GoesOn(worker, life, for_us) => self.goes_on(worker, life, for_us),
            WorkerEvent::LearnsOfLoss(worker, life) => self.learns_of_loss(worker, life),
            WorkerEvent::SessionDead(worker, life) => {
                self.session_dies(worker, life);
                Ok(())
            }
        }
    }

    /// A worker's process stops, and goes on after so long.
    pub(super) fn stop(&mut self, worker: usize, for_us: Us) {
        if self.processes[worker].shells.is_empty() || self.stopped.contains_key(&worker) {
            return;
        }
        self.tally.count("stopped");
        let until = self.now_us + for_us;
        self.stopped.insert(worker, until);
        let life = self.processes[worker].life;
        if for_us >= BROKER_NOTICES {
            self.after(
                BROKER_NOTICES,
                Event::Worker(WorkerEvent::SessionDead(worker, life)),
            );
        }
        self.at(
            until,
            Event::Worker(WorkerEvent::GoesOn(worker, life, for_us)),
        );
    }

    /// The broker has heard nothing of a worker for too long.
    pub(super) fn session_dies(&mut self, worker: usize, life: u64) {
        if self.processes[worker].life != life || !self.stopped.contains_key(&worker) {
            return;
        }
        self.processes[worker].is_given_up = true;
        for who in self.whos(worker) {
            if let Some(channel) = self.shell_mut(who).channel {
                self.channel_gone(channel);
            }
        }
    }

    /// Its fence is up before it does anything; that its session is over it learns a moment later.
    pub(super) fn goes_on(&mut self, worker: usize, life: u64, for_us: Us) -> Checked {
        self.stopped.remove(&worker);
        if self.processes[worker].life != life || self.processes[worker].shells.is_empty() {
            return Ok(());
        }
        if for_us >= FENCE {
            self.processes[worker].is_fenced = true;
            self.after(
                50_000,
                Event::Worker(WorkerEvent::LearnsOfLoss(worker, life)),
            );
        }
        for who in self.whos(worker) {
            self.obey(who)?;
            self.turn(who)?;
        }
        Ok(())
    }

    pub(super) fn learns_of_loss(&mut self, worker: usize, life: u64) -> Checked {
        if self.processes[worker].life != life {
            return Ok(());
        }
        self.lose_session(worker, 1_000)
    }

    /// All lose the broker, and come back one after the other.
    pub(super) fn broker_lost(&mut self, for_us: Us) -> Checked {
        self.tally.count("broker lost");
        for worker in 0..self.processes.len() {
            let later = self.chance.within(0..=2_000_000);
            self.lose_session(worker, for_us + later)?;
        }
        Ok(())
    }

    /// What a stopped worker would do it does when it goes on.
    pub(super) fn unless_stopped(&mut self, event: Event) -> Option<Event> {
        let operation = event.operation();
        let operation = operation.and_then(|operation| self.operations.get(&operation));
        let worker = operation.map(|operation| operation.who.worker);
        let worker = worker.or(event.worker());
        let until = worker.and_then(|worker| self.stopped.get(&worker).copied());
        match until {
            Some(until) if until > self.now_us => {
                self.at(until, event);
                None
            }
            Some(_) | None => Some(event),
        }
    }
}

fn tenure(record: &Record, now: Now) -> Tenure {
    Tenure {
        worker: record.worker.clone(),
        run: record.run,
        since_ms: record.at_ms,
        left: false,
        heard: now.mono,
    }
}

/// A worker's name, as records have it.
pub(super) fn name_of(plan: &Plan, worker: usize) -> Arc<str> {
    plan.name(worker).into()
}
