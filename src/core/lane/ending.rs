//! From a decision to its end: until what was published is confirmed, RabbitMQ may deliver the request again.

use super::settling::Settling;
use super::{Lane, Resolved, Ticket};
use crate::core::request::decide::Decision;
use crate::core::request::message::Message;
use crate::core::request::recent::{Identity, Known, Over};

impl Lane {
    /// Notes a decision, and counts it as in flight until [`Lane::settled`].
    pub(super) fn decided(
        &mut self,
        ticket: Ticket,
        message: Message,
        mut decision: Decision,
    ) -> Resolved {
        let (identity, delivery_count) = (Identity::of(&message), message.delivery_count);
        let mut follows = false;
        let is_answer = matches!(decision, Decision::Duplicate { .. });
        self.answering += usize::from(is_answer);
        let (report, over) = match &mut decision {
            Decision::Finish(report) | Decision::Bury(report) => {
                (Some(report.clone()), Some(Over::WHOLE))
            }
            Decision::Delay { message, .. } => {
                let over = Over::up_to(message.history.hops);
                follows = self.follows(message, ticket);
                message.history.hops += 1;
                (None, Some(over))
            }
            Decision::Repeat { .. } => (None, Some(Over::WHOLE)),
            Decision::Duplicate { .. } | Decision::Forget | Decision::Abandon => (None, None),
        };
        let settling = Settling {
            identity,
            delivery_count,
            report,
            is_answer,
            follows,
            over,
            orphaned: false,
        };
        self.settling.insert(ticket, settling);
        Resolved {
            ticket,
            priority: message.priority,
            decision,
        }
    }

    /// The end of a decision. `confirmed`: what it published is RabbitMQ's; should the original come again, it only needs
    /// acknowledging. Else RabbitMQ has the request again, and may give it to another worker, who then has the say.
    pub fn settled(&mut self, ticket: Ticket, confirmed: bool) {
        let Some(settling) = self.settling.remove(&ticket) else {
            return;
        };
        self.answering -= usize::from(settling.is_answer);
        self.note_end(ticket, &settling, confirmed);
        let Settling {
            identity,
            delivery_count,
            report,
            over,
            is_answer: _,
            follows: _,
            orphaned: _,
        } = settling;
        if let Some(over) = over.filter(|_| confirmed) {
            self.recent.ended(identity, over);
        } else if let Some(report) = report {
            let decided = Known::Decided {
                delivery_count,
                report,
            };
            self.recent.given_back(identity, decided);
        }
    }
}
