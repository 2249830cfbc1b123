//! What one process did on one lane: order, pauses, attempts, memory and wake-ups, judged by a second account of the lane's rules.

use super::Us;
use super::allowance::{PairAccount, RateAccount};
use super::broker::Copy;
use super::checks::{Checked, Violation, ensure};
use super::decisions;
use super::dedupe::Duplicates;
use super::media::Files;
use super::plan::RequestNo;
use super::stops::{Reaction, Stops};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use whatsapp_dispatcher::contract::words::{Scope, Status};
use whatsapp_dispatcher::core::Now;
use whatsapp_dispatcher::core::fleet::holds::Held;
use whatsapp_dispatcher::core::lane::{LaneConfig, State, Ticket, View};
use whatsapp_dispatcher::core::outcome::{Effect, Outcome};
use whatsapp_dispatcher::core::request::decide::Decision;

/// How much later than the account says a wake-up may be: the limiter counts in hundredths of a message.
const SLACK_US: Us = 1_000;

#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) request: RequestNo,
    /// Something tells it apart from other publications of its id.
    pub(crate) is_stamped: bool,
    pub(crate) is_deduped: bool,
    /// The file that it waits for, or waited.
    pub(crate) link: Option<usize>,
    pub(crate) person: Option<usize>,
    pub(crate) copy: Copy,
    /// How many tokens the lane had had before the one it was sent with.
    pub(crate) token: u64,
}

impl Item {
    pub(super) fn identity(&self) -> (RequestNo, u32) {
        (self.request, self.copy.history.hops)
    }
}

pub(crate) struct Conduct {
    pub(super) config: LaneConfig,
    prefetch: usize,
    pub(super) prefetch_max: usize,
    prefetch_believed: Option<u16>,
    pub(super) waiting: BTreeMap<Ticket, Item>,
    pub(super) flights: BTreeMap<Ticket, Item>,
    /// Of those, the ones whose delivery is void.
    pub(super) orphans: BTreeSet<Ticket>,
    /// Of those waiting, the ones that somebody else may have sent.
    pub(super) asked: BTreeSet<Ticket>,
    /// That ever were so: they have their place, room or not.
    pub(super) doubted: BTreeSet<Ticket>,
    /// Requests of which that was so, whatever their tickets.
    pub(super) ever_doubted: BTreeSet<(RequestNo, u32)>,
    pub(super) settling: BTreeMap<Ticket, Item>,
    /// Of those, the ones that end with a result.
    pub(super) reported: BTreeSet<Ticket>,
    /// Of those, the ones that are acknowledged and no more.
    pub(super) let_go: BTreeSet<Ticket>,
    pub(super) duplicates: Duplicates,
    pub(super) files: Files,
    pub(super) rate: RateAccount,
    pub(super) pairs: PairAccount,
    pub(super) stops: Stops,
    tokens: u64,
    /// Whose messages wait, until when.
    templates: BTreeMap<Arc<str>, u64>,
    /// What the process must still know: requests that ended here, in order.
    pub(super) ended: Vec<(RequestNo, u32)>,
    /// Given back unsent, with the count of returns that they must have if nobody else had them.
    pub(super) unsent: BTreeMap<(RequestNo, u32), u64>,
    /// Decided, and given back before the result was confirmed; with the same count.
    pub(super) decided: BTreeMap<(RequestNo, u32), u64>,
}

impl Conduct {
    pub(crate) fn new(config: LaneConfig, now: Us) -> Self {
        Self {
            config,
            prefetch: 0,
            prefetch_max: 0,
            prefetch_believed: None,
            waiting: BTreeMap::new(),
            flights: BTreeMap::new(),
            orphans: BTreeSet::new(),
            asked: BTreeSet::new(),
            doubted: BTreeSet::new(),
            ever_doubted: BTreeSet::new(),
            settling: BTreeMap::new(),
            reported: BTreeSet::new(),
            let_go: BTreeSet::new(),
            duplicates: Duplicates::default(),
            files: Files::default(),
            rate: RateAccount::new(config.pace, now),
            pairs: PairAccount::new(config.pair),
            stops: Stops::new(config.breaker_failures),
            tokens: 0,
            templates: BTreeMap::new(),
            ended: vec![],
            unsent: BTreeMap::new(),
            decided: BTreeMap::new(),
        }
    }

