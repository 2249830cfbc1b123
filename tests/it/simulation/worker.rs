//! One lane in a worker, driven as `dispatch.rs` does it: an event, then a turn.

use super::Us;
use super::api::Call;
use super::broker::{ChannelId, Copy, Tag};
use super::checks::{Checked, Violation, ensure};
use super::conduct::{Conduct, Item};
use super::publishing::{Held, Letter};
use super::world::{Event, Simulation};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use whatsapp_dispatcher::core::Now;
use whatsapp_dispatcher::core::answer::Reply;
use whatsapp_dispatcher::core::intake::{Header, Inbound, IntakeConfig, Refusal, intake};
use whatsapp_dispatcher::core::lane::{
    Attempt, Decision, Lane, LaneConfig, Luck, Resolved, State, Step, Ticket,
};
use whatsapp_dispatcher::core::message::LaneId;
use whatsapp_dispatcher::core::outcome::Outcome;
use whatsapp_dispatcher::core::placement;
use whatsapp_dispatcher::core::report::{Report, ReportedError};

/// As in `dispatch.rs`.
const FENCED_PAUSE: Us = 200_000;
const INTAKE: IntakeConfig = IntakeConfig {
    max_body_bytes: 262_144,
    check_sizes: true,
};

/// A deliberate fault in the shell: proof that the checks can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    AcknowledgesFirst,
    HurriesTheClock,
    ForgetsRedelivered,
    ForgetsAttempts,
    ForgetsDelayed,
    ForgetsChannelLoss,
    OverhearsPause,
    OversleepsTimers,
    NeverRejoins,
}

/// One lane in one life of one worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Who {
    pub(crate) worker: usize,
    pub(crate) life: u64,
    pub(crate) lane: usize,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "worker {} (life {}) lane {}",
            self.worker, self.life, self.lane
        )
    }
}

pub(crate) struct Shell {
    pub(super) lane: Lane,
    pub(super) conduct: Conduct,
    pub(super) channel: Option<ChannelId>,
    pub(super) publishing: usize,
    flaw: Option<Flaw>,
    deliveries: BTreeMap<Ticket, Held>,
    next_ticket: Ticket,
    posting: usize,
    subscribe_at: Us,
    timer: u64,
    quick_ms: u64,
    drained: bool,
}

impl Shell {
    pub(super) fn new(id: &str, config: LaneConfig, flaw: Option<Flaw>, now: Now) -> Self {
        Self {
            lane: Lane::new(LaneId::new(id), config, now),
            conduct: Conduct::new(config, us(now.mono)),
            channel: None,
            publishing: 0,
            flaw,
            deliveries: BTreeMap::new(),
            next_ticket: 0,
            posting: 0,
            subscribe_at: 0,
            timer: 0,
            quick_ms: 50,
            drained: false,
        }
    }

    pub(super) fn pause(&mut self, now: Now) {
        self.conduct.pause();
        if self.flaw != Some(Flaw::OverhearsPause) {
            self.lane.pause(now);
        }
    }

    pub(super) fn resume(&mut self) {
        self.conduct.resume();
        self.lane.resume();
    }

    pub(super) fn token_changed(&mut self) {
        if let State::Away { .. } | State::Probing { .. } = self.lane.state() {
            self.resume();
        }
    }

    pub(super) fn set_limit(&mut self, limit_mps: u32, now: Now) {
        self.conduct.set_limit(limit_mps, us(now.mono));
        self.lane.set_limit(limit_mps, now);
    }

    pub(super) fn drain(&mut self) {
        self.conduct.drain();
        self.lane.drain();
    }

    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    fn has_work(&self) -> bool {
        self.posting + self.publishing > 0
    }

    fn sends(&self) -> bool {
        matches!(
            self.lane.state(),
            State::Flowing | State::Cooling { .. } | State::Probing { .. }
        )
    }
}

enum Performed {
    Until(Option<Us>),
    GiveBack,
}

impl Simulation {
    pub(super) fn wake(&mut self, who: Who, timer: u64) -> Checked {
        let current = self.is_alive(who) && self.shell_mut(who).timer == timer;
        if current { self.turn(who) } else { Ok(()) }
    }

    /// What every event ends with: subscribe if it is time, perform what the core wants, sleep until it is due.
    pub(super) fn turn(&mut self, who: Who) -> Checked {
        if !self.is_alive(who) || self.shell_mut(who).drained {
            return Ok(());
        }
        let mut rejoin_at = self.subscribe_if_due(who);
        let wake = match self.perform(who)? {
            Performed::Until(wake) => wake,
            Performed::GiveBack => {
                let shell = self.shell_mut(who);
                if !shell.has_work() && shell.lane.state() != State::Draining {
                    self.leave(who);
                    // Only now does the lane say when it comes back.
                    if self.flaw != Some(Flaw::NeverRejoins) {
                        rejoin_at = self.subscribe_if_due(who);
                    }
                }
                None
            }
        };
        let wake = match (rejoin_at, wake) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.rest(who, wake)
    }

