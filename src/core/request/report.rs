//! How a result is made: of a request and what became of it.

use crate::contract::fault::{FAULTS_MAX, Fault};
use crate::contract::request::{History, Inbound};
use crate::contract::result::{ErrorDocument, ResultDocument, VERSION};
use crate::contract::words::{Class, PARTIAL, POISON, Status};
use crate::core::Now;
use crate::core::operation::Operation;
use crate::core::outcome::answer::{Accepted, Undone};
use crate::core::request::message::{LaneId, Message};
use std::sync::Arc;

impl ErrorDocument {
    /// As many faults as help a person; a body of nothing but faults must not become a result larger than itself.
    pub fn from_faults(mut faults: Vec<Fault>) -> Self {
        let more = faults.len().saturating_sub(FAULTS_MAX);
        faults.truncate(FAULTS_MAX);
        let mut details = faults
            .iter()
            .map(Fault::to_string)
            .collect::<Vec<_>>()
            .join("; ");
        if more > 0 {
            details.push_str(&format!("; and {more} more"));
        }
        Self {
            details: Some(details),
            at: faults.first().map(|f| f.at.clone()),
            faults,
            ..Self::own(
                Class::Invalid.as_str(),
                "refused by the dispatcher before sending",
            )
        }
    }
}

impl ErrorDocument {
    /// Makes the error of an operation that the API did not do, or not for all.
    fn of_undone(undone: Undone) -> Self {
        let (class, title) = match undone.is_partial {
            true => (PARTIAL, "done for some, and not for those in faults"),
            false => (Class::Invalid.as_str(), "not done"),
        };
        let error = undone.error;
        Self {
            code: error.as_ref().map(|error| error.code),
            subcode: error.as_ref().and_then(|error| error.subcode),
            details: error.as_ref().and_then(|error| error.title.clone()),
            fbtrace_id: error.and_then(|error| error.fbtrace_id),
            at: undone.faults.first().map(|fault| fault.at.clone()),
            faults: undone.faults,
            ..Self::own(class, title)
        }
    }
}

impl ResultDocument {
    /// A result without an answer of the API's.
    pub fn new(
        message: &Message,
        lane: &LaneId,
        status: Status,
        error: Option<ErrorDocument>,
        now: Now,
    ) -> Self {
        let target = message.address.as_ref().map(|at| at.target.as_str());
        let of = (target, Some(message.operation));
        Self {
            id: Some(message.id.0.clone()),
            biz_opaque_callback_data: message.own_opaque.clone(),
            warnings: message.warnings.clone(),
            enqueued_at: message.enqueued_at_ms,
            ..Self::begin(&message.history, lane, of, status, error, now)
        }
    }

    /// For a request that never became a `Message`.
    pub fn unread(
        inbound: &Inbound<'_>,
        lane: &LaneId,
        status: Status,
        error: Option<ErrorDocument>,
        now: Now,
    ) -> Self {
        let of = (
            Some(inbound.target),
            inbound.operation.and_then(Operation::of_type),
        );
        Self {
            id: inbound.id().map(Into::into),
            enqueued_at: inbound.enqueued_at_ms(now),
            ..Self::begin(&inbound.history, lane, of, status, error, now)
        }
    }

    fn begin(
        history: &History,
        lane: &LaneId,
        (target, operation): (Option<&str>, Option<Operation>),
        status: Status,
        error: Option<ErrorDocument>,
        now: Now,
    ) -> Self {
        // A number's lane is whom it is for, whatever key a caller's `CC` had; an account's may be for one of its numbers.
        let waba_id: Option<Arc<str>> = lane.waba_id().map(Into::into);
        let of_number = target.filter(|target| Some(*target) != waba_id.as_deref());
        let phone_number_id = match waba_id {
            Some(_) => of_number.map(Into::into),
            None => Some(lane.0.clone()),
        };
        let operation = operation.filter(|_| waba_id.is_some());
        Self {
            v: VERSION,
            id: None,
            phone_number_id,
            waba_id,
            operation: operation.map(|operation| operation.facts().name),
            status,
            wamid: None,
            wa_id: None,
            user_id: None,
            message_status: None,
            response: None,
            media_expires_at: None,
            error,
            warnings: None,
            attempts: history.attempts,
            possible_duplicate: history.possible_duplicate,
            duplicate_of_earlier: false,
            biz_opaque_callback_data: None,
            enqueued_at: None,
            sent_at: None,
            completed_at: now.wall_ms,
        }
    }

    /// True if the API has said so: that holds whoever has the request by now. All else is what this worker makes of it, and once
    /// RabbitMQ has given the request to another, that one has the say.
    pub fn is_the_apis(&self) -> bool {
        match self.status {
            Status::Accepted => true,
            Status::Rejected => self.sent_at.is_some(),
            Status::Expired | Status::Failed | Status::Unknown => false,
        }
    }

    /// Why a request that failed is in `wa.dead`.
    pub fn dead_reason(&self) -> &'static str {
        match &self.error {
            Some(error) if error.class == POISON => POISON,
            Some(_) | None => "exhausted",
        }
    }

    /// The API did it; or, of an operation, some of it.
    pub fn accepted(
        message: &Message,
        lane: &LaneId,
        accepted: Accepted,
        sent_at: u64,
        now: Now,
    ) -> Self {
        let (response, undone) = match accepted.whole.map(|whole| *whole) {
            Some(whole) => (Some(whole.response), whole.undone),
            None => (None, None),
        };
        let (status, error) = match undone {
            None => (Status::Accepted, None),
            Some(undone) => (Status::Rejected, Some(ErrorDocument::of_undone(undone))),
        };
        Self {
            wamid: accepted.wamid,
            wa_id: accepted.wa_id,
            user_id: accepted.user_id,
            message_status: accepted.message_status,
            response,
            media_expires_at: message.media_expires_ms(sent_at),
            sent_at: Some(sent_at),
            ..Self::new(message, lane, status, error, now)
        }
    }
}

#[cfg(test)]
mod tests;