    pub(crate) fn await_limit(&mut self) {
        self.stops.rejoin();
    }

    /// So many may come at once.
    pub(crate) fn opened(&mut self, prefetch: u16) {
        self.prefetch = prefetch.into();
        self.prefetch_max = self.prefetch_max.max(self.prefetch);
    }

    pub(crate) fn rejoined(&mut self, prefetch: u16, now: Us) {
        self.opened(prefetch);
        self.prefetch_believed = Some(prefetch);
        self.stops.rejoined(now);
        self.rate.begin(now);
    }

    /// It is this worker's, whatever the one before has sent.
    pub(crate) fn took_over(&mut self, now: Us) {
        self.rate.begin(now);
    }

    pub(crate) fn set_limit(&mut self, limit_mps: u32, state: State, now: Us) {
        let limit_mps = f64::from(limit_mps);
        if limit_mps != self.config.pace.limit_mps {
            self.config.pace.limit_mps = limit_mps;
            self.rate.config.limit_mps = limit_mps;
            self.rate.begin(now);
        }
        if let State::Rejoining { .. } = state {
            self.stops.rejoin();
        }
    }

    /// Its channel was opened with another prefetch than the limit asks for.
    fn is_outdated(&self) -> bool {
        let asked_for = self.prefetch_believed;
        asked_for.is_some_and(|prefetch| prefetch != self.config.prefetch(None))
    }

    pub(crate) fn drain(&mut self) {
        self.stops.drain();
    }

    /// What holds the lane from now on. `flows`: it was in the middle of sending.
    pub(crate) fn told(&mut self, held: &Held, flows: bool, now: Now) {
        let is_outdated = self.is_outdated();
        self.stops.told(held, flows, is_outdated, now);
    }

    pub(crate) fn hold_template(&mut self, template: &Arc<str>, until_ms: u64, wall_ms: u64) {
        let held = self.templates.entry(template.clone()).or_default();
        if *held <= wall_ms {
            *held = until_ms;
        }
    }

    pub(crate) fn token_changed(&mut self) {
        self.tokens += 1;
    }

    /// Whether an answer speaks of a token that is no longer in use.
    pub(crate) fn is_of_old_token(&self, item: &Item) -> bool {
        item.token != self.tokens
    }

    /// One request at a time, as its answer says whether there may be more.
    pub(crate) fn is_careful(&self, now: Us) -> bool {
        self.stops.is_careful(now)
    }

    /// It waits in the lane now.
    pub(crate) fn joined(&mut self, ticket: Ticket, item: Item) -> Checked {
        let is_orphan = |ticket| {
            self.flights
                .get(ticket)
                .is_some_and(|f| f.identity() == item.identity())
        };
        let in_flight = item.copy.redelivered && self.orphans.iter().any(is_orphan);
        // Of two that nothing tells apart one may have ended, and the other have been given back.
        let is_another = !item.is_stamped && self.was_given_back(&item);
        let is_known = self.must_know(&item) && !is_another || self.has_decided(&item);
        if !item.copy.redelivered {
            self.ended.retain(|known| *known != item.identity());
        }
        let known = item.copy.redelivered && is_known || in_flight;
        ensure(!known, "P3", || {
            format!(
                "request {} came again and waits, although this process knew it",
                item.request
            )
        })?;
        self.waiting.insert(ticket, item);
        let (waiting, prefetch) = (self.waiting.len(), self.prefetch);
        ensure(waiting <= prefetch, "P7", || {
            format!("{waiting} requests wait, prefetch is {prefetch}")
        })
    }

