//! The request's id: AMQP's `message_id`, or one of the headers it arrives in from clients that cannot set that property.

use crate::contract::fault::Fault;
use crate::contract::request::{Header, ID_BYTES_MAX, ID_CHARS_MAX, Inbound};
use crate::core::request::message::MessageId;

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
    if chars > ID_CHARS_MAX {
        faults.push(Fault::too_long(
            &at,
            "is too long, in characters",
            ID_CHARS_MAX,
            chars,
        ));
    } else if bytes > ID_BYTES_MAX {
        faults.push(Fault::too_long(
            &at,
            "is too long, in bytes",
            ID_BYTES_MAX,
            bytes,
        ));
    } else if id.contains(char::REPLACEMENT_CHARACTER) {
        // The original bytes are lost with their decoding, so two such ids could be one.
        faults.push(Fault::new(&at, "is not UTF-8"));
    } else {
        return Some(MessageId(id.into()));
    }
    None
}

/// Names what came in place of text.
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
