//! The schema of results, `src/contract/result.rs`.

use super::forms::{DIALECT, reference};
use crate::contract::result::{VERSION, WARNINGS_MAX};
use crate::contract::words::{Class, PARTIAL, POISON, Status, UNKNOWN_NUMBER};
use serde_json::{Value, json};

pub(super) const FILE: &str = "contract/result.schema.json";

pub(super) fn make_schema() -> Value {
    json!({
        "$schema": DIALECT,
        "title": "Result",
        "description": "What became of a request: the body of a message on wa.results. Within one version members are only added.",
        "$ref": reference("result"),
        "$defs": { "result": result(), "error": error(), "fault": fault() },
    })
}

fn moment(about: &str) -> Value {
    json!({ "description": about, "type": "string", "format": "date-time" })
}

fn text(about: &str) -> Value {
    json!({ "description": about, "type": "string" })
}

fn result() -> Value {
    let where_status = |statuses: &[Status], then: Value| {
        let words: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
        json!({ "if": { "properties": { "status": { "enum": words } } }, "then": then })
    };
    let never = |name: &str| json!({ "properties": { name: false } });
    json!({
        "type": "object",
        "required": ["v", "status", "attempts", "possible_duplicate", "completed_at"],
        "properties": {
            "v": { "const": VERSION },
            "id": text("The request's, if it had one"),
            "phone_number_id": text("The request's routing key, if that is a number"),
            "waba_id": text("The account, of an operation that is no message"),
            "operation": text("The name of an operation that is no message: the request's AMQP type"),
            "status": { "enum": Status::WORDS },
            "wamid": text("As Meta answered, as are wa_id, user_id and message_status"),
            "wa_id": { "type": "string" },
            "user_id": { "type": "string" },
            "message_status": { "type": "string" },
            "response": { "description": "The API's whole answer to an operation that is no message" },
            "media_expires_at": moment("Until when the API keeps what media_upload has put there"),
            "error": { "$ref": reference("error") },
            "warnings": {
                "description": "What of the body is not as Meta documents it, though it was sent (intake.schema = warn)",
                "type": "array", "minItems": 1, "maxItems": WARNINGS_MAX, "items": { "$ref": reference("fault") },
            },
            "attempts": { "type": "integer", "minimum": 0 },
            "possible_duplicate": { "type": "boolean" },
            "duplicate_of_earlier": { "description": "True: an earlier request of this id was answered so, and this one was not sent (header dedupe)", "const": true },
            "biz_opaque_callback_data": text("The body's own, if it had one"),
            "enqueued_at": moment("The request's timestamp"),
            "sent_at": moment("When the send began whose answer this is"),
            "completed_at": moment("When the request ended"),
        },
        "anyOf": [{ "required": ["phone_number_id"] }, { "required": ["waba_id", "operation"] }],
        "allOf": [
            where_status(&[Status::Rejected, Status::Failed], json!({ "required": ["error"] })),
            where_status(&[Status::Accepted], json!({ "required": ["id", "sent_at"], "properties": { "error": false } })),
            where_status(&[Status::Expired, Status::Failed], never("sent_at")),
        ],
    })
}

/// Classes may be added: readers ignore those that they do not know.
fn error() -> Value {
    let classes: Vec<&str> = Class::WORDS
        .into_iter()
        .chain([UNKNOWN_NUMBER, POISON, PARTIAL])
        .collect();
    json!({
        "type": "object",
        "required": ["class"],
        "properties": {
            "code": { "description": "Meta's", "type": "integer" },
            "subcode": { "type": "integer" },
            "title": { "type": "string" },
            "details": { "type": "string" },
            "class": { "type": "string", "pattern": "^[a-z_]+$", "examples": classes },
            "fbtrace_id": { "type": "string" },
            "retry_not_before": moment("A new request makes no sense before this"),
            "at": text("The JSON pointer of the first fault that was found before sending"),
            "faults": { "type": "array", "minItems": 1, "items": { "$ref": reference("fault") } },
        },
    })
}

fn fault() -> Value {
    json!({
        "type": "object",
        "required": ["at", "problem"],
        "properties": {
            "at": text("A JSON pointer into the body; AMQP properties stand under /@amqp, and what an operation did not do under /response of the result"),
            "problem": { "type": "string" },
            "limit": { "type": "integer", "minimum": 0 },
            "length": { "type": "integer", "minimum": 0 },
        },
    })
}
