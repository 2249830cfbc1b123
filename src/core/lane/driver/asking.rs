//! Questions to the log of results, and its answers.

use super::super::dedupe::Recalled;
use super::{Command, Driver, Evidence, Message, Question, Status, Ticket, Wanted};
use crate::core::Now;
use crate::core::media::links::Source;
use crate::core::media::upload::Uploaded;

impl<D> Driver<D> {
    /// Another worker may have sent it: the log of results may say how it has ended.
    pub(super) fn question(&self, message: &Message, now: Now) -> Question {
        // The copy's twin may be settled long since.
        let is_of_a_copy = !message.redelivered || message.history.copied_ms > 0;
        Question {
            wanted: Wanted {
                lane: message.logged_as(self.lane.id()),
                id: message.id.as_str().to_owned(),
                incarnation: message.incarnation,
                hops: message.history.hops,
            },
            former: self.ownership.former(now).filter(|_| !is_of_a_copy),
        }
    }

    pub(super) fn ask(&mut self, ticket: Ticket, question: Option<Question>) {
        if let Some(question) = question {
            self.under_way += 1;
            self.commands.push_back(Command::Ask { ticket, question });
        }
    }

    /// Takes what the log of results has of a request.
    pub fn evidence(&mut self, ticket: Ticket, evidence: Evidence, now: Now) {
        self.under_way = self.under_way.saturating_sub(1);
        // The channel was lost in the meantime.
        if !self.deliveries.contains_key(&ticket) {
            return;
        }
        if let Some(resolved) = self.lane.evidence(ticket, evidence, now) {
            self.conclude(resolved);
        }
    }

    /// Takes how a request that is asked about has ended, and when, as the log of results has it. [`Self::evidence`] follows.
    pub fn heard(&mut self, ticket: Ticket, status: Status, at_s: u64) {
        self.lane.heard(ticket, status, at_s);
    }

    /// Takes what was read of the log of results for those who say `dedupe`. False: no more of it is wanted.
    pub fn recalled(&mut self, number: u64, recalled: Recalled, now: Now) -> bool {
        self.lane.recalled(number, recalled, now)
    }

    /// Takes what came of an upload.
    pub fn uploaded(&mut self, source: Source, uploaded: Uploaded, now: Now) {
        self.lane.uploaded(source, uploaded, now);
    }
}
