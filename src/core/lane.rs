//! One phone number's requests, from delivery to decision: a state machine without I/O.
//!
//! `accept` takes a delivery, `next` says what to do, `resolve` turns an outcome into a decision. `Step::Wait` is the only timer.

use super::Now;
use super::backlog::{Backlog, Key, Waiting};
use super::message::{LaneId, Message, MessageId, OnUnknown, Priority};
use super::outcome::{ErrorReport, Outcome, Scope};
use super::pacing::{Pace, PaceConfig, PairLimit};
use super::recent::{Known, Recent};
use super::report::{Report, ReportedError, Status};
use super::retry::{Again, RetryPolicy, pair_pause_s};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use super::backlog::Ticket;

/// Longest that a lane sits on unacknowledged messages without sending. RabbitMQ's consumer timeout is far longer, but a lane
/// held here is a lane that no other worker can take over.
pub const HOLD_MAX: Duration = Duration::from_secs(30);

/// What to do with a redelivered request of which nobody knows whether it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Redelivery {
    /// Send it and flag the result.
    Resend,
    /// End it as `unknown`.
    Report,
}

/// A lane's bounds.
#[derive(Clone, Copy, Debug)]
pub struct LaneConfig {
    pub pace: PaceConfig,
    pub pair: PairLimit,
    /// A recipient that must wait longer than this leaves through the delay ladder.
    pub pair_wait_max: Duration,
    /// The API latency that in flight is sized for: rate × latency.
    pub latency: Duration,
    pub max_in_flight: usize,
    /// Deliveries held ready beyond those in flight: rate × buffer.
    pub buffer: Duration,
    /// One send in this many is bulk while high requests wait.
    pub bulk_every: u32,
    pub retry: RetryPolicy,
    /// How often a request that never left this machine is tried again in place, before it counts an attempt and leaves for the ladder.
    pub quick_retries: u32,
    pub redelivery: Redelivery,
    /// First wait of a blocked lane before it tries again, doubling up to `halt_probe_max`.
    pub halt_probe: Duration,
    pub halt_probe_max: Duration,
}

impl LaneConfig {
    /// Requests in flight at most: Little's law at the lane's rate.
    pub fn in_flight_max(&self) -> usize {
        per(self.pace.rate_mps(), self.latency).clamp(1, self.max_in_flight)
    }

    /// Unacknowledged deliveries at most; also what can be in doubt after a crash.
    pub fn prefetch(&self) -> u16 {
        let ahead = per(self.pace.rate_mps(), self.buffer).clamp(8, self.max_in_flight);
        u16::try_from(self.in_flight_max() + ahead).unwrap_or(u16::MAX)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; both factors are non-negative"
)]
fn per(rate_mps: f64, time: Duration) -> usize {
    (rate_mps * time.as_secs_f64()).ceil() as usize
}

/// Why a lane does not send, for `/lanes`, the log and the metrics. Holds codes, never texts of the API.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cause {
    pub scope: Scope,
    pub code: Option<i64>,
    pub remedy: &'static str,
    pub since_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum State {
    Flowing,
    /// Nothing is sent until then; the messages stay here.
    Cooling {
        until: Duration,
    },
    /// The messages go back to RabbitMQ and the lane is left alone until then.
    Away {
        until: Duration,
        cause: Cause,
    },
    /// Back from `Away`: one request in flight decides whether to flow again.
    Probing {
        cause: Cause,
    },
    /// An operator said so; until an operator says otherwise.
    Paused {
        since_ms: u64,
    },
    Draining,
}

impl State {
    /// Every word of the `state` label.
    pub const WORDS: [&'static str; 6] = [
        "flowing", "cooling", "away", "probing", "paused", "draining",
    ];

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Flowing => "flowing",
            Self::Cooling { .. } => "cooling",
            Self::Away { .. } => "away",
            Self::Probing { .. } => "probing",
            Self::Paused { .. } => "paused",
            Self::Draining => "draining",
        }
    }
}

/// What the shell does next.
#[derive(Debug)]
pub enum Step {
    Send(Attempt),
    /// Decided without asking the API: publish and settle.
    Decide(Resolved),
    /// Nothing to do before this moment (or before something happens).
    Wait(Duration),
    /// Nothing to do before something happens.
    Idle,
    /// Nothing is in flight and the lane must not hold its messages: close its channel.
    GiveBack,
}

