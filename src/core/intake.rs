//! A published request becomes a [`Message`], or a [`Refusal`] that lists every fault.
//!
//! Only what is certain is checked: the API grows faster than any dispatcher is released, so unknown members and types pass
//! through byte for byte. No fault ever repeats a value: where it is, what was expected, the limit and the length must do.

use super::Now;
use super::ladder::MAX_DELAY_S;
use super::message::{History, Message, MessageId, OnUnknown, Priority, Recipient};
use super::reply_to::ReplyTo;
use super::sizes;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::sync::Arc;

mod fault;

pub use fault::{Fault, Refusal};

/// AMQP headers in all, encoded. RabbitMQ takes 128 KiB of them in one frame; a request that fills it could not be carried any
/// further, as we add some of our own.
pub const MAX_HEADERS_BYTES: usize = 65_536;

/// AMQP `message_id`'s longest, in characters: it must fit `biz_opaque_callback_data` and leave room for what others add.
const MAX_ID_CHARS: usize = 128;

/// The bounds of intake, from `[intake]`.
#[derive(Clone, Copy, Debug)]
pub struct IntakeConfig {
    pub max_body_bytes: usize,
    pub check_sizes: bool,
}

/// An AMQP header as far as intake can use it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Header<'a> {
    /// Not necessarily UTF-8: AMQP does not promise it.
    Text(&'a [u8]),
    Int(i64),
    Bool(bool),
    /// AMQP timestamp, in seconds.
    TimestampS(u64),
    Other,
}

/// What a delivery said about the request, without AMQP's types.
#[derive(Clone, Debug, Default)]
pub struct Inbound<'a> {
    pub message_id: Option<&'a str>,
    pub priority: Option<u8>,
    pub timestamp_s: Option<u64>,
    pub operation: Option<&'a str>,
    pub reply_to: Option<&'a str>,
    pub redelivered: bool,
    pub delivery_count: u64,
    /// See [`Message::incarnation`].
    pub incarnation: Option<u64>,
    /// Of all headers together.
    pub headers_bytes: usize,
    pub expires_at: Option<Header<'a>>,
    pub not_before: Option<Header<'a>>,
    pub on_unknown: Option<Header<'a>>,
    pub history: History,
}

impl Inbound<'_> {
    /// AMQP's `timestamp` is in seconds; one that was given in milliseconds would lie beyond the year 9999.
    pub(super) fn enqueued_at_ms(&self) -> Option<u64> {
        const YEAR_9999_S: u64 = 253_370_764_800;
        let seconds = self.timestamp_s.filter(|seconds| *seconds < YEAR_9999_S);
        seconds.map(|seconds| seconds * 1000)
    }
}

/// Checks everything and either builds the message or names every fault.
pub fn intake(
    body: Bytes,
    inbound: Inbound<'_>,
    config: &IntakeConfig,
    now: Now,
) -> Result<Message, Refusal> {
    let mut faults = vec![];
    let id = check_id(inbound.message_id, &mut faults);
    check_operation(inbound.operation, &mut faults);
    if inbound.reply_to.and_then(ReplyTo::parse) == Some(ReplyTo::Ours) {
        faults.push(Fault::new(
            "/@amqp/reply_to",
            "must not name a queue of the dispatcher's own: those begin with \"wa.\"",
        ));
    }
    if inbound.headers_bytes > MAX_HEADERS_BYTES {
        faults.push(Fault::too_long(
            "/@amqp/headers",
            "are larger than a request may carry, in bytes",
            MAX_HEADERS_BYTES,
            inbound.headers_bytes,
        ));
    }
    let expires_at_ms = instant("expires-at", inbound.expires_at, &mut faults);
    let not_before_ms = not_before(inbound.not_before, now, &mut faults);
    let on_unknown = on_unknown(inbound.on_unknown, &mut faults);
    let document = parse(&body, config, &mut faults);
    let parsed = document.is_some();
    let checked = document.map(|document| check_body(document, config, &mut faults));

    match (id, checked) {
        (Some(id), Some(checked)) if faults.is_empty() => Ok(Message {
            body: splice(body, &checked, &id),
            recipient: checked.recipient,
            priority: Priority::of(inbound.priority),
            harmless_to_repeat: checked.harmless_to_repeat,
            on_unknown,
            enqueued_at_ms: inbound.enqueued_at_ms(),
            expires_at_ms,
            not_before_ms,
            template: checked.template,
            own_opaque: checked.own_opaque,
            redelivered: inbound.redelivered,
            delivery_count: inbound.delivery_count,
            incarnation: inbound.incarnation,
            history: History {
                first_seen_ms: if inbound.history.first_seen_ms == 0 {
                    now.wall_ms
                } else {
                    inbound.history.first_seen_ms
                },
                ..inbound.history
            },
            id,
        }),
        (id, _) => Err(Refusal {
            keep_in_dead: id.is_none() || !parsed,
            id: inbound
                .message_id
                .filter(|id| !id.is_empty())
                .map(str::to_owned),
            faults,
        }),
    }
}

