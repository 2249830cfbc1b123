//! Distributed tracing: the spans of sampled messages. They are made here and nowhere else, straight with OpenTelemetry's API, and
//! only of what may be told: no content, recipient, token, header or text of the API's can be handed to them.
//!
//! Whether a message is traced is decided once, when it is delivered. One that is carries a [`Journey`]; for all others there is a
//! `None` to look at. Names after OpenTelemetry's semantic conventions for messaging, RabbitMQ and HTTP (1.4x); what those do not
//! know begins with `wa.`:
//!
//! ```text
//! process wa.lane          consumer   from the delivery until it is settled; its parent is whoever published the request
//! ├── receive              internal   the lane is ours, and the request is read and checked
//! ├── pace                 internal   it waits for its turn
//! ├── send                 client     POST to the API
//! └── publish wa.results   producer   the result, the copy for the delay ladder or wa.dead; goes on in their traceparent
//! ```
//!
//! RabbitMQ pushes, and for that the conventions have a `process` span as the consumer's and no `receive`; ours is a step within.

mod context;
mod export;
#[cfg(test)]
mod tests;

pub use context::{Parent, Trace};
pub use export::Exporting;

use crate::config::Config;
use crate::metrics::Metrics;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Makes spans. There is one if `tracing.endpoint` is set.
pub struct Spans {
    tracer: SdkTracer,
    sample_ratio: f64,
    /// RabbitMQ, as the conventions want it named.
    broker: Vec<KeyValue>,
}

/// The attributes that a span may have of a delivery.
pub struct Arrival<'a> {
    pub message_id: Option<&'a str>,
    pub exchange: &'static str,
    /// `None` unless it is a number of ours: anybody can publish with any, a person's number too.
    pub routing_key: Option<&'a str>,
    pub queue: &'a str,
    /// The queue's, without a number: span names are few.
    pub name: &'static str,
    pub delivery_tag: u64,
    pub redelivered: bool,
    /// As the routing key.
    pub phone_number_id: Option<&'a str>,
    pub priority: &'static str,
    /// 1 for the first request to the API.
    pub attempt: u32,
}

/// The attributes that a span may have of a request to the API.
pub struct Sent<'a> {
    /// HTTP method.
    pub method: &'static str,
    pub host: Option<&'a str>,
    pub port: Option<u16>,
    /// The URL's path, without the query, which may hold a proof, and without the number.
    pub path: String,
    pub took: Duration,
    /// The outcome's word, as in the metrics.
    pub outcome: &'static str,
    pub answer: Answer,
}

/// The answer, without its texts.
#[derive(Clone, Copy)]
pub struct Answer {
    /// HTTP status.
    pub status: Option<u16>,
    /// The API's error code.
    pub code: Option<i64>,
    /// In place of an answer.
    pub reason: Option<&'static str>,
}

/// How a delivery ended.
#[derive(Clone, Copy)]
pub struct End {
    /// A result's status, or what else became of it.
    pub status: &'static str,
    /// The result's error class.
    pub error: Option<&'static str>,
}

impl Spans {
    /// `None` if `tracing.endpoint` is not set. What is made is exported by [`Exporting`], on this thread's runtime.
    pub fn start(
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Option<(Arc<Self>, Exporting)>> {
        let Some(endpoint) = &config.tracing.endpoint else {
            return Ok(None);
        };
        let (queue, exporting) = export::start(endpoint, &config.worker_id, metrics)?;
        let provider = SdkTracerProvider::builder()
            // Sampling is decided before a span is made.
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(queue)
            .build();
        let server = config.broker.url.server();
        let spans = Self {
            tracer: provider.tracer("whatsapp-dispatcher"),
            sample_ratio: config.tracing.sample_ratio,
            broker: server.map_or(vec![], |(host, port)| {
                vec![
                    KeyValue::new("server.address", host),
                    KeyValue::new("server.port", i64::from(port)),
                ]
            }),
        };
        Ok(Some((Arc::new(spans), exporting)))
    }

    /// Whether a message without a parent is traced.
    pub fn draws(&self) -> bool {
        fastrand::f64() < self.sample_ratio
    }

    /// A message that is traced has arrived.
    pub fn journey(&self, parent: Option<&Parent>, arrival: &Arrival<'_>) -> Box<Journey> {
        let (exchange, queue) = (arrival.exchange, arrival.queue);
        let destination = match arrival.routing_key {
            Some(key) => format!("{exchange}:{key}:{queue}"),
            None => format!("{exchange}:{queue}"),
        };
        let mut attributes = vec![
            KeyValue::new("messaging.system", "rabbitmq"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.destination.name", destination),
            KeyValue::new(
                "messaging.rabbitmq.message.delivery_tag",
                i64::try_from(arrival.delivery_tag).unwrap_or(i64::MAX),
            ),
            KeyValue::new("wa.priority", arrival.priority),
            KeyValue::new("wa.attempt", i64::from(arrival.attempt)),
            KeyValue::new("wa.redelivered", arrival.redelivered),
        ];
        let texts = [
            ("messaging.message.id", arrival.message_id),
            (
                "messaging.rabbitmq.destination.routing_key",
                arrival.routing_key,
            ),
            ("wa.phone_number_id", arrival.phone_number_id),
        ];
        let texts = texts.map(|(name, text)| Some(KeyValue::new(name, text?.to_owned())));
        attributes.extend(texts.into_iter().flatten());
        attributes.extend_from_slice(&self.broker);
        let now = SystemTime::now();
        let remote = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent.context())
        });
        let builder = self
            .tracer
            .span_builder(format!("process {}", arrival.name))
            .with_kind(SpanKind::Consumer)
            .with_start_time(now)
            .with_attributes(attributes);
        let process = self.tracer.build_with_context(builder, &remote);
        Box::new(Journey {
            tracer: self.tracer.clone(),
            broker: self.broker.clone(),
            inside: Context::new().with_remote_span_context(process.span_context().clone()),
            tells_keys: arrival.routing_key.is_some(),
            process,
            since: now,
            end: None,
        })
    }
}

