//! One lane in `/lanes`.

use super::state::Admin;
use crate::core::Now;
use crate::core::fleet::holds::{Hold, Why};
use crate::core::lane::{State, View};
use crate::metrics::LaneSample;
use crate::roles::dispatcher::lane_task::LaneHandle;
use serde_json::{Value, json};

pub(super) fn describe(lane: &LaneHandle, admin: &Admin) -> Value {
    let LaneSample { seen, work, .. } = admin.sample(lane);
    let view = seen.view;
    let now = admin.clock.now();
    let mut described = json!({
        "phone_number_id": lane.id.as_str(),
        "waba_id": &*lane.waba_id,
        "state": view.state.as_str(),
        "held_by": held_by(&view),
        "limit_messages_per_second": limit(view.limit_mps),
        "configured_rate_messages_per_second": rounded(view.configured_mps),
        "rate_messages_per_second": rounded(view.bucket.rate_mps),
        "tokens": rounded(view.bucket.tokens(now)),
        "next_slot_seconds": view.bucket.wait(now).as_secs_f64(),
        "waiting": view.waiting,
        "in_flight": view.in_flight,
        "in_flight_max": view.in_flight_max,
        "pair_parked": view.pair_parked,
        "pairs": view.pairs,
        "remembered_ids": view.ids,
        "owned": seen.is_owned,
        "backlog": work.backlog,
        "arrival_messages_per_second": rounded(work.arrival_mps),
        "work_allowed_messages_per_second": rounded(work.allowed_mps),
        "time_to_drain_seconds": work.drain.as_secs(),
        "meta": {
            "quality_rating": seen.number.quality_rating,
            "status": seen.number.status,
            "throughput_level": seen.number.throughput_level,
            "messaging_limit": seen.number.messaging_limit,
        },
    });
    if let Some(tenure) = admin.board.tenure(&lane.id) {
        described["owner"] = json!({
            "worker": &*tenure.worker,
            "since": rfc3339(tenure.since_ms),
            "has_left": tenure.left,
        });
    }
    if let Some(apart) = admin.links.apart(lane.id.as_str()) {
        let at = |mono| rfc3339(now.wall_at(mono));
        described["quarantine"] = json!({
            "ends": apart.ends,
            "last_end": at(apart.last_end),
            "next_try": at(apart.not_before),
        });
    }
    if let Some(hold) = view.state.hold() {
        let looks = if hold.why == Why::Throttle {
            "ends"
        } else {
            "next_probe"
        };
        described["cause"] = cause(&hold, now);
        described["cause"][looks] = json!(rfc3339(now.on_the_wall(hold.until_ms)));
    }
    if let Some(hold) = view.state.lifted() {
        described["lifted"] = cause(&hold, now);
    }
    if let State::Paused { since_ms } = view.state {
        described["since"] = json!(rfc3339(now.on_the_wall(since_ms)));
    }
    described
}

fn cause(hold: &Hold, now: Now) -> Value {
    json!({
        "scope": hold.scope.as_str(),
        "why": hold.why.as_str(),
        "code": hold.code,
        "remedy": hold.remedy,
        "since": rfc3339(now.on_the_wall(hold.since_ms)),
        "failed_probes": hold.failed_probes,
    })
}

/// A number's limit is whole, an account's is not.
fn limit(mps: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a limit is a positive number of the config or the API"
    )]
    let whole = mps as u64;
    match mps.fract() == 0.0 {
        true => whole.into(),
        false => rounded(mps).into(),
    }
}

/// More digits help nobody.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

/// The one thing that keeps the next message from being sent now.
fn held_by(view: &View) -> &'static str {
    match view.state {
        State::Flowing | State::Probing { .. } => view.held_by.as_str(),
        State::Cooling { .. } => "throttle",
        State::Away { hold } => hold.why.as_str(),
        State::Rejoining { .. } => "rejoining",
        State::Paused { .. } => "operator",
        State::Draining => "drain",
    }
}

fn rfc3339(ms: u64) -> Option<String> {
    let timestamp = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(format!("{timestamp:.3}"))
}
