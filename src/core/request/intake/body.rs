//! The body: what was published as bytes, checked as a JSON document, and completed.

use super::{IntakeConfig, value};
use crate::contract::fault::Fault;
use crate::contract::request::{Header, Inbound};
use crate::core::message::{MessageId, Recipient};
use crate::core::sizes;
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;

pub(super) const NO_DATA: &str = "came as an AMQP 1.0 value or sequence that is not one string or binary: publish the JSON as data (rhea: message.data_section, qpid-proton: a body of bytes and inferred=True)";

/// The JSON as bytes and as a document. `body_bytes`: of the body as it was published.
pub(super) fn read(
    body: Bytes,
    body_bytes: usize,
    inbound: &Inbound<'_>,
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Option<(Bytes, Value)> {
    if body_bytes > config.max_body_bytes {
        faults.push(Fault::too_long(
            "",
            "is larger than intake.max_body_bytes, in bytes",
            config.max_body_bytes,
            body_bytes,
        ));
        return None;
    }
    let body = match inbound.operation {
        Some(value::TYPE) => match value::unwrap(&body) {
            Some(json) => body.slice(json),
            None => {
                faults.push(Fault::new("", NO_DATA));
                return None;
            }
        },
        Some(_) | None => body,
    };
    match serde_json::from_slice(&body) {
        Ok(object @ Value::Object(_)) => return Some((body, object)),
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
            let problem = match compressed_by(inbound) {
                Some(by) => format!("is not JSON but compressed, says {by}: publish it as it is"),
                None => format!(
                    "is not JSON: it stops making sense at line {}, column {}",
                    error.line(),
                    error.column()
                ),
            };
            faults.push(Fault::new("", problem));
        }
    }
    None
}

/// What says that the body is compressed. Many clients say `utf-8` or `binary` in `content_encoding`, and mean no compression.
fn compressed_by(inbound: &Inbound<'_>) -> Option<&'static str> {
    const METHODS: [&str; 12] = [
        "gzip", "x-gzip", "deflate", "zlib", "br", "brotli", "zstd", "compress", "bzip2", "lzma",
        "lz4", "snappy",
    ];
    let encoding = inbound.content_encoding.unwrap_or_default();
    if matches!(inbound.compression, Some(Header::Text(method)) if !method.is_empty()) {
        return Some("the header compression");
    }
    let is_compressing = METHODS
        .iter()
        .any(|method| encoding.eq_ignore_ascii_case(method));
    is_compressing.then_some("the property content_encoding")
}

/// A member that we add if the body lacks it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Absent,
    /// It is as good as absent, but there.
    Null,
    There,
}

impl Presence {
    fn of(body: &Value, name: &str) -> Self {
        match body.get(name) {
            None => Self::Absent,
            Some(value) if value.is_null() => Self::Null,
            Some(_) => Self::There,
        }
    }
}

/// What the body's check leaves for building the message.
pub(super) struct Checked {
    pub(super) recipient: Option<Recipient>,
    pub(super) harmless_to_repeat: bool,
    pub(super) template: Option<Arc<str>>,
    pub(super) own_opaque: Option<Arc<str>>,
    product: Presence,
    opaque: Presence,
}

/// A member that is null is as good as absent. The API gets it as it came.
fn member<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

pub(super) fn check(body: &Value, config: &IntakeConfig, faults: &mut Vec<Fault>) -> Checked {
    if member(body, "messaging_product").is_some_and(|product| product != "whatsapp") {
        faults.push(Fault::new(
            "/messaging_product",
            "must be \"whatsapp\" (or be left out)",
        ));
    }
    // Mark-as-read and typing carry a `status` and no recipient (Meta's "Mark messages as read", "Typing indicators").
    let is_receipt = member(body, "status").is_some();
    let recipient = if is_receipt {
        require_text(body, "message_id", faults);
        None
    } else {
        check_type(body, faults);
        check_recipient(body, config, faults)
    };
    let own_opaque = member(body, "biz_opaque_callback_data");
    if own_opaque.is_some_and(|opaque| !opaque.is_string()) {
        faults.push(Fault::new("/biz_opaque_callback_data", "must be a string"));
    }
    if config.check_sizes {
        sizes::check(body, faults);
    }
    let template = member(body, "template").and_then(|template| template.get("name"));
    Checked {
        recipient,
        harmless_to_repeat: is_receipt,
        product: Presence::of(body, "messaging_product"),
        opaque: match is_receipt {
            true => Presence::There,
            false => Presence::of(body, "biz_opaque_callback_data"),
        },
        template: template.and_then(Value::as_str).map(Into::into),
        own_opaque: own_opaque.and_then(Value::as_str).map(Into::into),
    }
}