    fn rest(&mut self, who: Who, wake: Option<Us>) -> Checked {
        let oversleeps = self.flaw == Some(Flaw::OversleepsTimers) && self.chance.percent(5);
        let wake = wake.filter(|_| !oversleeps);
        let now = self.now_us;
        let has_session = self.processes[who.worker].session.is_some();
        let shell = self.shell_mut(who);
        shell.timer += 1;
        let (timer, view) = (shell.timer, shell.lane.view());
        let may_send = has_session && shell.channel.is_some();
        shell.conduct.rests(&view, may_send, wake, now)?;
        let is_drained =
            shell.lane.state() == State::Draining && !shell.has_work() && view.in_flight == 0;
        if is_drained {
            shell.drained = true;
            self.leave(who);
            self.lane_drained(who);
            return Ok(());
        }
        if let Some(at) = wake {
            let late_us = self.plan.network.late_us;
            let late = self.chance.within(0..=late_us);
            self.at(at + late, Event::Wake(who, timer));
        }
        Ok(())
    }

    fn subscribe_if_due(&mut self, who: Who) -> Option<Us> {
        self.processes[who.worker].session?;
        let now = self.now();
        let shell = self.shell_mut(who);
        if shell.channel.is_some() {
            return None;
        }
        let at = us(shell.lane.rejoin_at()?).max(shell.subscribe_at);
        if at > us(now.mono) {
            return Some(at);
        }
        let prefetch = shell.lane.config().prefetch();
        let name = format!("worker-{}", who.worker);
        let priority = placement::priority(&name, shell.lane.id().as_str());
        let channel = self
            .broker
            .subscribe(who.lane, who.worker, priority, prefetch);
        let shell = self.shell_mut(who);
        shell.channel = Some(channel);
        shell.conduct.rejoined(prefetch, us(now.mono));
        shell.lane.rejoined(now);
        let state = shell.lane.state().as_str();
        self.note(|| format!("{who} subscribes, {state}"));
        self.deliver_all(who.lane);
        None
    }

    /// Sends and decides until the core says wait.
    fn perform(&mut self, who: Who) -> Result<Performed, Violation> {
        let has_session = self.processes[who.worker].session.is_some();
        let (mut now, now_us, flaw) = (self.now(), self.now_us, self.flaw);
        if flaw == Some(Flaw::HurriesTheClock) {
            now.mono += now.mono / 10;
        }
        let shell = self.shell_mut(who);
        if shell.sends() && !(has_session && shell.channel.is_some()) {
            return Ok(Performed::Until(
                has_session.then_some(now_us + FENCED_PAUSE),
            ));
        }
        loop {
            match self.shell_mut(who).lane.next(now) {
                Step::Send(attempt) => self.send(who, attempt)?,
                Step::Decide(resolved) => self.decided_unsent(who, resolved)?,
                Step::Wait(until) => {
                    ensure(until > now.mono, "wake", || {
                        format!("{who} is to wait until {until:?}, and it is {:?}", now.mono)
                    })?;
                    return Ok(Performed::Until(Some(us(until))));
                }
                Step::Idle => return Ok(Performed::Until(None)),
                Step::GiveBack => return Ok(Performed::GiveBack),
            }
        }
    }

    fn send(&mut self, who: Who, attempt: Attempt) -> Checked {
        let (now, now_us) = (self.now(), self.now_us);
        let item = self.shell_mut(who).conduct.sent(attempt.ticket, now_us)?;
        let request = item.request;
        let facts = &self.plan.requests[request];
        let in_time = facts.expires_at_ms.is_none_or(|at| now.wall_ms < at)
            && facts.not_before_ms.is_none_or(|at| now.wall_ms >= at);
        ensure(in_time, "P1", || {
            format!("request {request} was sent before or after its time")
        })?;
        let tag = self
            .shell_mut(who)
            .deliveries
            .get(&attempt.ticket)
            .map(|held| held.tag);
        self.touched.extend(tag);
        let is_first = self.fates.sent(request);
        if is_first && !self.fates.has_left(request) {
            self.check_order(who.lane, &item)?;
        }
        self.tally.count("sent");
        self.note(|| format!("{who} sends request {request}"));
        self.shell_mut(who).posting += 1;
        let call = Call {
            who,
            ticket: attempt.ticket,
            request,
            body: attempt.body,
            sent_at: self.now_us,
        };
        if self.api.is_out(self.now_us) {
            let refused = Event::Answer(who, call.ticket, Reply::NotSent("connect"));
            self.after(1_000, refused);
        } else {
            let at = self.api.arrival(who.lane, self.now_us);
            self.at(at, Event::Arrive(call));
        }
        Ok(())
    }

