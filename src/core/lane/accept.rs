//! A delivery comes in: new, or one that this worker or another had before.

use super::{Decision, Joined, Lane, RedeliveryPolicy, Resolved};
use crate::core::Now;
use crate::core::backlog::Ticket;
use crate::core::message::Message;
use crate::core::recent::{Identity, Known};
use crate::core::report::{Report, Status};
use crate::core::tenure::{Inherited, UNSENT_MAX, Unsent};
use std::sync::Arc;

impl Lane {
    /// A new delivery, which the shell will know by `ticket`.
    pub fn accept(&mut self, mut message: Message, ticket: Ticket, now: Now) -> Joined {
        if message.redelivered {
            let identity = Identity::of(&message);
            if let Some(original) = self.adopt(&identity, &message) {
                return Joined::InFlight(original);
            }
            match self.recall(&mut message, &identity) {
                Recalled::Decided(decision) => {
                    return Joined::Decided(self.settle(ticket, message, decision));
                }
                // It keeps its place in its line meanwhile: what comes behind it must not overtake it.
                Recalled::Nothing => {
                    self.taken += 1;
                    self.backlog.push(message, ticket, true, now);
                    return Joined::Asks;
                }
                Recalled::Unsent => {}
            }
        }
        if let Some(decision) = self.terms(now, 0.0).unsent(&message) {
            return Joined::Decided(self.settle(ticket, message, decision));
        }
        self.taken += 1;
        self.backlog.push(message, ticket, false, now);
        Joined::Waits
    }

    /// What the log of results says of a request that [`Joined::Asks`]: whether it has ended. `None`: it stays, and is sent in its
    /// turn; or it is not waiting for this any more.
    pub fn evidence(&mut self, ticket: Ticket, has_ended: bool, now: Now) -> Option<Resolved> {
        let is_resent = self.config.redelivery.policy == RedeliveryPolicy::Resend;
        let is_suspect = self
            .backlog
            .asked(ticket)
            .is_some_and(|message| self.is_too_often(message));
        if !has_ended && is_resent && !is_suspect {
            // Somebody may have sent it, and died before the result was written.
            self.backlog.release(ticket);
            return None;
        }
        let waiting = self.backlog.take_asked(ticket)?;
        let mut message = waiting.message;
        let decision = if has_ended {
            let flagged = message.history.possible_duplicate;
            Decision::Repeat { flagged }
        } else {
            let is_harmless = message.harmless_to_repeat;
            message.history.possible_duplicate |= !is_harmless;
            let terms = self.terms(now, 0.0);
            if is_resent || is_harmless {
                terms.suspect(&mut message, apart_s(ticket))
            } else {
                terms.doubtful(&message)
            }
        };
        Some(self.settle(ticket, message, decision))
    }

    /// RabbitMQ has handed it out so often that its next holder may be the next victim.
    fn is_too_often(&self, message: &Message) -> bool {
        message.delivery_count >= self.config.redelivery.max_deliveries
    }

    /// The lane is this worker's now. Begins with an empty bucket, whatever the one before has sent, and knows what that one has not.
    pub fn took_over(&mut self, unsent: Unsent, now: Now) {
        self.pace.empty(now);
        self.inherited = Inherited::new(unsent);
    }

    /// What waits here and was surely never sent.
    pub fn surely_unsent(&self) -> Unsent {
        let sure = self
            .backlog
            .sure()
            .filter(|message| !message.history.possible_duplicate);
        let named = sure.map(|message| (Identity::of(message), message.delivery_count));
        named.take(UNSENT_MAX).collect()
    }

    fn adopt(&mut self, identity: &Identity, again: &Message) -> Option<Ticket> {
        let original = self.orphans.remove(identity)?;
        let flight = self.flights.get_mut(&original)?;
        flight.orphaned = false;
        let message = &mut flight.waiting.message;
        // Somebody had it in between, and may have sent it as well.
        let had_another = again.delivery_count > message.delivery_count + 1;
        message.history.possible_duplicate |= had_another && !message.harmless_to_repeat;
        message.delivery_count = again.delivery_count;
        Some(original)
    }

    /// A redelivered request may have been sent: by us, then we know; or by another.
    fn recall(&self, message: &mut Message, identity: &Identity) -> Recalled {
        // One more than when it went back: nobody has had it since.
        let is_next = |before: u64| message.delivery_count == before + 1;
        match self.recent.find(identity) {
            Some(Known::Ended) => return Recalled::Decided(Decision::Forget),
            Some(Known::Decided {
                delivery_count,
                report,
            }) if is_next(*delivery_count) => return Recalled::Decided(once_more(report.clone())),
            Some(Known::Unsent {
                delivery_count,
                possible_duplicate,
            }) if is_next(*delivery_count) => {
                message.history.possible_duplicate |= possible_duplicate;
                return Recalled::Unsent;
            }
            Some(Known::Decided { .. } | Known::Unsent { .. }) | None => {}
        }
        // Decided, but its result was not confirmed when its session ended: the one may be published twice, never lost.
        let settling = self
            .settling
            .values()
            .find(|settling| settling.identity == *identity);
        let settling = settling.and_then(|settling| {
            let report = settling.report.clone()?;
            let holds = report.is_the_apis() || is_next(settling.delivery_count);
            holds.then_some(report)
        });
        if let Some(report) = settling {
            return Recalled::Decided(once_more(report));
        }
        let is_unsent = self.inherited.is_unsent(identity, message.delivery_count);
        let is_harmless = message.harmless_to_repeat && !self.is_too_often(message);
        if is_harmless || is_unsent {
            Recalled::Unsent
        } else {
            Recalled::Nothing
        }
    }
}

/// Suspects that came together come back one by one, so that the next time not all of them are there when one does its harm.
fn apart_s(ticket: Ticket) -> u32 {
    const APART_S: u64 = 2;
    const LONGEST_S: u64 = 600;
    u32::try_from((ticket * APART_S) % LONGEST_S + 1).unwrap_or(1)
}

/// What failed is in `wa.dead` before its result is out, here as well: the first delivery may not have got as far.
fn once_more(report: Arc<Report>) -> Decision {
    match report.status {
        Status::Failed => Decision::Bury(report),
        Status::Accepted | Status::Rejected | Status::Expired | Status::Unknown => {
            Decision::Finish(report)
        }
    }
}

/// What this worker knows of a request that was delivered before.
#[expect(
    clippy::large_enum_variant,
    reason = "on the stack for a moment; a box would cost an allocation"
)]
enum Recalled {
    /// How it has ended, or is about to.
    Decided(Decision),
    /// It may be sent as if for the first time.
    Unsent,
    /// Another worker may have sent it.
    Nothing,
}
