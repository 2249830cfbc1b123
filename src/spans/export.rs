//! Finished spans on their way to the collector, on the worker's own thread: a bounded queue, and one request at a time. A collector
//! that is slow or gone costs spans, which are counted, and nothing else.

use crate::metrics::Metrics;
use anyhow::Context as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use prometheus::IntCounter;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Spans that wait: what comes on top of them is lost. Some 2 MB.
pub(super) const QUEUE_SPANS: usize = 2_048;

/// Spans of a request: encoding them takes part of a millisecond, in which nothing else runs.
const BATCH_SPANS: usize = 256;

/// How long a span waits for others to go with it.
const GATHER: Duration = Duration::from_secs(1);

/// Longest wait for the collector, trying again included.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for it when the worker ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Where spans go when they end.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    /// There is a whole batch.
    full: Arc<Notify>,
    lost: IntCounter,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.lost.inc();
        }
        if self.spans.capacity() <= QUEUE_SPANS - BATCH_SPANS {
            self.full.notify_one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The export under way, until the worker ends.
pub struct Exporting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporting {
    /// Sends what waits, for as long as that may take.
    pub async fn flush(self) {
        let Self { stop, mut task } = self;
        // The task is gone only if it has panicked, which is told already.
        if stop.send(()).is_ok()
            && tokio::time::timeout(FLUSH_TIMEOUT, &mut task)
                .await
                .is_err()
        {
            task.abort();
            tracing::warn!(
                "the last spans were not exported: the collector did not answer in time"
            );
        }
    }
}

pub(super) fn queue(metrics: &Metrics) -> (Queue, mpsc::Receiver<SpanData>) {
    let (spans, waiting) = mpsc::channel(QUEUE_SPANS);
    let queue = Queue {
        spans,
        full: Arc::new(Notify::new()),
        lost: metrics.spans_exported.with_label_values(&["error"]),
    };
    (queue, waiting)
}

/// `endpoint`: `tracing.endpoint`.
pub(super) fn start(
    endpoint: &str,
    worker_id: &str,
    metrics: &Metrics,
) -> anyhow::Result<(Queue, Exporting)> {
    let (queue, waiting) = queue(metrics);
    let (stop, stopped) = oneshot::channel();
    let exported = |result| metrics.spans_exported.with_label_values(&[result]);
    let export = Export {
        exporter: exporter(endpoint, worker_id).context("tracing.endpoint")?,
        endpoint: endpoint.to_owned(),
        waiting,
        full: queue.full.clone(),
        stopped: Some(stopped),
        exported: exported("ok"),
        lost: exported("error"),
        is_failing: false,
    };
    let task = tokio::spawn(export.run());
    Ok((queue, Exporting { stop, task }))
}

fn exporter(endpoint: &str, worker_id: &str) -> anyhow::Result<SpanExporter> {
    let url = format!("{endpoint}/v1/traces");
    let mut client = reqwest::Client::builder()
        .timeout(EXPORT_TIMEOUT)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("whatsapp-dispatcher/", env!("CARGO_PKG_VERSION")));
    if crate::config::is_of_this_machine(&url) {
        client = client.no_proxy();
    }
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client.build()?)
        .with_endpoint(url)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    // Empty: nothing is found out about the machine or the environment.
    let resource = Resource::builder_empty()
        .with_service_name("whatsapp-dispatcher")
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", worker_id.to_owned()),
        ])
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

struct Export {
    exporter: SpanExporter,
    endpoint: String,
    waiting: mpsc::Receiver<SpanData>,
    full: Arc<Notify>,
    /// `None` once it has come.
    stopped: Option<oneshot::Receiver<()>>,
    exported: IntCounter,
    lost: IntCounter,
    is_failing: bool,
}

impl Export {
    /// Until it is stopped, and nothing waits any more.
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            if self.waiting.len() + 1 < BATCH_SPANS {
                self.gather().await;
            }
            let mut batch = vec![first];
            while batch.len() < BATCH_SPANS
                && let Ok(span) = self.waiting.try_recv()
            {
                batch.push(span);
            }
            self.export(batch).await;
        }
    }

    async fn next(&mut self) -> Option<SpanData> {
        if let Some(stopped) = &mut self.stopped {
            tokio::select! {
                biased;
                _ = stopped => {}
                span = self.waiting.recv() => return span,
            }
            self.stop();
        }
        self.waiting.recv().await
    }

    async fn gather(&mut self) {
        let Some(stopped) = &mut self.stopped else {
            return;
        };
        tokio::select! {
            _ = stopped => self.stop(),
            () = self.full.notified() => {}
            () = tokio::time::sleep(GATHER) => {}
        }
    }

    /// Stop accepting: only the spans that are queued are still sent.
    fn stop(&mut self) {
        self.stopped = None;
        self.waiting.close();
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let count = u64::try_from(batch.len()).unwrap_or(0);
        let endpoint = &self.endpoint;
        // With its own tries it could take longer than each of them.
        let exporting = tokio::time::timeout(EXPORT_TIMEOUT, self.exporter.export(batch));
        let error = match exporting.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let was_failing = std::mem::replace(&mut self.is_failing, error.is_some());
        let Some(error) = error else {
            self.exported.inc_by(count);
            if was_failing {
                tracing::info!(endpoint, "the collector takes spans again");
            }
            return;
        };
        self.lost.inc_by(count);
        if !was_failing {
            tracing::warn!(
                endpoint,
                error,
                "the collector takes no spans: going on without it"
            );
        }
    }
}