fn check_type(body: &Value, faults: &mut Vec<Fault>) {
    let Some(kind) = member(body, "type") else {
        return;
    };
    match kind.as_str() {
        None => faults.push(Fault::new("/type", "must be a string")),
        Some("text") => {
            let text = member(body, "text").and_then(|text| text.get("body"));
            match text.filter(|text| !text.is_null()).map(Value::as_str) {
                Some(Some(text)) if !text.is_empty() => {}
                Some(_) => faults.push(Fault::new(
                    "/text/body",
                    "must be a string with at least one character",
                )),
                None => faults.push(Fault::new("/text/body", "is required for type \"text\"")),
            }
        }
        Some(_) => {}
    }
}

/// `to` wins over `recipient` if both are given, as at the API; but not if it is blank.
fn check_recipient(
    body: &Value,
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Option<Recipient> {
    let is_blank = |to: &Value| to.as_str().is_some_and(|to| to.trim().is_empty());
    let (at, value) = match (member(body, "to"), member(body, "recipient")) {
        (Some(to), Some(recipient)) if is_blank(to) => ("/recipient", recipient),
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
    if at == "/to" && !config.user_ids_in_to && is_user_id(text.trim()) {
        faults.push(Fault::new(
            at,
            "is a business-scoped user id, which belongs into `recipient` (intake.user_ids_in_to = true lets it pass)",
        ));
        return None;
    }
    Some(Recipient::parse(&text))
}

/// A country, a dot, up to 128 letters and digits; `ENT.` after the dot in ids of linked portfolios. Source: Meta's "Business-scoped
/// user IDs". Groups' ids have no dot.
fn is_user_id(text: &str) -> bool {
    let Some((country, id)) = text.split_once('.') else {
        return false;
    };
    let id = id.strip_prefix("ENT.").unwrap_or(id);
    let is_country = country.len() == 2 && country.bytes().all(|c| c.is_ascii_uppercase());
    is_country && (1..=128).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric())
}

fn require_text(body: &Value, name: &str, faults: &mut Vec<Fault>) {
    let text = body.get(name).and_then(Value::as_str);
    if text.is_none_or(str::is_empty) {
        faults.push(Fault::new(
            &format!("/{name}"),
            "is required and must be a string",
        ));
    }
}

/// Adds the members that are missing right behind the opening brace, or, where they are null, before the closing one: of two with the
/// same name the last counts. Every published byte stays as it is.
pub(super) fn splice(body: Bytes, checked: &Checked, id: &MessageId) -> Bytes {
    let added = [
        (checked.product, "messaging_product", "whatsapp"),
        (checked.opaque, "biz_opaque_callback_data", id.as_str()),
    ];
    let (mut front, mut back) = (String::new(), String::new());
    for (presence, name, text) in added {
        let text = Value::from(text);
        match presence {
            Presence::Absent => front.push_str(&format!("\"{name}\":{text},")),
            Presence::Null => back.push_str(&format!(",\"{name}\":{text}")),
            Presence::There => {}
        }
    }
    if front.is_empty() && back.is_empty() {
        return body;
    }
    let open = body.iter().position(|byte| *byte == b'{');
    let close = body.iter().rposition(|byte| *byte == b'}');
    let (Some(open), Some(close)) = (open, close) else {
        return body;
    };
    [
        &body[..=open],
        front.as_bytes(),
        &body[open + 1..close],
        back.as_bytes(),
        &body[close..],
    ]
    .concat()
    .into()
}
