//! A delivery comes in: new, or one that this worker or another had before.

use super::{Evidence, Flight, Joined, Lane, RedeliveryPolicy, Resolved, Settling, State};
use crate::contract::result::ResultDocument;
use crate::contract::words::{OnUnknown, Status};
use crate::core::Now;
use crate::core::fleet::tenure::{Inherited, UNSENT_MAX, Unread, Unsent};
use crate::core::lane::backlog::{Ticket, Waiting};
use crate::core::request::decide::Decision;
use crate::core::request::message::Message;
use crate::core::request::recent::{Identity, Known};
use std::collections::HashSet;
use std::sync::Arc;

impl Lane {
    /// A new delivery, which the shell will know by `ticket`.
    pub fn accept(&mut self, mut message: Message, ticket: Ticket, now: Now) -> Joined {
        let identity = Identity::of(&message);
        self.dedupe.turn(now);
        self.dedupe.enter(identity.id(), ticket);
        let back = self.backlog.came_back(&message);
        let mut is_doubtful = false;
        if message.redelivered {
            if let Some(original) = self.adopt(&identity, &message) {
                self.dedupe.leave(identity.id(), ticket);
                return Joined::InFlight(original);
            }
            match self.recall(&mut message, &identity) {
                Recalled::Decided(decision) => {
                    return Joined::Decided(self.decided(ticket, message, decision));
                }
                Recalled::Nothing => is_doubtful = true,
                Recalled::Unsent => {}
            }
        } else if identity.hops() > 0 && self.is_over(&identity, message.history.copied_ms) {
            if !message.history.possible_duplicate {
                return Joined::Decided(self.decided(ticket, message, Decision::Forget));
            }
            // Another worker has sent it since, which the result that there is may not say.
            is_doubtful = true;
        } else {
            self.recent.forget(&identity);
            self.orphans.remove(&identity);
        }
        let doubted_ms = self.recent.doubted_ms(&identity);
        message.history.copied_ms = message.history.copied_ms.max(doubted_ms);
        is_doubtful |= message.history.copied_ms > 0;
        if self.has_other_copy(&message, ticket) {
            return Joined::Decided(self.decided(ticket, message, Decision::Forget));
        }
        if let Some(replaces) = self.replace_earlier(&message, ticket, is_doubtful) {
            return replaces;
        }
        if is_doubtful {
            // The request keeps its place in its line meanwhile: what comes behind it must not overtake it.
            self.taken += 1;
            self.backlog.push(message, ticket, true, now);
            return Joined::Asks;
        }
        // A lane that ends leaves what is undecided to the next worker; half a decision would leave a doubt.
        let is_ending = self.state() == State::Draining;
        if !is_ending && let Some(decision) = self.terms(now, 0.0).without_sending(&message) {
            return Joined::Decided(self.decided(ticket, message, decision));
        }
        // A request that was delivered before has its place here, ahead of all that left since.
        if !message.redelivered
            && !is_ending
            && let Some(leaves) = self.turn_away(&message, back, ticket, now)
        {
            return leaves;
        }
        self.taken += 1;
        self.backlog.push(message, ticket, false, now);
        Joined::Waits
    }

    /// Lets the copy stay of a request and its copy: the log of results may say that the request was copied, and whoever gets it next
    /// lets go of it then. `None`: it is the copy of nothing that is here.
    fn replace_earlier(
        &mut self,
        copy: &Message,
        ticket: Ticket,
        is_doubtful: bool,
    ) -> Option<Joined> {
        if copy.history.hops == 0 {
            return None;
        }
        let is_it = |(_, flight): &(&Ticket, &mut Flight)| {
            !flight.orphaned && copy.is_copy_of(&flight.waiting.message)
        };
        let flight = self.flights.iter_mut().find(is_it);
        let (earlier, message, asks) = match flight {
            Some((earlier, flight)) => {
                // Another may have sent it as well.
                let mut copy = copy.clone();
                if is_doubtful && copy.redelivered {
                    copy.may_have_been_sent();
                }
                (*earlier, flight.waiting.message.replace(copy), false)
            }
            None => {
                let (earlier, message) = self.backlog.replace(copy, is_doubtful)?;
                (earlier, message, is_doubtful)
            }
        };
        Some(Joined::Replaces {
            earlier,
            let_go: self.decided(ticket, message, Decision::Forget),
            asks,
        })
    }

