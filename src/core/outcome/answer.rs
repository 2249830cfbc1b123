//! Observations of one request to the API, without judgement: [`crate::core::outcome`] judges.
//!
//! Shapes after Meta's "Send messages" page (v24–v26) and the Graph API's "Error handling" page. Reading is
//! lenient and total: a proxy in between may turn numbers into strings, and whatever arrives must end in a value.

pub mod whole;

use crate::contract::fault::Fault;
use crate::contract::result::Response;
use crate::core::media::upload::Failure;
use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// Titles and details are display text and travel in results: a bound keeps those small.
const MAX_TEXT_CHARS: usize = 1024;
const MAX_TRACE_CHARS: usize = 128;

/// The observation of one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The API, or something in between, answered.
    Answered(Answer),
    /// Nothing can have reached the API; a stable reason word: connect, tls, dns, pool …
    NotSent(&'static str),
    /// Something may have reached the API; a stable reason word: timeout, reset …
    NoAnswer(&'static str),
    /// There was no file to send, or none that the API takes: it was not asked.
    NoFile(Failure),
}

impl Reply {
    pub fn usage(&self) -> Option<Usage> {
        match self {
            Self::Answered(answer) => Some(answer.usage),
            Self::NotSent(_) | Self::NoAnswer(_) | Self::NoFile(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub usage: Usage,
    /// The `Retry-After` header in seconds, as sent; undocumented for this API, but proxies set it.
    pub retry_after_s: Option<u64>,
    pub body: AnswerBody,
}

/// The usage headers of an answer. Source: Graph API, "Rate limiting".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The highest percentage of the account's budget, else of the app's.
    pub percent: Option<u32>,
    /// Minutes until the account may call again; above 0 only if it may not.
    pub regain_minutes: Option<u32>,
}

impl Usage {
    /// Reads `X-Business-Use-Case-Usage` and `X-App-Usage` of a message's answer. What is not as documented counts as absent.
    pub fn read(business: Option<&[u8]>, app: Option<&[u8]>) -> Self {
        // Other budgets are those of management calls, such as templates.
        Self::of_budgets(business, app, |kind| kind == "whatsapp")
    }

    /// The same of an operation's answer, which names the budget of management calls by more than one word.
    pub fn of_management(business: Option<&[u8]>, app: Option<&[u8]>) -> Self {
        Self::of_budgets(business, app, |_| true)
    }

    fn of_budgets(
        business: Option<&[u8]>,
        app: Option<&[u8]>,
        counts: impl Fn(&Value) -> bool,
    ) -> Self {
        let json = |header: Option<&[u8]>| serde_json::from_slice::<Value>(header?).ok();
        let accounts = json(business);
        let accounts = accounts.as_ref().and_then(Value::as_object);
        let entries = || accounts.into_iter().flat_map(Map::values);
        let entries = || entries().filter_map(Value::as_array).flatten();
        let is_ours = |entry: &&Value| entry.get("type").is_none_or(&counts);
        let entries = || entries().filter(is_ours);
        let whole = |entry: &Value, key: &str| {
            let number = entry.get(key)?.as_f64()?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates: a percentage or minutes"
            )]
            Some(number.ceil() as u32)
        };
        let percent = |entry: &Value| {
            let keys = ["call_count", "total_cputime", "total_time"];
            keys.iter().filter_map(|key| whole(entry, key)).max()
        };
        let app = json(app);
        Self {
            // The account's budget takes precedence over the app's.
            percent: entries()
                .filter_map(percent)
                .max()
                .or(app.as_ref().and_then(percent)),
            regain_minutes: entries()
                .filter_map(|entry| whole(entry, "estimated_time_to_regain_access"))
                .max(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum AnswerBody {
    /// The API named the message it took; `wamid` is always there.
    Accepted(Accepted),
    /// `{"success":true}`: mark-as-read and typing, which are no messages.
    Success,
    Error(ApiError),
    /// No JSON, other JSON, or an error without a usable code.
    Unreadable,
}

#[derive(Clone, PartialEq, Default)]
pub struct Accepted {
    /// The message's id. Private: it encodes the recipient's number.
    pub wamid: Option<String>,
    /// The recipient as WhatsApp knows it, which may differ from what was sent.
    pub wa_id: Option<String>,
    /// In its place when the recipient is a business-scoped user id.
    pub user_id: Option<String>,
    /// Templates only: `accepted`, `held_for_quality_assessment`, `paused`.
    pub message_status: Option<String>,
    /// The whole answer, to an operation that is no message.
    pub whole: Option<Box<Whole>>,
}

/// The answer to an operation that is no message.
#[derive(Clone, PartialEq)]
pub struct Whole {
    pub response: Response,
    /// The part that the API did not do.
    pub undone: Option<Undone>,
}

/// The part of an operation that the API did not do.
#[derive(Debug, Clone, PartialEq)]
pub struct Undone {
    /// Whether it did the rest.
    pub is_partial: bool,
    /// The entry that was not done, by its pointer into the result, and why.
    pub faults: Vec<Fault>,
    pub error: Option<ApiError>,
}

#[derive(Clone, PartialEq, Default)]
pub struct ApiError {
    pub code: i64,
    pub subcode: Option<i64>,
    /// `error.message`.
    pub title: Option<String>,
    /// `error_data.details`, or `error_data` itself where it is a string.
    pub details: Option<String>,
    /// `error_user_title` and `error_user_msg`: for people to read, and may repeat what was sent.
    pub user_title: Option<String>,
    pub user_msg: Option<String>,
    pub fbtrace_id: Option<String>,
    pub is_transient: bool,
}

impl AnswerBody {
    /// Reads any bytes. An `error` wins over `messages`; see [`AnswerBody::Unreadable`] for what is left.
    pub fn read(bytes: &[u8]) -> AnswerBody {
        match read_usual(bytes) {
            Some(accepted) => AnswerBody::Accepted(accepted),
            None => read_any(bytes),
        }
    }
}

/// The body of nearly every answer. Read strictly, as this happens once per message; whatever it does not fit is
/// left to [`read_any`].
#[derive(Deserialize)]
struct Usual {
    error: Option<IgnoredAny>,
    contacts: Option<[UsualContact; 1]>,
    messages: [UsualMessage; 1],
}

#[derive(Deserialize)]
struct UsualContact {
    wa_id: Option<String>,
    user_id: Option<String>,
}

#[derive(Deserialize)]
struct UsualMessage {
    id: String,
    message_status: Option<String>,
}

fn read_usual(bytes: &[u8]) -> Option<Accepted> {
    let usual: Usual = serde_json::from_slice(bytes).ok()?;
    let [message] = usual.messages;
    if usual.error.is_some() || message.id.is_empty() {
        return None;
    }
    let (wa_id, user_id) = match usual.contacts {
        Some([contact]) => (contact.wa_id, contact.user_id),
        None => (None, None),
    };
    Some(Accepted {
        wamid: Some(message.id),
        wa_id: wa_id.filter(|text| !text.is_empty()),
        user_id: user_id.filter(|text| !text.is_empty()),
        message_status: message.message_status.filter(|text| !text.is_empty()),
        ..Accepted::default()
    })
}

fn read_any(bytes: &[u8]) -> AnswerBody {
    let Ok(Value::Object(body)) = serde_json::from_slice(bytes) else {
        return AnswerBody::Unreadable;
    };
    if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
        return read_error(error).map_or(AnswerBody::Unreadable, AnswerBody::Error);
    }
    if let Some(accepted) = read_accepted(&body) {
        return AnswerBody::Accepted(accepted);
    }
    match body.get("success") {
        Some(Value::Bool(true)) => AnswerBody::Success,
        Some(_) | None => AnswerBody::Unreadable,
    }
}

fn read_accepted(body: &Map<String, Value>) -> Option<Accepted> {
    let first = |list: &str, key: &str| text(body.get(list)?.get(0)?.get(key)?, usize::MAX);
    // A bare `{"id":"wamid…"}` is what some resellers answer; any other bare id is not a message.
    let bare = || text(body.get("id")?, usize::MAX).filter(|id| id.starts_with("wamid."));
    Some(Accepted {
        wamid: Some(first("messages", "id").or_else(bare)?),
        wa_id: first("contacts", "wa_id"),
        user_id: first("contacts", "user_id"),
        message_status: first("messages", "message_status"),
        ..Accepted::default()
    })
}

/// `None` without a usable code: none may be invented, as 0 is a code of its own.
fn read_error(error: &Value) -> Option<ApiError> {
    let field = |key: &str, max_chars: usize| text(error.get(key)?, max_chars);
    let data = error.get("error_data");
    let details = data.map(|data| data.get("details").unwrap_or(data));
    Some(ApiError {
        code: number(error.get("code")?)?,
        subcode: error.get("error_subcode").and_then(number),
        title: field("message", MAX_TEXT_CHARS),
        details: details.and_then(|details| text(details, MAX_TEXT_CHARS)),
        user_title: field("error_user_title", MAX_TEXT_CHARS),
        user_msg: field("error_user_msg", MAX_TEXT_CHARS),
        fbtrace_id: field("fbtrace_id", MAX_TRACE_CHARS),
        is_transient: error.get("is_transient") == Some(&Value::Bool(true)),
    })
}

fn text(value: &Value, max_chars: usize) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    Some(text.chars().take(max_chars).collect())
}

fn number(value: &Value) -> Option<i64> {
    match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => value.as_i64(),
    }
}

/// Stands for a value that is there and must not be printed.
pub(super) struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn hidden<T>(value: &Option<T>) -> Option<Hidden> {
    value.as_ref().map(|_| Hidden)
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("whole", &hidden(&self.whole))
            .field("wamid", &hidden(&self.wamid))
            .field("wa_id", &hidden(&self.wa_id))
            .field("user_id", &hidden(&self.user_id))
            .field("message_status", &self.message_status)
            .finish()
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("code", &self.code)
            .field("subcode", &self.subcode)
            .field("title", &hidden(&self.title))
            .field("details", &hidden(&self.details))
            .field("user_title", &hidden(&self.user_title))
            .field("user_msg", &hidden(&self.user_msg))
            .field("fbtrace_id", &self.fbtrace_id)
            .field("is_transient", &self.is_transient)
            .finish()
    }
}

#[cfg(test)]
mod tests;
