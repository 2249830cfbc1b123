//! What one seed does: numbers, limits, faults, requests, and what befalls the workers. All of it is drawn here, before the start.
//!
//! Each kind of fault is fully off in about half of the seeds, so that rare mixes occur instead of everything at once.

use super::Us;
use super::api::waba;
use super::chance::Chance;
use super::links::{Undeliverable, undeliverable};
pub(crate) use super::mishaps::Mishap;
use super::{again, clocks, dedupe, faults, handover, lanes_log, media};
use graph_sim::{Fault, NumberRules};
use std::time::Duration;
use whatsapp_dispatcher::core::fleet::holds::ProbePeriods;
use whatsapp_dispatcher::core::lane::pacing::{PaceConfig, Spacing};
use whatsapp_dispatcher::core::lane::{LaneConfig, Redelivery, RedeliveryPolicy};
use whatsapp_dispatcher::core::request::retry::RetryPolicy;

pub(crate) type RequestNo = usize;

/// Of messages that are made from one.
pub(crate) const TEMPLATES: [&str; 2] = ["sale", "order"];

/// The wall clock when a simulation starts.
pub(crate) const WALL_START_MS: u64 = 1_800_000_000_000;

pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    /// All have one name.
    pub(crate) has_namesakes: bool,
    pub(crate) lanes: Vec<LanePlan>,
    /// Each with its token.
    pub(crate) accounts: usize,
    pub(crate) probes: ProbePeriods,
    /// Messages of a paused template wait for so long; otherwise they end.
    pub(crate) template_pause_s: Option<u32>,
    pub(crate) requests: Vec<Request>,
    pub(crate) mishaps: Vec<(Us, Mishap)>,
    pub(crate) faults: Vec<Fault>,
    /// Goes on when all else is calm.
    pub(crate) lone: Option<Fault>,
    pub(crate) network: Network,
    pub(crate) request_timeout: Us,
    /// From here on nothing goes wrong any more.
    pub(crate) calm_at: Us,
    pub(crate) undeliverable: Option<Undeliverable>,
}

pub(crate) struct LanePlan {
    pub(crate) id: String,
    pub(crate) account: usize,
    pub(crate) config: LaneConfig,
    pub(crate) rules: NumberRules,
    /// The limit is not configured but read from the API at every start.
    pub(crate) reads_limit: bool,
}

pub(crate) struct Network {
    /// Between worker and broker, one way, at most.
    pub(crate) broker_us: Us,
    /// How late a timer fires, at most.
    pub(crate) late_us: Us,
    /// How long a record of the log is on its way to a reader, at most.
    pub(crate) log_us: Us,
    /// Publishes that the broker turns away.
    pub(crate) nack_percent: u64,
}

#[derive(Clone)]
pub(crate) struct Request {
    /// Not before the one of that number has ended, if it is the same id published again.
    pub(crate) after: Option<RequestNo>,
    pub(crate) at: Us,
    pub(crate) lane: usize,
    pub(crate) id: Option<String>,
    /// What tells it from another of the same id.
    pub(crate) incarnation: Option<u64>,
    /// `biz_opaque_callback_data` as the API sees it.
    pub(crate) opaque: String,
    pub(crate) body: String,
    pub(crate) person: Option<usize>,
    pub(crate) template: Option<&'static str>,
    pub(crate) high: bool,
    pub(crate) expires_at_ms: Option<u64>,
    pub(crate) not_before_ms: Option<u64>,
    pub(crate) on_unknown: Option<&'static str>,
    pub(crate) dedupe_s: Option<u32>,
    /// The file that it names by a link, and wants uploaded.
    pub(crate) link: Option<usize>,
    pub(crate) operation: Option<&'static str>,
    pub(crate) is_receipt: bool,
    pub(crate) is_valid: bool,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let chance = &mut chance;
        let span = chance.within(2..=25) * 1_000_000;
        let count = chance.within(1..=3);
        let accounts = chance.within(1..=2.min(count)) as usize;
        let lanes: Vec<LanePlan> = (0..count)
            .map(|index| lane(index, index as usize % accounts, chance))
            .collect();
        let workers = chance.within(1..=3) as usize;
        let mut requests = requests(lanes.len(), span, chance);
        requests.sort_by_key(|request| request.at);
        let mishaps = mishaps(workers, &lanes, accounts, span, chance);
        let outage = faults::outage(span, chance);
        let paused = faults::template(span, chance);
        let lone = faults::lone(&requests, seed);
        let ends_at = outage.iter().filter_map(|fault| fault.matches.to_ms).max();
        let ends_at = ends_at.unwrap_or(0) * 1_000;
        let mut plan = Self {
            seed,
            workers,
            has_namesakes: false,
            requests,
            mishaps,
            faults: lone
                .clone()
                .into_iter()
                .chain(outage)
                .chain(paused)
                .chain(faults::draw(chance))
                .collect(),
            network: Network {
                broker_us: chance.pick(&[200, 2_000, 40_000]),
                late_us: chance.pick(&[0, 1_500, 20_000]),
                log_us: chance.pick(&[200, 20_000, 400_000]),
                nack_percent: chance.pick(&[0, 0, 5]),
            },
            request_timeout: chance.pick(&[1_000_000, 5_000_000]),
            lone,
            calm_at: span.max(ends_at) + 5_000_000,
            probes: ProbePeriods {
                first: Duration::from_secs(chance.pick(&[1, 5])),
                longest: Duration::from_secs(chance.pick(&[5, 40])),
            },
            template_pause_s: chance.pick(&[None, Some(5), Some(60)]),
            accounts,
            undeliverable: undeliverable(lanes.len(), span, seed),
            lanes,
        };
        plan.mishaps.extend(lanes_log::away(span, chance));
        plan.mishaps.extend(clocks::set(workers, span, chance));
        handover::draw(&mut plan, span, seed);
        again::publish_again(&mut plan, span, chance);
        dedupe::draw(&mut plan, span, seed);
        media::draw(&mut plan, seed);
        plan
    }
}

