//! A published request becomes a [`Message`], or a [`Refusal`] that lists every fault.
//!
//! Only what is certain is checked: the API grows faster than any dispatcher is released, so unknown members and types pass
//! through byte for byte. No fault ever repeats a value: where it is, what was expected, the limit and the length must do.

use crate::contract::fault::Fault;
use crate::contract::request::{
    DEDUPE_MAX_S, EXPIRES_AT, Header, History, Inbound, MAX_HEADERS_BYTES, NOT_BEFORE,
    TAG_CHARS_MAX, TAGS_MAX,
};
use crate::contract::words::{OnUnknown, Priority};
use crate::core::Now;
use crate::core::operation::{IntakeConfig, Recipient};
use crate::core::request::ladder::MAX_DELAY_S;
use crate::core::request::message::Message;
use crate::core::request::reply_to::ReplyTo;
use bytes::Bytes;

mod body;
mod identity;
mod instant;
mod media;
mod operation;
mod schema;
mod value;

impl Inbound<'_> {
    /// When it was published, if its `timestamp` can be that: a clock may be off a little, but a time well ahead is a local time taken
    /// for UTC, and one that no AMQP timestamp can be is in milliseconds.
    pub(super) fn enqueued_at_ms(&self, now: Now) -> Option<u64> {
        const AHEAD_MS: u64 = 60_000;
        let at_ms = instant::of_timestamp(self.timestamp_s?)?;
        (at_ms <= now.wall_ms.saturating_add(AHEAD_MS)).then_some(at_ms)
    }
}

/// No JSON object, or no usable `message_id`.
const MALFORMED: &str = "malformed";
/// Above `intake.max_body_bytes`.
const TOO_LARGE: &str = "too_large";

/// A request that will not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The request's id, whatever it was.
    pub id: Option<String>,
    pub faults: Vec<Fault>,
    /// Why it is kept in `wa.dead`: it can be neither parsed nor identified, so the answer alone would lose it. Whole, unless
    /// it is too large.
    pub dead_reason: Option<&'static str>,
}

