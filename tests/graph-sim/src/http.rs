//! HTTP in front of the rules: reads a request, asks the rules, waits, answers.

use crate::control;
use crate::query::parameter;
use crate::rules::{Ending, Method, Reply, Request, World};
use crate::server::Shared;
use crate::wire::{Abort, Content};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{StatusCode, Uri};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

/// The largest document and what stands around it; far below what a mistake could fill memory with.
const BODY_MAX_BYTES: usize = 101 * 1024 * 1024;

/// One request that has been read whole.
struct Exchange {
    method: Method,
    uri: Uri,
    authorization: Option<HeaderValue>,
    body: Bytes,
    received_us: u64,
}

impl Exchange {
    fn handle(&self, world: &mut World, now_us: u64) -> Reply {
        let bearer = self
            .authorization
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            // Sessions of uploads have a scheme of their own.
            .filter(|(scheme, _)| {
                let is_of_a_session = self.uri.path().contains("/upload:");
                let wanted = if is_of_a_session { "oauth" } else { "bearer" };
                scheme.eq_ignore_ascii_case(wanted)
            })
            .map(|(_, token)| token.trim());
        let query = self.uri.query().unwrap_or_default();
        // As in the links to next pages.
        let in_query = match bearer {
            None => parameter(query, "access_token"),
            Some(_) => None,
        };
        let request = Request {
            method: self.method,
            path: self.uri.path(),
            query,
            bearer: bearer.or(in_query.as_deref()),
            body: &self.body,
            received_us: self.received_us,
        };
        world.handle(&request, now_us)
    }
}

/// Counts a request as in flight until dropped: answered, or its client gone.
struct InFlight {
    shared: Arc<Shared>,
    method: Method,
    uri: Uri,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shared.world().leave(self.method, self.uri.path());
        self.shared.tell();
    }
}

/// Answers one request of a connection that `abort` can reset.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    abort: Arc<Abort>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Content>, Infallible> {
    let (parts, body) = request.into_parts();
    let method = match parts.method {
        hyper::Method::GET => Method::Get,
        hyper::Method::POST => Method::Post,
        hyper::Method::DELETE => Method::Delete,
        _ => Method::Other,
    };
    let Ok(body) = Limited::new(body, BODY_MAX_BYTES).collect().await else {
        return Ok(status_only(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let body = body.to_bytes();
    if let Some(path) = parts.uri.path().strip_prefix("/_sim/") {
        return Ok(control::serve(
            &shared,
            method,
            path,
            parts.uri.query(),
            &body,
        ));
    }
    let exchange = Exchange {
        method,
        uri: parts.uri.clone(),
        authorization: parts.headers.get(AUTHORIZATION).cloned(),
        body,
        received_us: shared.now_us(),
    };
    // Held across the answer's wait; hyper drops it when the client goes away.
    let _in_flight = InFlight {
        shared: Arc::clone(&shared),
        method,
        uri: parts.uri.clone(),
    };
    let reply = arrive(&shared, exchange).await;
    shared.sleep_until(reply.answer_at_us).await;
    match reply.ending {
        Ending::Answer | Ending::Cut { .. } | Ending::Trickle { .. } => {
            Ok(response(reply, &parts.uri))
        }
        Ending::Hang => pending().await,
        Ending::Reset => {
            abort.ask();
            pending().await
        }
    }
}

/// Takes the request to the rules when it arrives there. From then on it goes on
/// even if its client goes away, as a request on its way would.
async fn arrive(shared: &Arc<Shared>, exchange: Exchange) -> Reply {
    let (path, received_us) = (exchange.uri.path(), exchange.received_us);
    let arrival_us = {
        let mut world = shared.world();
        world.enter(exchange.method, path);
        let arrival_us = world.arrival_us(exchange.method, path, received_us);
        if arrival_us <= received_us {
            // The clock is read under the lock, so that the rules' time never goes back.
            let reply = exchange.handle(&mut world, shared.now_us());
            drop(world);
            shared.tell();
            return reply;
        }
        arrival_us
    };
    shared.tell();
    let shared = Arc::clone(shared);
    let on_its_way = tokio::spawn(async move {
        shared.sleep_until(arrival_us).await;
        let reply = exchange.handle(&mut shared.world(), shared.now_us());
        shared.tell();
        reply
    });
    match on_its_way.await {
        Ok(reply) => reply,
        // The runtime is going down, and this connection with it.
        Err(_) => pending().await,
    }
}

fn response(reply: Reply, uri: &Uri) -> hyper::Response<Content> {
    let promised = reply.body_bytes();
    let is_cut = matches!(reply.ending, Ending::Cut { .. });
    let content = match reply.ending {
        Ending::Cut { bytes } => Content::cut(reply.body, bytes),
        Ending::Trickle { over_ms } => Content::trickle(reply.body, Duration::from_millis(over_ms)),
        Ending::Answer | Ending::Reset | Ending::Hang => Content::padded(reply.body, reply.padding),
    };
    let mut response = hyper::Response::new(content);
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&reply.content_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    let version = uri
        .path()
        .split('/')
        .nth(1)
        .filter(|part| part.starts_with('v'));
    if let Some(Ok(version)) = version.map(HeaderValue::from_str) {
        headers.insert("facebook-api-version", version);
    }
    for (name, value) in reply.headers {
        // A script may ask for what no header can hold; that one is left out.
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            headers.append(name, value);
        }
    }
    if is_cut {
        headers.insert(CONTENT_LENGTH, promised.into());
    }
    response
}

fn status_only(status: StatusCode) -> hyper::Response<Content> {
    let mut response = hyper::Response::new(Content::whole(vec![]));
    *response.status_mut() = status;
    response
}
