//! One call of an operation: who it is about, and what is given. The API takes parameters from the query and from a body as JSON, as a form
//! or in parts, all alike.

use super::Of;
use crate::errors::ApiError;
use crate::options::NumberRules;
use crate::query::{decoded, names, parameter};
use crate::request::{Method, Request};
use serde_json::{Map, Value};

/// A file as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File<'a> {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) bytes: &'a [u8],
}

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
    /// The file among the parts of its body, or its body where that is one.
    pub(crate) file: Option<File<'a>>,
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

    pub(super) fn file(&self) -> Result<&File<'_>, ApiError> {
        let file = self.file.as_ref();
        file.ok_or_else(|| ApiError::parameter("The parameter file is required."))
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
            if request.body.starts_with(b"--") {
                let texts = parts(request.body).filter(|part| part.file_name.is_none());
                texts
                    .map(|part| (part.name, String::from_utf8_lossy(part.content).into()))
                    .collect()
            } else {
                pairs(String::from_utf8_lossy(request.body).trim())
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

/// The file of a request: of its parts the one with a file name; else, to a session, all of its body.
pub(crate) fn file<'a>(request: &Request<'a>) -> Option<File<'a>> {
    if request.body.starts_with(b"--") {
        let part = parts(request.body).find(|part| part.file_name.is_some())?;
        return Some(File {
            name: part.file_name.unwrap_or_default(),
            kind: part.kind,
            bytes: part.content,
        });
    }
    let is_of_a_session = request.path.contains("/upload:");
    is_of_a_session.then(|| File {
        name: String::new(),
        kind: String::new(),
        bytes: request.body,
    })
}

struct Part<'a> {
    name: String,
    file_name: Option<String>,
    kind: String,
    content: &'a [u8],
}

/// The parts of a `multipart/form-data` body, whose boundary is its first line.
fn parts(body: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let line = body.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let finder = memchr::memmem::Finder::new(line).into_owned();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + line.len();
            let rest = body.get(start..)?;
            let length = finder.find(rest)?;
            at = start + length;
            if let Some(part) = part(rest.get(..length)?) {
                return Some(part);
            }
        }
    })
}

fn part(bytes: &[u8]) -> Option<Part<'_>> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let content = &bytes[end + 4..];
    let quoted = |name: &str| {
        let (_, rest) = head.split_once(&format!(" {name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let kind = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-type");
        is_it.then(|| value.trim().to_owned())
    });
    Some(Part {
        name: quoted("name")?,
        file_name: quoted("filename"),
        kind: kind.unwrap_or_default(),
        content: content.strip_suffix(b"\r\n").unwrap_or(content),
    })
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
            ("", multipart, json!({ "name": "flow.json" })),
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
            let file = file(&request).map(|file| (file.name, file.kind, file.bytes));
            let expected = (body == multipart)
                .then(|| ("a".to_owned(), "application/json".to_owned(), &b"{}"[..]));
            assert_eq!(file, expected);
        }
    }
}
