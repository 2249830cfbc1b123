//! What one process did on one lane: P2, P4, order and wake-ups, judged by a second, simpler account of the lane's rules.

use super::Us;
use super::checks::{Checked, Violation, ensure};
use super::plan::RequestNo;
use std::collections::BTreeMap;
use std::time::Duration;
use whatsapp_dispatcher::core::lane::{Decision, HOLD_MAX, LaneConfig, Ticket, View};
use whatsapp_dispatcher::core::outcome::{Outcome, Scope};
use whatsapp_dispatcher::core::report::Status;

/// How much later than the account says a wake-up may be: the limiter counts in hundredths of a message.
const SLACK_US: Us = 1_000;
/// After a refusal by the pair limit, Meta's rule and not the account decides for this long: 4^4 s, and 45 × 6 s to regain.
const PAIR_MEMORY: Us = 600_000_000;

#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) request: RequestNo,
    pub(crate) person: Option<usize>,
    /// In the queue.
    pub(crate) position: u64,
    pub(crate) redelivered: bool,
    pub(crate) attempts: u32,
    pub(crate) hops: u32,
    /// The ticket under which it will be decided.
    pub(crate) ticket: Ticket,
}

pub(crate) struct Conduct {
    config: LaneConfig,
    pub(crate) prefetch: usize,
    waiting: BTreeMap<Ticket, Item>,
    /// By the ticket under which it was sent.
    flights: BTreeMap<Ticket, Item>,
    settling: usize,
    tenure: Us,
    sends: Vec<Us>,
    quiet_until: Us,
    blocked: bool,
    paused: bool,
    draining: bool,
    /// After a block, until an answer shows that the lane can send.
    careful: bool,
    debts: BTreeMap<usize, Us>,
    pair_quiet: BTreeMap<usize, Us>,
    pair_memory: BTreeMap<usize, Us>,
    decided: Vec<(RequestNo, u32)>,
    prefetch_max: usize,
}

impl Conduct {
    pub(crate) fn new(config: LaneConfig, now: Us) -> Self {
        Self {
            config,
            prefetch: 0,
            waiting: BTreeMap::new(),
            flights: BTreeMap::new(),
            settling: 0,
            tenure: now,
            sends: vec![],
            quiet_until: 0,
            blocked: false,
            paused: false,
            draining: false,
            careful: false,
            debts: BTreeMap::new(),
            pair_quiet: BTreeMap::new(),
            pair_memory: BTreeMap::new(),
            decided: vec![],
            prefetch_max: 0,
        }
    }

    pub(crate) fn rejoined(&mut self, prefetch: u16, now: Us) {
        self.prefetch = prefetch.into();
        self.prefetch_max = self.prefetch_max.max(self.prefetch);
        self.careful |= self.blocked;
        self.blocked = false;
        self.begin_tenure(now);
    }

    pub(crate) fn set_limit(&mut self, limit_mps: u32, now: Us) {
        if limit_mps != self.config.pace.limit_mps {
            self.config.pace.limit_mps = limit_mps;
            self.begin_tenure(now);
        }
    }

