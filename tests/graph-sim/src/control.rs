//! Control endpoints under `/_sim/`: what tests see and set over HTTP.

use crate::change::Change;
use crate::operations::Template;
use crate::options::Token;
use crate::query::parameter;
use crate::rules::Method;
use crate::script::Script;
use crate::server::Shared;
use crate::wire::Content;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const PAGE_ENTRIES: usize = 10_000;
/// Lets the answer leave before its connection is reset.
const OUTAGE_AFTER: Duration = Duration::from_millis(50);

pub(crate) fn serve(
    shared: &Arc<Shared>,
    method: Method,
    path: &str,
    query: Option<&str>,
    body: &[u8],
) -> Response<Content> {
    let outcome = match (method, path) {
        (Method::Get, "ledger") => ledger(shared, query.unwrap_or_default()),
        (Method::Get, "stats") => encoded(&shared.stats()),
        (Method::Get, "script") => encoded(shared.world().script()),
        (Method::Post, "script") => one(body).map(|script: Script| {
            shared.world().set_script(script, shared.now_us());
            done()
        }),
        (Method::Post, "numbers") => many(body).and_then(|changes: Vec<Change>| {
            let mut world = shared.world();
            let now_us = shared.now_us();
            world.change_numbers(&changes, now_us).map(|()| done())
        }),
        (Method::Post, "tokens") => many(body).map(|tokens: Vec<Token>| {
            shared.world().set_tokens(tokens);
            done()
        }),
        (Method::Post, "templates") => many(body).map(|templates: Vec<Template>| {
            shared.world().set_templates(templates);
            done()
        }),
        (Method::Post, "reset") => {
            shared.world().reset(shared.now_us());
            Ok(done())
        }
        (Method::Post, "outage") => one(body).map(|outage: Outage| {
            begin_outage(shared, Duration::from_millis(outage.ms));
            done()
        }),
        _ => return answer(StatusCode::NOT_FOUND, error("no such control endpoint")),
    };
    match outcome {
        Ok(body) => answer(StatusCode::OK, body),
        Err(text) => answer(StatusCode::BAD_REQUEST, error(&text)),
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Outage {
    ms: u64,
}

fn ledger(shared: &Shared, query: &str) -> Result<Vec<u8>, String> {
    let number = |name: &str, otherwise: u64| match parameter(query, name) {
        None => Ok(otherwise),
        Some(value) => value.parse().map_err(|_| format!("{name} is not a number")),
    };
    let after = number("after", 0)?;
    let limit = usize::try_from(number("limit", PAGE_ENTRIES as u64)?).unwrap_or(usize::MAX);
    let page = shared.world().ledger(after, limit);
    encoded(&page)
}

fn begin_outage(shared: &Arc<Shared>, lasts: Duration) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::time::sleep(OUTAGE_AFTER).await;
        shared.close().await;
        tokio::time::sleep(lasts).await;
        shared.open().await;
    });
}

fn one<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// One object, or an array of them.
fn many<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, String> {
    let items = match one::<Value>(body)? {
        Value::Array(items) => items,
        item @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)) => vec![item],
    };
    let items = items.into_iter().map(serde_json::from_value);
    items
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|error| error.to_string())
}

fn done() -> Vec<u8> {
    br#"{"success":true}"#.to_vec()
}

fn error(text: &str) -> Vec<u8> {
    json!({ "error": text }).to_string().into_bytes()
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response<Content> {
    let mut response = Response::new(Content::whole(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
