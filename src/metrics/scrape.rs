//! What is read at the moment of a scrape, written as text straight away: a thousand lanes' gauges through the registry would each
//! be looked up, set, copied and sorted first, and take several times as long.

use super::NAMESPACE;
use super::process::{self, Process};
use crate::core::Now;
use crate::core::demand::Work;
use crate::core::lane::State;
use crate::core::number::{NumberState, TEMPLATE_STATUSES};
use crate::dispatch::Seen;
use crate::graph::reads::TemplateCounts;
use crate::workload::Effort;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Duration;

/// The label of lanes beyond `metrics.max_lanes`.
pub const OTHER: &str = "other";

pub struct Scrape {
    pub now: Now,
    pub is_ready: bool,
    pub is_blocked: bool,
    pub effort: Effort,
    pub drain_target: Duration,
    pub lanes: Vec<LaneSample>,
    pub accounts: Vec<AccountSample>,
}

pub struct LaneSample {
    pub label: Arc<str>,
    pub waba_id: Arc<str>,
    pub seen: Seen,
    pub work: Work,
}

pub struct AccountSample {
    pub waba_id: Arc<str>,
    pub is_token_valid: bool,
    /// Unix seconds; 0: never, or not known.
    pub token_expires_at: u64,
    pub templates: TemplateCounts,
    pub templates_held: usize,
}

/// How the gauges of lanes that share a label become one.
#[derive(Clone, Copy)]
enum Fold {
    Sum,
    Max,
}

struct LaneGauge {
    name: &'static str,
    help: &'static str,
    read: fn(&LaneSample, Now) -> f64,
    fold: Fold,
}

const fn sum(
    name: &'static str,
    help: &'static str,
    read: fn(&LaneSample, Now) -> f64,
) -> LaneGauge {
    let fold = Fold::Sum;
    LaneGauge {
        name,
        help,
        read,
        fold,
    }
}