fn lane(index: u64, account: usize, chance: &mut Chance) -> LanePlan {
    let limit_mps = chance.pick(&[1, 3, 10, 20, 80]);
    let utilization = chance.pick(&[0.5, 0.9, 0.97]);
    let burst = Duration::from_millis(chance.pick(&[0, 5, 20]));
    let interval = Duration::from_millis(chance.pick(&[0, 500, 6_000]));
    let pair_burst = chance.pick(&[1, 2, 5, 45]);
    let base_s = chance.pick(&[1, 2]);
    let config = LaneConfig {
        pace: PaceConfig {
            limit_mps: limit_mps.into(),
            utilization,
            burst,
        },
        pair: Spacing {
            interval,
            burst: pair_burst,
        },
        pair_wait_max: Duration::from_secs(chance.pick(&[0, 2, 30])),
        latency: Duration::from_millis(chance.pick(&[50, 300, 1_000])),
        max_in_flight: chance.pick(&[1, 8, 200]),
        buffer: Duration::from_millis(chance.pick(&[0, 500, 2_000])),
        bulk_every: chance.pick(&[2, 3, 10]),
        retry: RetryPolicy {
            max_attempts: chance.pick(&[1, 2, 5]),
            max_age_s: chance.pick(&[20, 3_600, 86_400]),
            base_s,
            max_delay_s: chance.pick(&[base_s, 10, 60]),
        },
        redelivery: Redelivery {
            policy: chance.pick(&[
                RedeliveryPolicy::Resend,
                RedeliveryPolicy::Resend,
                RedeliveryPolicy::Report,
            ]),
            max_deliveries: if index.is_multiple_of(2) { 2 } else { 200 },
        },
        dedupe_ids_max: 1_000,
        breaker_failures: chance.pick(&[1, 3, 10]),
        shadow_mps: chance.pick(&[None, Some(2)]),
        pairs_max: 100_000,
    };
    let rules = NumberRules {
        mps: Some(limit_mps),
        // Without an interval the dispatcher counts no pairs, and neither must the API.
        pair_burst: if interval.is_zero() {
            0
        } else {
            pair_burst.into()
        },
        pair_interval_ms: interval.as_millis() as u64,
        latency_ms: chance.pick(&[1, 30, 300]),
        latency_jitter_ms: chance.pick(&[0, 20, 500]),
        arrival_jitter_ms: chance.pick(&[0, 1, 4, 12]),
        waba_id: waba(account),
        inbound_mps: chance.pick(&[0.0, 0.0, 0.0, f64::from(limit_mps) / 2.0]),
        ..NumberRules::default()
    };
    LanePlan {
        id: format!("{}", 101 + index),
        account,
        config,
        rules,
        reads_limit: chance.percent(30),
    }
}