    /// Takes what the log of results says of a request that [`Joined::Asks`]. `None`: it stays, and is sent in its turn; or it is not
    /// waiting for this any more.
    pub fn evidence(&mut self, ticket: Ticket, evidence: Evidence, now: Now) -> Option<Resolved> {
        let asked = self.backlog.asked(ticket)?;
        // The request's own word goes before the policy, where that is the less careful one.
        let is_forbidden = asked.on_unknown == Some(OnUnknown::Report);
        let is_resent = self.config.redelivery.policy == RedeliveryPolicy::Resend && !is_forbidden;
        let identity = Identity::of(asked);
        let is_poison_suspect = self.is_too_often(&identity, asked.delivery_count);
        // Told after it came.
        let is_unsent = evidence == Evidence::Nothing
            && asked.history.copied_ms == 0
            && self.inherited.is_unsent(&identity, asked.delivery_count);
        if is_unsent {
            self.backlog.release(ticket, None);
            return None;
        }
        let is_copied = evidence == Evidence::Copy || self.has_other_copy(asked, ticket);
        let is_over = self.is_over(&identity, asked.history.copied_ms);
        let has_ended = is_over || is_copied || evidence == Evidence::Result;
        if !has_ended && is_resent && !is_poison_suspect {
            // Somebody may have sent it, or copied it, and died before that was written.
            self.recent.doubt(identity, now.wall_ms);
            self.backlog.release(ticket, Some(now));
            return None;
        }
        let waiting = self.backlog.take_asked(ticket)?;
        let mut message = waiting.message;
        let decision = if evidence == Evidence::Result {
            let flagged = message.history.possible_duplicate;
            Decision::Repeat { flagged }
        } else if is_copied || is_over && !message.history.possible_duplicate {
            Decision::Forget
        } else if is_over {
            // The result is too old to be found, and says nothing of another send.
            self.terms(now, 0.0).doubtful(&message)
        } else {
            let is_harmless = message.is_harmless_to_repeat();
            message.may_have_been_handled(now);
            if is_resent || is_harmless {
                let apart_s = self.space_suspect_s();
                let terms = self.terms(now, 0.0);
                terms.poison_suspect(&mut message, apart_s)
            } else {
                self.terms(now, 0.0).doubtful(&message)
            }
        };
        Some(self.decided(ticket, message, decision))
    }

    /// Whether another delivery of this request, which has come as far, is in the lane's hands: then that one's end is the end of both.
    /// What is RabbitMQ's again does not count, it may be this very delivery; nor what is let go of itself; nor, for an earlier one may
    /// be let go for this very copy, what has not come as far.
    fn has_other_copy(&self, message: &Message, ticket: Ticket) -> bool {
        let identity = Identity::of(message);
        // A first delivery from the caller has no copies yet.
        let may_have_copies = message.redelivered || identity.hops() > 0;
        if !may_have_copies || !message.is_named() {
            return false;
        }
        let is_as_far =
            |other: &Identity| identity.is_same_request(other) && other.hops() >= identity.hops();
        let is_it = |other: &Message| is_as_far(&Identity::of(other));
        let is_in_flight = |(other, flight): (&Ticket, &Flight)| {
            *other != ticket && !flight.orphaned && is_it(&flight.waiting.message)
        };
        let ends = |(other, settling): (&Ticket, &Settling)| {
            let is_here = *other != ticket && !settling.orphaned;
            is_here && settling.over.is_some() && is_as_far(&settling.identity)
        };
        let waits = |other: &Waiting| is_it(&other.message);
        self.backlog.has_other(message, ticket, waits)
            || self.flights.iter().any(is_in_flight)
            || self.settling.iter().any(ends)
    }

    /// RabbitMQ has handed it out so often that its next holder may be the next victim. Who gave it back in order was none: a lane whose API
    /// is tried again and again for hours gives back all that it holds after each try.
    fn is_too_often(&self, identity: &Identity, delivery_count: u64) -> bool {
        let inherited = self.inherited.orderly_deliveries(identity);
        let orderly = self.recent.orderly_deliveries(identity).max(inherited);
        delivery_count.saturating_sub(orderly) >= self.config.redelivery.max_deliveries
    }

    /// The lane is this worker's now. Begins with an empty bucket, whatever the one before has sent, and knows what that one has not.
    pub fn took_over(&mut self, unsent: Unsent, now: Now) {
        self.pace.empty(now);
        self.inherited = Inherited::new(unsent);
    }

    /// How long the next suspect stays away. Those that came together come back one by one, so that the next time not all of them are there
    /// when one does its harm.
    fn space_suspect_s(&mut self) -> u32 {
        const APART_S: u32 = 2;
        const LONGEST_S: u32 = 600;
        self.suspects = (self.suspects + 1) % (LONGEST_S / APART_S);
        self.suspects * APART_S + 1
    }