fn check_id(id: Option<&str>, faults: &mut Vec<Fault>) -> Option<MessageId> {
    let at = "/@amqp/message_id";
    let id = id.unwrap_or_default();
    let length = id.chars().count();
    if length == 0 {
        faults.push(Fault::new(at, "is required: it is the request's identity (AMQP property message_id, 1 to 128 characters)"));
    } else if length > MAX_ID_CHARS {
        faults.push(Fault::too_long(
            at,
            "is too long, in characters",
            MAX_ID_CHARS,
            length,
        ));
    } else if id.contains(char::REPLACEMENT_CHARACTER) {
        // What the bytes were is lost with their decoding, so two such ids could be one.
        faults.push(Fault::new(at, "is not UTF-8"));
    } else {
        return Some(MessageId(id.into()));
    }
    None
}

fn check_operation(operation: Option<&str>, faults: &mut Vec<Fault>) {
    if !matches!(operation.unwrap_or_default(), "" | "message") {
        faults.push(Fault::new(
            "/@amqp/type",
            "is not an operation of this dispatcher: leave it empty or say \"message\"",
        ));
    }
}

/// A header that names a moment: RFC 3339 text, or an AMQP timestamp.
fn instant(name: &str, header: Option<Header<'_>>, faults: &mut Vec<Fault>) -> Option<u64> {
    let at_ms = match header? {
        Header::Text(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .and_then(|timestamp| u64::try_from(timestamp.as_millisecond()).ok()),
        Header::TimestampS(seconds) => seconds.checked_mul(1000),
        Header::Int(_) | Header::Bool(_) | Header::Other => None,
    };
    if at_ms.is_none() {
        faults.push(Fault::new(
            &format!("/@amqp/headers/{name}"),
            "must be an RFC 3339 time such as 2026-11-24T09:30:00Z",
        ));
    }
    at_ms
}

fn not_before(header: Option<Header<'_>>, now: Now, faults: &mut Vec<Fault>) -> Option<u64> {
    let at_ms = instant("not-before", header, faults)?;
    if at_ms.saturating_sub(now.wall_ms) > u64::from(MAX_DELAY_S) * 1000 {
        faults.push(Fault::new(
            "/@amqp/headers/not-before",
            "lies more than 30 days ahead",
        ));
    }
    Some(at_ms)
}

fn on_unknown(header: Option<Header<'_>>, faults: &mut Vec<Fault>) -> OnUnknown {
    match header {
        None | Some(Header::Text(b"report")) => OnUnknown::Report,
        Some(Header::Text(b"resend")) => OnUnknown::Resend,
        Some(
            Header::Text(_)
            | Header::Int(_)
            | Header::Bool(_)
            | Header::TimestampS(_)
            | Header::Other,
        ) => {
            faults.push(Fault::new(
                "/@amqp/headers/on-unknown",
                "must be \"report\" or \"resend\"",
            ));
            OnUnknown::Report
        }
    }
}

fn parse(
    body: &[u8],
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Option<Map<String, Value>> {
    if body.len() > config.max_body_bytes {
        faults.push(Fault::too_long(
            "",
            "is larger than intake.max_body_bytes, in bytes",
            config.max_body_bytes,
            body.len(),
        ));
        return None;
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => return Some(object),
        Ok(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        ) => {
            faults.push(Fault::new(
                "",
                "must be a JSON object, the one that would be POSTed to /messages",
            ));
        }
        // serde_json's own text could quote the body: its position is enough to find the place.
        Err(error) => {
            faults.push(Fault::new(
                "",
                format!(
                    "is not JSON: it stops making sense at line {}, column {}",
                    error.line(),
                    error.column()
                ),
            ));
        }
    }
    None
}

/// What the body's check leaves for building the message.
struct Checked {
    recipient: Option<Recipient>,
    harmless_to_repeat: bool,
    names_product: bool,
    has_opaque: bool,
    template: Option<Arc<str>>,
    own_opaque: Option<Arc<str>>,
}

fn check_body(
    object: Map<String, Value>,
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Checked {
    let body = Value::Object(object);
    if body
        .get("messaging_product")
        .is_some_and(|product| product != "whatsapp")
    {
        faults.push(Fault::new(
            "/messaging_product",
            "must be \"whatsapp\" (or be left out)",
        ));
    }
    // Mark-as-read and typing carry a `status` and no recipient (Meta's "Mark messages as read", "Typing indicators").
    let is_receipt = body.get("status").is_some();
    let recipient = if is_receipt {
        require_text(&body, "message_id", faults);
        None
    } else {
        check_type(&body, faults);
        check_recipient(&body, faults)
    };
    if body
        .get("biz_opaque_callback_data")
        .is_some_and(|opaque| !opaque.is_string())
    {
        faults.push(Fault::new("/biz_opaque_callback_data", "must be a string"));
    }
    if config.check_sizes {
        sizes::check(&body, faults);
    }
    Checked {
        recipient,
        harmless_to_repeat: is_receipt,
        names_product: body.get("messaging_product").is_some(),
        has_opaque: is_receipt || body.get("biz_opaque_callback_data").is_some(),
        template: body
            .pointer("/template/name")
            .and_then(Value::as_str)
            .map(Into::into),
        own_opaque: body
            .get("biz_opaque_callback_data")
            .and_then(Value::as_str)
            .map(Into::into),
    }
}

fn check_type(body: &Value, faults: &mut Vec<Fault>) {
    let Some(kind) = body.get("type") else { return };
    match kind.as_str() {
        None => faults.push(Fault::new("/type", "must be a string")),
        Some("text") => match body.pointer("/text/body").map(Value::as_str) {
            Some(Some(text)) if !text.is_empty() => {}
            Some(_) => faults.push(Fault::new(
                "/text/body",
                "must be a string with at least one character",
            )),
            None => faults.push(Fault::new("/text/body", "is required for type \"text\"")),
        },
        Some(_) => {}
    }
}

/// `to` wins over `recipient` if both are given, as at the API.
fn check_recipient(body: &Value, faults: &mut Vec<Fault>) -> Option<Recipient> {
    let (at, value) = match (body.get("to"), body.get("recipient")) {
        (Some(to), _) => ("/to", to),
        (None, Some(recipient)) => ("/recipient", recipient),
        (None, None) => {
            faults.push(Fault::new("/to", "is required: whom the message goes to (or `recipient` for a business-scoped user id)"));
            return None;
        }
    };
    let text = match value {
        Value::String(text) => text.clone(),
        // Not documented, but the API is known to take a bare number.
        Value::Number(number) if number.is_u64() => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            faults.push(Fault::new(at, "must be a string"));
            return None;
        }
    };
    if text.trim().is_empty() {
        faults.push(Fault::new(at, "must not be empty"));
        return None;
    }
    Some(Recipient::parse(&text))
}

fn require_text(body: &Value, member: &str, faults: &mut Vec<Fault>) {
    if body
        .get(member)
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        faults.push(Fault::new(
            &format!("/{member}"),
            "is required and must be a string",
        ));
    }
}

/// Adds the members that are missing right behind the opening brace; every published byte stays as it is.
fn splice(body: Bytes, checked: &Checked, id: &MessageId) -> Bytes {
    if checked.names_product && checked.has_opaque {
        return body;
    }
    let Some(brace) = body.iter().position(|byte| *byte == b'{') else {
        return body;
    };
    let mut spliced = Vec::with_capacity(body.len() + id.as_str().len() + 96);
    spliced.extend_from_slice(&body[..=brace]);
    if !checked.names_product {
        spliced.extend_from_slice(b"\"messaging_product\":\"whatsapp\",");
    }
    if !checked.has_opaque {
        spliced.extend_from_slice(b"\"biz_opaque_callback_data\":");
        spliced.extend_from_slice(Value::from(id.as_str()).to_string().as_bytes());
        spliced.push(b',');
    }
    spliced.extend_from_slice(&body[brace + 1..]);
    spliced.into()
}

#[cfg(test)]
mod tests;