#[derive(Debug)]
pub struct Attempt {
    pub ticket: Ticket,
    pub body: Bytes,
    pub priority: Priority,
}

/// What becomes of one request.
#[derive(Debug)]
pub enum Decision {
    /// Publish this result, then acknowledge.
    Finish(Arc<Report>),
    /// Publish the request to the delay ladder with this history, then acknowledge.
    Delay { delay_s: u32, message: Message },
    /// Publish the whole request to `wa.dead`, then the result, then acknowledge.
    Bury(Arc<Report>),
    /// A confirmed copy is on the ladder already: acknowledge.
    Forget,
    /// The delivery is void and RabbitMQ still has the message: let go of it.
    Abandon,
}

#[derive(Debug)]
pub struct Resolved {
    pub ticket: Ticket,
    pub priority: Priority,
    pub decision: Decision,
}

/// The chance that a decision needs, drawn by the shell.
#[derive(Clone, Copy, Debug)]
pub struct Luck {
    /// In [0, 1]: where in its range a retry's delay falls.
    pub jitter: f64,
    /// How long to hold the lane if nothing could be sent.
    pub quick_pause: Duration,
}

struct Flight {
    waiting: Waiting,
    key: Key,
    sent_at_ms: u64,
    /// The session that delivered it is gone; RabbitMQ will deliver it again.
    orphaned: bool,
}

/// A snapshot for `/lanes` and the metrics.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub state: State,
    pub limit_mps: u32,
    pub rate_mps: f64,
    pub waiting: usize,
    pub in_flight: usize,
    pub in_flight_max: usize,
    pub pair_parked: usize,
}

pub struct Lane {
    id: LaneId,
    config: LaneConfig,
    pace: Pace,
    state: State,
    backlog: Backlog,
    flights: HashMap<Ticket, Flight>,
    /// In flight while their session ended: who they are when RabbitMQ delivers them again.
    orphans: HashMap<(MessageId, u32), Ticket>,
    recent: Recent,
    /// Decided, but not yet published and settled.
    settling: usize,
    /// Doubles per failed probe.
    halts_in_a_row: u32,
    /// Whose message was refused in a way that may be the lane's fault.
    suspect: Option<Key>,
}

impl Lane {
    pub fn new(id: LaneId, config: LaneConfig, now: Now) -> Self {
        Self {
            pace: Pace::new(config.pace, now),
            recent: Recent::new(2 * usize::from(config.prefetch())),
            id,
            config,
            state: State::Flowing,
            backlog: Backlog::new(config.pair, config.bulk_every),
            flights: HashMap::new(),
            orphans: HashMap::new(),
            settling: 0,
            halts_in_a_row: 0,
            suspect: None,
        }
    }

    pub fn id(&self) -> &LaneId {
        &self.id
    }
    pub fn config(&self) -> &LaneConfig {
        &self.config
    }
    pub fn state(&self) -> State {
        self.state
    }

    pub fn view(&self) -> View {
        View {
            state: self.state,
            limit_mps: self.config.pace.limit_mps,
            rate_mps: self.config.pace.rate_mps(),
            waiting: self.backlog.len(),
            in_flight: self.flights.len() + self.settling,
            in_flight_max: self.config.in_flight_max(),
            pair_parked: self.backlog.parked(),
        }
    }

    /// The API's limit for this number changed.
    pub fn set_limit(&mut self, limit_mps: u32, now: Now) {
        self.config.pace.limit_mps = limit_mps;
        self.pace.set_limit(limit_mps, now);
    }

    /// A new delivery: joins the lane, or is decided at once.
    pub fn accept(&mut self, mut message: Message, ticket: Ticket, now: Now) -> Option<Resolved> {
        if message.redelivered {
            if let Some(original) = self.orphans.remove(&identity(&message)) {
                self.adopt(original, ticket);
                return None;
            }
            if let Some(decision) = self.answer_again(&mut message, now) {
                return Some(self.settle_later(ticket, message.priority, decision));
            }
        }
        let decision = self.decide_unsent(&message, now);
        if let Some(decision) = decision {
            return Some(self.settle(ticket, message, decision));
        }
        self.backlog.push(message, ticket, now);
        None
    }

