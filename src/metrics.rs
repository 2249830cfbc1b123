//! Every metric: name, label and bucket in one place. What is counted lives in a registry of our own, here; what is read at the
//! moment of a scrape is in [`scrape`]. Series exist from the start, at zero. A recipient is never a label; API error codes
//! outside the built-in table are counted as `other`, and so are lanes beyond `metrics.max_lanes`.

use crate::broker::depth::watched;
use crate::broker::topology::{DEAD, DELAY, RESULTS};
use crate::core::holds::{Health, Why};
use crate::core::message::Priority;
use crate::core::outcome::Scope;
use crate::core::report::Status;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::HashSet;

/// From a request's arrival in the same datacentre to a scheduled campaign's backlog.
const WAIT_BUCKETS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 600.0, 3600.0,
];
/// Meta's load-testing page speaks of 350 ms per call.
const LATENCY_BUCKETS: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];

/// How an attempt went, for `outcome`.
pub const OUTCOMES: [&str; 7] = [
    "accepted",
    "refused",
    "not_sent",
    "transient",
    "throttled",
    "blocked",
    "unknown",
];

/// Slow reads of the API's own state, for `what`.
pub const READS: [&str; 3] = ["number", "token", "templates"];

/// Error codes that each number has a series of from the start: the throughput limit's, and those that are not in the table.
const CODES: [&str; 2] = ["130429", OTHER];

const NAMESPACE: &str = "wa_dispatcher";

mod lane;
mod process;
mod scrape;

pub use lane::LaneMetrics;
pub use scrape::{AccountSample, LaneSample, OTHER, Scrape};

pub struct Metrics {
    registry: Registry,
    /// Numbers with series of their own.
    labelled: HashSet<String>,
    pub requests: IntCounterVec,
    pub attempts: IntCounterVec,
    pub error_codes: IntCounterVec,
    pub queue_wait: HistogramVec,
    pub pacing_wait: HistogramVec,
    pub api_latency: Histogram,
    pub end_to_end: HistogramVec,
    pub delayed: IntCounterVec,
    pub shadow_waits: IntCounterVec,
    pub transient: IntCounterVec,
    pub redelivered: IntCounter,
    pub evidence: IntCounterVec,
    pub possible_duplicates: IntCounter,
    pub dead_letters: IntCounter,
    pub settled_void: IntCounter,
    pub publish_refused: IntCounterVec,
    pub refused_waiting: IntGauge,
    pub late_confirms: IntGaugeVec,
    pub replies_undelivered: IntCounter,
    pub unrouted: IntCounter,
    pub broker_connected: IntGauge,
    pub broker_sessions: IntCounter,
    pub lane_resubscriptions: IntCounterVec,
    pub lane_connection_ends: IntCounterVec,
    pub token_reloads: IntCounterVec,
    pub spans_exported: IntCounterVec,
    pub holds_found: IntCounterVec,
    pub health_probes: IntCounterVec,
    pub api_reads: IntCounterVec,
    pub queue_messages: IntGaugeVec,
    pub log_lines_left_out: IntCounter,
    pub lanes_log_available: IntGauge,
    pub worker_id_shared: IntGauge,
}

struct Maker(Registry);

