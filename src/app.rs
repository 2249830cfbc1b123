//! Builds everything once, runs it, and drains it in order.

use crate::admin::{self, Admin};
use crate::broker::publish::Publisher;
use crate::broker::{supervise, topology::Topology};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::lane::Lane;
use crate::core::outcome::Rules;
use crate::credentials::{RELOAD_PERIOD, TokenSlot};
use crate::dispatch::{Command, LaneHandle, LaneTask, Shared};
use crate::graph::Graph;
use crate::metrics::Metrics;
use crate::unrouted;
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The lowest limit a number can have: where a lane starts until the API has said what it really is.
const UNKNOWN_LIMIT_MPS: u32 = 20;

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    Drained,
    /// What was still in flight when the time was over, or which part had died.
    Failed(String),
}

/// A lane with what it authenticates with.
struct Served {
    handle: LaneHandle,
    tokens: Arc<TokenSlot>,
    reads_limit: bool,
}

/// Runs until SIGTERM or SIGINT and the drain that follows; a second signal ends at once.
pub async fn run(config: Config) -> anyhow::Result<Ended> {
    let metrics = Arc::new(Metrics::new(&config.worker_id)?);
    let (drain, draining) = watch::channel(false);
    let (stop_broker, broker_stops) = watch::channel(false);
    let (session_sender, sessions) = watch::channel(None);
    let shared = Arc::new(Shared {
        graph: Graph::new(&config.graph)?,
        rules: Rules::new(config.outcomes.clone()),
        intake: config.intake,
        publisher: Publisher::new(sessions.clone(), metrics.clone()),
        metrics: metrics.clone(),
        clock: Clock::start(),
        worker_id: config.worker_id.clone(),
        sessions: sessions.clone(),
        drain: draining.clone(),
        quick: (config.retry.quick_base, config.retry.quick_max),
    });

    let listener = tokio::net::TcpListener::bind(config.admin_listen)
        .await
        .with_context(|| format!("admin.listen: {}", config.admin_listen))?;
    let mut lanes = JoinSet::new();
    let served = start_lanes(&config, &shared, &mut lanes)?;
    let handles: Arc<[LaneHandle]> = served.iter().map(|served| served.handle.clone()).collect();
    let router = admin::router(Admin {
        metrics: metrics.clone(),
        lanes: handles.clone(),
        sessions,
        drain: draining,
    });
    let mut edges = JoinSet::new();
    edges.spawn(async move {
        axum::serve(listener, router)
            .await
            .map_or_else(|error| error.to_string(), |()| "admin ended".to_owned())
    });
    let phone_number_ids = handles
        .iter()
        .map(|lane| lane.id.as_str().to_owned())
        .collect();
    let broker = tokio::spawn(supervise(
        config.broker.clone(),
        Topology { phone_number_ids },
        session_sender,
        metrics,
        broker_stops,
    ));
    let unrouted = tokio::spawn(unrouted::run(shared.clone()));
    let served: Arc<[Served]> = served.into();
    edges.spawn(watch_tokens(shared.clone(), served.clone()));
    edges.spawn(read_limits(shared.clone(), served, config.graph.refresh));
    tracing::info!(worker = config.worker_id, lanes = handles.len(), admin = %config.admin_listen, "running");

    let died = wait_for_end(&mut lanes, &mut edges).await?;
    tracing::info!("draining: no new sends");
    drain.send_replace(true);
    let ended = drain_lanes(&mut lanes, &handles, config.drain_timeout).await;
    drop(unrouted.await);
    stop_broker.send_replace(true);
    drop(tokio::time::timeout(Duration::from_secs(5), broker).await);
    Ok(died.map_or(ended, Ended::Failed))
}

fn start_lanes(
    config: &Config,
    shared: &Arc<Shared>,
    lanes: &mut JoinSet<()>,
) -> anyhow::Result<Vec<Served>> {
    let mut served = vec![];
    for account in &config.accounts {
        let tokens = TokenSlot::load(account, config.app_secret(&account.app));
        let tokens = Arc::new(tokens.with_context(|| {
            format!(
                "accounts: the token or app secret of WABA {}",
                account.waba_id
            )
        })?);
        for number in &account.numbers {
            let limit_mps = number.mps.unwrap_or(UNKNOWN_LIMIT_MPS);
            let lane = Lane::new(
                number.phone_number_id.clone(),
                config.lane(limit_mps),
                shared.clock.now(),
            );
            let (task, handle) =
                LaneTask::new(shared.clone(), lane, &account.waba_id, tokens.clone())?;
            lanes.spawn(task.run());
            served.push(Served {
                handle,
                tokens: tokens.clone(),
                reads_limit: number.mps.is_none(),
            });
        }
    }
    Ok(served)
}

