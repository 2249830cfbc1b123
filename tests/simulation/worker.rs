//! One lane in a worker: its driver, and a shell that performs what that says.

use super::Us;
use super::allowance::us;
use super::api::{self, Call};
use super::broker::{ChannelId, Tag};
use super::checks::{Checked, Violation, ensure};
use super::conduct::{Conduct, Item};
use super::decisions;
use super::flaws::Flaw;
use super::leaving::Leaving;
use super::media::body_to_send;
use super::orders::Orders;
use super::publishing::{Held, concluded};
use super::stops::Reaction;
use super::world::{Event, Simulation};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use whatsapp_dispatcher::contract::words::Scope;
use whatsapp_dispatcher::core::Now;
use whatsapp_dispatcher::core::lane::driver::{Command, Consuming, Driver, DriverConfig};
use whatsapp_dispatcher::core::lane::{Attempt, Lane, LaneConfig, Resolved, State, Ticket};
use whatsapp_dispatcher::core::outcome::answer::Reply;
use whatsapp_dispatcher::core::outcome::{Effect, Outcome};
use whatsapp_dispatcher::core::request::decide::Decision;
use whatsapp_dispatcher::core::request::message::LaneId;

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
    pub(super) driver: Driver<Held>,
    pub(super) conduct: Conduct,
    pub(super) channel: Option<ChannelId>,
    pub(super) flaw: Option<Flaw>,
    pub(super) is_opening: bool,
    /// Which attempt to subscribe, with the prefetch it asked for.
    pub(super) opening: u64,
    pub(super) opening_prefetch: u16,
    pub(super) open_not_before: Us,
    /// Under which ticket each delivery is, by a second account.
    pub(super) tickets: BTreeMap<Tag, Ticket>,
    next_ticket: Ticket,
    /// Not obeyed yet.
    pub(super) orders: Option<Orders>,
    /// The last that it obeyed.
    pub(super) obeyed: Option<Orders>,
    /// Which token of its account's it sends with.
    pub(super) token: u64,
    pub(super) leaving: Leaving,
    /// Since its channel was opened: when it claimed the lane, and how long the log was then.
    pub(super) claim: Option<(Us, usize)>,
    /// After a loss of the broker: the run that it leaves the lane to, and until when.
    pub(super) owner_first: Option<(u64, Us)>,
    /// It is not to be consumed before.
    pub(super) owner_until: Us,
    /// It has read since that another took it.
    pub(super) is_overruled: bool,
    timer: u64,
    pub(super) drained: bool,
    /// How often it lost its connection by another lane's delivery.
    pub(super) disturbed: u32,
    /// Deliveries that were let through although nothing was found of them: they may have a copy already.
    pub(super) doubtful: BTreeSet<Tag>,
}

impl Shell {
    /// `reads_limit`: it is being read from the API.
    pub(super) fn new(
        id: &str,
        config: LaneConfig,
        driver: DriverConfig,
        token: u64,
        (reads_limit, flaw): (bool, Option<Flaw>),
        now: Now,
    ) -> Self {
        let lane = Lane::new(LaneId::new(id), config, now);
        let mut conduct = Conduct::new(config, us(now.mono));
        if reads_limit {
            conduct.await_limit();
        }
        Self {
            driver: Driver::new(lane, driver, reads_limit, now),
            conduct,
            channel: None,
            flaw,
            is_opening: false,
            opening: 0,
            opening_prefetch: 0,
            open_not_before: 0,
            tickets: BTreeMap::new(),
            next_ticket: 0,
            orders: None,
            obeyed: None,
            token,
            leaving: Leaving::default(),
            claim: None,
            owner_first: None,
            owner_until: 0,
            is_overruled: false,
            timer: 0,
            drained: false,
            disturbed: 0,
            doubtful: BTreeSet::new(),
        }
    }

    pub(super) fn new_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket - 1
    }

    pub(super) fn drain(&mut self) {
        self.conduct.drain();
        self.driver.drain();
    }

    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }
}

impl Simulation {
    pub(super) fn wake(&mut self, who: Who, timer: u64) -> Checked {
        let current = self.is_alive(who) && self.shell_mut(who).timer == timer;
        if !current {
            return Ok(());
        }
        self.obey(who)?;
        self.turn(who)
    }

    fn consuming(&mut self, who: Who) -> Consuming {
        let process = &self.processes[who.worker];
        let (has_session, is_fenced) = (process.joined, process.is_fenced);
        let is_open = self.shell_mut(who).channel.is_some();
        let heeds_fence = self.flaw != Some(Flaw::IgnoresFence);
        Consuming {
            has_session,
            is_open,
            may_send: has_session && is_open && !(is_fenced && heeds_fence),
            is_misplaced: false,
        }
    }

