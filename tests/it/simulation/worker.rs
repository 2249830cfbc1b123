//! One lane in a worker, driven as `dispatch.rs` does it: an event, then a turn.

use super::Us;
use super::allowance::us;
use super::api::{self, Call};
use super::board::Orders;
use super::broker::ChannelId;
use super::checks::{Checked, Violation, ensure};
use super::conduct::{Conduct, Item};
use super::flaws::Flaw;
use super::publishing::Held;
use super::stops::Reaction;
use super::world::{Event, Simulation};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use whatsapp_dispatcher::core::Now;
use whatsapp_dispatcher::core::lane::{
    Attempt, Decision, Drawn, Lane, LaneConfig, Resolved, State, Step, Ticket, Verdict,
};
use whatsapp_dispatcher::core::outcome::answer::Reply;
use whatsapp_dispatcher::core::outcome::{Outcome, Scope};
use whatsapp_dispatcher::core::request::message::LaneId;

/// As in `dispatch.rs`.
const FENCED_PAUSE: Us = 200_000;
const LIMIT_PATIENCE: Duration = Duration::from_secs(10);

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
    /// Something was delivered on it.
    pub(super) has_claim: bool,
    pub(super) flaw: Option<Flaw>,
    pub(super) is_opening: bool,
    /// Which attempt to subscribe, with the prefetch it asked for.
    pub(super) opening: u64,
    pub(super) opening_prefetch: u16,
    pub(super) open_not_before: Us,
    pub(super) publishing: usize,
    pub(super) deliveries: BTreeMap<Ticket, Held>,
    pub(super) next_ticket: Ticket,
    /// Not obeyed yet.
    pub(super) orders: Option<Orders>,
    /// Which token of its account's it sends with.
    pub(super) token: u64,
    posting: usize,
    timer: u64,
    quick_ms: u64,
    drained: bool,
    /// How often it lost its connection by another lane's delivery.
    pub(super) disturbed: u32,
}

impl Shell {
    pub(super) fn new(
        id: &str,
        config: LaneConfig,
        token: u64,
        flaw: Option<Flaw>,
        now: Now,
    ) -> Self {
        Self {
            lane: Lane::new(LaneId::new(id), config, now),
            conduct: Conduct::new(config, us(now.mono)),
            channel: None,
            has_claim: false,
            flaw,
            is_opening: false,
            opening: 0,
            opening_prefetch: 0,
            open_not_before: 0,
            publishing: 0,
            deliveries: BTreeMap::new(),
            next_ticket: 0,
            orders: None,
            token,
            posting: 0,
            timer: 0,
            quick_ms: 50,
            drained: false,
            disturbed: 0,
        }
    }

