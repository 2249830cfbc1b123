//! One phone number's requests, from delivery to decision: a state machine without I/O.
//!
//! `accept` takes a delivery, `next` says what to do, `resolve` turns an outcome into a decision, `settled` ends it.
//! `Step::Wait` is the only timer.

use super::Now;
use super::fleet::tenure::Inherited;
use super::request::decide::{Decision, Terms};
use super::request::message::{LaneId, Message};
use super::request::recent::{Identity, Known, Recent};
use crate::contract::words::Priority;
use backlog::{Backlog, Key, Waiting};
use pacing::{Debt, Pace, Spacing};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

mod accept;
pub mod backlog;
mod blame;
mod blocked;
pub mod ceiling;
mod config;
mod crowd;
pub mod dedupe;
pub mod demand;
pub mod driver;
mod earlier;
mod ending;
mod fate;
mod media;
mod orders;
pub mod pacing;
mod person;
mod quota;
mod resolve;
mod room;
mod settling;
mod standing;
mod step;
mod templates;
mod uploads;
pub mod window;

pub use backlog::Ticket;
pub use config::{LaneConfig, Redelivery, RedeliveryPolicy};
pub use room::Room;
pub use standing::{HOLD_MAX, State};
pub use step::{Attempt, Drawn, Evidence, HeldBy, Joined, Resolved, Step, Verdict, View};

use blame::Blame;
use crowd::Crowd;
use dedupe::Dedupe;
use quota::{Done, Quotas};
use settling::Settling;
use standing::Standing;
use templates::Templates;
use uploads::{Files, Uploads};
use window::Window;

/// A turn, as long as nothing is known of the API.
const TURN_AT_FIRST: Duration = Duration::from_millis(250);

struct Flight {
    waiting: Waiting,
    key: Key,
    sent_at_ms: u64,
    sent_at: Duration,
    /// See [`Backlog::turn_since`].
    turn_since: Option<Duration>,
    /// How many tokens had been in use before the one it was sent with.
    tokens_before: u32,
    /// The ids that it was sent with, in the place of its links.
    media_ids: Vec<Arc<str>>,
    /// The session that delivered it is gone; RabbitMQ will deliver it again.
    orphaned: bool,
}

pub struct Lane {
    id: LaneId,
    config: LaneConfig,
    pace: Pace,
    standing: Standing,
    /// Requests that it was given to send, ever.
    taken: u64,
    /// The prefetch that the channel was opened with.
    asked_for: Option<u16>,
    backlog: Backlog,
    flights: HashMap<Ticket, Flight>,
    /// In flight while their session ended: who they are when RabbitMQ delivers them again.
    orphans: HashMap<Identity, Vec<Ticket>>,
    settling: HashMap<Ticket, Settling>,
    /// Requests among them that are being answered by an earlier result.
    answering: usize,
    recent: Recent,
    blame: Blame,
    /// Window of messages that the lane asks for, where they are large.
    window: Window,
    crowd: Crowd,
    dedupe: Dedupe,
    /// Requests that the worker before this one has not sent.
    inherited: Inherited,
    /// Requests that were set apart, each from the one before.
    suspects: u32,
    tokens_before: u32,
    templates: Templates,
    quotas: Quotas,
    done: Done,
    uploads: Uploads,
    /// Debt of what was sent, against the rate that is tried out.
    shadow: Debt,
    /// How long a request to somebody takes, of late, from the answer to the one before it to its own.
    turn: Duration,
    /// The reason why the next message is not sent, as of the last turn.
    held_by: HeldBy,
}

/// Ended and given back requests to remember: all that one session can hand out, and the session before it.
fn remembered(config: &LaneConfig) -> usize {
    4 * usize::from(config.prefetch(None))
}

fn given_back(message: &Message) -> Known {
    Known::Unsent {
        delivery_count: message.delivery_count,
        possible_duplicate: message.history.possible_duplicate,
    }
}

impl Lane {
    pub fn new(id: LaneId, config: LaneConfig, now: Now) -> Self {
        Self {
            pace: Pace::new(config.pace, now),
            recent: Recent::new(remembered(&config)),
            id,
            config,
            standing: Standing::new(),
            taken: 0,
            asked_for: None,
            backlog: Backlog::new(config.pair, config.pairs_max, config.bulk_every),
            flights: HashMap::new(),
            orphans: HashMap::new(),
            settling: HashMap::new(),
            answering: 0,
            blame: Blame::default(),
            window: Window::default(),
            crowd: Crowd::default(),
            dedupe: Dedupe::new(config.dedupe_ids_max, now),
            inherited: Inherited::default(),
            suspects: 0,
            tokens_before: 0,
            templates: Templates::default(),
            quotas: Quotas::default(),
            done: Done::default(),
            uploads: Uploads::default(),
            shadow: Debt::default(),
            turn: TURN_AT_FIRST,
            held_by: HeldBy::Nothing,
        }
    }

