//! Tracing of a lane's turns: the steps of the messages that have a journey.

use super::LaneTask;
use super::observe::word;
use crate::broker::delivery::Delivery;
use crate::contract::result::ResultDocument;
use crate::contract::words::{Class, Status};
use crate::core::lane::Ticket;
use crate::core::operation::Operation;
use crate::core::outcome::Outcome;
use crate::core::outcome::answer::{AnswerBody, Reply};
use crate::core::request::decide::Decision;
use crate::graph::Template;
use crate::spans::{Answer, End, Journey, Sent};
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
        let graph = self.shared.graph.clone();
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
        self.shared.spans.as_ref()?;
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
    };
    Answer {
        status,
        code,
        reason,
    }
}

pub(super) fn end(decision: &Decision) -> End {
    let status = match decision {
        Decision::Finish(report) | Decision::Bury(report) => return end_of(report),
        Decision::Delay { .. } => "delayed",
        Decision::Repeat { .. } => "repeated",
        Decision::Forget => "ended_before",
        Decision::Abandon => "given_back",
    };
    End {
        status,
        error: None,
    }
}

pub(super) fn end_of(report: &ResultDocument) -> End {
    End {
        status: report.status.as_str(),
        error: report.error.as_ref().map(|error| error.class),
    }
}

/// Describes the end of a request that intake refuses.
pub(super) fn end_of_a_refusal() -> End {
    End {
        status: Status::Rejected.as_str(),
        error: Some(Class::Invalid.as_str()),
    }
}
