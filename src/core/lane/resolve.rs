//! Answers and what they do: to the message, to its pair, to the lane, and to others.

use super::fate::{Fate, reach_of};
use super::{Drawn, Flight, Lane, Resolved, Verdict, given_back};
use crate::contract::result::ErrorDocument;
use crate::contract::words::{Class, Scope};
use crate::core::Now;
use crate::core::fleet::holds::{Finding, Why};
use crate::core::lane::backlog::{Key, Ticket};
use crate::core::outcome::answer::Usage;
use crate::core::outcome::{Effect, Outcome, PAUSE, UNREACHABLE, WAIT};
use crate::core::request::decide::Decision;
use crate::core::request::message::Message;
use crate::core::request::recent::Identity;
use crate::core::request::retry::pair_pause_s;
use std::time::Duration;

/// Longest that a usage header is believed to ask for.
const REGAIN_MAX: Duration = Duration::from_secs(24 * 3_600);

const DECIDED: Fate = Fate::Decided { is_charged: true };

/// Sends that an outage may cost a request beside its attempts.
const UNCHARGED_MAX: u32 = 10;

impl Lane {
    /// The API's verdict on an attempt.
    pub fn resolve(&mut self, ticket: Ticket, outcome: Outcome, now: Now, drawn: Drawn) -> Verdict {
        let Some(flight) = self.flights.remove(&ticket) else {
            return Verdict::default();
        };
        let is_media_gone = self.is_media_gone(&flight, &outcome, now);
        let outcome = self.with_quota(&flight.waiting.message, outcome, now);
        let Flight {
            mut waiting,
            key,
            sent_at_ms,
            sent_at,
            turn_since,
            tokens_before,
            media_ids: _,
            orphaned,
        } = flight;
        if orphaned {
            self.not_awaited(&Identity::of(&waiting.message), ticket);
        }
        let ticket = waiting.ticket;
        self.took_its_turn(&outcome, turn_since, now);
        if may_count(&outcome) {
            self.backlog.count_pair(&key, now);
        }
        let is_blocked = matches!(outcome.effect(), Some(Effect::Blocked { .. }));
        let (fate, finding) = if is_blocked && tokens_before != self.tokens_before {
            // Said of a token that is no longer in use.
            (Fate::Stays, None)
        } else if is_media_gone {
            self.answers_well();
            (Fate::Stays, None)
        } else {
            self.judge(&mut waiting.message, &key, &outcome, sent_at, now, drawn)
        };
        let gives_way = matches!(fate, Fate::Later { .. });
        let decided = match fate {
            // RabbitMQ delivers it again: here it would wait under a ticket that is void.
            Fate::Stays if orphaned => {
                let message = waiting.message;
                self.recent
                    .given_back(Identity::of(&message), given_back(&message));
                Some((message, Decision::Abandon))
            }
            Fate::Stays => {
                self.backlog.put_back(&key, waiting);
                None
            }
            Fate::Later { delay_s } => {
                let terms = self.terms(now, drawn.jitter);
                let decision = terms.later(&waiting.message, delay_s, None);
                Some((waiting.message, decision))
            }
            Fate::Decided { is_charged } => {
                let terms = self.terms(now, drawn.jitter);
                let decision =
                    terms.answered(&mut waiting.message, sent_at_ms, outcome, is_charged);
                Some((waiting.message, decision))
            }
        };
        self.backlog.answered(&key, !gives_way, now);
        let resolved = decided
            .map(|(message, decision)| self.decided_after(ticket, message, decision, orphaned));
        Verdict { resolved, finding }
    }

    /// Says of a refusal that it may be for the number of those before it, and until when.
    fn with_quota(&mut self, message: &Message, outcome: Outcome, now: Now) -> Outcome {
        match outcome {
            Outcome::Accepted(accepted) => {
                self.done.note(message, now);
                Outcome::Accepted(accepted)
            }
            Outcome::Failed(Effect::Refused { scope, .. }, error)
                if let Some(wait_s) = self.done.may_again_s(message, now) =>
            {
                let class = Class::Policy;
                let effect = Effect::Refused {
                    class,
                    scope,
                    retry_not_before_s: Some(wait_s),
                };
                let class = class.as_str();
                Outcome::Failed(effect, ErrorDocument { class, ..error })
            }
            Outcome::Failed(..) | Outcome::NotSent { .. } => outcome,
        }
    }