/// Returns at a signal, or with the name of a part that should never have ended.
async fn wait_for_end(
    lanes: &mut JoinSet<()>,
    edges: &mut JoinSet<String>,
) -> anyhow::Result<Option<String>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let died = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        // A lane that panicked: its channel is closed, so its messages are with RabbitMQ; start afresh rather than go on without it.
        Some(ended) = lanes.join_next() => Some(ended.map_or_else(|error| format!("a lane died: {error}"), |()| "a lane ended by itself".to_owned())),
        Some(ended) = edges.join_next() => Some(ended.unwrap_or_else(|error| error.to_string())),
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal: ending at once");
        std::process::exit(1);
    });
    Ok(died)
}

async fn drain_lanes(lanes: &mut JoinSet<()>, handles: &[LaneHandle], timeout: Duration) -> Ended {
    let all = async { while lanes.join_next().await.is_some() {} };
    if tokio::time::timeout(timeout, all).await.is_ok() {
        return Ended::Drained;
    }
    let busy: Vec<String> = handles
        .iter()
        .map(|lane| (lane, lane.view().in_flight))
        .filter(|(_, in_flight)| *in_flight > 0)
        .map(|(lane, in_flight)| format!("{} ({in_flight} in flight)", lane.id))
        .collect();
    Ended::Failed(format!(
        "drain.timeout_s is over; RabbitMQ will deliver again what is unsettled: {}",
        busy.join(", ")
    ))
}

/// Looks at the token files; a new token wakes the lanes that the old one had blocked.
async fn watch_tokens(shared: Arc<Shared>, served: Arc<[Served]>) -> String {
    let mut seen_broken = false;
    loop {
        tokio::time::sleep(RELOAD_PERIOD).await;
        let mut looked_at: Vec<(*const TokenSlot, bool)> = vec![];
        for lane in served.iter() {
            let slot = Arc::as_ptr(&lane.tokens);
            let changed = match looked_at.iter().find(|(seen, _)| *seen == slot) {
                Some((_, changed)) => *changed,
                None => {
                    let changed = reload(&shared, lane, &mut seen_broken);
                    looked_at.push((slot, changed));
                    changed
                }
            };
            if changed {
                // A full queue means the lane has commands to look at anyway; it will see the new token with its next send.
                drop(lane.handle.commands.try_send(Command::TokenChanged));
            }
        }
    }
}

fn reload(shared: &Shared, lane: &Served, seen_broken: &mut bool) -> bool {
    match lane.tokens.reload() {
        Ok(false) => false,
        Ok(true) => {
            *seen_broken = false;
            shared
                .metrics
                .token_reloads
                .with_label_values(&["ok"])
                .inc();
            tracing::info!(waba_id = lane.handle.waba_id, "new token loaded");
            true
        }
        Err(error) => {
            if !*seen_broken {
                shared
                    .metrics
                    .token_reloads
                    .with_label_values(&["error"])
                    .inc();
                tracing::warn!(waba_id = lane.handle.waba_id, %error, "the token file cannot be used: going on with the old token");
            }
            *seen_broken = true;
            false
        }
    }
}

/// Reads the limits that the config leaves to the API, at start and every `graph.refresh_s`.
async fn read_limits(shared: Arc<Shared>, served: Arc<[Served]>, period: Duration) -> String {
    loop {
        for lane in served.iter().filter(|lane| lane.reads_limit) {
            let id = &lane.handle.id;
            match shared
                .graph
                .number(id, &lane.tokens.token())
                .await
                .map(|fields| fields.limit_mps())
            {
                Ok(Some(limit_mps)) => drop(
                    lane.handle
                        .commands
                        .send(Command::SetLimit(limit_mps))
                        .await,
                ),
                Ok(None) => {
                    tracing::warn!(phone_number_id = %id, "the API names no throughput level that is known: keeping the limit")
                }
                Err(error) => {
                    tracing::warn!(phone_number_id = %id, %error, "cannot read the number's throughput level: keeping the limit")
                }
            }
        }
        tokio::time::sleep(period).await;
    }
}
