//! An OpenTelemetry collector: takes spans by OTLP over HTTP, or does what a broken one does.

use super::{poll, within};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    Take,
    Fail,
    Hang,
}

#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) url: String,
    bodies: Arc<Mutex<Vec<Bytes>>>,
    manners: watch::Sender<Manners>,
}

/// A span as a reader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent_id: String,
    pub(crate) state: String,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) is_error: bool,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
}

impl Seen {
    pub(crate) fn is(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }

    /// What a message that carries this span on has as its `traceparent`.
    pub(crate) fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace_id, self.span_id)
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            bodies: Arc::default(),
            manners: watch::Sender::new(Manners::Take),
        };
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        collector
    }

    pub(crate) fn set(&self, manners: Manners) {
        self.manners.send_replace(manners);
    }

    /// Everything that was taken, as it came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.concat()
    }

    pub(crate) fn spans(&self) -> Vec<Seen> {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.iter().flat_map(read).collect()
    }

    /// Waits until so many messages' spans have come, and returns them: each message's in a list of its own, in the order of its
    /// steps, `process` first.
    pub(crate) async fn journeys(&self, count: usize) -> Vec<Vec<Seen>> {
        let came = poll(|| async { journeys(self.spans()).len() >= count });
        within(&format!("the spans of {count} messages"), came).await;
        journeys(self.spans())
    }
}

/// A message's `process` span ends last: where that is, the others are.
fn journeys(spans: Vec<Seen>) -> Vec<Vec<Seen>> {
    let (mut processes, mut steps): (Vec<_>, Vec<_>) = spans
        .into_iter()
        .partition(|span| span.name.starts_with("process "));
    processes.sort_by_key(|span| span.began);
    steps.sort_by_key(|span| span.began);
    let journey = |process: Seen| {
        let own = steps
            .iter()
            .filter(|step| step.parent_id == process.span_id);
        let own: Vec<Seen> = own.cloned().collect();
        [vec![process], own].concat()
    };
    processes.into_iter().map(journey).collect()
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let mut manners = collector.manners.subscribe();
    let manners = *manners.wait_for(|is| *is != Manners::Hang).await.unwrap();
    if manners == Manners::Fail {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let mut bodies = collector
        .bodies
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    bodies.push(body);
    StatusCode::OK
}

fn read(body: &Bytes) -> Vec<Seen> {
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut all = vec![];
    for of_resource in request.resource_spans {
        let resource = texts(&of_resource.resource.unwrap().attributes);
        let spans = of_resource.scope_spans.into_iter();
        for span in spans.flat_map(|scope| scope.spans) {
            all.push(seen(&span, &resource));
        }
    }
    all
}

fn seen(span: &Span, resource: &BTreeMap<String, String>) -> Seen {
    assert!(span.events.is_empty() && span.dropped_attributes_count == 0);
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let status = span.status.clone().unwrap_or_default();
    assert_eq!(status.message, "", "no text of an error");
    Seen {
        name: span.name.clone(),
        kind: span.kind,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        state: span.trace_state.clone(),
        began: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
        is_error: status.code == 2,
        attributes: texts(&span.attributes),
        resource: resource.clone(),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| {
        let value = attribute.value.clone().unwrap().value.unwrap();
        let text = match value {
            any_value::Value::StringValue(text) => text,
            any_value::Value::IntValue(number) => number.to_string(),
            any_value::Value::BoolValue(flag) => flag.to_string(),
            other @ (any_value::Value::DoubleValue(_)
            | any_value::Value::ArrayValue(_)
            | any_value::Value::KvlistValue(_)
            | any_value::Value::BytesValue(_)
            | any_value::Value::StringValueStrindex(_)) => panic!("{}: {other:?}", attribute.key),
        };
        (attribute.key.clone(), text)
    };
    let map: BTreeMap<_, _> = attributes.iter().map(text).collect();
    assert_eq!(map.len(), attributes.len(), "each attribute once: {map:?}");
    map
}
