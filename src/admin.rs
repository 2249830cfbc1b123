//! `/livez`, `/readyz`, `/metrics`, `/lanes`, and pausing a lane. No secrets, no bodies, no recipients.

use crate::broker::Sessions;
use crate::core::lane::State;
use crate::dispatch::{Command, LaneHandle};
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
    pub lanes: Arc<[LaneHandle]>,
    pub sessions: Sessions,
    pub drain: watch::Receiver<bool>,
}

pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/lanes", get(lanes))
        .route("/lanes/{phone_number_id}", get(lane))
        .route(
            "/lanes/{phone_number_id}/pause",
            post(|admin, id| command(admin, id, Command::Pause)),
        )
        .route(
            "/lanes/{phone_number_id}/resume",
            post(|admin, id| command(admin, id, Command::Resume)),
        )
        .with_state(admin)
}

/// Ready: a session with the broker is open, its publishers are not blocked, and no drain has begun.
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
    match admin.metrics.gather(
        admin
            .lanes
            .iter()
            .map(|lane| (lane.id.as_str(), lane.view())),
    ) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn lanes(Shared(admin): Shared<Admin>) -> Json<Value> {
    Json(Value::Array(admin.lanes.iter().map(describe).collect()))
}

async fn lane(Shared(admin): Shared<Admin>, Path(id): Path<String>) -> Response {
    match admin.lanes.iter().find(|lane| lane.id.as_str() == id) {
        Some(lane) => Json(describe(lane)).into_response(),
        None => not_served(),
    }
}

async fn command(
    Shared(admin): Shared<Admin>,
    Path(id): Path<String>,
    command: Command,
) -> Response {
    let Some(lane) = admin.lanes.iter().find(|lane| lane.id.as_str() == id) else {
        return not_served();
    };
    tracing::info!(phone_number_id = %lane.id, ?command, "operator");
    match lane.commands.send(command).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the lane has ended\n").into_response(),
    }
}

fn not_served() -> Response {
    (
        StatusCode::NOT_FOUND,
        "this worker does not serve that phone_number_id\n",
    )
        .into_response()
}

fn describe(lane: &LaneHandle) -> Value {
    let view = lane.view();
    let mut described = json!({
        "phone_number_id": lane.id.as_str(),
        "waba_id": lane.waba_id,
        "state": view.state.as_str(),
        "limit_messages_per_second": view.limit_mps,
        "rate_messages_per_second": view.rate_mps,
        "waiting": view.waiting,
        "in_flight": view.in_flight,
        "in_flight_max": view.in_flight_max,
        "pair_parked": view.pair_parked,
        "pairs": view.pairs,
    });
    match view.state {
        State::Away { cause, .. } | State::Probing { cause } => {
            described["cause"] = json!({
                "scope": cause.scope.as_str(),
                "code": cause.code,
                "remedy": cause.remedy,
                "since": rfc3339(cause.since_ms),
            });
        }
        State::Paused { since_ms } => described["since"] = json!(rfc3339(since_ms)),
        State::Flowing | State::Cooling { .. } | State::Rejoining { .. } | State::Draining => {}
    }
    described
}

fn rfc3339(ms: u64) -> Option<String> {
    let timestamp = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(format!("{timestamp:.3}"))
}
