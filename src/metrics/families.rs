//! Every metric as data: name, type, labels with their words, help. What is counted, what is written at a scrape, and the reference page
//! are all made from these rows; a name that is in no row cannot be written.

use crate::contract::names::{DEAD, DELAY, RESULTS, WATCHED};
use crate::contract::words::{Priority, Scope, Status};
use crate::core::fleet::holds::{Health, Why};
use crate::core::fleet::number::{
    MESSAGING_LIMITS, QUALITY_RATINGS, STATUSES, TEMPLATE_STATUSES, THROUGHPUT_LEVELS,
};
use crate::core::lane::State;

/// Slow reads of the API's own state, for `what`.
pub const READS: [&str; 3] = ["number", "token", "templates"];

/// The prefix of the names of all families of ours.
const PREFIX: &str = "wa_dispatcher_";

/// Seconds. From a request's arrival in the same datacentre to a scheduled campaign's backlog.
const WAIT_BUCKETS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 600.0, 3600.0,
];
/// Seconds. Meta's load-testing page speaks of 350 ms per call.
const LATENCY_BUCKETS: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];

/// Seconds. From a timer's own millisecond to what costs a connection: RabbitMQ ends one after twice `broker.heartbeat_s` without a frame.
const LATENESS_BUCKETS: [f64; 12] = [
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
];

/// All series of one name.
pub struct Family {
    /// Without [`Family::prefix`].
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [Label],
    pub help: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    /// With the upper edges of its buckets.
    Histogram(&'static [f64]),
}

pub struct Label {
    pub name: &'static str,
    /// Which words there may be; `None`: ids, versions, codes.
    pub words: Option<fn() -> Vec<&'static str>>,
}

impl Kind {
    /// As the text format has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

impl Family {
    /// Families of the process have the names that Prometheus' client libraries give them.
    pub fn prefix(&self) -> &'static str {
        if self.name.starts_with("process_") {
            ""
        } else {
            PREFIX
        }
    }

    pub fn full_name(&self) -> String {
        format!("{}{}", self.prefix(), self.name)
    }

    /// The unit, which the name ends in by Prometheus' convention; empty: a count, or a flag.
    pub fn unit(&self) -> &'static str {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        let units = [
            ("_messages_per_second", "messages per second"),
            ("_timestamp_seconds", "Unix time in seconds"),
            ("_since_seconds", "Unix time in seconds"),
            ("_time_seconds", "Unix time in seconds"),
            ("_seconds", "seconds"),
            ("_bytes", "bytes"),
        ];
        let unit = units.iter().find(|(suffix, _)| name.ends_with(suffix));
        unit.map_or("", |(_, unit)| unit)
    }

    pub(super) fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|label| label.name).collect()
    }

    /// The label values of every series that there can be; none if a label's words are open.
    pub(super) fn every_series(&self) -> Vec<Vec<&'static str>> {
        let mut series = vec![vec![]];
        for label in self.labels {
            let words = label.words.map(|words| words()).unwrap_or_default();
            let longer = |known: Vec<&'static str>| {
                let with = words.iter().map(move |word| [&known[..], &[word]].concat());
                with.collect::<Vec<_>>()
            };
            series = series.into_iter().flat_map(longer).collect();
        }
        series
    }
}

const fn open(name: &'static str) -> Label {
    Label { name, words: None }
}

const fn of(name: &'static str, words: fn() -> Vec<&'static str>) -> Label {
    let words = Some(words);
    Label { name, words }
}

