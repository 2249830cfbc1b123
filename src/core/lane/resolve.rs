//! What an answer does: to its message, to its pair, to the lane.

use super::{Cause, Decision, Flight, Lane, Luck, Resolved, State, unsent};
use crate::core::Now;
use crate::core::backlog::{Key, Ticket};
use crate::core::message::Message;
use crate::core::outcome::{Outcome, Scope};
use crate::core::recent::Identity;
use crate::core::retry::pair_pause_s;
use std::time::Duration;

impl Lane {
    /// The API's verdict on an attempt. `None` if the message stays in the lane.
    pub fn resolve(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        now: Now,
        luck: Luck,
    ) -> Option<Resolved> {
        let flight = self.flights.remove(&ticket)?;
        let Flight {
            mut waiting,
            key,
            sent_at_ms,
            orphaned,
        } = flight;
        if orphaned {
            self.orphans.remove(&Identity::of(&waiting.message));
        }
        let ticket = waiting.ticket;
        let counts = may_count(&outcome);
        let had_slot = waiting.message.history.pair_reserved;
        // Used up: another attempt needs another slot.
        waiting.message.history.pair_reserved &= !counts;
        self.notice(&outcome);
        let decided = match self.stays(&mut waiting.message, &key, &outcome, now, luck) {
            // RabbitMQ delivers it again: here it would wait under a ticket that is void.
            true if orphaned => {
                let message = waiting.message;
                self.recent
                    .remember(Identity::of(&message), unsent(&message));
                Some((message, Decision::Abandon))
            }
            true => {
                self.backlog.put_back(&key, waiting);
                None
            }
            false => {
                let terms = self.terms(now, luck.jitter);
                let decision = terms.answered(&mut waiting.message, sent_at_ms, outcome);
                Some((waiting.message, decision))
            }
        };
        if counts {
            self.backlog.count_pair(&key, now);
        }
        if counts && !had_slot {
            self.backlog.take_slot(&key, now);
        }
        self.backlog.answered(&key, now);
        let (message, decision) = decided?;
        // What RabbitMQ delivers again must not be on the ladder as well.
        let is_twice = orphaned && matches!(decision, Decision::Delay { .. });
        let decision = if is_twice {
            Decision::Abandon
        } else {
            decision
        };
        Some(self.settle(ticket, message, decision))
    }

    /// What an outcome says about the lane itself.
    fn notice(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted(_) | Outcome::Refused { .. } => {
                self.suspect = None;
                self.standing.proved_well();
                self.standing.reached();
            }
            Outcome::Transient { .. } | Outcome::Throttled { .. } | Outcome::Blocked { .. } => {
                self.standing.reached();
            }
            Outcome::NotSent { .. } | Outcome::Unknown { .. } => {}
        }
    }

    /// Outcomes that hold the lane or the pair: true if the message keeps its place, at no cost of an attempt.
    fn stays(
        &mut self,
        message: &mut Message,
        key: &Key,
        outcome: &Outcome,
        now: Now,
        luck: Luck,
    ) -> bool {
        let cause = |scope, code, is_block, remedy| Cause {
            scope,
            code,
            is_block,
            remedy,
            since_ms: now.wall_ms,
        };
        match outcome {
            Outcome::NotSent { .. } => {
                let remedy =
                    "nothing reaches the API: check the network, DNS, TLS and graph.base_url";
                let cause = cause(Scope::Lane, None, true, remedy);
                self.standing
                    .unreachable(luck.quick_pause, cause, &self.config, now);
                true
            }
            Outcome::Throttled {
                scope: Scope::Pair,
                pause_s,
                ..
            } => {
                let history = &mut message.history;
                let pause_s = pause_s.unwrap_or(0).max(pair_pause_s(history.throttles));
                history.throttles += 1;
                history.pair_reserved = false;
                let until = now.mono + Duration::from_secs(pause_s.into());
                self.backlog.forbid_pair(key, until);
                true
            }
            Outcome::Throttled {
                scope,
                error,
                pause_s,
            } => {
                let pause = Duration::from_secs(pause_s.unwrap_or(1).max(1).into());
                let cause = cause(
                    *scope,
                    error.code,
                    false,
                    "none needed: the API asked for this pause",
                );
                self.standing.throttle(pause, cause, now);
                true
            }
            // Refusals that one message's body can earn block the lane only once a second person's is refused too; until
            // then the message is tried again like any failed one.
            Outcome::Blocked {
                second_recipient: true,
                ..
            } if !matches!(self.state(), State::Away { .. })
                && self.suspect.as_ref().is_none_or(|suspect| suspect == key) =>
            {
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
                message.history.last_error = error.code;
                let cause = cause(*scope, error.code, true, *remedy);
                self.standing.halt(cause, &self.config, now);
                true
            }
            Outcome::Accepted(_)
            | Outcome::Refused { .. }
            | Outcome::Transient { .. }
            | Outcome::Unknown { .. } => false,
        }
    }
}

/// Whether the API may have counted the message against its pair. It does so somewhere between the send and the answer, so a
/// slot is charged with the answer: counted from the send, the next one could come too early.
fn may_count(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Accepted(_)
        | Outcome::Refused { .. }
        | Outcome::Transient { .. }
        | Outcome::Unknown { .. } => true,
        Outcome::NotSent { .. } | Outcome::Throttled { .. } | Outcome::Blocked { .. } => false,
    }
}
