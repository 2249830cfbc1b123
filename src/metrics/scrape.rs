//! Gauges that are read at the moment of a scrape, written as text straight away: a thousand lanes' gauges through the registry would each
//! be looked up, set, copied and sorted first, and take several times as long.

use super::families::{self, Family};
use super::process::{self, Process};
use super::sample::{AccountSample, LaneSample};
use crate::core::Now;
use crate::core::fleet::number::{NumberState, TEMPLATE_STATUSES};
use crate::core::lane::State;
use crate::core::lane::demand::Effort;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
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

/// How the gauges of lanes that share a label become one.
#[derive(Clone, Copy)]
enum Fold {
    Sum,
    Max,
}

type Read = fn(&LaneSample, Now) -> f64;

/// One value per lane.
#[rustfmt::skip] // A table: what, how it is folded, what is read.
const LANE_GAUGES: [(&Family, Fold, Read); 16] = [
    (&families::LANE_SUBSCRIBED, Fold::Sum, |lane, _| flag(lane.seen.is_subscribed)),
    (&families::LANE_QUARANTINED, Fold::Sum, |lane, _| flag(lane.seen.is_apart)),
    (&families::LANE_OWNED, Fold::Sum, |lane, _| flag(lane.seen.is_owned)),
    (&families::LANE_LIMIT, Fold::Sum, |lane, _| lane.seen.view.limit_mps),
    (&families::LANE_RATE, Fold::Sum, |lane, _| if lane.seen.is_owned { lane.seen.view.bucket.rate_mps } else { 0.0 }),
    (&families::LANE_TOKENS, Fold::Sum, |lane, now| lane.seen.view.bucket.tokens(now)),
    (&families::LANE_IN_FLIGHT, Fold::Sum, |lane, _| count(lane.seen.view.in_flight)),
    (&families::LANE_IN_FLIGHT_MAX, Fold::Sum, |lane, _| count(lane.seen.view.in_flight_max)),
    (&families::LANE_WAITING, Fold::Sum, |lane, _| count(lane.seen.view.waiting)),
    (&families::LANE_PAIR_PARKED, Fold::Sum, |lane, _| count(lane.seen.view.pair_parked)),
    (&families::LANE_PAIRS, Fold::Sum, |lane, _| count(lane.seen.view.pairs)),
    (&families::LANE_IDS, Fold::Sum, |lane, _| count(lane.seen.view.ids)),
    (&families::LANE_BACKLOG, Fold::Sum, |lane, _| whole(lane.work.backlog)),
    (&families::LANE_ARRIVAL, Fold::Sum, |lane, _| lane.work.arrival_mps),
    (&families::LANE_WORK_ALLOWED, Fold::Sum, |lane, _| lane.work.allowed_mps),
    (&families::LANE_TIME_TO_DRAIN, Fold::Max, |lane, _| lane.work.drain.as_secs_f64()),
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
    fn family(&mut self, family: &Family) {
        let (name, kind, help) = (family.full_name(), family.kind.as_str(), family.help);
        self.0 += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Values for the family's labels, in their order: words of ours, digits, or made of letters and digits, so none needs escaping.
    fn sample(&mut self, family: &Family, values: &[&str], value: impl Display) {
        self.0 += family.prefix();
        self.0 += family.name;
        for (index, (label, text)) in family.labels.iter().zip(values).enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0 += label.name;
            self.0 += "=\"";
            self.0 += text;
            self.0.push('"');
        }
        if !values.is_empty() {
            self.0.push('}');
        }
        // Writing to a string cannot fail.
        let _infallible = writeln!(self.0, " {value}");
    }

    fn alone(&mut self, family: &Family, value: impl Display) {
        self.family(family);
        self.sample(family, &[], value);
    }
}

impl Scrape {
    pub(super) fn text(&self) -> String {
        let mut text = Text(String::with_capacity(2_000 * self.lanes.len()));
        self.write_worker(&mut text);
        self.write_accounts(&mut text);
        let (folded, own): (Vec<_>, Vec<_>) =
            self.lanes.iter().partition(|lane| &*lane.label == OTHER);
        text.alone(&families::LANES_FOLDED, folded.len());
        for (family, fold, read) in &LANE_GAUGES {
            text.family(family);
            for lane in &own {
                text.sample(family, &[&lane.label], read(lane, self.now));
            }
            if !folded.is_empty() {
                let values = folded.iter().map(|lane| read(lane, self.now));
                let value = match fold {
                    Fold::Sum => values.sum(),
                    Fold::Max => values.fold(0.0, f64::max),
                };
                text.sample(family, &[OTHER], value);
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
        text.alone(&families::READY, flag(self.is_ready));
        text.alone(&families::BROKER_BLOCKED, flag(self.is_blocked));
        text.alone(&families::DRAIN_TARGET, self.drain_target.as_secs_f64());
        text.alone(&families::WORKER_CAPACITY, self.effort.capacity.mps());
        text.alone(&families::WORKER_BUSY, self.effort.busy.as_secs_f64());
    }

    fn write_accounts(&self, text: &mut Text) {
        let mut write = |family, read: fn(&AccountSample) -> f64| {
            text.family(family);
            for account in &self.accounts {
                text.sample(family, &[&account.waba_id], read(account));
            }
        };
        write(&families::TOKEN_VALID, |account| {
            flag(account.is_token_valid)
        });
        write(&families::TOKEN_EXPIRES, |account| {
            whole(account.token_expires_at)
        });
        write(&families::TEMPLATES_HELD, |account| {
            count(account.templates_held)
        });
        let family = &families::TEMPLATES;
        text.family(family);
        for account in &self.accounts {
            for (status, count) in TEMPLATE_STATUSES.iter().zip(account.templates) {
                text.sample(family, &[&account.waba_id, status], count);
            }
        }
    }

    fn write_states(&self, text: &mut Text) {
        let family = &families::LANE_STATE;
        text.family(family);
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
                text.sample(family, &[&lane.label, word], u8::from(*word == state));
            }
        }
        for (word, count) in State::WORDS.iter().zip(folded.iter().flatten()) {
            text.sample(family, &[OTHER, word], count);
        }
    }

    fn write_holds(&self, text: &mut Text) {
        let family = &families::LANE_HOLD_SINCE;
        text.family(family);
        // The longest hold counts where several lanes share a label.
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
            let since_ms = self.now.on_the_wall(since_ms);
            let since_s = Duration::from_millis(since_ms).as_secs_f64();
            text.sample(family, &[label, scope, why, &code], since_s);
        }
    }

    fn write_numbers(&self, text: &mut Text) {
        let family = &families::NUMBER_INFO;
        text.family(family);
        let mut write = |label: &str, waba_id: &str, number: &NumberState| {
            let values = [
                label,
                waba_id,
                number.quality_rating,
                number.status,
                number.throughput_level,
                number.messaging_limit,
            ];
            text.sample(family, &values, 1);
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

fn write_process(text: &mut Text, process: &Process) {
    text.alone(&families::PROCESS_CPU, process.cpu_s);
    text.alone(&families::PROCESS_RESIDENT, process.resident_bytes);
    text.alone(&families::PROCESS_OPEN_FDS, process.open_fds);
    text.alone(&families::PROCESS_MAX_FDS, process.max_fds);
    text.alone(&families::PROCESS_START_TIME, process.started_s);
}
