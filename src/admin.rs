//! `/livez`, `/readyz`, `/metrics`, `/lanes`, and pausing a lane. No secrets, no bodies, no recipients.

use crate::board::{Board, NotTold};
use crate::broker::Sessions;
use crate::broker::publish::Publisher;
use crate::clock::Clock;
use crate::core::holds::{Hold, Why};
use crate::core::lane::{State, View};
use crate::core::message::LaneId;
use crate::dispatch::LaneHandle;
use crate::metrics::Metrics;
use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Clone)]
pub struct Admin {
    pub metrics: Arc<Metrics>,
    pub board: Arc<Board>,
    pub clock: Clock,
    pub lanes: Arc<[LaneHandle]>,
    pub sessions: Sessions,
    pub publisher: Publisher,
    pub drain: watch::Receiver<bool>,
}

pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/lanes", get(lanes))
        .route("/lanes/{phone_number_id}", get(lane))
        .route("/lanes/{phone_number_id}/pause", post(pause))
        .route("/lanes/{phone_number_id}/resume", post(resume))
        .with_state(admin)
}

/// Ready: a session with the broker is open and takes what is published, and no drain has begun.
async fn readyz(Shared(admin): Shared<Admin>) -> (StatusCode, &'static str) {
    let session = admin.sessions.borrow().clone();
    match session {
        _ if *admin.drain.borrow() => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no broker session\n"),
        Some(session) if session.is_blocked() => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the broker blocks publishers\n",
        ),
        Some(session) if !session.may_send() => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the broker does not answer\n",
        ),
        Some(_) if admin.publisher.is_any_refused() => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the broker refuses results\n",
        ),
        Some(_) => (StatusCode::OK, "ready\n"),
    }
}

async fn metrics(Shared(admin): Shared<Admin>) -> Response {
    let blocked = admin
        .sessions
        .borrow()
        .as_ref()
        .is_some_and(|session| session.is_blocked());
    admin.metrics.broker_blocked.set(i64::from(blocked));
    let lanes = admin.lanes.iter();
    let views = lanes.map(|lane| (lane.id.as_str(), lane.view()));
    match admin.metrics.gather(views, admin.clock.now()) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn lanes(Shared(admin): Shared<Admin>) -> Json<Value> {
    let all = admin.lanes.iter().map(|lane| describe(lane, &admin));
    Json(Value::Array(all.collect()))
}

async fn lane(Shared(admin): Shared<Admin>, Path(id): Path<String>) -> Response {
    match admin.lanes.iter().find(|lane| lane.id.as_str() == id) {
        Some(lane) => Json(describe(lane, &admin)).into_response(),
        None => not_served(),
    }
}

async fn pause(Shared(admin): Shared<Admin>, Path(id): Path<String>) -> Response {
    tracing::info!(
        phone_number_id = known(&admin, &id),
        "an operator pauses the lane"
    );
    said(admin.board.pause(&LaneId::new(&id)).await)
}

async fn resume(Shared(admin): Shared<Admin>, Path(id): Path<String>) -> Response {
    tracing::info!(
        phone_number_id = known(&admin, &id),
        "an operator resumes the lane"
    );
    said(admin.board.resume(&LaneId::new(&id)).await)
}

/// Only ids of ours are written to the log.
fn known<'a>(admin: &Admin, id: &'a str) -> &'a str {
    let is_known = admin.lanes.iter().any(|lane| lane.id.as_str() == id);
    if is_known { id } else { "unknown" }
}

fn said(outcome: Option<Result<(), NotTold>>) -> Response {
    match outcome {
        Some(Ok(())) => StatusCode::ACCEPTED.into_response(),
        Some(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        None => not_served(),
    }
}

fn not_served() -> Response {
    (
        StatusCode::NOT_FOUND,
        "this worker does not serve that phone_number_id\n",
    )
        .into_response()
}

fn describe(lane: &LaneHandle, admin: &Admin) -> Value {
    let view = lane.view();
    let now = admin.clock.now();
    let mut described = json!({
        "phone_number_id": lane.id.as_str(),
        "waba_id": lane.waba_id,
        "state": view.state.as_str(),
        "held_by": held_by(&view),
        "limit_messages_per_second": view.limit_mps,
        "configured_rate_messages_per_second": rounded(view.configured_mps),
        "rate_messages_per_second": rounded(view.bucket.rate_mps),
        "tokens": rounded(view.bucket.tokens(now)),
        "next_slot_seconds": view.bucket.wait(now).as_secs_f64(),
        "waiting": view.waiting,
        "in_flight": view.in_flight,
        "in_flight_max": view.in_flight_max,
        "pair_parked": view.pair_parked,
        "pairs": view.pairs,
    });
    if let Some(tenure) = admin.board.tenure(&lane.id) {
        described["owner"] = json!({
            "worker": &*tenure.worker,
            "since": rfc3339(tenure.since_ms),
            "has_left": tenure.left,
        });
    }
    if let Some(hold) = view.state.hold() {
        let looks = if hold.why == Why::Throttle {
            "ends"
        } else {
            "next_probe"
        };
        described["cause"] = cause(&hold);
        described["cause"][looks] = json!(rfc3339(hold.until_ms));
    }
    if let Some(hold) = view.state.lifted() {
        described["lifted"] = cause(&hold);
    }
    if let State::Paused { since_ms } = view.state {
        described["since"] = json!(rfc3339(since_ms));
    }
    described
}

fn cause(hold: &Hold) -> Value {
    json!({
        "scope": hold.scope.as_str(),
        "why": hold.why.as_str(),
        "code": hold.code,
        "remedy": hold.remedy,
        "since": rfc3339(hold.since_ms),
        "failed_probes": hold.failed_probes,
    })
}

/// More digits help nobody.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

/// The one thing that keeps the next message from being sent now.
fn held_by(view: &View) -> &'static str {
    match view.state {
        State::Flowing | State::Probing { .. } => view.rest.as_str(),
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
