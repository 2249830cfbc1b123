//! A lane's loop without I/O: what the shell is told happens, and what it has to do then. [`Lane`] decides about requests; the driver about
//! deliveries, about whose the lane is, and about when it is left and how. The simulation drives the very same object.
//!
//! The shell calls an input, performs every [`Command`] in order, and asks [`Driver::turn`] when to look again. A lane that is to be left
//! says so by [`Driver::is_leaving`]; [`Driver::leave_step`] then says what comes next.

use super::{Drawn, Evidence, HeldBy, Joined, Lane, Resolved, State, Step, Ticket, View};
use crate::contract::words::Status;
use crate::core::Now;
use crate::core::evidence::search::{Question, Wanted};
use crate::core::fleet::tenure::Legacy;
use crate::core::outcome::answer::Usage;
use crate::core::outcome::{Effect, Outcome};
use crate::core::request::intake::Refusal;
use crate::core::request::message::{LaneId, Message};
use crate::core::request::recent::Identity;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

mod asking;
mod budget;
mod command;
mod leave;
mod leaving;
mod ownership;
mod quick;
mod room;

pub use budget::Budget;
pub use command::{Command, Consuming, DriverConfig, Orders};
pub use leaving::LeaveStep;

use leaving::Leaving;
use ownership::Ownership;
use quick::QuickPauses;

/// How often a lane that must not send looks again.
const FENCED_PAUSE: Duration = Duration::from_millis(200);

/// Longest that a lane waits for its limit to be read from the API before it starts at the lowest.
const LIMIT_PATIENCE: Duration = Duration::from_secs(10);

/// One lane's driver. `D`: a delivery, as its shell has it.
pub struct Driver<D> {
    config: DriverConfig,
    lane: Lane,
    ownership: Ownership,
    /// Requests that others have surely not sent, by the last orders.
    unsent: Arc<[(Identity, u64)]>,
    quick: QuickPauses,
    /// Delivered before the lane was this worker's.
    unclaimed: VecDeque<D>,
    deliveries: HashMap<Ticket, D>,
    next_ticket: Ticket,
    /// Commands whose end was not told yet: sends, ends, refusals and questions.
    under_way: usize,
    commands: VecDeque<Command<D>>,
    leaving: Option<Leaving>,
}

impl<D> Driver<D> {
    /// `reads_limit`: the lane's limit comes from the API, by an order; its configured one is only the lowest there is.
    pub fn new(mut lane: Lane, config: DriverConfig, reads_limit: bool, now: Now) -> Self {
        if reads_limit {
            lane.await_limit(now.mono + LIMIT_PATIENCE);
        }
        Self {
            quick: QuickPauses::new(config.quick.0, config.quick.1),
            config,
            lane,
            ownership: Ownership::default(),
            unsent: Arc::new([]),
            unclaimed: VecDeque::new(),
            deliveries: HashMap::new(),
            next_ticket: 0,
            under_way: 0,
            commands: VecDeque::new(),
            leaving: None,
        }
    }

    pub fn id(&self) -> &LaneId {
        self.lane.id()
    }

    /// How many deliveries the lane asks for at once.
    pub fn prefetch(&self) -> u16 {
        self.lane.prefetch()
    }

    pub fn state(&self) -> State {
        self.lane.state()
    }

    /// A snapshot, with what keeps the next message from being sent.
    pub fn view(&self, consuming: Consuming) -> View {
        let view = self.lane.view();
        if self.is_fenced(consuming) {
            View {
                held_by: HeldBy::Broker,
                ..view
            }
        } else {
            view
        }
    }

    /// True if this worker took the lane, and RabbitMQ delivers it here.
    pub fn is_owner(&self) -> bool {
        self.ownership.is_held()
    }

    /// The delivery under that ticket, while the lane has it.
    pub fn delivery(&mut self, ticket: Ticket) -> Option<&mut D> {
        self.deliveries.get_mut(&ticket)
    }

    /// The next thing to do.
    pub fn next_command(&mut self) -> Option<Command<D>> {
        self.commands.pop_front()
    }

    /// True if the lane drains, and nothing is in flight any more: time to leave.
    pub fn is_drained(&self) -> bool {
        let is_idle = self.under_way == 0 && self.lane.in_flight() == 0;
        self.lane.state() == State::Draining && is_idle
    }

    /// Until when the log may take to say that the lane is this worker's, while that is asked for.
    pub fn claim_until(&self) -> Option<Duration> {
        self.ownership.claim_until()
    }

    /// When the lane wants to be consumed, if it does.
    pub fn wanted_at(&self) -> Option<Duration> {
        let at = self.lane.rejoin_at()?;
        Some(at.max(self.ownership.not_before()))
    }