impl Maker {
    fn register<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        collector: C,
    ) -> anyhow::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
    fn counter(&self, name: &str, help: &str) -> anyhow::Result<IntCounter> {
        self.register(IntCounter::with_opts(opts(name, help))?)
    }
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> anyhow::Result<IntCounterVec> {
        self.register(IntCounterVec::new(opts(name, help), labels)?)
    }
    fn gauge(&self, name: &str, help: &str) -> anyhow::Result<IntGauge> {
        self.register(IntGauge::with_opts(opts(name, help))?)
    }
    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> anyhow::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(opts(name, help), labels)?)
    }
    fn histograms(&self, name: &str, help: &str, buckets: &[f64]) -> anyhow::Result<HistogramVec> {
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
        let histograms = self.register(HistogramVec::new(opts, &["priority"])?)?;
        for priority in [Priority::High, Priority::Bulk] {
            histograms.with_label_values(&[priority.as_str()]);
        }
        Ok(histograms)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

impl Metrics {
    #[expect(clippy::too_many_lines, reason = "a table: one entry per metric")]
    /// `labelled`: the numbers with series of their own; all others share [`OTHER`].
    pub fn new(worker_id: &str, labelled: HashSet<String>) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let make = Maker(registry.clone());
        let lane = &["phone_number_id"];
        let info = make.register(Gauge::with_opts(
            opts(
                "build_info",
                "1, with the version and the worker as labels.",
            )
            .const_label("version", env!("CARGO_PKG_VERSION"))
            .const_label("worker", worker_id),
        )?)?;
        info.set(1.0);
        let metrics = Self {
            requests: make.counters(
                "requests_total",
                "Requests ended, by status and priority.",
                &["phone_number_id", "status", "priority"],
            )?,
            attempts: make.counters(
                "attempts_total",
                "Requests to the API, by what came of them.",
                &["phone_number_id", "outcome"],
            )?,
            error_codes: make.counters(
                "api_errors_total",
                "Error answers of the API, by code (other: not in the table). Most codes have no series until the number meets them.",
                &["phone_number_id", "code"],
            )?,
            queue_wait: make.histograms(
                "queue_wait_seconds",
                "From the request's AMQP timestamp (whole seconds) to its delivery.",
                &WAIT_BUCKETS,
            )?,
            pacing_wait: make.histograms(
                "pacing_wait_seconds",
                "From delivery to the start of the send.",
                &WAIT_BUCKETS,
            )?,
            api_latency: make.register(Histogram::with_opts(
                HistogramOpts::from(opts(
                    "api_latency_seconds",
                    "From the start of a send to its answer.",
                ))
                .buckets(LATENCY_BUCKETS.to_vec()),
            )?)?,
            end_to_end: make.histograms(
                "end_to_end_seconds",
                "From the request's AMQP timestamp (whole seconds) to its confirmed result.",
                &WAIT_BUCKETS,
            )?,
            delayed: make.counters("delayed_total", "Requests put on the delay ladder.", lane)?,
            shadow_waits: make.counters(
                "shadow_waits_total",
                "Sends that pacing.shadow_mps would have had wait.",
                lane,
            )?,
            transient: make.counters(
                "transient_requests_total",
                "Requests that were not published persistent.",
                lane,
            )?,
            redelivered: make.counter(
                "redelivered_total",
                "Deliveries that RabbitMQ had delivered before.",
            )?,
            evidence: make.counters(
                "evidence_total",
                "Requests delivered again that were looked up in wa.results.log, by what it had.",
                &["result"],
            )?,
            possible_duplicates: make.counter(
                "possible_duplicates_total",
                "Results flagged possible_duplicate.",
            )?,
            dead_letters: make.counter("dead_letters_total", "Requests put into wa.dead.")?,
            settled_void: make.counter(
                "settled_void_total",
                "Acknowledgements that came after their channel was gone.",
            )?,
            publish_refused: make.counters(
                "publish_refused_total",
                "Publishes that RabbitMQ could not route or refused; they are tried again.",
                &["why"],
            )?,
            refused_waiting: make.gauge(
                "refused_publishes_waiting",
                "Publishes that RabbitMQ has refused and not taken yet; their lanes send nothing.",
            )?,
            late_confirms: make.gauges(
                "late_confirms",
                "Publishes that RabbitMQ has not confirmed within broker.confirm_timeout_ms, though it answers; of wa.results: their lanes send nothing.",
                &["exchange"],
            )?,
            replies_undelivered: make.counter(
                "replies_undelivered_total",
                "Results that a reply_to queue did not take.",
            )?,
            unrouted: make.counter("unrouted_total", "Requests for numbers that nobody serves.")?,
            broker_connected: make.gauge(
                "broker_connected",
                "1 while a session with RabbitMQ is open.",
            )?,
            broker_sessions: make
                .counter("broker_sessions_total", "Sessions with RabbitMQ opened.")?,
            lane_resubscriptions: make.counters(
                "lane_resubscriptions_total",
                "Times a lane's consumer was found gone and subscribed again.",
                lane,
            )?,
            lane_connection_ends: make.counters(
                "lane_connection_ends_total",
                "Times a lane ended the connection that it had for itself (a delivery that RabbitMQ cannot make).",
                lane,
            )?,
            token_reloads: make.counters(
                "token_reloads_total",
                "Looks at changed token files, by result.",
                &["result"],
            )?,
            spans_exported: make.counters(
                "spans_exported_total",
                "Spans that the collector took, or that were lost on the way to it.",
                &["result"],
            )?,
            holds_found: make.counters(
                "holds_found_total",
                "Blocks, penalties, throttles and outages that this worker found, by how far they reach.",
                &["scope", "why"],
            )?,
            health_probes: make.counters(
                "health_probes_total",
                "Questions to the API whether a hold is over, by its answer.",
                &["result"],
            )?,
            api_reads: make.counters(
                "api_reads_total",
                "Slow reads of how the API sees numbers, tokens and templates.",
                &["what", "result"],
            )?,
            queue_messages: make.gauges(
                "queue_messages",
                "Messages that wait in a queue beside the lanes (wa.delay: the whole ladder); all workers tell the same.",
                &["queue"],
            )?,
            log_lines_left_out: make.counter(
                "log_lines_left_out_total",
                "Log lines left out, as others like them came too often.",
            )?,
            lanes_log_available: make.gauge(
                "lanes_log_available",
                "1 while wa.lanes.log and wa.tenures.log are read and written: pauses and blocks reach all workers.",
            )?,
            worker_id_shared: make.gauge(
                "worker_id_shared",
                "1 while another worker runs with this one's worker.id.",
            )?,
            registry,
            labelled,
        };
        for why in ["unroutable", "nack", "unconfirmed", "closed"] {
            metrics.publish_refused.with_label_values(&[why]);
        }
        for exchange in [RESULTS, DELAY, DEAD] {
            metrics.late(exchange);
        }
        for scope in [
            Scope::Lane,
            Scope::Waba,
            Scope::Token,
            Scope::App,
            Scope::Template,
        ] {
            for why in Why::ALL {
                metrics
                    .holds_found
                    .with_label_values(&[scope.as_str(), why.as_str()]);
            }
        }
        for result in ["found", "nothing", "unavailable"] {
            metrics.evidence.with_label_values(&[result]);
        }
        for health in Health::ALL {
            metrics.health_probes.with_label_values(&[health.as_str()]);
        }
        for result in ["ok", "error"] {
            metrics.token_reloads.with_label_values(&[result]);
            metrics.spans_exported.with_label_values(&[result]);
        }
        // Results of numbers that are not this worker's.
        drop(metrics.lane(OTHER));
        for (queue, _) in watched() {
            metrics.queue_messages.with_label_values(&[queue]);
        }
        for what in READS {
            for result in ["ok", "error"] {
                metrics.api_reads.with_label_values(&[what, result]);
            }
        }
        Ok(metrics)
    }

    /// What a number is called in metrics. Who has no series of its own may be anybody's invention.
    pub fn label<'a>(&self, phone_number_id: &'a str) -> &'a str {
        if self.labelled.contains(phone_number_id) {
            phone_number_id
        } else {
            OTHER
        }
    }

    /// Confirms of that exchange that are late; the rungs of the ladder are one.
    pub fn late(&self, exchange: &str) -> IntGauge {
        let exchange = if exchange.starts_with(DELAY) {
            DELAY
        } else {
            exchange
        };
        self.late_confirms.with_label_values(&[exchange])
    }

    /// The series of one lane, all at zero.
    pub fn lane(&self, phone_number_id: &str) -> LaneMetrics {
        let phone_number_id = self.label(phone_number_id);
        let lane = &[phone_number_id];
        self.lane_connection_ends.with_label_values(lane);
        for code in CODES {
            self.error_codes.with_label_values(&[phone_number_id, code]);
        }
        let requests = |status: Status, priority: Priority| {
            self.requests
                .with_label_values(&[phone_number_id, status.as_str(), priority.as_str()])
        };
        LaneMetrics {
            high: Status::ALL.map(|status| requests(status, Priority::High)),
            bulk: Status::ALL.map(|status| requests(status, Priority::Bulk)),
            attempts: OUTCOMES
                .map(|outcome| self.attempts.with_label_values(&[phone_number_id, outcome])),
            delayed: self.delayed.with_label_values(lane),
            shadow_waits: self.shadow_waits.with_label_values(lane),
            transient: self.transient.with_label_values(lane),
            resubscriptions: self.lane_resubscriptions.with_label_values(lane),
            queue_wait: [Priority::High, Priority::Bulk]
                .map(|p| self.queue_wait.with_label_values(&[p.as_str()])),
            pacing_wait: [Priority::High, Priority::Bulk]
                .map(|p| self.pacing_wait.with_label_values(&[p.as_str()])),
            end_to_end: [Priority::High, Priority::Bulk]
                .map(|p| self.end_to_end.with_label_values(&[p.as_str()])),
        }
    }

    /// The text format, with all that is read now.
    pub fn gather(&self, scrape: &Scrape) -> anyhow::Result<Vec<u8>> {
        let mut text = scrape.text().into_bytes();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
