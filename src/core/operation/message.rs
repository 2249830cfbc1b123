//! A message to a person or a group. Source: Meta, "Send messages".

use super::body::{Added, Checked, check_opaque, check_product, member};
use super::config::IntakeConfig;
use super::facts::Facts;
use super::lifetime::Lifetime;
use super::recipient::{IS_USER_ID, Recipient, is_user_id};
use super::sizes;
use crate::contract::fault::Fault;
use serde_json::Value;

pub(super) fn check(
    _: &Facts,
    body: &Value,
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Checked {
    check_product(body, faults);
    check_type(body, faults);
    let recipient = check_recipient(body, config, faults);
    let own_opaque = check_opaque(body, faults);
    if config.check_sizes {
        sizes::check(body, faults);
    }
    let template = member(body, "template").and_then(|template| template.get("name"));
    Checked {
        recipient,
        template: template.and_then(Value::as_str).map(Into::into),
        own_opaque,
        added: vec![Added::product(body), Added::opaque(body)],
        lifetime: Lifetime::of(body),
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
        faults.push(Fault::new(at, IS_USER_ID));
        return None;
    }
    let is_group =
        at == "/to" && member(body, "recipient_type").is_some_and(|kind| kind == "group");
    Some(match is_group {
        true => Recipient::of_group(&text),
        false => Recipient::parse(&text),
    })
}