    /// Starts no more sends from now on.
    pub fn drain(&mut self) {
        self.lane.drain();
    }

    /// Sends and decides until the lane has to wait. Returns when to look again, if nothing happens before.
    pub fn turn(&mut self, consuming: Consuming, now: Now) -> Option<Duration> {
        if self.ownership.is_given_up(now) {
            self.claimed(Legacy::default(), now);
        }
        if self.leaving.is_some() {
            return self.ownership.claim_until();
        }
        let is_misplaced = consuming.is_open && consuming.is_misplaced;
        if is_misplaced && self.lane.state() == State::Flowing {
            self.lane.fetch_anew(now);
        }
        let wake = self.perform(consuming, now);
        [wake, self.ownership.claim_until()]
            .into_iter()
            .flatten()
            .min()
    }

    fn perform(&mut self, consuming: Consuming, now: Now) -> Option<Duration> {
        if self.is_fenced(consuming) {
            return consuming.has_session.then(|| now.mono + FENCED_PAUSE);
        }
        // In whatever state it is: also one request that tries whether a hold is over is the other worker's to send.
        if self.ownership.is_overruled() {
            self.leave_when_idle(consuming);
            return None;
        }
        loop {
            match self.lane.next(now) {
                Step::Send(attempt) => {
                    self.under_way += 1;
                    self.commands.push_back(Command::Send(attempt));
                }
                Step::Recall(read) => self.commands.push_back(Command::Recall(read)),
                Step::Upload(wanted) => self.commands.push_back(Command::Upload(wanted)),
                Step::Decide(all) => all.into_iter().for_each(|one| self.conclude(one)),
                Step::Wait(until) => return Some(until),
                Step::Idle => return None,
                Step::Leave => {
                    self.leave_when_idle(consuming);
                    return None;
                }
            }
        }
    }

    fn leave_when_idle(&mut self, consuming: Consuming) {
        let is_to_leave = consuming.is_open && self.state() != State::Draining;
        if is_to_leave && self.under_way == 0 {
            self.leaving = Some(Leaving::telling_why());
        }
    }

    /// True if the lane could send, and must not: RabbitMQ may give its messages away, or takes no results.
    fn is_fenced(&self, consuming: Consuming) -> bool {
        let sends = matches!(
            self.lane.state(),
            State::Flowing | State::Cooling { .. } | State::Probing { .. }
        );
        sends && !consuming.may_send
    }

    /// Applies what the process wants of the lane, which has changed.
    pub fn apply_orders(&mut self, orders: Orders<'_>, now: Now) {
        if orders.has_new_token {
            self.lane.token_changed();
        }
        for (template, until_ms) in orders.templates {
            self.lane.hold_template(template, *until_ms, now);
        }
        if let Some(limit_mps) = orders.limit_mps {
            self.lane.set_limit(limit_mps, now);
        }
        self.lane.held(orders.held, now);
        self.unsent = orders.unsent;
        // A lane that is another's inherits when it is claimed.
        if !self.ownership.is_none() {
            self.lane.inherit(&self.unsent);
        }
        // RabbitMQ has given it away, though this worker may not have noticed yet.
        if self.ownership.note_owner(orders.owner) {
            self.commands.push_back(Command::Overruled);
            self.lane.fetch_anew(now);
        }
    }

    /// The lane's consumer is open: its messages come from now on, so many at once.
    pub fn subscribed(&mut self, prefetch: u16, now: Now) {
        self.lane.rejoined(prefetch, now);
    }

    /// The session ended, or there is a new one. `is_back`: there was one before, so other workers may have lost theirs as well.
    pub fn session_changed(&mut self, is_back: bool, now: Now) {
        self.channel_lost();
        self.ownership.let_owner_first(is_back, &self.config, now);
    }

    /// The lane's channel is gone: what waited is RabbitMQ's again, what is in flight is awaited.
    pub fn channel_lost(&mut self) {
        self.ownership.lost();
        let unclaimed = self.unclaimed.drain(..).map(Command::Void);
        self.commands.extend(unclaimed);
        self.lane.channel_lost();
        let lane = &self.lane;
        let waited = self
            .deliveries
            .extract_if(|ticket, _| !lane.is_in_flight(*ticket));
        let waited = waited.map(|(_, delivery)| Command::Void(delivery));
        self.commands.extend(waited);
    }