    /// What every event ends with: perform what the driver wants, see to the consumer, sleep until something is due.
    pub(super) fn turn(&mut self, who: Who) -> Checked {
        if !self.is_alive(who) || self.shell_mut(who).drained {
            return Ok(());
        }
        let is_stopped = self.stopped.contains_key(&who.worker);
        if is_stopped || self.shell_mut(who).driver.is_leaving() {
            return Ok(());
        }
        let (consuming, mut now) = (self.consuming(who), self.now());
        let hurries = self.flaw == Some(Flaw::HurriesTheClock);
        if hurries {
            now.mono += now.mono / 10;
        }
        let shell = self.shell_mut(who);
        if shell.driver.is_leaving() {
            return Ok(());
        }
        let was_owner = shell.driver.is_owner();
        let wake = shell.driver.turn(consuming, now);
        if shell.driver.is_owner() && !was_owner {
            shell.conduct.took_over(us(now.mono));
            self.tally.count("claim given up");
        }
        for command in self.commands(who) {
            self.perform_in_turn(who, command)?;
        }
        if self.shell_mut(who).driver.is_leaving() {
            return self.leave_on(who);
        }
        if self.shell_mut(who).driver.unread().is_some() {
            self.read_unclaimed(who)?;
            return self.turn(who);
        }
        ensure(wake.is_none_or(|wake| wake > now.mono), "wake", || {
            format!("{who} is to wait until {wake:?}, and it is {:?}", now.mono)
        })?;
        let wake = wake.map(|wake| us(if hurries { wake * 10 / 11 } else { wake }));
        let claims = self.shell_mut(who).driver.claim_until().is_some();
        let waits = self.flaw == Some(Flaw::WaitsForTheLog) && claims;
        let wake = wake.filter(|_| !waits);
        let open_at = self.open_if_due(who)?;
        self.rest(who, [wake, open_at].into_iter().flatten().min())
    }

    pub(super) fn rest(&mut self, who: Who, wake: Option<Us>) -> Checked {
        let oversleeps = self.flaw == Some(Flaw::OversleepsTimers) && self.chance.percent(5);
        let wake = wake.filter(|_| !oversleeps);
        self.check_away(who)?;
        let (consuming, now) = (self.consuming(who), self.now_us);
        let shell = self.shell_mut(who);
        shell.timer += 1;
        let (timer, view) = (shell.timer, shell.driver.view(consuming));
        let may_send = consuming.may_send;
        shell.conduct.rests(&view, may_send, wake, now)?;
        if shell.driver.is_drained() {
            shell.driver.leave();
            shell.leaving.is_final = true;
            return self.leave_on(who);
        }
        if let Some(at) = wake {
            let late_us = self.plan.network.late_us;
            let late = self.chance.within(0..=late_us);
            self.at(at + late, Event::Wake(who, timer));
        }
        Ok(())
    }

    /// All that the driver wants done, in order.
    pub(super) fn commands(&mut self, who: Who) -> Vec<Command<Held>> {
        let driver = &mut self.shell_mut(who).driver;
        std::iter::from_fn(|| driver.next_command()).collect()
    }

    fn perform_in_turn(&mut self, who: Who, command: Command<Held>) -> Checked {
        if let Command::Conclude { delivery, resolved } = &command {
            let (ticket, decision) = (resolved.ticket, &resolved.decision);
            let conduct = &mut self.shell_mut(who).conduct;
            conduct.decided_in_turn(ticket, decision)?;
            self.note_departure(who, delivery, decision);
        }
        self.perform(who, command)
    }

    pub(super) fn perform_all(&mut self, who: Who) -> Checked {
        for command in self.commands(who) {
            self.perform(who, command)?;
        }
        Ok(())
    }

    pub(super) fn perform(&mut self, who: Who, command: Command<Held>) -> Checked {
        if self.waits_for_the_end_of_leaving(who, &command) {
            self.shell_mut(who).leaving.later.push(command);
            return Ok(());
        }
        match command {
            Command::Claim => self.claim(who),
            Command::Check(held) => self.check(who, held),
            Command::Refuse { delivery, refusal } => {
                self.refuse(who, delivery, refusal);
                Ok(())
            }
            Command::Ask { ticket, question } => {
                let took = self.chance.within(1_000..=300_000);
                let asked_at = self.now_us;
                self.after(took, Event::Evidence(who, ticket, question, asked_at));
                Ok(())
            }
            Command::Recall(read) => self.recall(who, read),
            Command::Upload(wanted) => self.upload(who, wanted),
            Command::Send(attempt) => self.send(who, attempt),
            Command::Conclude { delivery, resolved } => {
                self.carry_out(who, delivery, resolved);
                Ok(())
            }
            Command::Void(_) => Ok(()),
            Command::Found(finding) => self.found(who, &finding),
            Command::ReadLimit => {
                self.tally.count("limit is to be read anew");
                Ok(())
            }
            Command::Overruled => {
                self.tally.count("another took the lane");
                self.note(|| format!("{who} leaves its lane to another"));
                self.shell_mut(who).conduct.await_limit();
                Ok(())
            }
            Command::NoDelivery(_) => {
                Violation::of("shell", format!("{who}: a decision without its delivery"))
            }
        }
    }