    /// Among what is sent for the first time and never left for the ladder, each person's requests of a class keep their order.
    fn check_order(&mut self, lane: usize, item: &Item) -> Checked {
        let Some(person) = item.person else {
            return Ok(());
        };
        let high = self.plan.requests[item.request].high;
        let last = self.order.entry((lane, person, high)).or_default();
        let (before, this) = (*last, item.position);
        *last = this;
        ensure(before < this, "order", || {
            format!(
                "request {} overtook a later one to the same person",
                item.request
            )
        })
    }

    pub(super) fn answered(&mut self, who: Who, ticket: Ticket, reply: Reply) -> Checked {
        if !self.is_alive(who) {
            return Ok(());
        }
        let now = self.now();
        let outcome = self.rules.classify(reply);
        self.tally.count(word(&outcome));
        let jitter = self.chance.unit();
        let shell = self.shell_mut(who);
        shell.posting -= 1;
        let quick_pause = quick_pause(shell, &outcome);
        let luck = Luck {
            jitter,
            quick_pause,
        };
        let resolved = shell.lane.resolve(ticket, outcome.clone(), now, luck);
        let decision = resolved.as_ref().map(|resolved| &resolved.decision);
        let is_away = matches!(shell.lane.state(), State::Away { .. });
        let item = shell.conduct.resolved(
            ticket,
            &outcome,
            decision,
            quick_pause,
            is_away,
            us(now.mono),
        )?;
        self.note_doubt(&item, &outcome);
        if let Some(resolved) = resolved {
            ensure(resolved.ticket == item.ticket, "shell", || {
                format!("request {} was decided under another ticket", item.request)
            })?;
            if resolved.ticket != ticket {
                self.tally.count("adopted by a redelivery");
                self.shell_mut(who).deliveries.remove(&ticket);
            }
            self.carry_out(who, resolved)?;
        }
        self.turn(who)
    }

    fn note_doubt(&mut self, item: &Item, outcome: &Outcome) {
        let facts = &self.plan.requests[item.request];
        let resends = facts.is_receipt || facts.on_unknown == Some("resend");
        match outcome {
            Outcome::Unknown { .. } => self.fates.unsure(item.request, resends),
            Outcome::Transient {
                proves_unsent: false,
                ..
            } => self.fates.unsure(item.request, true),
            Outcome::Accepted(_)
            | Outcome::Refused { .. }
            | Outcome::NotSent { .. }
            | Outcome::Transient { .. }
            | Outcome::Throttled { .. }
            | Outcome::Blocked { .. } => {}
        }
    }

    fn decided_unsent(&mut self, who: Who, resolved: Resolved) -> Checked {
        let shell = self.shell_mut(who);
        let Some(item) = shell.conduct.waiting(resolved.ticket) else {
            return Violation::of("P1", format!("{who} decided a ticket that does not wait"));
        };
        shell.conduct.decided_unsent(&item, &resolved.decision)?;
        self.carry_out(who, resolved)
    }

    fn carry_out(&mut self, who: Who, resolved: Resolved) -> Checked {
        let ticket = resolved.ticket;
        self.tally.count(match &resolved.decision {
            Decision::Finish(report) => report.status.as_str(),
            Decision::Delay { .. } => "delay",
            Decision::Bury(_) => "bury",
            Decision::Forget => "forget",
            Decision::Abandon => "abandon",
        });
        let Some(held) = self.shell_mut(who).deliveries.remove(&ticket) else {
            return Violation::of("shell", format!("{who}: a decision without its delivery"));
        };
        self.carry_out_decision(who, held, resolved.decision);
        Ok(())
    }

