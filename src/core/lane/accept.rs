//! A delivery comes in: new, or one that this worker or another had before.

use super::{Decision, Joined, Lane, Redelivery};
use crate::core::Now;
use crate::core::backlog::Ticket;
use crate::core::message::Message;
use crate::core::recent::{Identity, Known};
use crate::core::report::Status;

impl Lane {
    /// A new delivery, which the shell will know by `ticket`.
    pub fn accept(&mut self, mut message: Message, ticket: Ticket, now: Now) -> Joined {
        if message.redelivered {
            let identity = Identity::of(&message);
            if let Some(original) = self.adopt(&identity) {
                return Joined::InFlight(original);
            }
            if let Some(decision) = self.answer_again(&mut message, &identity, now) {
                return Joined::Decided(self.settle(ticket, message, decision));
            }
        }
        if let Some(decision) = self.terms(now, 0.0).unsent(&message) {
            return Joined::Decided(self.settle(ticket, message, decision));
        }
        self.backlog.push(message, ticket, now);
        Joined::Waits
    }

    fn adopt(&mut self, identity: &Identity) -> Option<Ticket> {
        let original = self.orphans.remove(identity)?;
        self.flights.get_mut(&original)?.orphaned = false;
        Some(original)
    }

    /// A redelivered request may have been sent: by us, then we know; by another, then the policy says.
    fn answer_again(
        &self,
        message: &mut Message,
        identity: &Identity,
        now: Now,
    ) -> Option<Decision> {
        match self.recent.find(identity) {
            Some(Known::Ended) => return Some(Decision::Forget),
            // One more than when we gave it back: nobody has had it since.
            Some(Known::Unsent {
                delivery_count,
                possible_duplicate,
            }) if message.delivery_count == delivery_count + 1 => {
                message.history.possible_duplicate |= possible_duplicate;
                return None;
            }
            Some(Known::Unsent { .. }) | None => {}
        }
        // Decided, but its result was not confirmed when its session ended: the one may be published twice, never lost.
        let settling = self
            .settling
            .values()
            .find(|settling| settling.identity == *identity);
        if let Some(report) = settling.and_then(|settling| settling.report.clone()) {
            // What failed is in `wa.dead` before its result is out, here as well: the first delivery may not have got as far.
            return Some(match report.status {
                Status::Failed => Decision::Bury(report),
                Status::Accepted | Status::Rejected | Status::Expired | Status::Unknown => {
                    Decision::Finish(report)
                }
            });
        }
        if message.harmless_to_repeat {
            return None;
        }
        message.history.possible_duplicate = true;
        match self.config.redelivery {
            Redelivery::Resend => None,
            Redelivery::Report => Some(self.terms(now, 0.0).doubtful(message)),
        }
    }
}
