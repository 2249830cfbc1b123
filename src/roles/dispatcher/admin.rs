//! The page, `/livez`, `/readyz`, `/metrics`, `/lanes`, and pausing a lane. No secrets, no bodies, no recipients.

use crate::core::request::message::LaneId;
use crate::roles::dispatcher::board::NotTold;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;

mod guard;
mod lanes;
mod state;

use lanes::describe;
pub use state::Admin;

/// The page is all there is to it: nothing is fetched from elsewhere, and nobody may put it into a frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/lanes", get(lanes))
        .route("/lanes/{phone_number_id}", get(lane))
        .route("/lanes/{phone_number_id}/pause", post(pause))
        .route("/lanes/{phone_number_id}/resume", post(resume))
        .layer(middleware::from_fn_with_state(
            admin.config.hosts.clone(),
            guard::refuse_strange_hosts,
        ))
        .with_state(admin)
}

async fn page(State(admin): State<Admin>) -> Response {
    let page = include_str!("admin/page.html")
        .replace("{{worker}}", &admin.worker_id)
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace(
            "{{actions}}",
            if admin.config.actions {
                "true"
            } else {
                "false"
            },
        );
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Html(page)).into_response()
}

/// `?verbose` adds a line per task.
async fn readyz(State(admin): State<Admin>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let (status, mut said) = match admin.not_ready() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    if query.as_deref() == Some("verbose") {
        said += &admin.tasks.describe();
    }
    (status, said)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let (metrics, scrape) = (admin.metrics.clone(), admin.scrape());
    // Gathering many lanes takes some time, in which no lane should wait.
    let gathering = tokio::task::spawn_blocking(move || metrics.gather(&scrape));
    match gathering.await {
        Ok(Ok(text)) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
        }
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn lanes(State(admin): State<Admin>) -> Response {
    let describing = move || {
        let all = admin.lanes.iter().map(|lane| describe(lane, &admin));
        serde_json::to_vec(&Value::Array(all.collect()))
    };
    // As above.
    match tokio::task::spawn_blocking(describing).await {
        Ok(Ok(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(Err(_)) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn lane(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    match admin.lanes.iter().find(|lane| lane.id.as_str() == id) {
        Some(lane) => Json(describe(lane, &admin)).into_response(),
        None => not_served(),
    }
}

async fn pause(State(admin): State<Admin>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refusal) = guard::refuse_action(admin.config.actions, &headers) {
        return refusal;
    }
    let phone_number_id = known(&admin, &id);
    tracing::info!(phone_number_id, "an operator pauses the lane");
    said(admin.board.pause(&LaneId::new(&id)).await)
}

async fn resume(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = guard::refuse_action(admin.config.actions, &headers) {
        return refusal;
    }
    let phone_number_id = known(&admin, &id);
    tracing::info!(phone_number_id, "an operator resumes the lane");
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