    /// The redelivered original of a request still in flight: its outcome will settle this delivery.
    fn adopt(&mut self, original: Ticket, ticket: Ticket) {
        if let Some(flight) = self.flights.get_mut(&original) {
            flight.waiting.ticket = ticket;
            flight.orphaned = false;
        }
    }

    /// A redelivered request may have been sent: by us, then we know; by another, then the policy says.
    fn answer_again(&mut self, message: &mut Message, now: Now) -> Option<Decision> {
        match self.recent.find(message) {
            Some(Known::Answered(report)) => return Some(Decision::Finish(report)),
            Some(Known::Delayed) => return Some(Decision::Forget),
            None if message.harmless_to_repeat => return None,
            None => message.history.possible_duplicate = true,
        }
        match self.config.redelivery {
            Redelivery::Resend => None,
            Redelivery::Report => Some(Decision::Finish(Arc::new(Report::new(
                message,
                &self.id,
                Status::Unknown,
                None,
                now,
            )))),
        }
    }

    /// What can be decided about a request without sending it.
    fn decide_unsent(&self, message: &Message, now: Now) -> Option<Decision> {
        if message.expires_at_ms.is_some_and(|at| at <= now.wall_ms) {
            return Some(Decision::Finish(Arc::new(Report::new(
                message,
                &self.id,
                Status::Expired,
                None,
                now,
            ))));
        }
        if let Some(ahead_ms) = message
            .not_before_ms
            .and_then(|at| at.checked_sub(now.wall_ms))
            .filter(|ms| *ms > 0)
        {
            let delay_s = u32::try_from(ahead_ms.div_ceil(1000)).unwrap_or(u32::MAX);
            // A scheduled request is not old when its time comes: its age counts from there.
            let mut message = message.clone();
            message.history.first_seen_ms = now.wall_ms + ahead_ms;
            return Some(Decision::Delay { delay_s, message });
        }
        self.config
            .retry
            .too_old(&message.history, 0, now)
            .then(|| {
                let error = ReportedError::own("transient", "older than retry.max_age_s");
                Decision::Bury(Arc::new(Report::new(
                    message,
                    &self.id,
                    Status::Failed,
                    Some(error),
                    now,
                )))
            })
    }

    /// Remembers the decision and counts it as unsettled until [`Lane::settled`].
    fn settle(&mut self, ticket: Ticket, message: Message, mut decision: Decision) -> Resolved {
        match &mut decision {
            Decision::Finish(report) | Decision::Bury(report) => self
                .recent
                .remember(&message, Known::Answered(report.clone())),
            Decision::Delay { message, .. } => message.history.hops += 1,
            Decision::Forget | Decision::Abandon => {}
        }
        self.settle_later(ticket, message.priority, decision)
    }

    fn settle_later(&mut self, ticket: Ticket, priority: Priority, decision: Decision) -> Resolved {
        self.settling += 1;
        Resolved {
            ticket,
            priority,
            decision,
        }
    }

    /// The decision was published and settled (or given up with its session).
    pub fn settled(&mut self) {
        self.settling = self.settling.saturating_sub(1);
    }

    /// The copy on the ladder is confirmed: should the original come again, it only needs acknowledging.
    pub fn delayed(&mut self, mut copy: Message) {
        copy.history.hops = copy.history.hops.saturating_sub(1);
        self.recent.remember(&copy, Known::Delayed);
    }

    /// What to do now. Call again until it says `Wait`, `Idle` or `GiveBack`.
    pub fn next(&mut self, now: Now) -> Step {
        match self.state {
            State::Flowing | State::Probing { .. } => {}
            State::Cooling { until } if now.mono < until => return Step::Wait(until),
            State::Cooling { .. } => self.state = State::Flowing,
            State::Away { .. } | State::Paused { .. } | State::Draining => {
                return if self.flights.is_empty() && self.settling == 0 {
                    Step::GiveBack
                } else {
                    Step::Idle
                };
            }
        }
        let in_flight_max = if matches!(self.state, State::Probing { .. }) {
            1
        } else {
            self.config.in_flight_max()
        };
        if self.flights.len() + self.settling >= in_flight_max {
            return Step::Idle;
        }
        self.backlog.unpark(now);
        self.backlog.forget_some(now);
        while let Some((key, priority)) = self.backlog.pick() {
            if let Some(step) = self.try_send(&key, priority, now) {
                return step;
            }
        }
        self.backlog.next_unpark().map_or(Step::Idle, Step::Wait)
    }

