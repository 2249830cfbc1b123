//! What a `/messages` body asks for, or the error that refuses it.
//!
//! As strict as the documents are certain; unknown fields pass, as they do there.

use crate::errors::ApiError;
use serde_json::{Map, Value};
use std::borrow::Cow;

const TEXT_BODY_CHARS: usize = 4_096;
const CAPTION_CHARS: usize = 1_024;
const OPAQUE_CHARS: usize = 512;

/// A valid `/messages` body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Intent<'a> {
    Send(Send<'a>),
    /// Mark as read, with or without a typing indicator.
    Read,
}

/// A message to somebody.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Send<'a> {
    /// The recipient as the caller wrote it.
    pub(crate) input: Cow<'a, str>,
    /// The recipient as the API knows it.
    pub(crate) recipient: String,
    pub(crate) addressing: Addressing,
    pub(crate) kind: &'a str,
    pub(crate) opaque: Option<&'a str>,
    /// How long it is tried to deliver, if the body says so.
    pub(crate) ttl_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addressing {
    Phone,
    /// A business-scoped user id.
    User,
    Group,
}

pub(crate) type Body = Map<String, Value>;

/// Reads a body. `None` is a body that is not a JSON object.
pub(crate) fn intent(body: Option<&Body>) -> Result<Intent<'_>, ApiError> {
    let body =
        body.ok_or_else(|| ApiError::detailed(100, "The request body is not a JSON object."))?;
    messaging_product(body)?;
    if is_read(body) {
        return read(body);
    }
    let (input, recipient, addressing) = addressee(body)?;
    let opaque = opaque(body)?;
    let kind = match body.get("type") {
        None => "text",
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(ApiError::parameter("Param type must be a string.")),
    };
    content(body, kind)?;
    let ttl_seconds = ttl(body)?;
    Ok(Intent::Send(Send {
        input,
        recipient,
        addressing,
        kind,
        opaque,
        ttl_seconds,
    }))
}

fn messaging_product(body: &Body) -> Result<(), ApiError> {
    match body.get("messaging_product") {
        None => Err(ApiError::parameter(
            "The parameter messaging_product is required.",
        )),
        Some(Value::String(product)) if product.eq_ignore_ascii_case("whatsapp") => Ok(()),
        Some(other) => Err(ApiError::parameter(&format!(
            "Param messaging_product must be one of {{WHATSAPP}} - got {other}."
        ))),
    }
}

/// Whether the body means to mark a message as read rather than to send one.
pub(crate) fn is_read(body: &Body) -> bool {
    body.contains_key("status")
}

fn read(body: &Body) -> Result<Intent<'_>, ApiError> {
    if body.get("status").and_then(Value::as_str) != Some("read") {
        return Err(ApiError::parameter("Param status must be one of {READ}."));
    }
    match body.get("message_id").and_then(Value::as_str) {
        None => Err(ApiError::parameter("The parameter message_id is required.")),
        Some(id) if !id.starts_with("wamid.") => Err(ApiError::detailed(
            131009,
            "message_id is not a valid message id",
        )),
        Some(_) => Ok(Intent::Read),
    }
}

/// `to` wins where both `to` and `recipient` are given.
fn addressee(body: &Body) -> Result<(Cow<'_, str>, String, Addressing), ApiError> {
    let group = match body.get("recipient_type").map(|kind| kind.as_str()) {
        None | Some(Some("individual")) => false,
        Some(Some("group")) => true,
        Some(_) => {
            return Err(ApiError::parameter(
                "Param recipient_type must be one of {INDIVIDUAL, GROUP}.",
            ));
        }
    };
    let to = match body.get("to") {
        Some(Value::String(to)) if !to.is_empty() => Some(Cow::Borrowed(to.as_str())),
        // The Graph API turns numbers into strings.
        Some(Value::Number(to)) => Some(Cow::Owned(to.to_string())),
        _ => None,
    };
    if let Some(to) = to {
        if group {
            let id = to.clone().into_owned();
            return Ok((to, id, Addressing::Group));
        }
        let digits = phone_digits(&to)
            .ok_or_else(|| ApiError::detailed(131009, "to is not a valid phone number"))?;
        return Ok((to, digits, Addressing::Phone));
    }
    match body.get("recipient").and_then(Value::as_str) {
        Some(user) if is_user_id(user) => Ok((user.into(), user.to_owned(), Addressing::User)),
        Some(_) => Err(ApiError::detailed(
            131009,
            "recipient is not a valid business-scoped user ID",
        )),
        None => Err(ApiError::parameter("The parameter to is required.")),
    }
}

/// The digits of a phone number written with any of `+ - ( )` and spaces.
fn phone_digits(input: &str) -> Option<String> {
    let mut digits = String::with_capacity(input.len());
    for c in input.chars() {
        match c {
            '0'..='9' => digits.push(c),
            '+' | '-' | '(' | ')' | ' ' => {}
            _ => return None,
        }
    }
    // E.164 allows 15 digits; test numbers are short, so only emptiness is refused below.
    (1..=15).contains(&digits.len()).then_some(digits)
}

