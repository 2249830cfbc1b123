//! Tracing of a lane's turns: the steps of the messages that have a journey.

use super::LaneTask;
use super::observe::word;
use crate::broker::delivery::Delivery;
use crate::core::lane::Ticket;
use crate::core::operation::Operation;
use crate::core::outcome::Outcome;
use crate::core::outcome::answer::{AnswerBody, Reply};
use crate::graph::Template;
use crate::spans::{Answer, Journey, Sent};
use std::time::Duration;

impl LaneTask {
    /// Notes that the message is sent now.
    pub(super) fn trace_pace(&mut self, ticket: Ticket) {
        if let Some(journey) = self.journey(ticket) {
            journey.paced();
        }
    }

    pub(super) fn trace_send(
        &mut self,
        ticket: Ticket,
        operation: Operation,
        outcome: &Outcome,
        answer: Answer,
        took: Duration,
    ) {
        if self.journey(ticket).is_none() {
            return;
        }
        let graph = self.common.graph.clone();
        let Template { host, port, path } = graph.template(operation);
        let outcome = word(outcome);
        let sent = Sent {
            method: operation.facts().method.as_str(),
            host,
            port,
            path,
            took,
            outcome,
            answer,
        };
        if let Some(journey) = self.journey(ticket) {
            journey.sent(sent);
        }
    }

    fn journey(&mut self, ticket: Ticket) -> Option<&mut Journey> {
        self.common.spans.as_ref()?;
        self.driver.delivery(ticket).and_then(Delivery::journey)
    }
}

/// An answer without its texts.
pub(super) fn answer(reply: &Reply) -> Answer {
    let (status, code, reason) = match reply {
        Reply::Answered(answer) => {
            let code = match &answer.body {
                AnswerBody::Error(error) => Some(error.code),
                AnswerBody::Accepted(_) | AnswerBody::Success | AnswerBody::Unreadable => None,
            };
            (Some(answer.status), code, None)
        }
        Reply::NotSent(reason) | Reply::NoAnswer(reason) => (None, None, Some(*reason)),
        Reply::NoFile(_) => (None, None, Some("file")),
    };
    Answer {
        status,
        code,
        reason,
    }
}
