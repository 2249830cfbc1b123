//! Requests that say `dedupe`, and what a lane does with them by what [`super::dedupe`] knows of their ids.

use super::dedupe::{Look, Recalled, Word};
use super::{Lane, Settling, Step};
use crate::contract::words::{Priority, Status};
use crate::core::Now;
use crate::core::lane::backlog::{Key, Ticket};
use crate::core::request::message::Message;
use crate::core::request::recent::Over;

impl Lane {
    /// Looks for an earlier request of the id of the one whose turn it is: then this one is not sent. `None`: it is.
    #[expect(
        clippy::option_option,
        reason = "the inner one is what a try to send comes to, as everywhere"
    )]
    pub(super) fn look_for_earlier(
        &mut self,
        key: &Key,
        priority: Priority,
        now: Now,
    ) -> Option<Option<Step>> {
        let front = self.backlog.front(key, priority)?;
        let message = &front.message;
        let is_busy = self.answering >= self.config.answers_max(self.window.most());
        let decision = match self.dedupe.look(message, front.ticket) {
            Look::Goes => return None,
            Look::Ended(ended) if !is_busy => {
                let terms = self.terms(now, 0.0);
                terms.duplicate(message, ended.status, ended.at_s)
            }
            Look::Follows | Look::Ended(_) => self.terms(now, 0.0).follow(message),
            Look::Unread => {
                self.backlog.hold(key, priority);
                return Some(self.dedupe.next_read().map(Step::Recall));
            }
        };
        Some(self.decide_front(key, priority, decision))
    }

    /// Whether what leaves for the ladder waits there for an earlier request of its id, or may: then it is not itself what others of its id
    /// wait for.
    pub(super) fn follows(&mut self, leaving: &mut Message, ticket: Ticket) -> bool {
        if self.dedupe.look(leaving, ticket) != Look::Goes {
            leaving.history.may_follow();
        }
        leaving.history.follows
    }

    /// Notes for others of its id how a delivery has ended.
    pub(super) fn note_end(&mut self, ticket: Ticket, settling: &Settling, confirmed: bool) {
        let id = settling.identity.id();
        self.dedupe.leave(id, ticket);
        match (&settling.report, settling.over) {
            (Some(report), _) => match Word::of(report.status) {
                word if confirmed => self.dedupe.note(id, report.completed_at, word),
                // RabbitMQ has the request again, and whoever gets it publishes that it has ended.
                Word::Accepted | Word::Unknown => self.dedupe.note_away(id),
                Word::Over | Word::Away => {}
            },
            (None, Some(over)) if confirmed && over != Over::WHOLE && !settling.follows => {
                self.dedupe.note_away(id);
            }
            (None, _) => {}
        }
    }

    /// Takes how a request that [`super::Joined::Asks`] has ended, and when.
    pub fn heard(&mut self, ticket: Ticket, status: Status, at_s: u64) {
        if let Some(asked) = self.backlog.asked(ticket) {
            let (id, word) = (asked.id.as_str(), Word::of(status));
            self.dedupe.note(id, at_s.saturating_mul(1000), word);
        }
    }

    /// Takes what was read of the log of results. False: no more of it is wanted.
    pub fn recalled(&mut self, number: u64, recalled: Recalled, now: Now) -> bool {
        self.dedupe.turn(now);
        if self.dedupe.recalled(number, recalled) {
            self.backlog.release_held();
        }
        self.dedupe.is_reading(number)
    }

    /// The lane has lost what waited, and may be another worker's.
    pub(super) fn forget_what_waited(&mut self) {
        let flights = self.flights.iter();
        let flights = flights.map(|(ticket, flight)| (flight.waiting.message.id.as_str(), *ticket));
        let settling = self.settling.iter();
        let settling = settling.map(|(ticket, settling)| (settling.identity.id(), *ticket));
        self.dedupe.lost(flights.chain(settling));
    }
}