/// Country, dot, up to 128 letters and digits, with an optional `ENT.` between.
fn is_user_id(input: &str) -> bool {
    let Some((country, rest)) = input.split_once('.') else {
        return false;
    };
    let rest = rest.strip_prefix("ENT.").unwrap_or(rest);
    country.len() == 2
        && country.bytes().all(|b| b.is_ascii_uppercase())
        && (1..=128).contains(&rest.len())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// A recipient in the form in which scripts and the ledger compare it: digits
/// for phone numbers, as it is for anything else.
pub(crate) fn normal_recipient(input: &str) -> String {
    phone_digits(input).unwrap_or_else(|| input.to_owned())
}

/// The recipient of any body, valid or not, for fault scripts.
pub(crate) fn recipient_of(body: &Body) -> Option<String> {
    let given = body.get("to").or_else(|| body.get("recipient"))?;
    match given {
        Value::String(recipient) => Some(normal_recipient(recipient)),
        Value::Number(recipient) => Some(recipient.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The template's name of any body, valid or not, for fault scripts.
pub(crate) fn template_of(body: &Body) -> Option<&str> {
    body.get("template")?.get("name")?.as_str()
}

pub(crate) fn opaque_of(body: &Body) -> Option<&str> {
    body.get("biz_opaque_callback_data")?.as_str()
}

fn opaque(body: &Body) -> Result<Option<&str>, ApiError> {
    match body.get("biz_opaque_callback_data") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(opaque)) if opaque.chars().count() <= OPAQUE_CHARS => Ok(Some(opaque)),
        Some(_) => Err(too_long("biz_opaque_callback_data", OPAQUE_CHARS)),
    }
}

/// Only a message that has a category, and so needs no template, may say how long it lives. Source: Meta, "Direct Send API reference".
fn ttl(body: &Body) -> Result<Option<u64>, ApiError> {
    let Some(ttl) = body.get("ttl_seconds").filter(|ttl| !ttl.is_null()) else {
        return Ok(None);
    };
    let most = match body.get("category").and_then(Value::as_str) {
        Some("utility") => 43_200,
        Some("authentication") => 900,
        Some(_) | None => {
            let why = "The request included one or more unsupported or misspelled parameters.";
            return Err(ApiError::detailed(100, why));
        }
    };
    match ttl.as_u64() {
        Some(seconds) if (30..=most).contains(&seconds) => Ok(Some(seconds)),
        Some(_) | None => Err(ApiError::parameter(&format!(
            "The time-to-live value must be from 30 to {most}."
        ))),
    }
}

fn content(body: &Body, kind: &str) -> Result<(), ApiError> {
    match kind {
        "text" => text(object(body, kind)?),
        "image" | "video" | "document" | "audio" | "sticker" => media(object(body, kind)?, kind),
        "location" => needs(object(body, kind)?, kind, &["latitude", "longitude"]),
        "reaction" => needs(object(body, kind)?, kind, &["message_id", "emoji"]),
        "interactive" => interactive(object(body, kind)?),
        "template" => template(object(body, kind)?),
        "pin" => needs(object(body, kind)?, kind, &["type", "message_id"]),
        "contacts" => match body.get(kind) {
            Some(Value::Array(contacts)) if !contacts.is_empty() => Ok(()),
            // whatsapp-api-js sends the array's JSON as a text.
            Some(Value::String(text)) if text.starts_with("[{") => Ok(()),
            Some(_) => Err(ApiError::detailed(
                131009,
                "contacts must be a non-empty array",
            )),
            None => Err(missing(kind, kind)),
        },
        _ => Err(ApiError::of(131051)),
    }
}

fn object<'a>(body: &'a Body, kind: &str) -> Result<&'a Body, ApiError> {
    match body.get(kind) {
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(ApiError::detailed(
            131009,
            format!("{kind} must be an object"),
        )),
        None => Err(missing(kind, kind)),
    }
}

fn missing(parameter: &str, kind: &str) -> ApiError {
    ApiError::detailed(
        131008,
        format!("Parameter '{parameter}' is mandatory for type '{kind}'"),
    )
}

fn too_long(parameter: &str, chars: usize) -> ApiError {
    ApiError::parameter(&format!(
        "Param {parameter} must be at most {chars} characters long."
    ))
}

fn needs(object: &Body, kind: &str, parameters: &[&str]) -> Result<(), ApiError> {
    let absent = parameters
        .iter()
        .find(|name| object.get(**name).is_none_or(Value::is_null));
    absent.map_or(Ok(()), |name| Err(missing(name, kind)))
}

fn text(object: &Body) -> Result<(), ApiError> {
    match object.get("body") {
        Some(Value::String(body)) if body.is_empty() => Err(missing("body", "text")),
        Some(Value::String(body)) if body.chars().count() > TEXT_BODY_CHARS => {
            Err(too_long("text['body']", TEXT_BODY_CHARS))
        }
        Some(Value::String(_)) => Ok(()),
        Some(_) => Err(ApiError::parameter("Param text['body'] must be a string.")),
        None => Err(missing("body", "text")),
    }
}