    /// See [`Lane::decided`]; of a request whose session may have ended while it was with the API.
    fn decided_after(
        &mut self,
        ticket: Ticket,
        message: Message,
        decision: Decision,
        orphaned: bool,
    ) -> Resolved {
        // A request that RabbitMQ delivers again must not be on the ladder as well.
        let is_twice = orphaned && matches!(decision, Decision::Delay { .. });
        let decision = if is_twice {
            Decision::Abandon
        } else {
            decision
        };
        let resolved = self.decided(ticket, message, decision);
        if let Some(settling) = self.settling.get_mut(&ticket) {
            settling.orphaned = orphaned;
        }
        resolved
    }

    /// Waits no more for what is in flight under this ticket: RabbitMQ has delivered it again, or it was answered before.
    pub(super) fn not_awaited(&mut self, identity: &Identity, ticket: Ticket) {
        let Some(tickets) = self.orphans.get_mut(identity) else {
            return;
        };
        tickets.retain(|orphan| *orphan != ticket);
        if tickets.is_empty() {
            self.orphans.remove(identity);
        }
    }

    /// Takes what the usage headers of an answer say about the account and the app.
    pub fn used(&mut self, usage: Usage, now: Now) -> Option<Finding> {
        if let Some(percent) = usage.percent {
            self.pace.used(percent, now);
        }
        let minutes = usage.regain_minutes.filter(|minutes| *minutes > 0)?;
        let pause = Duration::from_secs(u64::from(minutes) * 60).min(REGAIN_MAX);
        self.found(
            self.finding(Scope::Waba, Why::Throttle, None, PAUSE, Some(pause)),
            now,
        )
    }

    pub(super) fn finding(
        &self,
        scope: Scope,
        why: Why,
        code: Option<i64>,
        remedy: &'static str,
        pause: Option<Duration>,
    ) -> Finding {
        // An account's lane knows nothing of the messages beside it.
        let is_wide = matches!(scope, Scope::Waba | Scope::App);
        let scope = if is_wide && self.id.waba_id().is_some() {
            Scope::Lane
        } else {
            scope
        };
        Finding {
            scope,
            why,
            code,
            remedy,
            pause,
            before: self.standing.probes(),
            template: None,
        }
    }

    pub(super) fn found(&mut self, finding: Finding, now: Now) -> Option<Finding> {
        self.standing.stop(&finding, now).then_some(finding)
    }

    /// Judges what an outcome says about its message, and about the lane and wider.
    fn judge(
        &mut self,
        message: &mut Message,
        key: &Key,
        outcome: &Outcome,
        sent_at: Duration,
        now: Now,
        drawn: Drawn,
    ) -> (Fate, Option<Finding>) {
        match outcome {
            Outcome::Accepted(_) => {
                self.passed(message, now);
                (DECIDED, None)
            }
            Outcome::NotSent { .. } => {
                let is_long = self.standing.unreachable(drawn.quick_pause, now);
                let finding = is_long
                    .then(|| self.finding(Scope::Lane, Why::Outage, None, UNREACHABLE, None));
                (
                    Fate::Stays,
                    finding.and_then(|finding| self.found(finding, now)),
                )
            }
            Outcome::Failed(effect, error) => {
                self.judge_failure(message, key, (*effect, error.code), sent_at, now, drawn)
            }
        }
    }

    fn judge_failure(
        &mut self,
        message: &mut Message,
        key: &Key,
        (effect, code): (Effect, Option<i64>),
        sent_at: Duration,
        now: Now,
        drawn: Drawn,
    ) -> (Fate, Option<Finding>) {
        match effect {
            Effect::Refused { .. } => {
                self.passed(message, now);
                (DECIDED, None)
            }
            Effect::Transient {
                scope: Scope::Message,
                ..
            } => {
                self.answers_well();
                (DECIDED, None)
            }
            Effect::Transient { scope, .. } => {
                self.standing.reached();
                self.failed(message, scope, code, now)
            }
            Effect::Ambiguous => self.failed(message, Scope::Lane, code, now),
            Effect::Throttled {
                scope,
                pause_s,
                slow_down,
                new_limit: _,
            } => {
                self.answers_well();
                match scope {
                    Scope::Pair => (self.pair_refused(message, key, pause_s, now), None),
                    Scope::Template => self.template_held(message, code, pause_s, now, drawn),
                    Scope::Message | Scope::Lane | Scope::Waba | Scope::Token | Scope::App => {
                        let pause = pause_s.map(|seconds| Duration::from_secs(seconds.into()));
                        let is_try = self.is_try_for(Why::Throttle, code);
                        let is_long = pause.is_some_and(|pause| pause > super::HOLD_MAX);
                        if is_long && !is_try && self.blame_alone(message, key) {
                            return (DECIDED, None);
                        }
                        let scope = reach_of(scope, message);
                        let finding = self.throttled(scope, code, pause, slow_down, sent_at, now);
                        let fate = if is_try && !slow_down {
                            self.gives_way(message, code)
                        } else {
                            Fate::Stays
                        };
                        (fate, finding)
                    }
                }
            }
            Effect::Blocked { .. } => self.blocked(message, key, effect, code, now),
        }
    }