fn requests(lanes: usize, span: Us, chance: &mut Chance) -> Vec<Request> {
    let count = chance.pick(&[1, 10, 40, 100]);
    let people = chance.pick(&[1, 3, 20]);
    let high = chance.pick(&[0, 20, 60]);
    let receipts = chance.pick(&[0, 0, 20]);
    let invalid = chance.pick(&[0, 0, 10]);
    let timed = chance.pick(&[0, 20]);
    let resend = chance.pick(&[0, 50, 100]);
    let templates = chance.pick(&[0, 0, 50]);
    // All at once, or spread.
    let spread = chance.pick(&[1, span / 4, span]);
    (0..count)
        .map(|no| {
            let at = chance.within(0..=spread);
            let person = chance.within(0..=people - 1) as usize;
            let id = format!("r-{no}");
            let own_opaque = chance.percent(10).then(|| format!("own-{no}"));
            let is_receipt = chance.percent(receipts);
            let template = chance.percent(templates).then(|| chance.pick(&TEMPLATES));
            let template = template.filter(|_| !is_receipt);
            let (body, person) = if is_receipt {
                let body = r#"{"status":"read","message_id":"wamid.IN1"}"#.to_owned();
                (body, None)
            } else {
                (
                    message(person, template, own_opaque.as_deref(), chance),
                    Some(person),
                )
            };
            // Drawn from no chance, which would change what every seed plans.
            let body = match no % 7 {
                3 => with_nulls(&body),
                _ => body,
            };
            let wall_ms = WALL_START_MS + at / 1_000;
            let request = Request {
                after: None,
                at,
                lane: chance.within(0..=lanes as u64 - 1) as usize,
                opaque: own_opaque
                    .filter(|_| !is_receipt)
                    .unwrap_or_else(|| id.clone()),
                id: Some(id),
                incarnation: None,
                body,
                person,
                template,
                high: chance.percent(high),
                expires_at_ms: chance
                    .percent(timed)
                    .then(|| wall_ms + chance.within(0..=20_000)),
                not_before_ms: chance
                    .percent(timed)
                    .then(|| wall_ms + chance.within(0..=20_000)),
                on_unknown: faults::on_unknown(no, chance.percent(resend)),
                dedupe_s: None,
                link: None,
                operation: chance.percent(20).then_some("message"),
                is_receipt,
                is_valid: true,
            };
            if chance.percent(invalid) {
                faults::spoil(request, chance)
            } else {
                request
            }
        })
        .collect()
}

/// As clients write that have a member for everything: null is as good as absent.
fn with_nulls(body: &str) -> String {
    let absent = ["recipient", "biz_opaque_callback_data"];
    let absent = absent
        .iter()
        .filter(|name| !body.contains(&format!("\"{name}\"")));
    let nulls: String = absent.map(|name| format!("\"{name}\":null,")).collect();
    format!("{{{nulls}{}", &body[1..])
}

/// One person in several spellings.
fn message(
    person: usize,
    template: Option<&str>,
    opaque: Option<&str>,
    chance: &mut Chance,
) -> String {
    let to = match chance.within(0..=3) {
        0 => format!("+49 151-{person:04}"),
        1 => format!("(49) 151 {person:04}"),
        _ => format!("49151{person:04}"),
    };
    let opaque = opaque.map_or(String::new(), |opaque| {
        format!(r#""biz_opaque_callback_data":"{opaque}","#)
    });
    let content = match template {
        Some(name) => format!(
            r#""type":"template","template":{{"name":"{name}","language":{{"code":"en"}}}}"#
        ),
        None => r#""type":"text","text":{"body":"hello"}"#.to_owned(),
    };
    format!(r#"{{{opaque}"to":"{to}",{content}}}"#)
}

fn mishaps(
    workers: usize,
    lanes: &[LanePlan],
    accounts: usize,
    span: Us,
    chance: &mut Chance,
) -> Vec<(Us, Mishap)> {
    let mut mishaps = vec![];
    for kind in 0..11 {
        if chance.percent(50) {
            continue;
        }
        for _ in 0..chance.within(1..=3) {
            let at = chance.within(0..=span);
            let worker = chance.within(0..=workers as u64 - 1) as usize;
            let lane = chance.within(0..=lanes.len() as u64 - 1) as usize;
            let account = chance.within(0..=accounts as u64 - 1) as usize;
            let for_us = chance.pick(&[1_000, 300_000, 3_000_000]);
            let longer_us = chance.pick(&[300_000, 3_000_000, 15_000_000]);
            let mishap = match kind {
                0 => Mishap::SessionLost { worker, for_us },
                1 => Mishap::ChannelLost { worker, lane },
                2 => Mishap::Crash { worker, for_us },
                3 => Mishap::Drain { worker, for_us },
                4 => Mishap::Pause {
                    worker,
                    lane,
                    for_us,
                },
                5 => Mishap::SetLimit {
                    lane,
                    limit_mps: chance.pick(&[1, 5, 20, 100]),
                },
                6 => Mishap::TokenExpires {
                    account,
                    for_us: longer_us,
                    renews: chance.percent(50),
                },
                7 => Mishap::AccountBlocked {
                    account,
                    code: chance.pick(&[368, 131_042, 131_064]),
                    for_us: longer_us,
                },
                8 => Mishap::Inbound {
                    lane,
                    mps: lanes[lane].config.pace.limit_mps as u32,
                    for_us: longer_us,
                },
                9 => Mishap::Usage {
                    account,
                    percent: chance.pick(&[80, 95, 100]),
                    regain_minutes: chance.pick(&[0, 0, 1, 3]),
                    for_us: longer_us,
                },
                _ => Mishap::Outage { for_us },
            };
            mishaps.push((at, mishap));
        }
    }
    mishaps
}