fn media(object: &Body, kind: &str) -> Result<(), ApiError> {
    match (object.get("id"), object.get("link")) {
        (None, None) => return Err(missing("id or link", kind)),
        (Some(_), Some(_)) => {
            return Err(ApiError::detailed(
                131009,
                "only one of id and link may be given",
            ));
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
    match object.get("caption").and_then(Value::as_str) {
        Some(caption) if caption.chars().count() > CAPTION_CHARS => {
            Err(too_long(&format!("{kind}['caption']"), CAPTION_CHARS))
        }
        _ => Ok(()),
    }
}

fn interactive(object: &Body) -> Result<(), ApiError> {
    needs(object, "interactive", &["type", "action"])
}

fn template(object: &Body) -> Result<(), ApiError> {
    needs(object, "template", &["name", "language"])?;
    match object
        .get("language")
        .and_then(|language| language.get("code"))
    {
        Some(Value::String(code)) if !code.is_empty() => Ok(()),
        _ => Err(missing("language.code", "template")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The code of the refusal, or the type that was accepted.
    fn check(body: Value) -> Result<String, i64> {
        match intent(body.as_object()) {
            Ok(Intent::Send(send)) => Ok(send.kind.to_owned()),
            Ok(Intent::Read) => Ok("read".to_owned()),
            Err(error) => Err(error.code),
        }
    }

    fn with(changes: Value) -> Value {
        let mut body = json!({
            "messaging_product": "whatsapp", "to": "+34 600-11 (22)33",
            "type": "text", "text": { "body": "hi" }
        });
        let fields = body.as_object_mut().unwrap();
        for (key, value) in changes.as_object().unwrap() {
            if value.is_null() {
                fields.remove(key);
            } else {
                fields.insert(key.clone(), value.clone());
            }
        }
        body
    }

    #[test]
    fn valid_bodies_pass() {
        for (changes, kind) in [
            (json!({}), "text"),
            (json!({ "type": null }), "text"),
            (json!({ "to": null, "recipient": "ES.9f3cA71" }), "text"),
            (
                json!({ "recipient_type": "group", "to": "Y2FwaV9ncm91cDo0" }),
                "text",
            ),
            (
                json!({ "type": "image", "image": { "link": "https://cdn.example/l.png" } }),
                "image",
            ),
            (
                json!({ "type": "contacts", "contacts": [{ "name": {} }] }),
                "contacts",
            ),
            (
                json!({ "type": "contacts", "contacts": "[{\"name\":{}}]" }),
                "contacts",
            ),
            (
                json!({ "type": "template",
                     "template": { "name": "otp", "language": { "code": "es" } } }),
                "template",
            ),
            (json!({ "text": { "body": "é".repeat(4_096) } }), "text"),
            (json!({ "something_new": 1 }), "text"),
        ] {
            assert_eq!(
                check(with(changes.clone())),
                Ok(kind.to_owned()),
                "{changes}"
            );
        }
        let read = json!({ "messaging_product": "whatsapp", "status": "read",
                           "message_id": "wamid.IN1", "typing_indicator": { "type": "text" } });
        assert_eq!(check(read), Ok("read".to_owned()));
    }

    #[test]
    fn invalid_bodies_are_refused_with_the_documented_code() {
        for (changes, code) in [
            (json!({ "messaging_product": null }), 100),
            (json!({ "messaging_product": "signal" }), 100),
            (json!({ "to": null }), 100),
            (json!({ "to": "bob" }), 131009),
            (json!({ "to": null, "recipient": "9f3cA71" }), 131009),
            (json!({ "type": "carrier_pigeon" }), 131051),
            (json!({ "text": null }), 131008),
            (json!({ "text": "hi" }), 131009),
            (json!({ "text": {} }), 131008),
            (json!({ "text": { "body": "x".repeat(4_097) } }), 100),
            (json!({ "type": "image" }), 131008),
            (json!({ "type": "image", "image": {} }), 131008),
            (
                json!({ "type": "image", "image": { "id": "1", "link": "https://x" } }),
                131009,
            ),
            (
                json!({ "type": "location", "location": { "latitude": "1" } }),
                131008,
            ),
            (
                json!({ "type": "template", "template": { "name": "otp" } }),
                131008,
            ),
            (json!({ "biz_opaque_callback_data": "x".repeat(513) }), 100),
            (json!({ "status": "read" }), 100),
            (json!({ "status": "read", "message_id": "1" }), 131009),
        ] {
            assert_eq!(check(with(changes.clone())), Err(code), "{changes}");
        }
        assert_eq!(check(json!([])), Err(100));
    }

    #[test]
    fn a_phone_number_is_known_by_its_digits() {
        let body = with(json!({}));
        let Ok(Intent::Send(send)) = intent(body.as_object()) else {
            panic!("refused")
        };
        assert_eq!(
            (send.input.as_ref(), send.recipient.as_str()),
            ("+34 600-11 (22)33", "34600112233")
        );
        assert_eq!(normal_recipient("ES.9f3"), "ES.9f3");
    }
}