    pub(super) fn take(&mut self, who: Who, channel: ChannelId, tag: Tag, copy: Copy) -> Checked {
        if !self.is_alive(who) || self.shell_mut(who).channel != Some(channel) {
            return Ok(());
        }
        let (now, request) = (self.now(), copy.request);
        self.note(|| {
            let again = if copy.redelivered { " again" } else { "" };
            format!("{who} gets request {request}{again}")
        });
        if copy.redelivered {
            self.tally.count("redelivered");
            self.fates.redelivered(request);
        }
        let facts = &self.plan.requests[request];
        let (expires_at, not_before) = (rfc3339(facts.expires_at_ms), rfc3339(facts.not_before_ms));
        let inbound = Inbound {
            message_id: facts.id.as_deref(),
            priority: Some(if facts.high { 7 } else { 1 }),
            timestamp_s: None,
            operation: facts.operation,
            redelivered: copy.redelivered && self.flaw != Some(Flaw::ForgetsRedelivered),
            expires_at: expires_at.as_deref().map(text),
            not_before: not_before.as_deref().map(text),
            on_unknown: facts.on_unknown.map(text),
            history: copy.history.clone(),
        };
        let held = Held {
            request,
            channel,
            tag,
        };
        let message = match intake(facts.body.clone().into(), inbound, &INTAKE, now) {
            Ok(message) => message,
            Err(refusal) => return self.refuse(who, held, refusal),
        };
        let item = Item {
            request,
            person: facts.person,
            position: copy.position,
            redelivered: copy.redelivered,
            attempts: copy.history.attempts,
            hops: copy.history.hops,
            ticket: self.shell_mut(who).next_ticket,
        };
        let shell = self.shell_mut(who);
        shell.next_ticket += 1;
        shell.deliveries.insert(item.ticket, held);
        let waiting = shell.lane.view().waiting;
        match shell.lane.accept(message, item.ticket, now) {
            Some(resolved) => {
                shell.conduct.decided_unsent(&item, &resolved.decision)?;
                self.carry_out(who, resolved)?;
            }
            None => {
                let joined = shell.lane.view().waiting > waiting;
                shell.conduct.accepted(item, joined)?;
            }
        }
        self.turn(who)
    }

    fn refuse(&mut self, who: Who, held: Held, refusal: Refusal) -> Checked {
        let mut letters = vec![];
        if refusal.keep_in_dead {
            letters.push(Letter::Dead);
        }
        let error = ReportedError::from_faults(refusal.faults);
        let lane = self.shell_mut(who).lane.id().clone();
        let report = Report::refused(refusal.id.as_deref(), &lane, error, self.now());
        letters.push(Letter::Result(report.into()));
        self.tally.count("refused at intake");
        self.begin(who, held, letters, None, false);
        self.turn(who)
    }

    /// What waited is the broker's again; what is in flight is awaited.
    pub(super) fn lose_channel(&mut self, who: Who, subscribe_at: Us) {
        let now = self.now();
        let shell = self.shell_mut(who);
        shell.subscribe_at = subscribe_at;
        shell.channel = None;
        if shell.flaw != Some(Flaw::ForgetsChannelLoss) {
            shell.conduct.channel_lost();
            shell.lane.channel_lost(now);
        }
        let lane = &shell.lane;
        shell
            .deliveries
            .retain(|ticket, _| lane.is_in_flight(*ticket));
    }

    /// Closes the channel, behind all acknowledgements: nothing is in flight.
    fn leave(&mut self, who: Who) {
        if let Some(channel) = self.shell_mut(who).channel {
            self.note(|| format!("{who} gives its lane back"));
            self.tally.count("lane given back");
            let at = self.frame(channel, false);
            self.at(at, Event::ChannelClosed(channel));
        }
        let subscribe_at = self.shell_mut(who).subscribe_at;
        self.lose_channel(who, subscribe_at);
    }
}

/// One step of the backoff per pause of the lane, however many sends failed together.
fn quick_pause(shell: &mut Shell, outcome: &Outcome) -> Duration {
    if !matches!(outcome, Outcome::NotSent { .. }) {
        shell.quick_ms = 50;
        return Duration::ZERO;
    }
    if let State::Cooling { .. } = shell.lane.state() {
        return Duration::ZERO;
    }
    shell.quick_ms = (shell.quick_ms * 2).min(1_000);
    Duration::from_millis(shell.quick_ms)
}

fn rfc3339(at_ms: Option<u64>) -> Option<String> {
    let timestamp = jiff::Timestamp::from_millisecond(at_ms? as i64);
    timestamp.ok().map(|timestamp| timestamp.to_string())
}

fn text(value: &str) -> Header<'_> {
    Header::Text(value.as_bytes())
}

fn us(duration: Duration) -> Us {
    duration.as_nanos().div_ceil(1_000) as Us
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted(_) => "outcome accepted",
        Outcome::Refused { .. } => "outcome refused",
        Outcome::NotSent { .. } => "outcome not sent",
        Outcome::Transient { .. } => "outcome transient",
        Outcome::Throttled { .. } => "outcome throttled",
        Outcome::Blocked { .. } => "outcome blocked",
        Outcome::Unknown { .. } => "outcome unknown",
    }
}