    /// `None`: nothing to send in this line now, try the next.
    fn try_send(&mut self, key: &Key, priority: Priority, now: Now) -> Option<Step> {
        let front = self.backlog.front(key, priority)?;
        if let Some(decision) = self.decide_unsent(&front.message, now) {
            return self.decide_front(key, priority, decision, now);
        }
        let pair_not_before = self.backlog.pair_not_before(key);
        let pair_wait = pair_not_before.saturating_sub(now.mono);
        if pair_wait > self.config.pair_wait_max {
            let delay_s = u32::try_from(pair_wait.as_secs() + 1).unwrap_or(u32::MAX);
            let message = front.message.clone();
            return self.decide_front(key, priority, Decision::Delay { delay_s, message }, now);
        }
        if !pair_wait.is_zero() {
            self.backlog.park(key, pair_not_before);
            return None;
        }
        // Asked last: what is charged here is sent.
        if let Err(until) = self.pace.permit(now) {
            self.backlog.unpick(key, priority);
            return Some(Step::Wait(until));
        }
        let waiting = self.backlog.take_to_send(key, priority, now)?;
        let attempt = Attempt {
            ticket: waiting.ticket,
            body: waiting.message.body.clone(),
            priority,
        };
        self.flights.insert(
            waiting.ticket,
            Flight {
                waiting,
                key: key.clone(),
                sent_at_ms: now.wall_ms,
                orphaned: false,
            },
        );
        Some(Step::Send(attempt))
    }

    fn decide_front(
        &mut self,
        key: &Key,
        priority: Priority,
        decision: Decision,
        now: Now,
    ) -> Option<Step> {
        let waiting = self.backlog.take(key, priority, now)?;
        Some(Step::Decide(self.settle(
            waiting.ticket,
            waiting.message,
            decision,
        )))
    }

    /// The API's verdict on an attempt. `None` if the message stays in the lane.
    pub fn resolve(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        now: Now,
        luck: Luck,
    ) -> Option<Resolved> {
        let Flight {
            mut waiting,
            key,
            sent_at_ms,
            orphaned,
        } = self.flights.remove(&ticket)?;
        if orphaned {
            self.orphans.remove(&identity(&waiting.message));
        }
        let ticket = waiting.ticket;
        self.leave_probing(&outcome);
        let decided = match self.stays(&mut waiting, &key, &outcome, now, luck) {
            // RabbitMQ delivers it again: here it would wait under a ticket that is void.
            true if orphaned => Some((waiting.message, Decision::Abandon)),
            true => {
                self.backlog.put_back(&key, waiting);
                None
            }
            false => Some(self.decide(waiting.message, sent_at_ms, outcome, now, luck)),
        };
        self.backlog.answered(&key, now);
        let (message, decision) = decided?;
        let decision = match decision {
            // What RabbitMQ delivers again must not be on the ladder as well.
            Decision::Delay { .. } if orphaned => Decision::Abandon,
            other => other,
        };
        Some(self.settle(ticket, message, decision))
    }

    /// Outcomes that hold the lane or the pair: true if the message keeps its place, at no cost of an attempt.
    fn stays(
        &mut self,
        waiting: &mut Waiting,
        key: &Key,
        outcome: &Outcome,
        now: Now,
        luck: Luck,
    ) -> bool {
        match outcome {
            Outcome::NotSent { .. } => {
                waiting.quick_tries += 1;
                let stays = waiting.quick_tries <= self.config.quick_retries;
                if stays {
                    self.cool(now.mono + luck.quick_pause);
                }
                stays
            }
            Outcome::Throttled {
                scope: Scope::Pair,
                pause_s,
                ..
            } => {
                let history = &mut waiting.message.history;
                let pause_s = pause_s.unwrap_or(0).max(pair_pause_s(history.throttles));
                history.throttles += 1;
                self.backlog
                    .forbid_pair(key, now.mono + Duration::from_secs(pause_s.into()));
                true
            }
            Outcome::Throttled {
                scope,
                error,
                pause_s,
            } => {
                let pause = Duration::from_secs(pause_s.unwrap_or(1).max(1).into());
                if pause <= HOLD_MAX {
                    self.cool(now.mono + pause);
                } else {
                    let cause = Cause {
                        scope: *scope,
                        code: error.code,
                        remedy: "none needed: the API asked for this pause",
                        since_ms: now.wall_ms,
                    };
                    self.leave(now.mono + pause, cause);
                }
                true
            }
            // Refusals that one message's body can earn block the lane only once a second person's is refused too; until then
            // the message is tried again like any failed one.
            Outcome::Blocked {
                second_recipient: true,
                ..
            } if self.suspect.as_ref().is_none_or(|suspect| suspect == key) => {
                self.suspect = Some(key.clone());
                false
            }
            Outcome::Blocked {
                scope,
                error,
                remedy,
                ..
            } => {
                self.suspect = None;
                self.halt(*scope, error.code, remedy, now);
                true
            }
            Outcome::Accepted(_)
            | Outcome::Refused { .. }
            | Outcome::Transient { .. }
            | Outcome::Unknown { .. } => false,
        }
    }