    pub fn id(&self) -> &LaneId {
        &self.id
    }
    /// How many deliveries to ask for at once.
    pub fn prefetch(&self) -> u16 {
        self.config.prefetch(self.window.most())
    }
    pub fn state(&self) -> State {
        self.standing.state()
    }

    pub fn view(&self) -> View {
        View {
            state: self.state(),
            held_by: self.held_by,
            limit_mps: self.config.pace.limit_mps,
            configured_mps: self.config.pace.rate_mps(),
            bucket: self.pace.bucket(),
            taken: self.taken,
            prefetch: self.prefetch(),
            waiting: self.backlog.len(),
            in_flight: self.in_flight(),
            in_flight_max: self.config.in_flight_max(),
            pair_parked: self.backlog.parked(),
            pairs: self.backlog.people(),
            ids: self.dedupe.len(),
        }
    }

    /// Sent or decided, and not settled.
    pub fn in_flight(&self) -> usize {
        self.flights.len() + self.settling.len()
    }

    fn terms(&self, now: Now, jitter: f64) -> Terms<'_> {
        Terms {
            lane: &self.id,
            retry: &self.config.retry,
            now,
            jitter,
        }
    }

    /// Says what to do now. Call again until it says `Wait`, `Idle` or `Leave`.
    pub fn next(&mut self, now: Now) -> Step {
        self.standing.wake(now);
        self.dedupe.hold(now);
        self.window.widen(self.config.prefetch(None), now.mono);
        if let Some(at) = self.crowd.rejoin_at {
            self.standing.make_room(at);
        }
        // A pause or a probe came in between when the limit changed.
        let prefetch = self.prefetch();
        let is_outdated = self.asked_for.is_some_and(|before| before != prefetch);
        if is_outdated && self.state() == State::Flowing {
            self.standing.rejoin(now.mono);
        }
        let in_flight_max = match self.state() {
            State::Flowing => self.config.in_flight_max(),
            State::Probing { .. } => match self.standing.paused_until(now) {
                Some(until) => return self.hold_back(HeldBy::State, Step::Wait(until)),
                None => 1,
            },
            State::Cooling { until } => return self.hold_back(HeldBy::State, Step::Wait(until)),
            State::Away { .. }
            | State::Rejoining { .. }
            | State::Paused { .. }
            | State::Draining => {
                let step = if self.in_flight() == 0 {
                    Step::Leave
                } else {
                    Step::Idle
                };
                return self.hold_back(HeldBy::State, step);
            }
        };
        // Answers out of the log of results take no send's place: they may take a while.
        if self.in_flight() - self.answering >= in_flight_max {
            return self.hold_back(HeldBy::InFlight, Step::Idle);
        }
        if let Some(read) = self.dedupe.next_read() {
            return Step::Recall(read);
        }
        if let Some(wanted) = self.uploads.next_wanted() {
            return Step::Upload(wanted);
        }
        self.backlog.unpark(now);
        self.backlog.forget_some(now);
        while let Some((key, priority)) = self.backlog.pick() {
            if let Some(step) = self.try_send(&key, priority, now) {
                return step;
            }
        }
        match self.backlog.next_unpark() {
            Some(until) => self.hold_back(HeldBy::Pair, Step::Wait(until)),
            None => self.hold_back(HeldBy::Nothing, Step::Idle),
        }
    }

    fn hold_back(&mut self, held_by: HeldBy, step: Step) -> Step {
        self.held_by = held_by;
        step
    }

    /// `None`: nothing to send in this line now, try the next.
    fn try_send(&mut self, key: &Key, priority: Priority, now: Now) -> Option<Step> {
        let message = &self.backlog.front(key, priority)?.message;
        if let Some(decision) = self.terms(now, 0.0).without_sending(message) {
            return self.decide_front(key, priority, decision);
        }
        if let Some(wait_ms) = self.templates.wait_ms(message.template.as_ref(), now) {
            // The place in the line, 0 to 1, spreads them.
            let jitter = f64::from(u32::try_from(self.backlog.len() % 100).unwrap_or(0)) / 100.0;
            let delay_s = templates::spread_s(wait_ms, jitter);
            let decision = self.terms(now, 0.0).later(message, delay_s, None);
            return self.decide_front(key, priority, decision);
        }
        if let Some(until_ms) = self.quotas.used_until_ms(message.operation, now) {
            let until_ms = now.on_the_wall(until_ms);
            let decision = self.terms(now, 0.0).quota_used_up(message, until_ms);
            return self.decide_front(key, priority, decision);
        }
        if let Some(instead) = self.look_for_earlier(key, priority, now) {
            return instead;
        }
        let media_ids = match self.look_for_files(key, priority, now) {
            Files::Ready(media_ids) => media_ids,
            files @ (Files::Awaited | Files::Late | Files::Failed(..)) => {
                return self.go_without(key, priority, files, now);
            }
        };
        let not_before = self.backlog.pair_not_before(key);
        if not_before > now.mono {
            return self.wait_for_pair(key, priority, not_before, now);
        }
        // Asked last: what is charged here is sent.
        if let Err(until) = self.pace.permit(now) {
            self.backlog.unpick(key, priority);
            return Some(self.hold_back(HeldBy::Rate, Step::Wait(until)));
        }
        let mut waiting = self.backlog.take_to_send(key, priority)?;
        // From now on others of its id wait for it, also while it is on the ladder again.
        waiting.message.history.follows = false;
        self.quotas.count(waiting.message.operation, now);
        let attempt = Attempt {
            ticket: waiting.ticket,
            call: waiting.message.to_send(&self.id, &media_ids, now),
            priority,
            waited: now.mono.saturating_sub(waiting.accepted_at),
            would_wait: self.is_over_shadow(now),
        };
        let flight = Flight {
            turn_since: self.backlog.turn_since(key, &waiting),
            waiting,
            key: key.clone(),
            sent_at_ms: now.wall_ms,
            sent_at: now.mono,
            tokens_before: self.tokens_before,
            media_ids,
            orphaned: false,
        };
        self.flights.insert(attempt.ticket, flight);
        Some(Step::Send(attempt))
    }

    /// Whether the rate that is tried out would have had this message wait.
    fn is_over_shadow(&mut self, now: Now) -> bool {
        let Some(mps) = self.config.shadow_mps else {
            return false;
        };
        let spacing = Spacing::of_rate(mps);
        let would_wait = self.shadow.not_before(&spacing) > now.mono;
        self.shadow.charge(&spacing, now);
        would_wait
    }

    fn decide_front(&mut self, key: &Key, priority: Priority, decision: Decision) -> Option<Step> {
        let waiting = self.backlog.take(key, priority)?;
        let resolved = self.decided(waiting.ticket, waiting.message, decision);
        Some(Step::Decide(vec![resolved]))
    }

    /// When a lane that gave its messages back wants them again; `None` while it does not.
    pub fn rejoin_at(&self) -> Option<Duration> {
        self.standing.rejoin_at()
    }

    /// The lane's channel is gone: what waited is RabbitMQ's again, what is in flight will be delivered again.
    pub fn channel_lost(&mut self) {
        for message in self.backlog.clear() {
            self.recent
                .given_back(Identity::of(&message), given_back(&message));
        }
        for (identity, known) in std::mem::take(&mut self.crowd).returning {
            self.recent.given_back(identity, known);
        }
        for (ticket, flight) in &mut self.flights {
            if !std::mem::replace(&mut flight.orphaned, true) {
                let identity = Identity::of(&flight.waiting.message);
                self.orphans.entry(identity).or_default().push(*ticket);
            }
        }
        for settling in self.settling.values_mut() {
            settling.orphaned = true;
        }
        self.forget_what_waited();
    }

    /// RabbitMQ says that the lane's channel is closed: it has every acknowledgement.
    pub fn left(&mut self) {
        self.recent.all_acknowledged();
    }

    /// Subscribed (again): starts with an empty bucket, and carefully if it was blocked.
    pub fn rejoined(&mut self, prefetch: u16, now: Now) {
        self.pace.empty(now);
        self.standing.rejoined(now);
        self.asked_for = Some(prefetch);
    }

    /// True while the delivery with this ticket is in flight.
    pub fn is_in_flight(&self, ticket: Ticket) -> bool {
        self.flights.contains_key(&ticket)
    }
}

#[cfg(test)]
mod tests;