    /// It takes the place of a request in flight.
    pub(crate) fn adopted(&mut self, original: Ticket, item: &Item) -> Checked {
        let mut flight = self.flights.get_mut(&original);
        let same = flight
            .as_ref()
            .is_some_and(|flight| flight.identity() == item.identity());
        if let Some(flight) = &mut flight {
            flight.copy.returns = item.copy.returns;
        }
        self.orphans.remove(&original);
        ensure(same, "P1", || {
            format!("request {} vanished in the lane", item.request)
        })
    }

    /// Unsent, and nobody has had it since.
    fn was_given_back(&self, item: &Item) -> bool {
        self.unsent.get(&item.identity()) == Some(&item.copy.returns)
    }

    /// Decided on arrival.
    pub(crate) fn decided_at_once(
        &mut self,
        ticket: Ticket,
        item: Item,
        decision: &Decision,
    ) -> Checked {
        let is_known = self.is_settling(&item) || self.has_ended(&item) || self.has_decided(&item);
        // A copy off the ladder may have been written twice.
        let may_be_known = item.copy.redelivered || item.copy.history.hops > 0;
        // Of two copies one is enough.
        let has_other = matches!(decision, Decision::Forget);
        let known = may_be_known && is_known || has_other;
        let doubtful =
            matches!(decision, Decision::Finish(report) if report.status == Status::Unknown);
        let was_ours = self.was_given_back(&item);
        ensure(known || !doubtful || !was_ours, "P4", || {
            format!("request {} came back unsent and was doubted", item.request)
        })?;
        if known {
            self.settle(ticket, item, decision);
            return Ok(());
        }
        self.decided(ticket, item, decision)
    }

    /// Decided when its turn came.
    pub(crate) fn decided_in_turn(&mut self, ticket: Ticket, decision: &Decision) -> Checked {
        let Some(item) = self.waiting.remove(&ticket) else {
            let what = format!("ticket {ticket} was decided and does not wait");
            return Violation::of("P1", what);
        };
        self.decided(ticket, item, decision)
    }

    pub(super) fn is_paused(&self, template: Option<&Arc<str>>, now: Now) -> bool {
        let until_ms = template.and_then(|template| self.templates.get(template));
        until_ms.is_some_and(|until_ms| *until_ms > now.steady_ms)
    }

    fn decided(&mut self, ticket: Ticket, item: Item, decision: &Decision) -> Checked {
        let before = item.copy.history.attempts;
        let attempts = match decision {
            Decision::Delay { message, .. } => Some(message.history.attempts),
            Decision::Finish(report) | Decision::Bury(report) => Some(report.attempts),
            Decision::Duplicate { .. } => Some(before),
            Decision::Repeat { .. } | Decision::Forget | Decision::Abandon => None,
        };
        ensure(attempts == Some(before), "P4", || {
            format!(
                "request {} had {before} attempts, and {attempts:?} without a send: {decision:?}",
                item.request
            )
        })?;
        self.settle(ticket, item, decision);
        Ok(())
    }

    pub(crate) fn sent(&mut self, ticket: Ticket, view: &View, now: Us) -> Result<Item, Violation> {
        let Some(mut item) = self.waiting.remove(&ticket) else {
            return Violation::of("P1", format!("ticket {ticket} was sent and does not wait"));
        };
        let request = item.request;
        ensure(!self.asked.contains(&ticket), "P3", || {
            format!("request {request} was sent before it was known whether it had been")
        })?;
        let others = self.places_taken();
        self.stops.check(request, others, now)?;
        ensure(others < self.config.in_flight_max(), "P4", || {
            format!("request {request} was sent while the lane was full")
        })?;
        self.rate.check_recovered(view, now)?;
        self.rate.send(now)?;
        if let Some(person) = item.person {
            let mut flights = self.flights.values();
            let busy = flights.any(|flight| flight.person == Some(person));
            ensure(!busy, "order", || {
                format!("request {request} was sent while another to the same person was in flight")
            })?;
            self.pairs.send(person, now)?;
        }
        item.token = self.tokens;
        self.flights.insert(ticket, item.clone());
        Ok(item)
    }