    /// More that the one before has not sent: RabbitMQ had handed it over as that one left.
    pub fn inherit(&mut self, unsent: &[(Identity, u64)]) {
        self.inherited.add(unsent);
    }

    /// Lists what waits here and was surely never sent.
    pub fn surely_unsent(&self) -> Unsent {
        let sure = self
            .backlog
            .sure()
            .filter(|message| !message.history.possible_duplicate);
        let named = sure.map(|message| (Identity::of(message), message.delivery_count));
        named.chain(self.crowd.unsent()).take(UNSENT_MAX).collect()
    }

    /// RabbitMQ took back what waits, and delivered these once more, which nobody read. What of it waits here is known one delivery later.
    pub fn came_again(&mut self, unread: &[Unread]) {
        let came = unread.iter();
        let came = came.map(|delivery| (&delivery.identity, delivery.delivery_count));
        let came: HashSet<_> = came.collect();
        let is_next = |identity: &Identity, count: u64| came.contains(&(identity, count + 1));
        self.backlog.recount(is_next);
        self.crowd.recount(is_next);
    }

    /// Whether a copy that comes for the first time may be of a request that was handled here.
    pub(super) fn knows_of(&self, copy: &Identity) -> bool {
        let recent = &self.recent;
        copy.hops() > 0 && (recent.is_over(copy) || recent.doubted_ms(copy) > 0)
    }

    /// Whether a delivery of the same request has ended here after which none is needed: copies are our own, and one was written twice.
    pub(super) fn is_over(&self, identity: &Identity, copied_ms: u64) -> bool {
        let is_named = identity.incarnation().is_some() || copied_ms > 0;
        is_named && self.recent.is_over(identity)
    }

    fn adopt(&mut self, identity: &Identity, again: &Message) -> Option<Ticket> {
        // The first delivered comes again first.
        let original = *self.orphans.get(identity)?.iter().min()?;
        self.not_awaited(identity, original);
        let flight = self.flights.get_mut(&original)?;
        flight.orphaned = false;
        let message = &mut flight.waiting.message;
        // Somebody had it in between, and may have sent it as well.
        let had_another = again.delivery_count > message.delivery_count + 1;
        if had_another {
            message.may_have_been_sent();
        }
        message.delivery_count = again.delivery_count;
        Some(original)
    }

    /// A redelivered request may have been sent: by us, then we know; or by another.
    fn recall(&mut self, message: &mut Message, identity: &Identity) -> Recalled {
        // One more than when it went back: nobody has had it since.
        let is_next = |before: u64| message.delivery_count == before + 1;
        match self.recent.recall(identity, message.delivery_count) {
            Some(Known::Ended) => return Recalled::Decided(Decision::Forget),
            Some(Known::Decided { report, .. }) => return Recalled::Decided(once_more(report)),
            Some(Known::Unsent {
                possible_duplicate, ..
            }) => {
                if possible_duplicate {
                    message.may_have_been_sent();
                }
                return Recalled::Unsent;
            }
            None => {}
        }
        // Decided, but its result was not confirmed when its session ended: the one may be published twice, never lost.
        let settling = self
            .settling
            .values()
            .find(|settling| settling.orphaned && settling.identity == *identity);
        let settling = settling.and_then(|settling| {
            let report = settling.report.clone()?;
            let holds = report.is_the_apis() || is_next(settling.delivery_count);
            holds.then_some(report)
        });
        if let Some(report) = settling {
            return Recalled::Decided(once_more(report));
        }
        let is_unsent = self.inherited.is_unsent(identity, message.delivery_count);
        let is_harmless =
            message.is_harmless_to_repeat() && !self.is_too_often(identity, message.delivery_count);
        if is_harmless || is_unsent {
            Recalled::Unsent
        } else {
            Recalled::Nothing
        }
    }
}

/// A request that failed is in `wa.dead` before its result is out, here as well: the first delivery may not have got as far.
fn once_more(report: Arc<ResultDocument>) -> Decision {
    match report.status {
        Status::Failed => Decision::Bury(report),
        Status::Accepted | Status::Rejected | Status::Expired | Status::Unknown => {
            Decision::Finish(report)
        }
    }
}

/// This worker's knowledge of a request that was delivered before.
#[expect(
    clippy::large_enum_variant,
    reason = "on the stack for a moment; a box would cost an allocation"
)]
enum Recalled {
    /// How it has ended, or is about to.
    Decided(Decision),
    /// The request may be sent as if for the first time.
    Unsent,
    /// Another worker may have sent it.
    Nothing,
}