const NUMBER: Label = open("phone_number_id");
const WABA: Label = open("waba_id");
const CODE: Label = open("code");
const AT: Label = open("at");
const TAG: Label = open("tag");
const OPERATION: Label = open("operation");
const PRIORITY: Label = of("priority", || Priority::WORDS.to_vec());
const STATUS: Label = of("status", || Status::WORDS.to_vec());
const OUTCOME: Label = of("outcome", || OUTCOMES.to_vec());
const WHAT: Label = of("what", || READS.to_vec());
const OK: Label = of("result", || vec!["ok", "error"]);
const FOUND: Label = of("result", || vec!["found", "nothing", "unavailable"]);
const UPLOAD: Label = of("result", || {
    vec!["uploaded", "known", "unchanged", "refused", "failed"]
});
const HEALTH: Label = of("result", || Health::WORDS.to_vec());
const WHY_REFUSED: Label = of("why", || {
    vec!["unroutable", "nack", "unconfirmed", "closed"]
});
const WHY: Label = of("why", || Why::WORDS.to_vec());
/// The scopes that can be held.
const SCOPE: Label = of("scope", || {
    use Scope::{App, Lane, Template, Token, Waba};
    [Lane, Waba, Token, App, Template]
        .map(Scope::as_str)
        .to_vec()
});
const EXCHANGE: Label = of("exchange", || vec![RESULTS, DELAY, DEAD]);
const QUEUE: Label = of("queue", || WATCHED.to_vec());
const STATE: Label = of("state", || State::WORDS.to_vec());
const TEMPLATE_STATUS: Label = of("status", || TEMPLATE_STATUSES.to_vec());
const QUALITY: Label = of("quality_rating", || QUALITY_RATINGS.to_vec());
const NUMBER_STATUS: Label = of("status", || STATUSES.to_vec());
const LEVEL: Label = of("throughput_level", || THROUGHPUT_LEVELS.to_vec());
const MESSAGING_LIMIT: Label = of("messaging_limit", || MESSAGING_LIMITS.to_vec());