    /// Outcomes that concern this message alone: an attempt is counted.
    fn decide(
        &mut self,
        mut message: Message,
        sent_at_ms: u64,
        outcome: Outcome,
        now: Now,
        luck: Luck,
    ) -> (Message, Decision) {
        message.history.attempts += 1;
        let harmless = message.harmless_to_repeat;
        match outcome {
            Outcome::Accepted(accepted) => {
                let report = Report::accepted(&message, &self.id, accepted, sent_at_ms, now);
                (message, Decision::Finish(Arc::new(report)))
            }
            Outcome::Refused {
                error,
                retry_not_before_s,
                ..
            } => {
                let retry_not_before = retry_not_before_s.map(|s| now.wall_ms + s * 1000);
                let error = ReportedError::from_api(error, retry_not_before);
                let decision = self.finish_sent(&message, Status::Rejected, error, sent_at_ms, now);
                (message, decision)
            }
            Outcome::Transient {
                error,
                max_retries,
                min_delay_s,
                proves_unsent,
            } => {
                message.history.possible_duplicate |= !proves_unsent && !harmless;
                self.again(
                    message,
                    error,
                    max_retries,
                    min_delay_s.unwrap_or(0),
                    now,
                    luck,
                )
            }
            Outcome::Unknown { error } if !harmless && message.on_unknown == OnUnknown::Report => {
                message.history.possible_duplicate = true;
                let decision = self.finish_sent(
                    &message,
                    Status::Unknown,
                    ReportedError::from_api(error, None),
                    sent_at_ms,
                    now,
                );
                (message, decision)
            }
            Outcome::Unknown { error } => {
                message.history.possible_duplicate |= !harmless;
                self.again(message, error, None, 0, now, luck)
            }
            // A message that does not stay after these has used up its quick retries or is a suspect itself: it leaves for the ladder.
            Outcome::NotSent { error }
            | Outcome::Throttled { error, .. }
            | Outcome::Blocked { error, .. } => self.again(message, error, None, 0, now, luck),
        }
    }

    fn finish_sent(
        &self,
        message: &Message,
        status: Status,
        error: ReportedError,
        sent_at_ms: u64,
        now: Now,
    ) -> Decision {
        let mut report = Report::new(message, &self.id, status, Some(error), now);
        report.sent_at = Some(sent_at_ms);
        Decision::Finish(Arc::new(report))
    }

    /// Later, through the ladder; or never, if its attempts, its age or its deadline are used up.
    fn again(
        &self,
        mut message: Message,
        error: ErrorReport,
        max_retries: Option<u32>,
        floor_s: u32,
        now: Now,
        luck: Luck,
    ) -> (Message, Decision) {
        message.history.last_error = error.code;
        let end = |status| {
            Arc::new(Report::new(
                &message,
                &self.id,
                status,
                Some(ReportedError::from_api(error, None)),
                now,
            ))
        };
        let decision =
            match self
                .config
                .retry
                .again(&message.history, max_retries, floor_s, now, luck.jitter)
            {
                Again::After { delay_s }
                    if message
                        .expires_at_ms
                        .is_some_and(|at| now.wall_ms + u64::from(delay_s) * 1000 >= at) =>
                {
                    Decision::Finish(end(Status::Expired))
                }
                Again::After { delay_s } => Decision::Delay {
                    delay_s,
                    message: message.clone(),
                },
                Again::Exhausted => Decision::Bury(end(Status::Failed)),
            };
        (message, decision)
    }