    pub(super) fn new_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket - 1
    }

    /// Its limit is being read from the API.
    pub(super) fn await_limit(&mut self, now: Now) {
        self.conduct.await_limit();
        self.lane.await_limit(now.mono + LIMIT_PATIENCE);
    }

    pub(super) fn set_limit(&mut self, limit_mps: u32, now: Now) {
        self.lane.set_limit(limit_mps, now);
        self.conduct
            .set_limit(limit_mps, self.lane.state(), us(now.mono));
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
        if !current {
            return Ok(());
        }
        self.obey(who);
        self.turn(who)
    }

    /// What every event ends with: perform what the core wants, see to the consumer, sleep until something is due.
    pub(super) fn turn(&mut self, who: Who) -> Checked {
        if !self.is_alive(who) || self.shell_mut(who).drained {
            return Ok(());
        }
        let wake = match self.perform(who)? {
            Performed::Until(wake) => wake,
            Performed::GiveBack => {
                // Whoever takes the lane next should know why it was left.
                let has_told = self.has_told(who.worker);
                let shell = self.shell_mut(who);
                let is_open = shell.channel.is_some() && shell.lane.state() != State::Draining;
                if is_open && !shell.has_work() && has_told {
                    self.leave(who);
                    // What a shell did that asked only before it left.
                    if self.flaw == Some(Flaw::NeverRejoins) {
                        return self.rest(who, None);
                    }
                }
                None
            }
        };
        let open_at = self.open_if_due(who);
        self.rest(who, [wake, open_at].into_iter().flatten().min())
    }

    fn rest(&mut self, who: Who, wake: Option<Us>) -> Checked {
        let oversleeps = self.flaw == Some(Flaw::OversleepsTimers) && self.chance.percent(5);
        let wake = wake.filter(|_| !oversleeps);
        self.check_away(who)?;
        let now = self.now_us;
        let has_session = self.processes[who.worker].joined;
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

    /// Sends and decides until the core says wait.
    fn perform(&mut self, who: Who) -> Result<Performed, Violation> {
        let has_session = self.processes[who.worker].joined;
        let (mut now, now_us) = (self.now(), self.now_us);
        let hurries = self.flaw == Some(Flaw::HurriesTheClock);
        if hurries {
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
                Step::Decide(resolved) => {
                    for resolved in resolved {
                        self.decided_in_turn(who, resolved)?;
                    }
                }
                Step::Wait(until) => {
                    ensure(until > now.mono, "wake", || {
                        format!("{who} is to wait until {until:?}, and it is {:?}", now.mono)
                    })?;
                    let until = if hurries { until * 10 / 11 } else { until };
                    return Ok(Performed::Until(Some(us(until))));
                }
                Step::Idle => return Ok(Performed::Until(None)),
                Step::GiveBack => return Ok(Performed::GiveBack),
            }
        }
    }

    fn send(&mut self, who: Who, attempt: Attempt) -> Checked {
        let (now, now_us) = (self.now(), self.now_us);
        let shell = self.shell_mut(who);
        let (view, token) = (shell.lane.view(), shell.token);
        let item = shell.conduct.sent(attempt.ticket, &view, now_us)?;
        let request = item.request;
        let template = self.plan.requests[request].template;
        self.check_known(who, template)?;
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
        self.fates.check_blame(request, item.copy.history.blamed)?;
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
            bearer: api::token(self.plan.lanes[who.lane].account, token),
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

    pub(super) fn answered(&mut self, who: Who, ticket: Ticket, reply: Reply) -> Checked {
        if !self.is_alive(who) {
            return Ok(());
        }
        self.obey(who);
        let now = self.now();
        let usage = reply.usage();
        let outcome = self.rules.classify(reply);
        self.tally.count(word(&outcome));
        let jitter = self.chance.unit();
        let shell = self.shell_mut(who);
        shell.posting -= 1;
        let quick_pause = quick_pause(shell, &outcome);
        let luck = Drawn {
            jitter,
            quick_pause,
        };
        let used_up = usage.and_then(|usage| shell.lane.used(usage, now));
        if usage.is_some_and(|usage| usage.percent.is_some_and(|percent| percent > 90)) {
            shell.conduct.used(&shell.lane.view(), us(now.mono));
        }
        if usage.is_some_and(|usage| usage.regain_minutes.is_some_and(|m| m > 0)) {
            shell.conduct.used_up();
        }
        let Verdict { resolved, finding } = shell.lane.resolve(ticket, outcome.clone(), now, luck);
        let decision = resolved.as_ref().map(|resolved| &resolved.decision);
        let reaction = Reaction {
            view: shell.lane.view(),
            quick_pause,
        };
        let item = shell
            .conduct
            .resolved(ticket, &outcome, decision, &reaction, us(now.mono))?;
        let attempts = match decision {
            Some(Decision::Delay { message, .. }) => message.history.attempts,
            Some(Decision::Finish(report) | Decision::Bury(report)) => report.attempts,
            Some(Decision::Repeat { .. } | Decision::Forget | Decision::Abandon) | None => 0,
        };
        let is_charged = attempts > item.copy.history.attempts;
        // While another one tries, nobody else is told.
        let may_be_its_own = is_charged || matches!(reaction.view.state, State::Probing { .. });
        self.note_cost(who, &item, &outcome, may_be_its_own)?;
        self.note_blame(&item, &outcome, decision, is_charged);
        self.note_template(who, &item, &outcome);
        for finding in used_up.iter().chain(&finding) {
            self.found(who, finding)?;
        }
        self.note_doubt(&item, &outcome);
        if is_charged {
            self.fates.attempted(item.request);
        } else if matches!(decision, Some(Decision::Delay { .. }))
            && !matches!(outcome, Outcome::Throttled { .. } | Outcome::Blocked { .. })
        {
            self.tally.count("uncharged");
        }
        if reaction.view.bucket.rate_mps < reaction.view.configured_mps {
            self.tally.count("slowed down");
        }
        if let Some(resolved) = resolved {
            ensure(resolved.ticket == ticket, "shell", || {
                format!("request {} was decided under another ticket", item.request)
            })?;
            self.carry_out(who, resolved)?;
        }
        self.turn(who)
    }

    /// The lane knows at once that the others of this template would be refused too.
    fn note_template(&mut self, who: Who, item: &Item, outcome: &Outcome) {
        if let Outcome::Throttled {
            scope: Scope::Template,
            pause_s,
            ..
        } = outcome
            && let Some(template) = self.plan.requests[item.request].template
        {
            let wall_ms = self.now().steady_ms;
            let until_ms = wall_ms + u64::from(pause_s.unwrap_or(1).max(1)) * 1_000;
            let conduct = &mut self.shell_mut(who).conduct;
            conduct.hold_template(&template.into(), until_ms, wall_ms);
        }
    }

    fn decided_in_turn(&mut self, who: Who, resolved: Resolved) -> Checked {
        let shell = self.shell_mut(who);
        let (ticket, decision) = (resolved.ticket, &resolved.decision);
        shell.conduct.decided_in_turn(ticket, decision)?;
        if let Some(held) = shell.deliveries.get(&ticket).cloned() {
            self.note_departure(who, &held, decision);
        }
        self.carry_out(who, resolved)
    }

    pub(super) fn carry_out(&mut self, who: Who, resolved: Resolved) -> Checked {
        let ticket = resolved.ticket;
        self.tally.count(match &resolved.decision {
            Decision::Finish(report) => report.status.as_str(),
            Decision::Delay { .. } => "delay",
            Decision::Bury(_) => "bury",
            Decision::Repeat { .. } => "repeat",
            Decision::Forget => "forget",
            Decision::Abandon => "abandon",
        });
        let Some(held) = self.shell_mut(who).deliveries.remove(&ticket) else {
            return Violation::of("shell", format!("{who}: a decision without its delivery"));
        };
        self.conclude(who, held, ticket, resolved.decision);
        Ok(())
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
