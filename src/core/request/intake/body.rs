//! The body: what was published as bytes, read as a JSON document.

use super::value;
use crate::contract::fault::Fault;
use crate::contract::request::{Header, Inbound};
use crate::core::operation::file::{check_body, read_link};
use crate::core::operation::{IntakeConfig, Operation, Parameters};
use bytes::Bytes;
use serde_json::Value;

pub(super) const NO_DATA: &str = "came as an AMQP 1.0 value or sequence that is not one string or binary: publish the JSON as data (rhea: message.data_section, qpid-proton: a body of bytes and inferred=True)";

/// The JSON as bytes and as a document. `body_bytes`: of the body as it was published.
pub(super) fn read(
    body: Bytes,
    body_bytes: usize,
    inbound: &Inbound<'_>,
    operation: Option<Operation>,
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Option<(Bytes, Value)> {
    if body_bytes > config.max_body_bytes {
        faults.push(Fault::too_long(
            "",
            "is larger than intake.max_body_bytes, in bytes",
            config.max_body_bytes,
            body_bytes,
        ));
        return None;
    }
    let body = match inbound.operation {
        Some(value::TYPE) => match value::unwrap(&body) {
            Some(json) => body.slice(json),
            None => {
                faults.push(Fault::new("", NO_DATA));
                return None;
            }
        },
        Some(_) | None => body,
    };
    if let Some(Parameters::File(of)) = operation.map(|operation| operation.facts().parameters) {
        if let Some(document) = read_link(of, &body, inbound.content_type) {
            return Some((body, document));
        }
        faults.extend(check_body(of, &body, inbound.content_type));
        return Some((body, Value::Null));
    }
    let is_for_an_account = inbound.account.is_some();
    // An operation that needs no parameters needs no body.
    let body = if is_for_an_account && body.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        body
    };
    match serde_json::from_slice(&body) {
        Ok(object @ Value::Object(_)) => return Some((body, object)),
        Ok(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        ) => {
            let facts = operation.unwrap_or_default().facts();
            let (method, path) = (facts.method.as_str(), facts.path);
            let problem =
                format!("must be a JSON object, the one that would go to {method} /{path}");
            faults.push(Fault::new("", problem));
        }
        // serde_json's own text could quote the body: its position is enough to find the place.
        Err(error) => {
            let problem = match compressed_by(inbound) {
                Some(by) => format!("is not JSON but compressed, says {by}: publish it as it is"),
                None => format!(
                    "is not JSON: it stops making sense at line {}, column {}",
                    error.line(),
                    error.column()
                ),
            };
            faults.push(Fault::new("", problem));
        }
    }
    None
}

/// Finds what says that the body is compressed. Many clients say `utf-8` or `binary` in `content_encoding`, and mean no compression.
fn compressed_by(inbound: &Inbound<'_>) -> Option<&'static str> {
    const METHODS: [&str; 12] = [
        "gzip", "x-gzip", "deflate", "zlib", "br", "brotli", "zstd", "compress", "bzip2", "lzma",
        "lz4", "snappy",
    ];
    let encoding = inbound.content_encoding.unwrap_or_default();
    if matches!(inbound.compression, Some(Header::Text(method)) if !method.is_empty()) {
        return Some("the header compression");
    }
    let is_compressing = METHODS
        .iter()
        .any(|method| encoding.eq_ignore_ascii_case(method));
    is_compressing.then_some("the property content_encoding")
}
