//! Every metric: the rows of [`FAMILIES`]. What is counted lives in a registry of our own, here; what is read at the moment of a scrape is
//! in [`scrape`]. Series exist from the start, at zero. A recipient is never a label; API error codes
//! outside the built-in table are counted as `other`, and so are lanes beyond `metrics.max_lanes` and tags beyond `metrics.max_tags`.

use crate::contract::words::{Priority, Status};
use crate::core::operation::{ACCOUNT_OPERATIONS, Repeat};
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Error codes that each number has a series of from the start: the throughput limit's, and those that are not in the table.
const CODES: [&str; 2] = ["130429", OTHER];

/// The place of a warning that is about a body as a whole.
const WHOLE: &str = "/";

mod families;
mod lane;
mod process;
mod sample;
mod scrape;
mod tags;

use crate::contract::names::DELAY;
pub use families::{FAMILIES, Family, Kind, OUTCOMES, READS};
pub use lane::LaneMetrics;
pub use sample::{AccountSample, LaneSample, Seen};
pub use scrape::{OTHER, Scrape};
use tags::{Place, Tags};

pub struct Metrics {
    registry: Registry,
    /// Numbers with series of their own.
    labelled: HashSet<String>,
    tagged: IntCounterVec,
    pub operations: IntCounterVec,
    tags: Mutex<Tags>,
    pub requests: IntCounterVec,
    pub attempts: IntCounterVec,
    pub error_codes: IntCounterVec,
    pub queue_wait: HistogramVec,
    pub pacing_wait: HistogramVec,
    pub api_latency: Histogram,
    pub thread_delay: Histogram,
    pub end_to_end: HistogramVec,
    pub delayed: IntCounterVec,
    pub duplicates: IntCounterVec,
    pub dedupe_searches: IntCounterVec,
    pub shadow_waits: IntCounterVec,
    pub media_uploads: IntCounterVec,
    pub media_uploaded_bytes: IntCounter,
    pub schema_warnings: IntCounterVec,
    pub transient: IntCounterVec,
    pub redelivered: IntCounter,
    pub evidence: IntCounterVec,
    pub possible_duplicates: IntCounter,
    pub dead_letters: IntCounter,
    pub acknowledgements_pending: IntGauge,
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

/// Makes collectors from rows. Where all words of all labels are known, the series exist from the start.
struct Maker(Registry);

impl Maker {
    fn register<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        collector: C,
    ) -> anyhow::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
    fn counter(&self, family: &Family) -> anyhow::Result<IntCounter> {
        self.register(IntCounter::with_opts(opts(family))?)
    }
    fn counters(&self, family: &Family) -> anyhow::Result<IntCounterVec> {
        let counters = self.register(IntCounterVec::new(opts(family), &family.label_names())?)?;
        for series in family.every_series() {
            counters.with_label_values(&series);
        }
        Ok(counters)
    }
    fn gauge(&self, family: &Family) -> anyhow::Result<IntGauge> {
        self.register(IntGauge::with_opts(opts(family))?)
    }
    fn gauges(&self, family: &Family) -> anyhow::Result<IntGaugeVec> {
        let gauges = self.register(IntGaugeVec::new(opts(family), &family.label_names())?)?;
        for series in family.every_series() {
            gauges.with_label_values(&series);
        }
        Ok(gauges)
    }
    fn histogram(&self, family: &Family) -> anyhow::Result<Histogram> {
        self.register(Histogram::with_opts(histogram_opts(family))?)
    }
    fn histograms(&self, family: &Family) -> anyhow::Result<HistogramVec> {
        let opts = histogram_opts(family);
        let histograms = self.register(HistogramVec::new(opts, &family.label_names())?)?;
        for series in family.every_series() {
            histograms.with_label_values(&series);
        }
        Ok(histograms)
    }
}

fn opts(family: &Family) -> Opts {
    Opts::new(family.full_name(), family.help)
}

fn histogram_opts(family: &Family) -> HistogramOpts {
    let buckets = match family.kind {
        Kind::Histogram(buckets) => buckets.to_vec(),
        Kind::Counter | Kind::Gauge => vec![],
    };
    HistogramOpts::from(opts(family)).buckets(buckets)
}

