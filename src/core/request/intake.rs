//! A published request becomes a [`Message`], or a [`Refusal`] that lists every fault.
//!
//! Only what is certain is checked: the API grows faster than any dispatcher is released, so unknown members and types pass
//! through byte for byte. No fault ever repeats a value: where it is, what was expected, the limit and the length must do.

use crate::core::Now;
use crate::core::ladder::MAX_DELAY_S;
use crate::core::message::{History, Message, OnUnknown, Priority};
use crate::core::reply_to::ReplyTo;
use bytes::Bytes;

mod body;
mod fault;
mod identity;
mod instant;
mod value;

pub use fault::{Fault, Refusal};
use fault::{MALFORMED, TOO_LARGE};
pub use identity::ID_HEADERS;

/// AMQP headers in all, encoded. RabbitMQ takes 128 KiB of them in one frame; a request that fills it could not be carried any
/// further, as we add some of our own.
pub const MAX_HEADERS_BYTES: usize = 65_536;

/// The bounds of intake, from `[intake]`.
#[derive(Clone, Copy, Debug)]
pub struct IntakeConfig {
    pub max_body_bytes: usize,
    pub check_sizes: bool,
    /// Whether a business-scoped user id may stand in `to`.
    pub user_ids_in_to: bool,
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
    EmptyTable,
    Other,
}

/// What a delivery said about the request, without AMQP's types.
#[derive(Clone, Debug, Default)]
pub struct Inbound<'a> {
    /// The property.
    pub message_id: Option<&'a str>,
    /// The first of [`ID_HEADERS`] that is there.
    pub id_header: Option<(&'static str, Header<'a>)>,
    pub priority: Option<u8>,
    pub timestamp_s: Option<u64>,
    /// Of the body as it was published, also where it was too large to be kept.
    pub body_bytes: usize,
    pub operation: Option<&'a str>,
    pub reply_to: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
    /// The header of that name, which tells of a body that a client has compressed.
    pub compression: Option<Header<'a>>,
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
    /// When it was published, if its `timestamp` can be that: a clock may be off a little, but a time well ahead is a local time taken
    /// for UTC, and one that no AMQP timestamp can be is in milliseconds.
    pub(super) fn enqueued_at_ms(&self, now: Now) -> Option<u64> {
        const AHEAD_MS: u64 = 60_000;
        let at_ms = instant::of_timestamp(self.timestamp_s?)?;
        (at_ms <= now.wall_ms.saturating_add(AHEAD_MS)).then_some(at_ms)
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
    let id = identity::check(&inbound, &mut faults);
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
    let body_bytes = inbound.body_bytes.max(body.len());
    let document = body::read(body, body_bytes, &inbound, config, &mut faults);
    let parsed = document.is_some();
    let checked = document.map(|(body, document)| {
        let checked = body::check(&document, config, &mut faults);
        (body, checked)
    });

    match (id, checked) {
        (Some(id), Some((body, checked))) if faults.is_empty() => Ok(Message {
            body: body::splice(body, &checked, &id),
            recipient: checked.recipient,
            priority: Priority::of(inbound.priority),
            harmless_to_repeat: checked.harmless_to_repeat,
            on_unknown,
            enqueued_at_ms: inbound.enqueued_at_ms(now),
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
            dead_reason: match id.is_none() || !parsed {
                true if body_bytes > config.max_body_bytes => Some(TOO_LARGE),
                true => Some(MALFORMED),
                false => None,
            },
            id: inbound.id().map(str::to_owned),
            faults,
        }),
    }
}

fn check_operation(operation: Option<&str>, faults: &mut Vec<Fault>) {
    if !matches!(operation.unwrap_or_default(), "" | "message" | value::TYPE) {
        faults.push(Fault::new(
            "/@amqp/type",
            "is not an operation of this dispatcher: leave it empty or say \"message\"",
        ));
    }
}

/// A header that names a moment.
fn instant(name: &str, header: Option<Header<'_>>, faults: &mut Vec<Fault>) -> Option<u64> {
    match instant::read(header?) {
        Ok(at_ms) => Some(at_ms),
        Err(problem) => {
            faults.push(Fault::new(&format!("/@amqp/headers/{name}"), problem));
            None
        }
    }
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

fn on_unknown(header: Option<Header<'_>>, faults: &mut Vec<Fault>) -> Option<OnUnknown> {
    match header {
        None => None,
        Some(Header::Text(b"report")) => Some(OnUnknown::Report),
        Some(Header::Text(b"resend")) => Some(OnUnknown::Resend),
        Some(
            Header::Text(_)
            | Header::Int(_)
            | Header::Bool(_)
            | Header::TimestampS(_)
            | Header::EmptyTable
            | Header::Other,
        ) => {
            faults.push(Fault::new(
                "/@amqp/headers/on-unknown",
                "must be \"report\" or \"resend\"",
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests;