    /// Nothing is sent before `until`. Never shortens a pause, never ends a state that is stronger.
    fn cool(&mut self, until: Duration) {
        match self.state {
            State::Flowing | State::Probing { .. } => self.state = State::Cooling { until },
            State::Cooling { until: current } => {
                self.state = State::Cooling {
                    until: current.max(until),
                }
            }
            State::Away { .. } | State::Paused { .. } | State::Draining => {}
        }
    }

    fn leave(&mut self, until: Duration, cause: Cause) {
        match self.state {
            State::Flowing | State::Probing { .. } | State::Cooling { .. } => {
                self.state = State::Away { until, cause }
            }
            State::Away { .. } | State::Paused { .. } | State::Draining => {}
        }
    }

    /// Blocked: away, longer each time a probe fails.
    fn halt(&mut self, scope: Scope, code: Option<i64>, remedy: &'static str, now: Now) {
        let since_ms = match self.state {
            State::Probing { cause } => cause.since_ms,
            State::Flowing | State::Cooling { .. } => now.wall_ms,
            State::Away { .. } | State::Paused { .. } | State::Draining => return,
        };
        let pause = self
            .config
            .halt_probe
            .saturating_mul(1 << self.halts_in_a_row.min(16))
            .min(self.config.halt_probe_max);
        self.halts_in_a_row += 1;
        self.leave(
            now.mono + pause,
            Cause {
                scope,
                code,
                remedy,
                since_ms,
            },
        );
    }

    /// An answer about the message itself shows that the lane can send.
    fn leave_probing(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted(_) | Outcome::Refused { .. } => {
                self.halts_in_a_row = 0;
                self.suspect = None;
                if let State::Probing { .. } = self.state {
                    self.state = State::Flowing;
                }
            }
            Outcome::NotSent { .. }
            | Outcome::Transient { .. }
            | Outcome::Throttled { .. }
            | Outcome::Blocked { .. }
            | Outcome::Unknown { .. } => {}
        }
    }

    /// When a lane that gave its messages back wants them again; `None` while it does not.
    pub fn rejoin_at(&self) -> Option<Duration> {
        match self.state {
            State::Away { until, .. } => Some(until),
            State::Flowing | State::Cooling { .. } | State::Probing { .. } => Some(Duration::ZERO),
            State::Paused { .. } | State::Draining => None,
        }
    }

    /// The lane's channel is gone: what waited is RabbitMQ's again, what is in flight will be delivered again.
    pub fn channel_lost(&mut self, now: Now) {
        self.backlog.clear(now);
        for (ticket, flight) in &mut self.flights {
            flight.orphaned = true;
            self.orphans
                .insert(identity(&flight.waiting.message), *ticket);
        }
    }

    /// Subscribed (again): starts with an empty bucket, and carefully if it was blocked.
    pub fn rejoined(&mut self, now: Now) {
        self.pace.empty(now);
        if let State::Away { cause, .. } = self.state {
            self.state = State::Probing { cause };
        }
    }

    pub fn pause(&mut self, now: Now) {
        match self.state {
            State::Draining | State::Paused { .. } => {}
            State::Flowing | State::Cooling { .. } | State::Away { .. } | State::Probing { .. } => {
                self.state = State::Paused {
                    since_ms: now.wall_ms,
                }
            }
        }
    }

    /// An operator says go: ends a pause and a block alike.
    pub fn resume(&mut self) {
        match self.state {
            State::Draining => {}
            State::Flowing
            | State::Cooling { .. }
            | State::Away { .. }
            | State::Probing { .. }
            | State::Paused { .. } => {
                self.state = State::Flowing;
                self.halts_in_a_row = 0;
            }
        }
    }

    /// Starts no more sends; `GiveBack` follows once nothing is in flight.
    pub fn drain(&mut self) {
        self.state = State::Draining;
    }

    /// True while the delivery with this ticket is in flight.
    pub fn is_in_flight(&self, ticket: Ticket) -> bool {
        self.flights.contains_key(&ticket)
    }

    /// How long the request with this ticket has waited in the lane; for the pacing histogram.
    pub fn waited(&self, ticket: Ticket, now: Now) -> Option<Duration> {
        self.flights
            .get(&ticket)
            .map(|flight| now.mono.saturating_sub(flight.waiting.accepted_at))
    }
}

fn identity(message: &Message) -> (MessageId, u32) {
    (message.id.clone(), message.history.hops)
}