/// Rows of `CONSTANT: kind, "name", [labels], "help";`, which become constants and the list of all.
macro_rules! families {
    ($($constant:ident: $kind:expr, $name:literal, [$($label:ident),*], $help:literal;)*) => {
        $(pub(super) const $constant: Family = Family {
            name: $name,
            kind: $kind,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// Every family, in the order of the rows.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

use Kind::{Counter, Gauge};

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
const WAITS: Kind = Kind::Histogram(&WAIT_BUCKETS);
const LATENCY: Kind = Kind::Histogram(&LATENCY_BUCKETS);
const LATENESS: Kind = Kind::Histogram(&LATENESS_BUCKETS);
const VERSION: Label = open("version");
const WORKER: Label = open("worker");

families! {
    // The worker.
    BUILD_INFO: Gauge, "build_info", [VERSION, WORKER], "1, with the version and the worker as labels.";
    READY: Gauge, "ready", [], "1 while /readyz says so.";
    WORKER_CAPACITY: Gauge, "worker_capacity_messages_per_second", [], "What this worker can carry, by how long its thread was busy per message; 1000 until it was under load.";
    WORKER_BUSY: Counter, "worker_busy_seconds_total", [], "Time that the worker's one thread was busy.";
    THREAD_DELAY: LATENESS, "thread_delay_seconds", [], "How late the worker's one thread came to a timer, ten times a second: frames to and from RabbitMQ, heartbeats among them, waited as long.";
    WORKER_ID_SHARED: Gauge, "worker_id_shared", [], "1 while another worker runs with this one's worker.id.";
    DRAIN_TARGET: Gauge, "drain_target_seconds", [], "metrics.drain_target_s: within this a backlog should be gone.";
    LOG_LINES_LEFT_OUT: Counter, "log_lines_left_out_total", [], "Log lines left out, as others like them came too often.";
    SPANS_EXPORTED: Counter, "spans_exported_total", [OK], "Spans that the collector took (ok), or that were lost on the way to it: not taken in time, or too many waited.";

    // Requests and their results.
    REQUESTS: Counter, "requests_total", [NUMBER, STATUS, PRIORITY], "Requests ended, by status and priority; phone_number_id other: numbers of other workers.";
    ATTEMPTS: Counter, "attempts_total", [NUMBER, OUTCOME], "Requests to the API, by what came of them (refused: for good).";
    API_ERRORS: Counter, "api_errors_total", [NUMBER, CODE], "Error answers of the API, by code (other: not in the table). Most codes have no series until the number meets them.";
    QUEUE_WAIT: WAITS, "queue_wait_seconds", [PRIORITY], "From the request's AMQP timestamp (whole seconds) to its delivery.";
    PACING_WAIT: WAITS, "pacing_wait_seconds", [PRIORITY], "From delivery to the start of the send.";
    API_LATENCY: LATENCY, "api_latency_seconds", [], "From the start of a send to its answer.";
    END_TO_END: WAITS, "end_to_end_seconds", [PRIORITY], "From the request's AMQP timestamp (whole seconds) to its confirmed result.";
    DELAYED: Counter, "delayed_total", [NUMBER], "Requests put on the delay ladder.";
    DUPLICATES: Counter, "duplicates_total", [NUMBER], "Requests with dedupe that were not sent, and answered by the result of an earlier one.";
    DEDUPE_SEARCHES: Counter, "dedupe_searches_total", [NUMBER], "Requests with dedupe that wa.results.log was searched for, as the lane has no room to remember so far back (lanes.dedupe_ids_max).";
    MEDIA_UPLOADS: Counter, "media_uploads_total", [UPLOAD], "Files that messages with header media name by link, by what came of each: uploaded; known by another link; unchanged at its source; refused, as Meta would not take it or its source has none; failed, for now.";
    MEDIA_UPLOADED_BYTES: Counter, "media_uploaded_bytes_total", [], "Size of the files that were uploaded for messages with header media.";
    SHADOW_WAITS: Counter, "shadow_waits_total", [NUMBER], "Sends that pacing.shadow_mps would have had wait.";
    SCHEMA_WARNINGS: Counter, "schema_warnings_total", [NUMBER, AT], "Requests that are sent though their body is not as Meta documents it (intake.schema = warn), by the first place that is not: six segments of its JSON pointer at most, * for an index, / for the whole. Most places have no series until a number meets them.";
    TRANSIENT: Counter, "transient_requests_total", [NUMBER], "Requests that were not published persistent.";
    REDELIVERED: Counter, "redelivered_total", [], "Deliveries that RabbitMQ had delivered before.";
    EVIDENCE: Counter, "evidence_total", [FOUND], "Requests delivered again that were looked up in wa.results.log, by what it had (unavailable: it could not be read to its end).";
    OPERATIONS: Counter, "operations_total", [OPERATION, STATUS], "Operations ended that are no messages, by name and status.";
    TAGGED: Counter, "tagged_results_total", [TAG, STATUS], "Results of requests with a tag; those with a tag beyond the first metrics.max_tags share the label other.";
    POSSIBLE_DUPLICATES: Counter, "possible_duplicates_total", [], "Results flagged possible_duplicate.";
    DEAD_LETTERS: Counter, "dead_letters_total", [], "Requests put into wa.dead.";
    UNROUTED_REQUESTS: Counter, "unrouted_total", [], "Requests for numbers that nobody serves.";

    // RabbitMQ.
    BROKER_CONNECTED: Gauge, "broker_connected", [], "1 while a session with RabbitMQ is open.";
    BROKER_SESSIONS: Counter, "broker_sessions_total", [], "Sessions with RabbitMQ opened.";
    BROKER_BLOCKED: Gauge, "broker_blocked", [], "1 while RabbitMQ blocks publishers (memory or disk alarm).";
    QUEUE_MESSAGES: Gauge, "queue_messages", [QUEUE], "Messages that wait in a queue beside the lanes (wa.delay: the whole ladder); all workers tell the same.";
    PUBLISH_REFUSED: Counter, "publish_refused_total", [WHY_REFUSED], "Publishes that RabbitMQ could not route or refused (closed: it closed the channel over them); they are tried again.";
    REFUSED_WAITING: Gauge, "refused_publishes_waiting", [], "Publishes that RabbitMQ has refused and not taken yet; of wa.results: their lanes send nothing.";
    LATE_CONFIRMS: Gauge, "late_confirms", [EXCHANGE], "Publishes that RabbitMQ has not confirmed within broker.confirm_timeout_ms, though it answers (wa.delay: the whole ladder); of wa.results: their lanes send nothing.";
    REPLIES_UNDELIVERED: Counter, "replies_undelivered_total", [], "Results that a reply_to queue did not take within 2 s; RabbitMQ's direct replies are not counted.";
    ACKNOWLEDGEMENTS_PENDING: Gauge, "acknowledgements_pending", [], "Requests that are done and not acknowledged yet, kept back for a tenth of a second at most; RabbitMQ would deliver them again if the worker died.";
    SETTLED_VOID: Counter, "settled_void_total", [], "Acknowledgements that came after their channel was gone: RabbitMQ delivers those requests again.";
    LANES_LOG_AVAILABLE: Gauge, "lanes_log_available", [], "1 while wa.lanes.log and wa.tenures.log are read and written: pauses and blocks reach all workers.";

    // Holds, and how Meta sees accounts and numbers.
    HOLDS_FOUND: Counter, "holds_found_total", [SCOPE, WHY], "Blocks, penalties, throttles and outages that this worker found, by how far they reach.";
    LANE_HOLD_SINCE: Gauge, "lane_hold_since_seconds", [NUMBER, SCOPE, WHY, CODE], "What holds a lane, and since when (Unix time); no series while nothing does.";
    HEALTH_PROBES: Counter, "health_probes_total", [HEALTH], "Questions to the API whether a hold is over, by its answer.";
    API_READS: Counter, "api_reads_total", [WHAT, OK], "Slow reads of how the API sees numbers, tokens and templates.";
    NUMBER_INFO: Gauge, "number_info", [NUMBER, WABA, QUALITY, NUMBER_STATUS, LEVEL, MESSAGING_LIMIT], "1; what Meta says of the number: unknown until it was read. From the worker that reads it.";
    TOKEN_VALID: Gauge, "token_valid", [WABA], "0 while the API refuses the account's token.";
    TOKEN_EXPIRES: Gauge, "token_expires_timestamp_seconds", [WABA], "When the account's token ends (Unix time); 0: never, or not known.";
    TOKEN_RELOADS: Counter, "token_reloads_total", [OK], "Looks at changed token files, by result.";
    TEMPLATES: Gauge, "templates", [WABA, TEMPLATE_STATUS], "Message templates by status at Meta; 0 until read, and where another worker reads them.";
    TEMPLATES_HELD: Gauge, "templates_held", [WABA], "Templates whose messages wait.";

    // Lanes.
    LANE_STATE: Gauge, "lane_state", [NUMBER, STATE], "1 for the state that the lane is in (other: how many lanes are).";
    LANE_SUBSCRIBED: Gauge, "lane_subscribed", [NUMBER], "1 while this worker consumes the lane's queue (active or waiting).";
    LANE_RESUBSCRIPTIONS: Counter, "lane_resubscriptions_total", [NUMBER], "Times a lane's consumer was found gone and subscribed again.";
    LANE_QUARANTINED: Gauge, "lane_quarantined", [NUMBER], "1 while the lane has a connection of its own, because a delivery of it ended one.";
    LANE_CONNECTION_ENDS: Counter, "lane_connection_ends_total", [NUMBER], "Times a lane ended the connection that it had for itself (a delivery that RabbitMQ cannot make).";
    LANE_OWNED: Gauge, "lane_owned", [NUMBER], "1 while this worker has the lane: it took it, and RabbitMQ delivers it here.";
    LANE_LIMIT: Gauge, "lane_limit_messages_per_second", [NUMBER], "The number's limit at the API.";
    LANE_RATE: Gauge, "lane_rate_messages_per_second", [NUMBER], "The rate this worker paces the lane at; 0 unless it has the lane.";
    LANE_TOKENS: Gauge, "lane_tokens", [NUMBER], "Messages that the lane's bucket holds.";
    LANE_IN_FLIGHT: Gauge, "lane_in_flight", [NUMBER], "Requests sent or decided, and not settled yet.";
    LANE_IN_FLIGHT_MAX: Gauge, "lane_in_flight_max", [NUMBER], "The bound of lane_in_flight.";
    LANE_WAITING: Gauge, "lane_waiting", [NUMBER], "Deliveries that wait in this worker.";
    LANE_PAIR_PARKED: Gauge, "lane_pair_parked", [NUMBER], "Recipients held by their pair limit.";
    LANE_PAIRS: Gauge, "lane_pairs", [NUMBER], "Recipients whose pair limit is remembered.";
    LANE_IDS: Gauge, "lane_remembered_ids", [NUMBER], "Request ids that are remembered because requests say dedupe.";
    LANE_BACKLOG: Gauge, "lane_backlog_messages", [NUMBER], "Requests that wait for their turn, in RabbitMQ and in the worker; told by who has the lane, and by all while it is held or paused: of several workers take the largest.";
    LANE_ARRIVAL: Gauge, "lane_arrival_messages_per_second", [NUMBER], "Requests that come in; 0 unless this worker has the lane, so add the workers up.";
    LANE_WORK_ALLOWED: Gauge, "lane_work_allowed_messages_per_second", [NUMBER], "What may be sent now: the lane's rate, or less if less comes in and waits; 0 unless this worker has the lane and it flows, so add the workers up.";
    LANE_TIME_TO_DRAIN: Gauge, "lane_time_to_drain_seconds", [NUMBER], "How long the backlog takes at the lane's rate, less what comes in; 2592000 at most. Of a lane that is held: once it may send. Of several workers take the largest.";
    LANES_FOLDED: Gauge, "lanes_folded", [], "Lanes beyond metrics.max_lanes, told together as other.";

    // The process, on Linux only.
    PROCESS_CPU: Counter, "process_cpu_seconds_total", [], "User and system CPU time. Linux only.";
    PROCESS_RESIDENT: Gauge, "process_resident_memory_bytes", [], "Resident memory. Linux only.";
    PROCESS_OPEN_FDS: Gauge, "process_open_fds", [], "Open file descriptors. Linux only.";
    PROCESS_MAX_FDS: Gauge, "process_max_fds", [], "File descriptors at most. Linux only.";
    PROCESS_START_TIME: Gauge, "process_start_time_seconds", [], "When the process started (Unix time). Linux only.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_name_stands_once_and_says_what_it_counts() {
        let mut known = BTreeSet::new();
        for family in FAMILIES {
            assert!(known.insert(family.name), "{}", family.name);
            let is_total = family.name.ends_with("_total");
            assert_eq!(is_total, family.kind == Counter, "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
            for label in family.labels {
                assert!(label.words.is_none_or(|words| !words().is_empty()));
            }
        }
    }

    #[test]
    fn a_unit_is_read_from_the_name() {
        assert_eq!(WORKER_BUSY.unit(), "seconds");
        assert_eq!(LANE_RATE.unit(), "messages per second");
        assert_eq!(TOKEN_EXPIRES.unit(), "Unix time in seconds");
        assert_eq!(LANE_TIME_TO_DRAIN.unit(), "seconds");
        assert_eq!(REQUESTS.unit(), "");
    }

    #[test]
    fn series_are_all_words_with_all_words() {
        assert_eq!(HOLDS_FOUND.every_series().len(), 20);
        assert_eq!(API_READS.every_series()[1], ["number", "error"]);
        // Which numbers there are is not known here.
        assert_eq!(ATTEMPTS.every_series().len(), 0);
    }
}