impl Refusal {
    /// Intake itself failed. Nothing is known of the request, and the next worker must not fail too.
    pub fn of_a_panic() -> Self {
        Self {
            id: None,
            faults: vec![Fault::new(
                "",
                "made the dispatcher's own check fail: please report it",
            )],
            dead_reason: Some(MALFORMED),
        }
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
    let operation = operation::check(&inbound, &mut faults);
    let address = operation::address(&inbound, operation, &mut faults);
    check_reply_to(inbound.reply_to, &mut faults);
    check_headers(inbound.headers_bytes, &mut faults);
    let expires_at_ms = instant(EXPIRES_AT, inbound.expires_at, &mut faults);
    let not_before_ms = not_before(inbound.not_before, now, &mut faults);
    let on_unknown = on_unknown(inbound.on_unknown, &mut faults);
    check_tags(&inbound.tags, &mut faults);
    let dedupe_s = dedupe(inbound.dedupe, address.is_some(), &mut faults);
    let body_bytes = inbound.body_bytes.max(body.len());
    let document = body::read(body, body_bytes, &inbound, operation, config, &mut faults);
    let parsed = document.is_some();
    let checked = document.map(|(body, document)| {
        let operation = operation.unwrap_or_default().seen_from(&document);
        let checked = operation.check(&document, config, &mut faults);
        let warnings = schema::check(operation, &document, config, &mut faults);
        let links = media::links(&inbound, &body, config, &mut faults);
        (body, operation, checked, warnings, links)
    });

    // Operations on one thing are done one by one, in their order.
    let in_turn = address
        .as_ref()
        .map(|at| Recipient::of_node(&at.target, at.node.as_deref()));
    match (id, checked) {
        (Some(id), Some((body, operation, checked, warnings, links))) if faults.is_empty() => {
            Ok(Message {
                body,
                added: checked.added,
                lifetime: checked.lifetime,
                operation,
                recipient: checked.recipient.or(in_turn),
                address,
                priority: Priority::of(inbound.priority),
                on_unknown,
                enqueued_at_ms: inbound.enqueued_at_ms(now),
                expires_at_ms,
                not_before_ms,
                dedupe_s,
                template: checked.template,
                own_opaque: checked.own_opaque,
                links,
                warnings,
                redelivered: inbound.redelivered,
                delivery_count: inbound.delivery_count,
                incarnation: inbound.incarnation,
                history: age(inbound.history, dedupe_s.is_some(), now),
                id,
            })
        }
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

/// Has the request's age count from a worker's first sight of it.
fn age(mut history: History, is_deduped: bool, now: Now) -> History {
    if is_deduped && history.arrived_ms == 0 {
        history.arrived_ms = now.wall_ms;
    }
    if history.first_seen_ms == 0 {
        history.first_seen_ms = now.wall_ms;
    }
    history
}

fn check_reply_to(reply_to: Option<&str>, faults: &mut Vec<Fault>) {
    if reply_to.and_then(ReplyTo::parse) == Some(ReplyTo::Ours) {
        faults.push(Fault::new(
            "/@amqp/reply_to",
            "must not name a queue of the dispatcher's own: those begin with \"wa.\"",
        ));
    }
}

fn check_headers(bytes: usize, faults: &mut Vec<Fault>) {
    if bytes > MAX_HEADERS_BYTES {
        faults.push(Fault::too_long(
            "/@amqp/headers",
            "are larger than a request may carry, in bytes",
            MAX_HEADERS_BYTES,
            bytes,
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

fn check_tags(tags: &[Header<'_>], faults: &mut Vec<Fault>) {
    let is_sound = tags.len() <= TAGS_MAX && tags.iter().all(|tag| tag.tag().is_some());
    if !is_sound {
        let problem = format!(
            "must be a text of 1 to {TAG_CHARS_MAX} characters, or a list of at most {TAGS_MAX} of them"
        );
        faults.push(Fault::new("/@amqp/headers/tag", &problem));
    }
}

/// Header `dedupe`: seconds, of any integer type, or as a decimal text.
fn dedupe(header: Option<Header<'_>>, is_operation: bool, faults: &mut Vec<Fault>) -> Option<u32> {
    const AT: &str = "/@amqp/headers/dedupe";
    let seconds = match header? {
        Header::Int(seconds) => u32::try_from(seconds).ok(),
        Header::Text(text) if text.iter().all(u8::is_ascii_digit) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok()),
        Header::Text(_)
        | Header::Bool(_)
        | Header::TimestampS(_)
        | Header::EmptyTable
        | Header::Other => None,
    };
    let seconds = seconds.filter(|seconds| (1..=DEDUPE_MAX_S).contains(seconds));
    if seconds.is_none() {
        let problem = format!("must be a whole number of seconds, 1 to {DEDUPE_MAX_S}");
        faults.push(Fault::new(AT, problem));
    } else if is_operation {
        faults.push(Fault::new(AT, "is for messages, not for operations"));
    }
    seconds
}

fn not_before(header: Option<Header<'_>>, now: Now, faults: &mut Vec<Fault>) -> Option<u64> {
    let at_ms = instant(NOT_BEFORE, header, faults)?;
    if at_ms.saturating_sub(now.wall_ms) > u64::from(MAX_DELAY_S) * 1000 {
        faults.push(Fault::new(
            "/@amqp/headers/not-before",
            "lies more than 30 days ahead",
        ));
    }
    Some(at_ms)
}

fn on_unknown(header: Option<Header<'_>>, faults: &mut Vec<Fault>) -> Option<OnUnknown> {
    let chosen = match header? {
        Header::Text(word) => std::str::from_utf8(word).ok().and_then(OnUnknown::of_word),
        Header::Int(_)
        | Header::Bool(_)
        | Header::TimestampS(_)
        | Header::EmptyTable
        | Header::Other => None,
    };
    if chosen.is_none() {
        faults.push(Fault::new(
            "/@amqp/headers/on-unknown",
            "must be \"report\" or \"resend\"",
        ));
    }
    chosen
}

#[cfg(test)]
mod tests;
