//! The request's id: AMQP's `message_id`, or one of the headers it arrives in from clients that cannot set that property.

use super::{Fault, Header, Inbound};
use crate::core::message::MessageId;

/// Longest id in characters: it must fit `biz_opaque_callback_data` and leave room for what others add.
const MAX_CHARS: usize = 128;

/// Longest id in bytes, as each result has it as its `message_id`. Source: AMQP 0-9-1, short strings.
const MAX_BYTES: usize = 255;

/// Where an id may stand if `message_id` is empty, the first that is there: RabbitMQ moves what AMQP 1.0 allows and AMQP 0-9-1 does not
/// to `x-message-id`; MQTT 5 has no message id, but user properties.
pub const ID_HEADERS: [&str; 2] = ["x-message-id", "message-id"];

impl<'a> Inbound<'a> {
    /// Whatever names the request, also if it cannot be its identity.
    pub fn id(&self) -> Option<&'a str> {
        let property = self.message_id.filter(|id| !id.is_empty());
        let header = || match self.id_header? {
            (_, Header::Text(text)) => std::str::from_utf8(text).ok(),
            (
                _,
                Header::Int(_)
                | Header::Bool(_)
                | Header::TimestampS(_)
                | Header::EmptyTable
                | Header::Other,
            ) => None,
        };
        property.or_else(header).filter(|id| !id.is_empty())
    }
}

pub(super) fn check(inbound: &Inbound<'_>, faults: &mut Vec<Fault>) -> Option<MessageId> {
    let header = inbound
        .id_header
        .filter(|_| inbound.message_id.is_none_or(str::is_empty));
    let at = match header {
        Some((name, _)) => format!("/@amqp/headers/{name}"),
        None => "/@amqp/message_id".to_owned(),
    };
    let Some(id) = inbound.id() else {
        let problem = match header {
            Some((_, header)) => format!(
                "came as {}: the request's identity must be text of 1 to 128 characters",
                describe(header)
            ),
            None => "is required: it is the request's identity (AMQP property message_id, 1 to 128 characters)".to_owned(),
        };
        faults.push(Fault::new(&at, problem));
        return None;
    };
    let (chars, bytes) = (id.chars().count(), id.len());
    if chars > MAX_CHARS {
        faults.push(Fault::too_long(
            &at,
            "is too long, in characters",
            MAX_CHARS,
            chars,
        ));
    } else if bytes > MAX_BYTES {
        faults.push(Fault::too_long(
            &at,
            "is too long, in bytes",
            MAX_BYTES,
            bytes,
        ));
    } else if id.contains(char::REPLACEMENT_CHARACTER) {
        // What the bytes were is lost with their decoding, so two such ids could be one.
        faults.push(Fault::new(&at, "is not UTF-8"));
    } else {
        return Some(MessageId(id.into()));
    }
    None
}

/// What came in place of text.
fn describe(header: Header<'_>) -> &'static str {
    match header {
        Header::Text([]) => "empty text",
        Header::Text(_) => "bytes that are not UTF-8",
        Header::Int(_) => "a number",
        Header::Bool(_) => "true or false",
        Header::TimestampS(_) => "a timestamp",
        Header::EmptyTable | Header::Other => "something other than text",
    }
}