    fn send(&mut self, who: Who, attempt: Attempt) -> Checked {
        self.check_claim(who)?;
        let (now, now_us, consuming) = (self.now(), self.now_us, self.consuming(who));
        let shell = self.shell_mut(who);
        let (view, token) = (shell.driver.view(consuming), shell.token);
        let item = shell.conduct.sent(attempt.ticket, &view, now_us)?;
        let request = item.request;
        let template = self.plan.requests[request].template;
        self.check_known(who, template)?;
        self.check_first_of_id(who, request)?;
        let facts = &self.plan.requests[request];
        let in_time = facts.expires_at_ms.is_none_or(|at| now.wall_ms < at)
            && facts.not_before_ms.is_none_or(|at| now.wall_ms >= at);
        ensure(in_time, "P1", || {
            format!("request {request} was sent before or after its time")
        })?;
        let held = self.shell_mut(who).driver.delivery(attempt.ticket);
        let tag = held.map(|held| held.tag);
        self.touched.extend(tag);
        let history = &item.copy.history;
        self.touched_copies.insert((request, history.hops));
        self.fates.check_blame(request, history.blamed)?;
        let is_marked = item.copy.redelivered || history.copied_ms > 0;
        if self.fates.sent(request, who, is_marked) && !self.fates.has_left(request) {
            self.check_order(who.lane, &item)?;
        }
        self.tally.count("sent");
        self.note(|| format!("{who} sends request {request}"));
        let body = body_to_send(&item, attempt.call.body)?;
        let call = Call {
            who,
            ticket: attempt.ticket,
            request,
            body,
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
        self.obey(who)?;
        let (now, consuming) = (self.now(), self.consuming(who));
        let usage = reply.usage();
        let outcome = self.rules.classify(reply);
        self.tally.count(api::word(&outcome));
        let drawn = self.chance.unit();
        let shell = self.shell_mut(who);
        let quick_pause = shell
            .driver
            .answered(ticket, outcome.clone(), usage, drawn, now);
        let commands = self.commands(who);
        let shell = self.shell_mut(who);
        let view = shell.driver.view(consuming);
        if usage.is_some_and(|usage| usage.percent.is_some_and(|percent| percent > 90)) {
            shell.conduct.used(&view, us(now.mono));
        }
        if usage.is_some_and(|usage| usage.regain_minutes.is_some_and(|m| m > 0)) {
            shell.conduct.used_up();
        }
        let decision = commands.iter().find_map(|command| {
            let resolved = concluded(command)?.1;
            (resolved.ticket == ticket).then_some(&resolved.decision)
        });
        self.judge(who, ticket, &outcome, decision, quick_pause)?;
        for command in commands {
            self.perform(who, command)?;
        }
        self.turn(who)
    }

    /// What the lane made of an answer, by the second account.
    fn judge(
        &mut self,
        who: Who,
        ticket: Ticket,
        outcome: &Outcome,
        decision: Option<&Decision>,
        quick_pause: Duration,
    ) -> Checked {
        let (now, consuming) = (self.now(), self.consuming(who));
        let shell = self.shell_mut(who);
        let reaction = Reaction {
            view: shell.driver.view(consuming),
            quick_pause,
        };
        let now_us = us(now.mono);
        let item = shell
            .conduct
            .resolved(ticket, outcome, decision, &reaction, now_us)?;
        let is_charged = decisions::attempts(decision) > item.copy.history.attempts;
        // While another one tries, nobody else is told.
        let may_be_its_own = is_charged || matches!(reaction.view.state, State::Probing { .. });
        self.note_cost(who, &item, outcome, may_be_its_own)?;
        self.note_blame(&item, outcome, decision, is_charged);
        self.note_template(who, &item, outcome);
        self.note_doubt(&item, outcome);
        if is_charged {
            self.fates.attempted(item.request);
        } else if matches!(decision, Some(Decision::Delay { .. }))
            && !matches!(
                outcome.effect(),
                Some(Effect::Throttled { .. } | Effect::Blocked { .. })
            )
        {
            self.tally.count("uncharged");
        }
        if reaction.view.bucket.rate_mps < reaction.view.configured_mps {
            self.tally.count("slowed down");
        }
        Ok(())
    }

    /// The lane knows at once that the others of this template would be refused too.
    fn note_template(&mut self, who: Who, item: &Item, outcome: &Outcome) {
        if let Some(Effect::Throttled {
            scope: Scope::Template,
            pause_s,
            ..
        }) = outcome.effect()
            && let Some(template) = self.plan.requests[item.request].template
        {
            let wall_ms = self.now().steady_ms;
            let until_ms = wall_ms + u64::from(pause_s.unwrap_or(1).max(1)) * 1_000;
            let conduct = &mut self.shell_mut(who).conduct;
            conduct.hold_template(&template.into(), until_ms, wall_ms);
        }
    }

    fn carry_out(&mut self, who: Who, held: Held, resolved: Resolved) {
        self.tally.count(match &resolved.decision {
            Decision::Finish(report) => report.status.as_str(),
            Decision::Delay { .. } => "delay",
            Decision::Bury(_) => "bury",
            Decision::Repeat { .. } => "repeat",
            Decision::Duplicate { .. } => "duplicate",
            Decision::Forget => "forget",
            Decision::Abandon => "abandon",
        });
        self.conclude(who, held, resolved.ticket, resolved.decision);
    }
}
