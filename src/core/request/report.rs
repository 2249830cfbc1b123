//! The result of a request: the JSON body on `wa.results`. Exactly one of these ends every request.

use crate::core::Now;
use crate::core::answer::Accepted;
use crate::core::intake::{Fault, Inbound};
use crate::core::message::{LaneId, Message};
use crate::core::outcome::ErrorReport;
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The API took it.
    Accepted,
    /// Final: invalid, undeliverable or against policy; `error.class` says which.
    Rejected,
    /// Not sent before `expires-at`.
    Expired,
    /// Attempts or age exhausted, or delivered over and over; the whole request is in `wa.dead`.
    Failed,
    /// May have been sent; not repeated.
    Unknown,
}

impl Status {
    pub const ALL: [Self; 5] = [
        Self::Accepted,
        Self::Rejected,
        Self::Expired,
        Self::Failed,
        Self::Unknown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The class of a refusal that is the dispatcher's own: it joins the API classes of [`crate::core::outcome::Class`].
pub const UNKNOWN_NUMBER: &str = "unknown_number";

/// The class of a request that was delivered over and over and never ended: whoever had it may have died of it.
pub const POISON: &str = "poison";

/// `error` of a result.
#[derive(Clone, PartialEq, Serialize)]
pub struct ReportedError {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subcode: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    pub class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fbtrace_id: Option<String>,
    /// Milliseconds since the epoch, written as RFC 3339.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "rfc3339_opt"
    )]
    pub retry_not_before: Option<u64>,
    /// JSON pointer of the first fault that intake found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Every fault that intake found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl ReportedError {
    pub fn from_api(error: ErrorReport, retry_not_before: Option<u64>) -> Self {
        Self {
            code: error.code,
            subcode: error.subcode,
            title: error.title,
            details: error.details,
            class: error.class.as_str(),
            fbtrace_id: error.fbtrace_id,
            retry_not_before,
            at: None,
            faults: vec![],
        }
    }

    pub fn own(class: &'static str, title: &str) -> Self {
        Self {
            code: None,
            subcode: None,
            title: Some(title.to_owned()),
            details: None,
            class,
            fbtrace_id: None,
            retry_not_before: None,
            at: None,
            faults: vec![],
        }
    }

    /// As many faults as help a person; a body of nothing but faults must not become a result larger than itself.
    pub fn from_faults(mut faults: Vec<Fault>) -> Self {
        const MAX_FAULTS: usize = 50;
        let more = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
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
                crate::core::outcome::Class::Invalid.as_str(),
                "refused by the dispatcher before sending",
            )
        }
    }
}

/// The API's texts may echo what was sent: codes and class only.
impl fmt::Debug for ReportedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportedError")
            .field("code", &self.code)
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Serialize)]
pub struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Arc<str>>,
    pub phone_number_id: Arc<str>,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wamid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wa_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ReportedError>,
    pub attempts: u32,
    pub possible_duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub biz_opaque_callback_data: Option<Arc<str>>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "rfc3339_opt"
    )]
    pub enqueued_at: Option<u64>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "rfc3339_opt"
    )]
    pub sent_at: Option<u64>,
    #[serde(serialize_with = "rfc3339")]
    pub completed_at: u64,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("error", &self.error)
            .field("attempts", &self.attempts)
            .field("possible_duplicate", &self.possible_duplicate)
            .finish_non_exhaustive()
    }
}

impl Report {
    /// A result without an answer of the API's.
    pub fn new(
        message: &Message,
        lane: &LaneId,
        status: Status,
        error: Option<ReportedError>,
        now: Now,
    ) -> Self {
        Self {
            id: Some(message.id.0.clone()),
            phone_number_id: lane.0.clone(),
            status,
            wamid: None,
            wa_id: None,
            user_id: None,
            message_status: None,
            error,
            attempts: message.history.attempts,
            possible_duplicate: message.history.possible_duplicate,
            biz_opaque_callback_data: message.own_opaque.clone(),
            enqueued_at: message.enqueued_at_ms,
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

    pub fn accepted(
        message: &Message,
        lane: &LaneId,
        accepted: Accepted,
        sent_at: u64,
        now: Now,
    ) -> Self {
        Self {
            wamid: accepted.wamid,
            wa_id: accepted.wa_id,
            user_id: accepted.user_id,
            message_status: accepted.message_status,
            sent_at: Some(sent_at),
            ..Self::new(message, lane, Status::Accepted, None, now)
        }
    }

    /// For a request that never became a `Message`.
    pub fn unread(
        inbound: &Inbound<'_>,
        lane: &LaneId,
        status: Status,
        error: Option<ReportedError>,
        now: Now,
    ) -> Self {
        Self {
            id: inbound.id().map(Into::into),
            phone_number_id: lane.0.clone(),
            status,
            wamid: None,
            wa_id: None,
            user_id: None,
            message_status: None,
            error,
            attempts: inbound.history.attempts,
            possible_duplicate: inbound.history.possible_duplicate,
            biz_opaque_callback_data: None,
            enqueued_at: inbound.enqueued_at_ms(now),
            sent_at: None,
            completed_at: now.wall_ms,
        }
    }
}

fn rfc3339<S: Serializer>(ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    let timestamp = i64::try_from(*ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match timestamp {
        // Three digits always, so that the texts sort as the times do.
        Some(timestamp) => serializer.collect_str(&format_args!("{timestamp:.3}")),
        None => serializer.serialize_none(),
    }
}

#[expect(
    clippy::ref_option,
    reason = "serde's serialize_with takes a reference to the field"
)]
fn rfc3339_opt<S: Serializer>(ms: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match ms {
        Some(ms) => rfc3339(ms, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests;