    /// The answer to a send, and what the lane made of it.
    pub(crate) fn resolved(
        &mut self,
        ticket: Ticket,
        outcome: &Outcome,
        decision: Option<&Decision>,
        reaction: &Reaction,
        now: Us,
    ) -> Result<Item, Violation> {
        let Some(item) = self.flights.remove(&ticket) else {
            let what = format!("an answer for ticket {ticket}, which was not in flight");
            return Violation::of("shell", what);
        };
        let is_orphan = self.orphans.remove(&ticket);
        let leaves = matches!(decision, Some(Decision::Delay { .. }));
        ensure(!is_orphan || !leaves, "P3", || {
            let request = item.request;
            format!("request {request} leaves for the ladder, and the broker delivers it again")
        })?;
        self.rate.note(&reaction.view, now);
        if let Some(Effect::Throttled {
            scope: Scope::Lane, ..
        }) = outcome.effect()
        {
            self.rate.slowed(now);
        }
        let is_old =
            self.is_of_old_token(&item) && matches!(outcome.effect(), Some(Effect::Blocked { .. }));
        let blame = self.stops.blames(&item.copy.history, outcome);
        let is_charged = is_old || self.stops.met(&item.copy.history, outcome, reaction, now);
        let blame = (!is_old).then_some(blame);
        let attempts_max = self.config.retry.max_attempts;
        decisions::check(&item, outcome, decision, blame, is_charged, attempts_max)?;
        self.note_pair(&item, outcome, now);
        match decision {
            None => drop(self.waiting.insert(ticket, item.clone())),
            Some(decision) => self.settle(ticket, item.clone(), decision),
        }
        Ok(item)
    }

    fn note_pair(&mut self, item: &Item, outcome: &Outcome, now: Us) {
        let Some(person) = item.person else {
            return;
        };
        if let Some(Effect::Throttled {
            scope: Scope::Pair,
            pause_s,
            ..
        }) = outcome.effect()
        {
            let pause = Us::from(pause_s.unwrap_or(1).max(1)) * 1_000_000;
            self.pairs.refuse(person, pause, now);
        }
        let counts = matches!(
            outcome,
            Outcome::Accepted(_)
                | Outcome::Failed(
                    Effect::Refused { .. } | Effect::Transient { .. } | Effect::Ambiguous,
                    _
                )
        );
        // It reached the API some time before the answer.
        if counts {
            self.pairs.count(person, now);
        }
    }

    /// What a usage header said.
    pub(crate) fn used(&mut self, view: &View, now: Us) {
        self.rate.note(view, now);
        self.rate.slowed(now);
    }

    /// It told the whole account to stop.
    pub(crate) fn used_up(&mut self) {
        self.stops.used_up();
    }

    /// The lane rests until `wake`: is anything overdue, or forgotten?
    pub(crate) fn rests(
        &mut self,
        view: &View,
        may_send: bool,
        wake: Option<Us>,
        now: Us,
    ) -> Checked {
        let in_flight = self.flights.len() + self.settling.len();
        let counted = (view.waiting, view.in_flight);
        ensure(counted == (self.waiting.len(), in_flight), "P1", || {
            format!(
                "the lane counts {counted:?} waiting and in flight, the account {} and {in_flight}",
                self.waiting.len()
            )
        })?;
        // It may give its messages back for another prefetch, and only for that.
        let rejoins = matches!(view.state, State::Rejoining { .. }) && self.is_outdated();
        let stopped = self.stops.forbids() || !may_send || rejoins;
        let is_careful = self.stops.is_careful(now);
        let taken = self.places_taken();
        let full = taken >= self.config.in_flight_max() || is_careful && taken > 0;
        self.rate.note(view, now);
        if stopped || full {
            return Ok(());
        }
        // Room that has become less shows once it has given its messages back, for which it may wait until the log was read.
        if !self.is_outdated() {
            self.check_room()?;
        }
        let Some(due) = self.due(now) else {
            return Ok(());
        };
        let wakes = wake.is_some_and(|wake| wake <= due + SLACK_US);
        ensure(wakes, "wake", || {
            format!("something may be sent at {due}, and the lane wakes at {wake:?}: {view:?}")
        })
    }
}