/// One value per lane.
#[rustfmt::skip] // A table: name, help, what is read.
const LANE_GAUGES: [LaneGauge; 15] = [
    sum("lane_subscribed", "1 while this worker consumes the lane's queue (active or waiting).",
        |lane, _| flag(lane.seen.is_subscribed)),
    sum("lane_quarantined", "1 while the lane has a connection of its own, because a delivery of it ended one.",
        |lane, _| flag(lane.seen.is_apart)),
    sum("lane_owned", "1 while this worker has the lane: it took it, and RabbitMQ delivers it here.",
        |lane, _| flag(lane.seen.is_owned)),
    sum("lane_limit_messages_per_second", "The number's limit at the API.",
        |lane, _| f64::from(lane.seen.view.limit_mps)),
    sum("lane_rate_messages_per_second", "The rate this worker paces the lane at; 0 unless it has the lane.",
        |lane, _| if lane.seen.is_owned { lane.seen.view.bucket.rate_mps } else { 0.0 }),
    sum("lane_tokens", "Messages that the lane's bucket holds.",
        |lane, now| lane.seen.view.bucket.tokens(now)),
    sum("lane_in_flight", "Requests sent or decided, and not settled yet.",
        |lane, _| count(lane.seen.view.in_flight)),
    sum("lane_in_flight_max", "The bound of lane_in_flight.",
        |lane, _| count(lane.seen.view.in_flight_max)),
    sum("lane_waiting", "Deliveries that wait in this worker.",
        |lane, _| count(lane.seen.view.waiting)),
    sum("lane_pair_parked", "Recipients held by their pair limit.",
        |lane, _| count(lane.seen.view.pair_parked)),
    sum("lane_pairs", "Recipients whose pair limit is remembered.",
        |lane, _| count(lane.seen.view.pairs)),
    sum("lane_backlog_messages",
        "Requests that wait for their turn, in RabbitMQ and in the worker; told by who has the lane, and by all while it is held or paused.",
        |lane, _| whole(lane.work.backlog)),
    sum("lane_arrival_messages_per_second", "Requests that come in; 0 unless this worker has the lane.",
        |lane, _| lane.work.arrival_mps),
    sum("lane_work_allowed_messages_per_second",
        "What may be sent now: the lane's rate, or less if less comes in and waits; 0 unless this worker has the lane and it flows.",
        |lane, _| lane.work.allowed_mps),
    LaneGauge {
        name: "lane_time_to_drain_seconds",
        help: "How long the backlog takes at the lane's rate, less what comes in; 2592000 at most. Of a lane that is held: once it may send.",
        read: |lane, _| lane.work.drain.as_secs_f64(),
        fold: Fold::Max,
    },
];

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn count(count: usize) -> f64 {
    whole(u64::try_from(count).unwrap_or(u64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "for display; exact up to 2^52")]
fn whole(count: u64) -> f64 {
    count as f64
}

/// The text format, family by family.
pub(super) struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.header(&format!("{NAMESPACE}_{name}"), kind, help);
    }

    fn header(&mut self, name: &str, kind: &str, help: &str) {
        self.0 += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Labels are words of ours, digits, or made of letters and digits: none needs escaping.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0 += NAMESPACE;
        self.0.push('_');
        self.0 += name;
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0 += label;
            self.0 += "=\"";
            self.0 += text;
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        // Writing to a string cannot fail.
        let _infallible = writeln!(self.0, " {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }
}

impl Scrape {
    pub(super) fn text(&self) -> String {
        let mut text = Text(String::with_capacity(2_000 * self.lanes.len()));
        self.write_worker(&mut text);
        self.write_accounts(&mut text);
        let (folded, own): (Vec<_>, Vec<_>) =
            self.lanes.iter().partition(|lane| &*lane.label == OTHER);
        text.gauge(
            "lanes_folded",
            "Lanes beyond metrics.max_lanes, told together as other.",
            folded.len(),
        );
        for gauge in &LANE_GAUGES {
            text.family(gauge.name, "gauge", gauge.help);
            for lane in &own {
                let labels = [("phone_number_id", &*lane.label)];
                text.sample(gauge.name, &labels, (gauge.read)(lane, self.now));
            }
            if !folded.is_empty() {
                let values = folded.iter().map(|lane| (gauge.read)(lane, self.now));
                let value = match gauge.fold {
                    Fold::Sum => values.sum(),
                    Fold::Max => values.fold(0.0, f64::max),
                };
                text.sample(gauge.name, &[("phone_number_id", OTHER)], value);
            }
        }
        self.write_states(&mut text);
        self.write_holds(&mut text);
        self.write_numbers(&mut text);
        if let Some(process) = process::read() {
            write_process(&mut text, &process);
        }
        text.0
    }

    fn write_worker(&self, text: &mut Text) {
        text.gauge("ready", "1 while /readyz says so.", flag(self.is_ready));
        let help = "1 while RabbitMQ blocks publishers (memory or disk alarm).";
        text.gauge("broker_blocked", help, flag(self.is_blocked));
        let help = "metrics.drain_target_s: within this a backlog should be gone.";
        text.gauge(
            "drain_target_seconds",
            help,
            self.drain_target.as_secs_f64(),
        );
        let help = "What this worker can carry, by how long its thread was busy per message; 1000 until it was under load.";
        let name = "worker_capacity_messages_per_second";
        text.gauge(name, help, self.effort.capacity.mps());
        let (name, help) = (
            "worker_busy_seconds_total",
            "Time that the worker's one thread was busy.",
        );
        text.family(name, "counter", help);
        text.sample(name, &[], self.effort.busy.as_secs_f64());
    }

    fn write_accounts(&self, text: &mut Text) {
        let mut family = |name, help, read: fn(&AccountSample) -> f64| {
            text.family(name, "gauge", help);
            for account in &self.accounts {
                text.sample(name, &[("waba_id", &account.waba_id)], read(account));
            }
        };
        family(
            "token_valid",
            "0 while the API refuses the account's token.",
            |account| flag(account.is_token_valid),
        );
        family(
            "token_expires_timestamp_seconds",
            "When the account's token ends (Unix time); 0: never, or not known.",
            |account| whole(account.token_expires_at),
        );
        family(
            "templates_held",
            "Templates whose messages wait.",
            |account| count(account.templates_held),
        );
        let name = "templates";
        text.family(
            name,
            "gauge",
            "Message templates by status at Meta; 0 until read, and where another worker reads them.",
        );
        for account in &self.accounts {
            for (status, count) in TEMPLATE_STATUSES.iter().zip(account.templates) {
                let labels = [("waba_id", &*account.waba_id), ("status", status)];
                text.sample(name, &labels, count);
            }
        }
    }

    fn write_states(&self, text: &mut Text) {
        let name = "lane_state";
        text.family(
            name,
            "gauge",
            "1 for the state that the lane is in (other: how many lanes are).",
        );
        let mut folded = None;
        for lane in &self.lanes {
            let state = lane.seen.view.state.as_str();
            let words = State::WORDS.iter();
            if &*lane.label == OTHER {
                let counts = folded.get_or_insert([0; State::WORDS.len()]);
                for (_, count) in words.zip(counts).filter(|(word, _)| **word == state) {
                    *count += 1;
                }
                continue;
            }
            for word in words {
                let labels = [("phone_number_id", &*lane.label), ("state", word)];
                text.sample(name, &labels, u8::from(*word == state));
            }
        }
        for (word, count) in State::WORDS.iter().zip(folded.iter().flatten()) {
            text.sample(name, &[("phone_number_id", OTHER), ("state", word)], count);
        }
    }

    fn write_holds(&self, text: &mut Text) {
        let name = "lane_hold_since_seconds";
        text.family(
            name,
            "gauge",
            "What holds a lane, and since when (Unix time); no series while nothing does.",
        );
        // Of lanes with one label, the first that was held.
        let mut holds = BTreeMap::new();
        for lane in &self.lanes {
            if let Some(hold) = lane.seen.view.state.hold() {
                let key = (
                    &*lane.label,
                    hold.scope.as_str(),
                    hold.why.as_str(),
                    hold.code,
                );
                let since_ms = holds.entry(key).or_insert(hold.since_ms);
                *since_ms = hold.since_ms.min(*since_ms);
            }
        }
        for ((label, scope, why, code), since_ms) in holds {
            let code = code.map_or(String::new(), |code| code.to_string());
            let labels = [
                ("phone_number_id", label),
                ("scope", scope),
                ("why", why),
                ("code", &code),
            ];
            let since_ms = self.now.on_the_wall(since_ms);
            let since_s = Duration::from_millis(since_ms).as_secs_f64();
            text.sample(name, &labels, since_s);
        }
    }

    fn write_numbers(&self, text: &mut Text) {
        let name = "number_info";
        text.family(
            name,
            "gauge",
            "1; what Meta says of the number: unknown until it was read. From the worker that reads it.",
        );
        let mut write = |label: &str, waba_id: &str, number: &NumberState| {
            let labels = [
                ("phone_number_id", label),
                ("waba_id", waba_id),
                ("quality_rating", number.quality_rating),
                ("status", number.status),
                ("throughput_level", number.throughput_level),
                ("messaging_limit", number.messaging_limit),
            ];
            text.sample(name, &labels, 1);
        };
        let mut is_any_folded = false;
        for lane in &self.lanes {
            if &*lane.label == OTHER {
                is_any_folded = true;
            } else if !lane.seen.is_read_elsewhere {
                write(&lane.label, &lane.waba_id, &lane.seen.number);
            }
        }
        if is_any_folded {
            write(OTHER, OTHER, &NumberState::default());
        }
    }
}

/// The names that Prometheus' client libraries give these.
fn write_process(text: &mut Text, process: &Process) {
    let mut family = |name: &str, kind: &str, help: &str, value: f64| {
        text.header(name, kind, help);
        text.0 += &format!("{name} {value}\n");
    };
    family(
        "process_cpu_seconds_total",
        "counter",
        "User and system CPU time.",
        process.cpu_s,
    );
    family(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory.",
        process.resident_bytes,
    );
    family(
        "process_open_fds",
        "gauge",
        "Open file descriptors.",
        process.open_fds,
    );
    family(
        "process_max_fds",
        "gauge",
        "File descriptors at most.",
        process.max_fds,
    );
    family(
        "process_start_time_seconds",
        "gauge",
        "When the process started (Unix time).",
        process.started_s,
    );
}