impl Metrics {
    /// `labelled`: the numbers with series of their own; all others share [`OTHER`], as do tags beyond the first `max_tags`.
    pub fn new(
        worker_id: &str,
        labelled: HashSet<String>,
        max_tags: usize,
    ) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let make = Maker(registry.clone());
        make.gauges(&families::BUILD_INFO)?
            .with_label_values(&[env!("CARGO_PKG_VERSION"), worker_id])
            .set(1);
        let metrics = Self {
            tagged: make.counters(&families::TAGGED)?,
            operations: make.counters(&families::OPERATIONS)?,
            tags: Mutex::new(Tags::new(max_tags)),
            requests: make.counters(&families::REQUESTS)?,
            attempts: make.counters(&families::ATTEMPTS)?,
            error_codes: make.counters(&families::API_ERRORS)?,
            queue_wait: make.histograms(&families::QUEUE_WAIT)?,
            pacing_wait: make.histograms(&families::PACING_WAIT)?,
            api_latency: make.histogram(&families::API_LATENCY)?,
            thread_delay: make.histogram(&families::THREAD_DELAY)?,
            end_to_end: make.histograms(&families::END_TO_END)?,
            delayed: make.counters(&families::DELAYED)?,
            duplicates: make.counters(&families::DUPLICATES)?,
            dedupe_searches: make.counters(&families::DEDUPE_SEARCHES)?,
            media_uploads: make.counters(&families::MEDIA_UPLOADS)?,
            media_uploaded_bytes: make.counter(&families::MEDIA_UPLOADED_BYTES)?,
            shadow_waits: make.counters(&families::SHADOW_WAITS)?,
            schema_warnings: make.counters(&families::SCHEMA_WARNINGS)?,
            transient: make.counters(&families::TRANSIENT)?,
            redelivered: make.counter(&families::REDELIVERED)?,
            evidence: make.counters(&families::EVIDENCE)?,
            possible_duplicates: make.counter(&families::POSSIBLE_DUPLICATES)?,
            dead_letters: make.counter(&families::DEAD_LETTERS)?,
            acknowledgements_pending: make.gauge(&families::ACKNOWLEDGEMENTS_PENDING)?,
            settled_void: make.counter(&families::SETTLED_VOID)?,
            publish_refused: make.counters(&families::PUBLISH_REFUSED)?,
            refused_waiting: make.gauge(&families::REFUSED_WAITING)?,
            late_confirms: make.gauges(&families::LATE_CONFIRMS)?,
            replies_undelivered: make.counter(&families::REPLIES_UNDELIVERED)?,
            unrouted: make.counter(&families::UNROUTED_REQUESTS)?,
            broker_connected: make.gauge(&families::BROKER_CONNECTED)?,
            broker_sessions: make.counter(&families::BROKER_SESSIONS)?,
            lane_resubscriptions: make.counters(&families::LANE_RESUBSCRIPTIONS)?,
            lane_connection_ends: make.counters(&families::LANE_CONNECTION_ENDS)?,
            token_reloads: make.counters(&families::TOKEN_RELOADS)?,
            spans_exported: make.counters(&families::SPANS_EXPORTED)?,
            holds_found: make.counters(&families::HOLDS_FOUND)?,
            health_probes: make.counters(&families::HEALTH_PROBES)?,
            api_reads: make.counters(&families::API_READS)?,
            queue_messages: make.gauges(&families::QUEUE_MESSAGES)?,
            log_lines_left_out: make.counter(&families::LOG_LINES_LEFT_OUT)?,
            lanes_log_available: make.gauge(&families::LANES_LOG_AVAILABLE)?,
            worker_id_shared: make.gauge(&families::WORKER_ID_SHARED)?,
            registry,
            labelled,
        };
        // Results of numbers that are not this worker's.
        drop(metrics.lane(OTHER));
        metrics.start_tag(OTHER);
        metrics.start_operations();
        Ok(metrics)
    }

    fn start_operations(&self) {
        for facts in ACCOUNT_OPERATIONS {
            let start = |status: Status| {
                let labels = [facts.name, status.as_str()];
                self.operations.with_label_values(&labels);
            };
            start(Status::Accepted);
            // The first of them counts, and an increase is not seen of a series that begins with it.
            if facts.repeat == Repeat::Doubles {
                start(Status::Unknown);
            }
        }
    }

    /// Returns the label of a number in metrics. A number without series of its own may be anybody's invention.
    pub fn label<'a>(&self, phone_number_id: &'a str) -> &'a str {
        if self.labelled.contains(phone_number_id) {
            phone_number_id
        } else {
            OTHER
        }
    }

    /// Counts a result of a request with that tag.
    pub fn tagged(&self, tag: &str, status: Status) {
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        let place = tags.place(tag);
        if place == Place::New {
            self.start_tag(tag);
        }
        let label = if place == Place::None { OTHER } else { tag };
        let series = [label, status.as_str()];
        self.tagged.with_label_values(&series).inc();
    }

    fn start_tag(&self, label: &str) {
        for status in Status::WORDS {
            self.tagged.with_label_values(&[label, status]);
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

    /// The series of an account's lane, all at zero. Its waits are in no histogram: operations that a budget spreads over hours would hide
    /// how long messages wait.
    pub fn account_lane(&self, lane: &str) -> LaneMetrics {
        let apart = || [(); 2].map(|()| Histogram::with_opts(HistogramOpts::new("apart", "apart")));
        let mut series = self.lane(lane);
        for kept in [
            &mut series.queue_wait,
            &mut series.pacing_wait,
            &mut series.end_to_end,
        ] {
            if let [Ok(high), Ok(bulk)] = apart() {
                *kept = [high, bulk];
            }
        }
        series
    }

    /// The series of one lane, all at zero.
    pub fn lane(&self, phone_number_id: &str) -> LaneMetrics {
        let phone_number_id = self.label(phone_number_id);
        let lane = &[phone_number_id];
        self.lane_connection_ends.with_label_values(lane);
        self.schema_warnings
            .with_label_values(&[phone_number_id, WHOLE]);
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
            duplicates: self.duplicates.with_label_values(lane),
            dedupe_searches: self.dedupe_searches.with_label_values(lane),
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
