//! The result of a request: the JSON body on `wa.results`. One of these ends a request; the exceptions: deploy/contract/README.md, "One
//! result per request".

use super::fault::Fault;
use super::words::Status;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// The version of results. Within one, fields are only added.
pub const VERSION: u8 = 1;

/// Warnings that a result has at most.
pub const WARNINGS_MAX: usize = 8;

/// `error` of a result.
#[derive(Clone, PartialEq, Serialize)]
pub struct ErrorDocument {
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

impl ErrorDocument {
    /// Without an error of the API's, the title is our own wording.
    pub fn own(class: &'static str, title: impl Into<String>) -> Self {
        Self {
            code: None,
            subcode: None,
            title: Some(title.into()),
            details: None,
            class,
            fbtrace_id: None,
            retry_not_before: None,
            at: None,
            faults: vec![],
        }
    }
}

/// The API's texts may echo what was sent: codes and class only.
impl fmt::Debug for ErrorDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorDocument")
            .field("code", &self.code)
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

/// The API's answer to an operation: JSON, as it came. Never printed, as it may name people.
#[derive(Clone, Serialize)]
pub struct Response(Arc<RawValue>);

impl Response {
    /// `None` if it is no JSON.
    pub fn of(json: &str) -> Option<Self> {
        let value: Box<RawValue> = serde_json::from_str(json).ok()?;
        Some(Self(value.into()))
    }

    /// The text of this member.
    pub fn member(&self, name: &str) -> Option<String> {
        let document: Value = serde_json::from_str(self.0.get()).ok()?;
        document.get(name)?.as_str().map(str::to_owned)
    }
}

impl PartialEq for Response {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

#[derive(Clone, PartialEq, Serialize)]
pub struct ResultDocument {
    /// [`VERSION`].
    pub v: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Arc<str>>,
    /// The number; absent of an account's operation that names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<Arc<str>>,
    /// The account, of an operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waba_id: Option<Arc<str>>,
    /// The operation's name, unless it is a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'static str>,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wamid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wa_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_status: Option<String>,
    /// The API's whole answer to an operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// Until when the API keeps what was uploaded.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "rfc3339_opt"
    )]
    pub media_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDocument>,
    /// Deviations of the body from what Meta documents, though it was sent: [`WARNINGS_MAX`] at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Arc<[Fault]>>,
    pub attempts: u32,
    pub possible_duplicate: bool,
    /// The result of an earlier request of this id: this one was not sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate_of_earlier: bool,
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

impl ResultDocument {
    /// Returns what the request was published for: a number, or an account.
    pub fn target(&self) -> &str {
        let target = self.phone_number_id.as_ref().or(self.waba_id.as_ref());
        target.map_or("", |target| target)
    }
}

impl fmt::Debug for ResultDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultDocument")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("error", &self.error)
            .field("attempts", &self.attempts)
            .field("possible_duplicate", &self.possible_duplicate)
            .finish_non_exhaustive()
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