    fn begin_tenure(&mut self, now: Us) {
        self.tenure = now;
        self.sends.clear();
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    pub(crate) fn resume(&mut self) {
        self.paused = false;
        self.blocked = false;
        self.careful = false;
        self.quiet_until = 0;
    }

    /// `joined` if it waits in the lane now; else it took the place of a request in flight.
    pub(crate) fn accepted(&mut self, item: Item, joined: bool) -> Checked {
        let known = item.redelivered && self.must_know(&item);
        ensure(!known, "P3", || {
            format!(
                "request {} came again and waits, although this process had decided it",
                item.request
            )
        })?;
        if joined {
            self.waiting.insert(item.ticket, item);
            let (waiting, prefetch) = (self.waiting.len(), self.prefetch);
            return ensure(waiting <= prefetch, "P7", || {
                format!("{waiting} requests wait, prefetch is {prefetch}")
            });
        }
        let mut flights = self.flights.values_mut();
        match flights.find(|flight| flight.request == item.request && flight.hops == item.hops) {
            Some(flight) => flight.ticket = item.ticket,
            None => {
                let what = format!("request {} vanished in the lane", item.request);
                return Violation::of("P1", what);
            }
        }
        Ok(())
    }

    /// Decided without the API's word: right away, or when its turn came.
    pub(crate) fn decided_unsent(&mut self, item: &Item, decision: &Decision) -> Checked {
        self.waiting.remove(&item.ticket);
        self.settling += 1;
        let attempts = match decision {
            Decision::Delay { message, .. } => message.history.attempts,
            Decision::Finish(report) | Decision::Bury(report) => {
                let known = self.decided.contains(&(item.request, item.hops));
                if known {
                    return Ok(());
                }
                self.remember(item);
                report.attempts
            }
            Decision::Forget | Decision::Abandon => return Ok(()),
        };
        ensure(attempts == item.attempts, "P4", || {
            format!(
                "request {} had {} attempts, and {attempts} without a send",
                item.request, item.attempts
            )
        })
    }

    pub(crate) fn waiting(&self, ticket: Ticket) -> Option<Item> {
        self.waiting.get(&ticket).cloned()
    }

    fn remember(&mut self, item: &Item) {
        self.decided.push((item.request, item.hops));
    }

    /// A copy is confirmed on the ladder: that is remembered in the same place.
    pub(crate) fn delayed(&mut self) {
        self.decided.push((RequestNo::MAX, 0));
    }

    /// Decided lately enough that the process must still know it.
    fn must_know(&self, item: &Item) -> bool {
        let memory = 2 * self.prefetch_max;
        self.decided
            .iter()
            .rev()
            .take(memory)
            .any(|known| *known == (item.request, item.hops))
    }

    pub(crate) fn sent(&mut self, ticket: Ticket, now: Us) -> Result<Item, Violation> {
        let Some(item) = self.waiting.remove(&ticket) else {
            return Violation::of("P1", format!("ticket {ticket} was sent and does not wait"));
        };
        let request = item.request;
        for (forbidden, why) in [
            (self.paused, "paused"),
            (self.draining, "draining"),
            (self.blocked, "blocked"),
            (now < self.quiet_until, "cooling"),
            (
                self.careful && self.flights.len() + self.settling > 0,
                "probing with another in flight",
            ),
            (
                self.flights.len() + self.settling >= self.config.in_flight_max(),
                "full",
            ),
        ] {
            ensure(!forbidden, "P4", || {
                format!("request {request} was sent while the lane was {why}")
            })?;
        }
        self.check_pace(now)?;
        self.check_pair(&item, now)?;
        self.flights.insert(ticket, item.clone());
        Ok(item)
    }

    /// In any window of W seconds at most 1 + rate × (W + burst), and from an empty bucket at the start.
    fn check_pace(&mut self, now: Us) -> Checked {
        let rate = self.config.pace.rate_mps();
        self.sends.push(now);
        let all = self.sends.len();
        let since_start = rate * seconds(now - self.tenure);
        ensure(all as f64 <= since_start + 0.02, "P2", || {
            format!("{all} sends since the lane began, {since_start:.2} allowed")
        })?;
        for (index, at) in self.sends.iter().enumerate().rev().take(200) {
            let count = all - index;
            let allowed = 1.0 + rate * (seconds(now - at) + self.config.pace.burst.as_secs_f64());
            ensure(count as f64 <= allowed + 0.02, "P2", || {
                format!(
                    "{count} sends in {:.3} s, {allowed:.2} allowed",
                    seconds(now - at)
                )
            })?;
        }
        Ok(())
    }

    fn check_pair(&mut self, item: &Item, now: Us) -> Checked {
        let Some(person) = item.person else {
            return Ok(());
        };
        let request = item.request;
        let busy = self
            .flights
            .values()
            .any(|flight| flight.person == Some(person));
        ensure(!busy, "order", || {
            format!("request {request} was sent while another to the same person was in flight")
        })?;
        let quiet = self
            .pair_quiet
            .get(&person)
            .is_some_and(|until| now < *until);
        ensure(!quiet, "P4", || {
            format!("request {request} was sent although the API had refused its person for longer")
        })?;
        let due = self.pair_due(person);
        ensure(due <= now, "P2", || {
            format!(
                "request {request} was sent {} us before its pair allows",
                due - now
            )
        })?;
        let debt = self.debts.entry(person).or_default();
        *debt = (*debt).max(now) + us(self.config.pair.interval);
        Ok(())
    }

    fn pair_due(&self, person: usize) -> Us {
        let pair = &self.config.pair;
        let debt = self.debts.get(&person).copied().unwrap_or_default();
        debt.saturating_sub(us(pair.interval) * Us::from(pair.burst - 1))
    }

    /// The answer to a send, and what the lane made of it.
    pub(crate) fn resolved(
        &mut self,
        ticket: Ticket,
        outcome: &Outcome,
        decision: Option<&Decision>,
        quick_pause: Duration,
        is_away: bool,
        now: Us,
    ) -> Result<Item, Violation> {
        let Some(item) = self.flights.remove(&ticket) else {
            return Violation::of(
                "shell",
                format!("an answer for ticket {ticket}, which was not in flight"),
            );
        };
        // It reached the API some time before the answer.
        if let Some(person) = item.person {
            let debt = self.debts.entry(person).or_default();
            *debt = (*debt).max(now + us(self.config.pair.interval));
        }
        self.check_decision(&item, outcome, decision)?;
        self.note_outcome(&item, outcome, decision, quick_pause, is_away, now);
        match decision {
            None => drop(self.waiting.insert(item.ticket, item.clone())),
            Some(decision) => {
                self.settling += 1;
                if let Decision::Finish(_) | Decision::Bury(_) = decision {
                    self.remember(&item);
                }
            }
        }
        Ok(item)
    }

    fn check_decision(
        &self,
        item: &Item,
        outcome: &Outcome,
        decision: Option<&Decision>,
    ) -> Checked {
        let costs_nothing = match outcome {
            Outcome::Throttled { .. } => true,
            Outcome::Blocked {
                second_recipient, ..
            } => !second_recipient,
            Outcome::Accepted(_)
            | Outcome::Refused { .. }
            | Outcome::NotSent { .. }
            | Outcome::Transient { .. }
            | Outcome::Unknown { .. } => false,
        };
        let stays = matches!(decision, None | Some(Decision::Abandon));
        ensure(!costs_nothing || stays, "P4", || {
            format!(
                "request {} was decided by a throttle or a block: {decision:?}",
                item.request
            )
        })?;
        let (attempts, status) = match decision {
            None | Some(Decision::Abandon) => return Ok(()),
            Some(Decision::Delay { message, .. }) => (message.history.attempts, None),
            Some(Decision::Finish(report) | Decision::Bury(report)) => {
                (report.attempts, Some(report.status))
            }
            Some(Decision::Forget) => {
                return Violation::of(
                    "P1",
                    format!("request {} was sent and forgotten", item.request),
                );
            }
        };
        ensure(attempts == item.attempts + 1, "P4", || {
            format!(
                "request {}: attempt {attempts} follows {}",
                item.request, item.attempts
            )
        })?;
        ensure(attempts <= self.config.retry.max_attempts, "P7", || {
            format!("request {} has made {attempts} attempts", item.request)
        })?;
        let fits = match (outcome, status) {
            (Outcome::Accepted(_), status) => status == Some(Status::Accepted),
            (Outcome::Refused { .. }, status) => status == Some(Status::Rejected),
            (_, Some(Status::Accepted | Status::Rejected)) => false,
            (_, Some(Status::Expired | Status::Failed | Status::Unknown) | None) => true,
        };
        ensure(fits, "P1", || {
            format!("request {}: {outcome:?} became {decision:?}", item.request)
        })
    }

    fn note_outcome(
        &mut self,
        item: &Item,
        outcome: &Outcome,
        decision: Option<&Decision>,
        quick_pause: Duration,
        is_away: bool,
        now: Us,
    ) {
        let stays = matches!(decision, None | Some(Decision::Abandon));
        match outcome {
            Outcome::Accepted(_) | Outcome::Refused { .. } => self.careful = false,
            Outcome::NotSent { .. } if decision.is_none() => self.be_quiet(now + us(quick_pause)),
            Outcome::Throttled {
                scope: Scope::Pair,
                pause_s,
                ..
            } => {
                let pause = Us::from(pause_s.unwrap_or(1).max(1)) * 1_000_000;
                if let Some(person) = item.person {
                    self.pair_quiet.insert(person, now + pause);
                    self.pair_memory.insert(person, now + PAIR_MEMORY);
                }
            }
            Outcome::Throttled { pause_s, .. } => {
                let pause = Duration::from_secs(pause_s.unwrap_or(1).max(1).into());
                self.be_quiet(now + us(pause));
                self.blocked |= pause > HOLD_MAX;
            }
            // Whether a second recipient confirmed it, only the lane knows.
            Outcome::Blocked {
                second_recipient: true,
                ..
            } => self.blocked |= is_away,
            Outcome::Blocked { .. } if stays => self.blocked = true,
            Outcome::NotSent { .. }
            | Outcome::Blocked { .. }
            | Outcome::Transient { .. }
            | Outcome::Unknown { .. } => {}
        }
    }

    fn be_quiet(&mut self, until: Us) {
        self.quiet_until = self.quiet_until.max(until);
        self.careful &= self.blocked;
    }

    pub(crate) fn in_flight(&self) -> Vec<RequestNo> {
        self.flights.values().map(|item| item.request).collect()
    }

    pub(crate) fn settled(&mut self) {
        self.settling -= 1;
    }

    pub(crate) fn channel_lost(&mut self) {
        self.waiting.clear();
        for (ticket, flight) in &mut self.flights {
            flight.ticket = *ticket;
        }
    }

    /// The lane rests until `wake`: is anything overdue, or forgotten?
    pub(crate) fn rests(&self, view: &View, may_send: bool, wake: Option<Us>, now: Us) -> Checked {
        let in_flight = self.flights.len() + self.settling;
        ensure(
            (view.waiting, view.in_flight) == (self.waiting.len(), in_flight),
            "P1",
            || {
                format!(
                    "the lane counts {} waiting and {} in flight, the account {} and {in_flight}",
                    view.waiting,
                    view.in_flight,
                    self.waiting.len()
                )
            },
        )?;
        let stopped = self.paused || self.draining || self.blocked || !may_send;
        let full = in_flight >= self.config.in_flight_max() || self.careful && in_flight > 0;
        if stopped || full {
            return Ok(());
        }
        let Some(due) = self.due(now) else {
            return Ok(());
        };
        ensure(
            wake.is_some_and(|wake| wake <= due + SLACK_US),
            "wake",
            || {
                format!(
                    "something may be sent at {due}, and the lane wakes at {wake:?}: {view:?}, settling {}",
                    self.settling
                )
            },
        )
    }

    /// By when the next waiting request must be looked at.
    fn due(&self, now: Us) -> Option<Us> {
        let busy = |person| {
            self.flights
                .values()
                .any(|flight| flight.person == Some(person))
        };
        let due = |item: &Item| match item.person {
            None => Some(0),
            Some(person) if busy(person) => None,
            Some(person)
                if self
                    .pair_memory
                    .get(&person)
                    .is_some_and(|until| now < *until) =>
            {
                None
            }
            Some(person) => Some(self.pair_due(person)),
        };
        let first = self.waiting.values().filter_map(due).min()?;
        let period = (1e6 / self.config.pace.rate_mps()) as Us;
        let paced = self.sends.last().copied().unwrap_or(self.tenure) + period;
        Some(first.max(paced).max(self.quiet_until).max(now))
    }
}

fn us(duration: Duration) -> Us {
    duration.as_micros() as Us
}

fn seconds(us: Us) -> f64 {
    us as f64 / 1e6
}