/// A traced message's way through this worker, from its delivery until it is settled or given back, which is when this is dropped.
pub struct Journey {
    tracer: SdkTracer,
    broker: Vec<KeyValue>,
    process: Span,
    /// The parent of the steps.
    inside: Context,
    /// Routing keys hold a number of ours, and no stranger's word.
    tells_keys: bool,
    /// When the last step ended.
    since: SystemTime,
    end: Option<End>,
}

impl Journey {
    /// Notes that the request was read and checked; `error`: the class of its refusal.
    pub fn received(&mut self, error: Option<&'static str>) {
        let mut span = self.step("receive".into(), SpanKind::Internal, self.since, vec![]);
        if let Some(error) = error {
            fail(&mut span, error.into());
        }
        self.end_step(span);
    }

    /// Notes that the request's turn has come.
    pub fn paced(&mut self) {
        let span = self.step("pace".into(), SpanKind::Internal, self.since, vec![]);
        self.end_step(span);
    }

    /// The API has answered, or nobody.
    pub fn sent(&mut self, sent: Sent<'_>) {
        let Answer {
            status,
            code,
            reason,
        } = sent.answer;
        let mut attributes = vec![
            KeyValue::new("http.request.method", sent.method),
            KeyValue::new("url.template", sent.path),
            KeyValue::new("wa.outcome", sent.outcome),
        ];
        let text = |name, text: &str| KeyValue::new(name, text.to_owned());
        let number = |name, number| KeyValue::new(name, number);
        attributes.extend(sent.host.map(|host| text("server.address", host)));
        attributes.extend(sent.port.map(|port| number("server.port", i64::from(port))));
        let http_status = |status| number("http.response.status_code", i64::from(status));
        attributes.extend(status.map(http_status));
        attributes.extend(code.map(|code| number("wa.api.code", code)));
        let started = SystemTime::now().checked_sub(sent.took);
        let started = started.unwrap_or(self.since);
        let mut span = self.step("send".into(), SpanKind::Client, started, attributes);
        if sent.outcome != "accepted" {
            let code = code.map(|code| code.to_string());
            let error = code.or(reason.map(str::to_owned));
            let error = error.or(status.map(|status| status.to_string()));
            fail(
                &mut span,
                error.unwrap_or_else(|| "_OTHER".to_owned()).into(),
            );
        }
        self.end_step(span);
    }

    /// Something is published in its place. What carries the [`Trace`] of that continues this one.
    pub fn publishing(&self, exchange: &str, routing_key: &str) -> Publishing {
        let mut attributes = vec![
            KeyValue::new("messaging.system", "rabbitmq"),
            KeyValue::new("messaging.operation.name", "publish"),
            KeyValue::new("messaging.operation.type", "send"),
        ];
        let mut destination = exchange.to_owned();
        if self.tells_keys {
            let name = "messaging.rabbitmq.destination.routing_key";
            attributes.push(KeyValue::new(name, routing_key.to_owned()));
            destination = format!("{exchange}:{routing_key}");
        }
        attributes.push(KeyValue::new("messaging.destination.name", destination));
        attributes.extend_from_slice(&self.broker);
        let name = format!("publish {exchange}").into();
        let now = SystemTime::now();
        Publishing(self.step(name, SpanKind::Producer, now, attributes))
    }

    /// Notes what is to become of the request. The last word counts.
    pub fn ends(&mut self, end: End) {
        self.end = Some(end);
    }

    fn step(
        &self,
        name: Cow<'static, str>,
        kind: SpanKind,
        started: SystemTime,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let builder = self
            .tracer
            .span_builder(name)
            .with_kind(kind)
            .with_start_time(started)
            .with_attributes(attributes);
        self.tracer.build_with_context(builder, &self.inside)
    }

    fn end_step(&mut self, mut span: Span) {
        self.since = SystemTime::now();
        span.end_with_timestamp(self.since);
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        if let Some(End { status, error }) = self.end {
            self.process
                .set_attribute(KeyValue::new("wa.status", status));
            if let Some(error) = error {
                fail(&mut self.process, error.into());
            }
        }
        self.process.end_with_timestamp(SystemTime::now());
    }
}

/// A publish under way. Dropped, it was given up.
pub struct Publishing(Span);

impl Publishing {
    pub fn trace(&self) -> Trace {
        Trace::of(self.0.span_context())
    }

    pub fn ends(mut self, confirmed: bool) {
        if !confirmed {
            fail(&mut self.0, "unconfirmed".into());
        }
        self.0.end();
    }
}

/// `error`: a word, a class or a code, never a text.
fn fail(span: &mut Span, error: Cow<'static, str>) {
    span.set_attribute(KeyValue::new("error.type", error));
    span.set_status(Status::error(""));
}
