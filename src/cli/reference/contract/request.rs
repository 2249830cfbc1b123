//! The schema of requests: a body that is published to `wa.send`, and the AMQP properties and headers beside it.

use super::forms::{DIALECT, define, reference, sizes_of};
use crate::contract::request::{
    DEDUPE, DEDUPE_MAX_S, EXPIRES_AT, FILE_NAME, ID_CHARS_MAX, MAX_HEADERS_BYTES, MEDIA,
    MEDIA_UPLOAD, NOT_BEFORE, ON_UNKNOWN, TAG, TAG_CHARS_MAX, TAGS_MAX,
};
use crate::contract::words::OnUnknown;
use crate::core::operation::Operation;
use serde_json::{Map, Value, json};

pub(super) const FILE: &str = "contract/request.schema.json";

/// The definition of a body that comes to be a message or a receipt.
const BODY: &str = "body";

const ABOUT: &str = "A body published to wa.send: the one that would be POSTed to /{phone_number_id}/messages. An operation that AMQP's \
    type asks for has a definition of its name. What Meta documents, and open to all else. Lengths count code points; the dispatcher \
    counts what a person sees as one character, which is never more. What travels beside the body, as AMQP properties and headers, is \
    $defs/properties.";

pub(super) fn make_schema() -> Value {
    let mut definitions = Map::new();
    for facts in Operation::all().map(Operation::facts) {
        define(facts.form, &sizes_of(facts.form), &mut definitions);
    }
    definitions.insert(BODY.to_owned(), body());
    definitions.insert("properties".to_owned(), properties());
    definitions.insert("headers".to_owned(), headers());
    json!({
        "$schema": DIALECT,
        "title": "Request",
        "description": ABOUT,
        "$ref": reference(BODY),
        "$defs": definitions,
    })
}

/// The name of the definition that a body has whose request asks for this operation. What has a status is no message: see
/// `Operation::seen_from`.
pub(super) fn definition_of(operation: Operation) -> &'static str {
    if operation == Operation::MESSAGE {
        BODY
    } else {
        operation.facts().form.name
    }
}

fn body() -> Value {
    json!({
        "type": "object",
        "if": { "required": ["status"], "properties": { "status": { "not": { "type": "null" } } } },
        "then": { "$ref": reference(Operation::RECEIPT.facts().form.name) },
        "else": { "$ref": reference(Operation::MESSAGE.facts().form.name) },
    })
}

fn properties() -> Value {
    let types = Operation::all().flat_map(|operation| operation.facts().types);
    let types: Vec<&str> = types.copied().collect();
    json!({
        "title": "AMQP properties of a request",
        "type": "object",
        "required": ["message_id"],
        "properties": {
            "message_id": {
                "description": "The request's identity, echoed in the result and in Meta's webhooks",
                "type": "string", "minLength": 1, "maxLength": ID_CHARS_MAX,
            },
            "priority": {
                "description": "5 and above: sent before bulk",
                "type": "integer", "minimum": 0, "maximum": 255,
            },
            "timestamp": {
                "description": "When it was enqueued, in seconds since the epoch",
                "type": "integer", "minimum": 0,
            },
            "type": { "description": "The operation", "enum": types },
            "reply_to": {
                "description": "A queue that the result goes to as well, as well as it can; none of the dispatcher's own",
                "type": "string", "not": { "pattern": r"^wa\." },
            },
            "correlation_id": { "description": "Echoed in the result", "type": "string" },
            "content_type": { "type": "string" },
            "delivery_mode": { "description": "2, persistent, or RabbitMQ need not keep it", "enum": [1, 2] },
            "headers": { "$ref": reference("headers") },
        },
    })
}

pub(super) fn headers() -> Value {
    let moment = |about: &str| {
        json!({
            "description": format!("{about}. A text as this, or an AMQP timestamp"),
            "type": ["string", "null"], "format": "date-time",
        })
    };
    let tag = json!({ "type": "string", "minLength": 1, "maxLength": TAG_CHARS_MAX });
    let mut choices: Vec<Value> = OnUnknown::WORDS.iter().map(|word| (*word).into()).collect();
    choices.push(Value::Null);
    json!({
        "title": "AMQP headers of a request",
        "description": format!("All together {MAX_HEADERS_BYTES} bytes at most, encoded. One that is null counts as absent"),
        "type": "object",
        "properties": {
            EXPIRES_AT: moment("Not sent after it: the result is then expired"),
            NOT_BEFORE: moment("Not sent before it, at most 30 days ahead"),
            ON_UNKNOWN: {
                "description": "What to do when the answer to a send was lost",
                "enum": choices,
            },
            TAG: {
                "description": "What an operator counts by, such as a campaign; echoed in the result",
                "anyOf": [{ "type": "null" }, tag, { "type": "array", "maxItems": TAGS_MAX, "items": tag }],
            },
            DEDUPE: {
                "description": "Seconds: not sent if one of this id was accepted, is unknown or is under way since so long. A whole number, or a text of its digits",
                "anyOf": [
                    { "type": "null" },
                    { "type": "integer", "minimum": 1, "maximum": DEDUPE_MAX_S },
                    { "type": "string", "pattern": "^[0-9]+$" },
                ],
            },
            MEDIA: {
                "description": "Files that the body names by link are uploaded, and the message is sent with their ids",
                "enum": [MEDIA_UPLOAD, null],
            },
            FILE_NAME: { "description": "The name of the file, of an operation whose body is one", "type": ["string", "null"] },
            "traceparent": { "description": "W3C trace context, echoed in the result", "type": "string" },
            "tracestate": { "description": "W3C trace context, echoed in the result", "type": "string" },
        },
        "patternProperties": { "^x-": { "description": "Echoed in the result" } },
    })
}
