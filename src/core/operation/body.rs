//! Parts that the bodies of several operations have in common, and the completion of a body.

use super::lifetime::{self, Lifetime};
use super::presence::Presence;
pub(super) use super::presence::member;
use super::recipient::Recipient;
use crate::contract::fault::Fault;
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;

/// The text of a member that we add.
#[derive(Clone, Copy)]
enum Text {
    Fixed(&'static str),
    /// The request's id.
    Id,
    Whole(u32),
}

/// A member that the API wants, and whether the body has it.
#[derive(Clone, Copy)]
pub struct Added {
    name: &'static str,
    text: Text,
    presence: Presence,
}

impl Added {
    pub(super) fn product(body: &Value) -> Self {
        Self {
            name: "messaging_product",
            text: Text::Fixed("whatsapp"),
            presence: Presence::of(body, "messaging_product"),
        }
    }

    /// By it a status that arrives by webhook names our request.
    pub(super) fn opaque(body: &Value) -> Self {
        Self {
            name: "biz_opaque_callback_data",
            text: Text::Id,
            presence: Presence::of(body, "biz_opaque_callback_data"),
        }
    }

    /// The rest of the request's time.
    pub fn lifetime(lifetime: Lifetime, left_ms: u64) -> Self {
        Self {
            name: lifetime::TTL,
            text: Text::Whole(lifetime.seconds(left_ms)),
            presence: lifetime.presence,
        }
    }
}

/// The findings of an operation's check, for building the request.
pub struct Checked {
    pub recipient: Option<Recipient>,
    /// The name of the message template, if it is made from one.
    pub template: Option<Arc<str>>,
    /// The body's own `biz_opaque_callback_data`.
    pub own_opaque: Option<Arc<str>>,
    pub added: Vec<Added>,
    /// The body may say how long the message lives, and does not.
    pub lifetime: Option<Lifetime>,
}

pub(super) fn check_product(body: &Value, faults: &mut Vec<Fault>) {
    if member(body, "messaging_product").is_some_and(|product| product != "whatsapp") {
        faults.push(Fault::new(
            "/messaging_product",
            "must be \"whatsapp\" (or be left out)",
        ));
    }
}

/// The body's own `biz_opaque_callback_data`.
pub(super) fn check_opaque(body: &Value, faults: &mut Vec<Fault>) -> Option<Arc<str>> {
    let opaque = member(body, "biz_opaque_callback_data");
    if opaque.is_some_and(|opaque| !opaque.is_string()) {
        faults.push(Fault::new("/biz_opaque_callback_data", "must be a string"));
    }
    opaque.and_then(Value::as_str).map(Into::into)
}

pub(super) fn require_text(body: &Value, name: &str, faults: &mut Vec<Fault>) {
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
pub fn splice(body: Bytes, added: &[Added], id: &str) -> Bytes {
    let (mut front, mut back) = (String::new(), String::new());
    for Added {
        name,
        text,
        presence,
    } in added
    {
        let text = match text {
            Text::Fixed(text) => Value::from(*text),
            Text::Id => Value::from(id),
            Text::Whole(number) => Value::from(*number),
        };
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
    if body[open + 1..close].trim_ascii().is_empty() {
        // Nothing is left for a comma to stand before.
        front.pop();
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_added_leaves_json() {
        for body in [
            "{}",
            " { \n} ",
            r#"{"a":1}"#,
            r#"{"messaging_product":null}"#,
            r#"{"a":{},"messaging_product":null}"#,
        ] {
            let document: Value = serde_json::from_str(body).unwrap();
            let added = [Added::product(&document), Added::opaque(&document)];
            let completed = splice(Bytes::from(body.to_owned()), &added, "id-1");
            let completed: Value = serde_json::from_slice(&completed).unwrap();
            assert_eq!(completed["messaging_product"], "whatsapp", "{body}");
            assert_eq!(completed["biz_opaque_callback_data"], "id-1", "{body}");
            assert_eq!(completed.get("a"), document.get("a"), "{body}");
        }
        let whole = json!({ "messaging_product": "whatsapp" });
        let kept = splice(Bytes::from_static(b"{}"), &[Added::product(&whole)], "id");
        assert_eq!(kept, "{}");
    }
}