    /// The API had something to say about the request itself.
    fn passed(&mut self, message: &Message, now: Now) {
        self.blame.passed(message);
        self.answers_well();
        self.standing.proved_well(now);
    }

    pub(super) fn answers_well(&mut self) {
        self.standing.reached();
        self.standing.works();
    }

    /// The API (or the way to it) failed. Enough of that in a row, and it is an outage: nobody's attempts are spent on it.
    fn failed(
        &mut self,
        message: &Message,
        scope: Scope,
        code: Option<i64>,
        now: Now,
    ) -> (Fate, Option<Finding>) {
        let finding = self.finding(scope, Why::Outage, code, WAIT, None);
        let was_outage = self.is_outage();
        let is_outage = self.standing.failed(self.config.breaker_failures);
        let finding = if is_outage {
            self.found(finding, now)
        } else {
            None
        };
        // A request that nothing proves unsent must not be repeated without end, whoever pays.
        let is_free = was_outage || self.is_outage();
        let fate = Fate::Decided {
            is_charged: !is_free || message.history.uncharged >= UNCHARGED_MAX,
        };
        (fate, finding)
    }

    fn is_outage(&self) -> bool {
        let state = self.state();
        let hold = state.hold().or(state.lifted());
        hold.is_some_and(|hold| hold.why == Why::Outage)
    }

    fn pair_refused(
        &mut self,
        message: &mut Message,
        key: &Key,
        pause_s: Option<u32>,
        now: Now,
    ) -> Fate {
        let history = &mut message.history;
        let pause_s = pause_s.unwrap_or(0).max(pair_pause_s(history.throttles));
        history.throttles += 1;
        let until = now.mono + Duration::from_secs(pause_s.into());
        self.backlog.forbid_pair(key, until);
        Fate::Stays
    }

    fn throttled(
        &mut self,
        scope: Scope,
        code: Option<i64>,
        pause: Option<Duration>,
        slow_down: bool,
        sent_at: Duration,
        now: Now,
    ) -> Option<Finding> {
        let is_slowest = slow_down && self.pace.refused(sent_at, now);
        let least = Duration::from_secs(u64::from(is_slowest || !slow_down));
        let pause = pause.unwrap_or_default().max(least);
        if pause.is_zero() {
            return None;
        }
        if pause <= super::HOLD_MAX {
            self.standing.cool(now.mono + pause);
        }
        // A pause that only this lane has to sit out for a moment is nobody else's business.
        if scope == Scope::Lane && pause <= super::HOLD_MAX && self.standing.probes().is_none() {
            return None;
        }
        let finding = self.finding(scope, Why::Throttle, code, PAUSE, Some(pause));
        if pause > super::HOLD_MAX || self.standing.probes().is_some() {
            return self.found(finding, now);
        }
        Some(finding)
    }

    /// The message's template is paused. It comes again when that may be over, and so do others of that template.
    fn template_held(
        &mut self,
        message: &Message,
        code: Option<i64>,
        pause_s: Option<u32>,
        now: Now,
        drawn: Drawn,
    ) -> (Fate, Option<Finding>) {
        let Some(template) = message.template.clone() else {
            return (Fate::Decided { is_charged: true }, None);
        };
        let pause_s = pause_s.unwrap_or(1).max(1);
        let pause = Duration::from_secs(pause_s.into());
        let is_news =
            self.templates
                .hold(&template, now.steady_ms + u64::from(pause_s) * 1000, now);
        let finding = Finding {
            template: Some(template),
            ..self.finding(Scope::Template, Why::Throttle, code, PAUSE, Some(pause))
        };
        let delay_s = super::templates::spread_s(u64::from(pause_s) * 1000, drawn.jitter);
        (Fate::Later { delay_s }, is_news.then_some(finding))
    }
}

/// Whether the API may have counted the message against its pair. It does so somewhere between the send and the answer, so a
/// slot is charged with the answer: counted from the send, the next one could come too early.
fn may_count(outcome: &Outcome) -> bool {
    match outcome.effect() {
        Some(Effect::Refused { .. } | Effect::Transient { .. } | Effect::Ambiguous) => true,
        Some(Effect::Throttled { .. } | Effect::Blocked { .. }) => false,
        None => matches!(outcome, Outcome::Accepted(_)),
    }
}
