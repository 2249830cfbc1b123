//! A JSON document as YAML: what is a text there is written as in JSON, which YAML reads alike.

use serde_json::Value;

pub(super) fn write(document: &Value) -> String {
    let mut text = String::new();
    write_inside(document, 0, &mut text);
    text
}

/// The elements or members of a value, each on lines of its own.
fn write_inside(value: &Value, depth: usize, text: &mut String) {
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (format!("{}:", key(name)), value))
            .collect(),
        Value::Array(elements) => elements
            .iter()
            .map(|value| ("-".to_owned(), value))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    for (head, value) in entries {
        text.push_str(&"  ".repeat(depth));
        text.push_str(&head);
        if is_nested(value) {
            text.push('\n');
            write_inside(value, depth + 1, text);
        } else {
            text.push_str(&format!(" {value}\n"));
        }
    }
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(elements) => elements.iter().any(is_nested),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A name of letters, digits and some marks needs no quotes.
fn key(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    match is_plain {
        true => name.to_owned(),
        false => Value::from(name).to_string(),
    }
}