    /// A delivery came. It waits until the lane is this worker's, and behind those that have waited for that.
    pub fn delivered(&mut self, delivery: D, now: Now) {
        if self.leaving.as_ref().is_some_and(Leaving::is_anothers) {
            return self.unclaimed.push_back(delivery);
        }
        if self.ownership.begin_claim(now) {
            self.commands.push_back(Command::Claim);
        }
        if self.ownership.is_held() && self.unclaimed.is_empty() {
            self.commands.push_back(Command::Check(delivery));
        } else {
            self.unclaimed.push_back(delivery);
        }
    }

    /// All others can know that the lane is this worker's. `legacy`: what is known of the worker before; nothing if the log does not say.
    pub fn claimed(&mut self, legacy: Legacy, now: Now) {
        let Legacy { unsent, former } = legacy;
        if !self.ownership.claimed(former, self.config.lookback) {
            return;
        }
        self.lane.took_over(unsent, now);
        // Told meanwhile.
        self.lane.inherit(&self.unsent);
        self.leave_once_claimed();
    }

    /// The next delivery that came before the lane was this worker's, once it is.
    pub fn unread(&self) -> Option<&D> {
        let is_ours = self.ownership.is_held();
        self.unclaimed.front().filter(|_| is_ours)
    }

    /// Has it checked.
    pub fn read(&mut self) {
        if let Some(delivery) = self.unclaimed.pop_front() {
            self.commands.push_back(Command::Check(delivery));
        }
    }

    /// Takes what a delivery turned out to be.
    pub fn checked(&mut self, delivery: D, checked: Result<Message, Refusal>, now: Now) {
        let message = match checked {
            Ok(message) => message,
            Err(refusal) => {
                self.under_way += 1;
                return self
                    .commands
                    .push_back(Command::Refuse { delivery, refusal });
            }
        };
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        // New requests are not asked about; a name costs an allocation.
        let history = &message.history;
        let may_ask = message.redelivered || history.hops > 0 || history.copied_ms > 0;
        let question = may_ask.then(|| self.question(&message, now));
        match self.lane.accept(message, ticket, now) {
            Joined::Waits => drop(self.deliveries.insert(ticket, delivery)),
            Joined::Asks => {
                self.deliveries.insert(ticket, delivery);
                self.ask(ticket, question);
            }
            Joined::Decided(resolved) => {
                self.deliveries.insert(ticket, delivery);
                self.conclude(resolved);
            }
            // The delivery it was sent under is void: this one will be settled in its place.
            Joined::InFlight(original) => {
                let void = self.deliveries.insert(original, delivery);
                self.commands.extend(void.map(Command::Void));
            }
            Joined::Replaces {
                earlier,
                let_go,
                asks,
            } => {
                if let Some(before) = self.deliveries.insert(earlier, delivery) {
                    self.deliveries.insert(ticket, before);
                }
                if asks {
                    self.ask(earlier, question);
                }
                self.conclude(let_go);
            }
        }
    }

    /// A refusal was published and settled, or given up with its session.
    pub fn refused(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// The API's verdict on an attempt, or that there is none. `drawn`: a random number in [0, 1), for the delay of whatever is tried again.
    /// Returns for how long the lane pauses because nothing reached the API.
    pub fn answered(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        usage: Option<Usage>,
        drawn: f64,
        now: Now,
    ) -> Duration {
        self.under_way = self.under_way.saturating_sub(1);
        let quick_pause = self.quick.after(&outcome, self.lane.state(), drawn);
        // A number is in maintenance while its throughput is raised.
        if matches!(
            outcome.effect(),
            Some(Effect::Throttled {
                new_limit: true,
                ..
            })
        ) {
            self.commands.push_back(Command::ReadLimit);
        }
        let drawn = Drawn {
            jitter: drawn,
            quick_pause,
        };
        let used_up = usage.and_then(|usage| self.lane.used(usage, now));
        let verdict = self.lane.resolve(ticket, outcome, now, drawn);
        let findings = used_up.into_iter().chain(verdict.finding);
        self.commands.extend(findings.map(Command::Found));
        if let Some(resolved) = verdict.resolved {
            self.conclude(resolved);
        }
        quick_pause
    }

    fn conclude(&mut self, resolved: Resolved) {
        let ticket = resolved.ticket;
        match self.deliveries.remove(&ticket) {
            Some(delivery) => {
                self.under_way += 1;
                let conclude = Command::Conclude { delivery, resolved };
                self.commands.push_back(conclude);
            }
            None => {
                self.lane.settled(ticket, false);
                self.commands.push_back(Command::NoDelivery(ticket));
            }
        }
    }

    /// The end of a decision. `confirmed`: what it published is RabbitMQ's; else RabbitMQ has the request again.
    pub fn settled(&mut self, ticket: Ticket, confirmed: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        self.lane.settled(ticket, confirmed);
    }
}

#[cfg(test)]
mod tests;
