//! One call of an operation: who it is about, and what is given. The API takes parameters from the query and from a body as JSON, as a form
//! or in parts, all alike.

use super::Of;
use crate::errors::ApiError;
use crate::options::NumberRules;
use crate::query::{decoded, names, parameter};
use crate::request::{Method, Request};
use serde_json::{Map, Value};

pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) of: Of,
    /// What the path names first.
    pub(crate) id: &'a str,
    /// The number or account that this is of.
    pub(crate) owner: String,
    /// The rest of the path.
    pub(crate) edge: &'a str,
    pub(crate) given: Map<String, Value>,
    pub(crate) query: &'a str,
    /// The rules of the number, or of one of the account's.
    pub(crate) rules: NumberRules,
    /// The account's numbers as they are shown; looked up only where an operation lists them.
    pub(crate) numbers: Vec<Value>,
    /// The request's URL without its query, and its bearer: for the link to the next page.
    pub(crate) link: String,
    pub(crate) token: &'a str,
}

impl Call<'_> {
    /// The word for it in error messages.
    pub(crate) fn verb(&self) -> &'static str {
        match self.method {
            Method::Get => "get",
            Method::Post => "post",
            Method::Delete => "delete",
            Method::Other => "request",
        }
    }

    /// A parameter that is there and not empty.
    pub(super) fn given(&self, name: &str) -> Option<&Value> {
        let value = self.given.get(name)?;
        (!value.is_null() && value != "").then_some(value)
    }

    pub(super) fn must(&self, name: &str) -> Result<&Value, ApiError> {
        self.given(name)
            .ok_or_else(|| ApiError::parameter(&format!("The parameter {name} is required")))
    }

    /// A parameter as text, whatever its type.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.given(name).map(plain)
    }

    pub(super) fn text_of(&self, name: &str) -> Result<String, ApiError> {
        self.must(name).map(plain)
    }

    /// A list: JSON's, or one with commas.
    pub(super) fn list(&self, name: &str) -> Vec<Value> {
        match self.given(name) {
            Some(Value::Array(list)) => list.clone(),
            Some(Value::String(text)) => match serde_json::from_str(text) {
                Ok(Value::Array(list)) => list,
                _ => text.split(',').map(Value::from).collect(),
            },
            Some(other) => vec![other.clone()],
            None => vec![],
        }
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.list(name).iter().map(plain).collect()
    }

    /// Of the parameters these, as they were given.
    pub(super) fn only(&self, names: &[&str]) -> Map<String, Value> {
        let given = self.given.iter();
        let wanted = given.filter(|(name, _)| names.contains(&name.as_str()));
        wanted
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// All parameters but those that every request may have.
    pub(super) fn changes(&self) -> Map<String, Value> {
        let mut changes = self.given.clone();
        changes.retain(|name, _| {
            !matches!(
                name.as_str(),
                "messaging_product" | "access_token" | "appsecret_proof" | "fields"
            )
        });
        changes
    }

    /// The part of the path that stands for something, decoded.
    pub(super) fn part(&self, index: usize) -> String {
        decoded(self.edge.split('/').nth(index).unwrap_or_default())
    }

    /// The fields that are asked for, if any are named.
    pub(super) fn fields(&self) -> Option<Vec<String>> {
        let fields = parameter(self.query, "fields").filter(|fields| !fields.is_empty())?;
        Some(names(&fields).map(str::to_owned).collect())
    }

    /// Of that object the fields that are asked for, and its id.
    pub(super) fn shown(&self, object: Map<String, Value>) -> Value {
        let Some(fields) = self.fields() else {
            return object.into();
        };
        let is_shown = |name: &String| name == "id" || fields.contains(name);
        let shown = object.into_iter().filter(|(name, _)| is_shown(name));
        Value::Object(shown.collect())
    }
}

/// Meta writes numbers as texts here and there.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => other.to_string(),
    }
}

/// All that a request gives. What it says twice, its body says.
pub(crate) fn parameters(request: &Request<'_>) -> Map<String, Value> {
    let mut given = pairs(request.query);
    let body = match serde_json::from_slice(request.body) {
        Ok(Value::Object(members)) => members,
        _ => {
            let text = String::from_utf8_lossy(request.body);
            if text.starts_with("--") {
                parts(&text)
            } else {
                pairs(text.trim())
            }
        }
    };
    given.extend(body);
    given
}

fn pairs(text: &str) -> Map<String, Value> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value).into()))
        .collect()
}

/// The parts of a `multipart/form-data` body, whose boundary is its first line. Of a file there is its content, as text.
fn parts(body: &str) -> Map<String, Value> {
    let boundary = body.lines().next().unwrap_or_default();
    let parts = body.split(boundary).filter_map(|part| {
        let (head, content) = part.split_once("\r\n\r\n")?;
        let (_, name) = head.split_once(" name=\"")?;
        let (name, _) = name.split_once('"')?;
        let content = content.strip_suffix("\r\n").unwrap_or(content);
        Some((name.to_owned(), content.into()))
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_come_in_every_dress() {
        let multipart = "--b1\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nflow.json\r\n\
            --b1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: application/json\r\n\r\n{}\r\n--b1--\r\n";
        for (query, body, expected) in [
            ("a=1&b=x%20y", "", json!({ "a": "1", "b": "x y" })),
            ("a=1", r#"{"a":2,"c":[3]}"#, json!({ "a": 2, "c": [3] })),
            (
                "",
                "key=-----BEGIN%0A&x=y",
                json!({ "key": "-----BEGIN\n", "x": "y" }),
            ),
            ("", multipart, json!({ "name": "flow.json", "file": "{}" })),
        ] {
            let request = Request {
                method: Method::Post,
                path: "",
                query,
                bearer: None,
                body: body.as_bytes(),
                received_us: 0,
            };
            assert_eq!(Value::Object(parameters(&request)), expected, "{body}");
        }
    }
}
