//! Builds everything once, runs it, and drains it in order.

use crate::admin::{self, Admin};
use crate::board::Board;
use crate::broker::publish::Publisher;
use crate::broker::topology::Topology;
use crate::broker::{delays, supervise};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::holds::{Holds, Place};
use crate::core::lane::Lane;
use crate::core::outcome::Rules;
use crate::credentials::{RELOAD_PERIOD, TokenSlot};
use crate::dispatch::{Concluder, LaneHandle, LaneTask, Shared};
use crate::evidence::evidence;
use crate::graph::Graph;
use crate::metrics::Metrics;
use crate::spans::{Exporting, Spans};
use crate::unrouted;
use anyhow::Context;
use backoff::backoff::Backoff;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The lowest limit a number can have: where a lane starts until the API has said what it really is.
const UNKNOWN_LIMIT_MPS: u32 = 20;

/// First and longest pause before limits that could not be read are asked for again.
const LIMIT_RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Longest that a lane is left to a worker that may be dead.
const OWNER_FIRST_MAX: Duration = Duration::from_secs(30);

/// How long a session takes to open, mostly.
const SESSION_OPENS: Duration = Duration::from_secs(1);

/// Longest that raising a number's throughput takes. Source: Meta, "Throughput".
const UPGRADE_PAUSE: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    Drained,
    /// What was still in flight when the time was over, or which part had died.
    Failed(String),
}

/// The lanes of one account, with what they authenticate with.
struct Account {
    waba_id: String,
    tokens: Arc<TokenSlot>,
    lanes: Vec<LaneHandle>,
    /// Those whose limit the config leaves to the API.
    read_limit_of: Vec<LaneHandle>,
}

/// Runs until SIGTERM or SIGINT and the drain that follows; a second signal ends at once.
pub async fn run(config: Config) -> anyhow::Result<Ended> {
    // First of all: a signal while the rest is built must drain as well.
    let signals = Signals::catch()?;
    let metrics = Arc::new(Metrics::new(&config.worker_id)?);
    let (drain, draining) = watch::channel(false);
    let (stop_broker, broker_stops) = watch::channel(false);
    let (session_sender, opened) = watch::channel(None);
    let (joined, sessions) = watch::channel(None);
    let (graph, clock) = (Graph::new(&config.graph)?, Clock::start());
    let board = board(&config, &graph, clock, &metrics);
    let board = Arc::new(board);
    let (evidence, search) = evidence(sessions.clone(), metrics.clone(), lookback(&config));
    let (spans, exporting) = Spans::start(&config, &metrics)?.unzip();
    let served: HashSet<String> = config.phone_number_ids().into_iter().collect();
    let shared = Arc::new(Shared {
        graph,
        rules: Rules::new(config.outcomes.clone()),
        intake: config.intake,
        retry: config.retry.policy,
        concluder: Concluder {
            publisher: Publisher::new(sessions.clone(), metrics.clone(), served.clone()),
            metrics: metrics.clone(),
            clock,
            served,
        },
        board: board.clone(),
        evidence,
        worker_id: config.worker_id.clone(),
        sessions: sessions.clone(),
        drain: draining.clone(),
        // By then it has tried to connect once more, whatever its pause.
        owner_first: (config.broker.reconnect_max.mul_f64(1.5) + SESSION_OPENS)
            .min(OWNER_FIRST_MAX),
        spans,
        quick: (config.retry.quick_base, config.retry.quick_max),
    });

    let listener = tokio::net::TcpListener::bind(config.admin_listen)
        .await
        .with_context(|| format!("admin.listen: {}", config.admin_listen))?;
    let mut tasks = JoinSet::new();
    let accounts = start_lanes(&config, &shared, &mut tasks)?;
    tasks.spawn(unrouted::run(shared.clone()));
    let handles = accounts.iter().flat_map(|account| &account.lanes);
    let handles: Arc<[LaneHandle]> = handles.cloned().collect();
    let router = admin::router(Admin {
        metrics: metrics.clone(),
        board: board.clone(),
        clock,
        lanes: handles.clone(),
        sessions,
        publisher: shared.concluder.publisher.clone(),
        drain: draining,
    });
    let mut edges = JoinSet::new();
    edges.spawn(async move {
        axum::serve(listener, router)
            .await
            .map_or_else(|error| error.to_string(), |()| "admin ended".to_owned())
    });
    let topology = Topology {
        phone_number_ids: config.phone_number_ids(),
    };
    let mut broker = tokio::spawn(supervise(
        config.broker.clone(),
        topology,
        session_sender,
        metrics,
        broker_stops,
    ));
    edges.spawn(async move {
        search.run().await;
        "the search for evidence ended".to_owned()
    });
    edges.spawn(async move {
        board.run(opened, joined).await;
        "the board ended".to_owned()
    });
    for account in accounts.into_iter().map(Arc::new) {
        edges.spawn(watch_token(shared.clone(), account.clone()));
        if !account.read_limit_of.is_empty() {
            edges.spawn(read_limits(shared.clone(), account, config.graph.refresh));
        }
    }
    tracing::info!(worker = config.worker_id, lanes = handles.len(), admin = %config.admin_listen, "running");

    let died = wait_for_end(signals, &mut tasks, &mut edges, &mut broker).await?;
    tracing::info!("draining: no new sends");
    drain.send_replace(true);
    let ended = drain_tasks(&mut tasks, &handles, config.drain_timeout).await;
    stop_broker.send_replace(true);
    tokio::join!(ended_in_time(broker), flushed(exporting));
    if ended == Ended::Drained {
        tracing::info!(
            "drained: every answer in flight is published, what waited is RabbitMQ's again"
        );
    }
    Ok(died.map_or(ended, Ended::Failed))
}

async fn ended_in_time(broker: JoinHandle<()>) {
    // Its end may be what ended the run: then there is nothing to wait for.
    if !broker.is_finished() {
        drop(tokio::time::timeout(Duration::from_secs(5), broker).await);
    }
}

async fn flushed(spans: Option<Exporting>) {
    if let Some(exporting) = spans {
        exporting.flush().await;
    }
}

fn board(config: &Config, graph: &Graph, clock: Clock, metrics: &Arc<Metrics>) -> Board {
    let run = fastrand::u64(1..=1 << 53);
    let holds = Holds::new(&config.worker_id, run, config.probe_periods());
    Board::new(
        holds,
        graph.clone(),
        clock,
        metrics.clone(),
        &config.worker_id,
    )
}

/// How long before RabbitMQ delivers a request again its result may have been written: it notices a silent worker after two to three
/// heartbeats, and the last results take a while to be confirmed.
fn lookback(config: &Config) -> Duration {
    config.broker.heartbeat * 4 + Duration::from_secs(20)
}

fn start_lanes(
    config: &Config,
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Vec<Account>> {
    let mut accounts = vec![];
    for account in &config.accounts {
        let waba_id = account.waba_id.clone();
        let tokens = TokenSlot::load(account, config.app_secret(&account.app))
            .with_context(|| format!("accounts: the token or app secret of WABA {waba_id}"))?;
        let tokens = Arc::new(tokens);
        let (mut lanes, mut read_limit_of) = (vec![], vec![]);
        for number in &account.numbers {
            let lane_config = config.lane(number.mps.unwrap_or(UNKNOWN_LIMIT_MPS));
            let lane = Lane::new(number.phone_number_id.clone(), lane_config, shared.now());
            let (shared, token, reads_limit) =
                (shared.clone(), tokens.token(), number.mps.is_none());
            let place = Place {
                lane: number.phone_number_id.clone(),
                waba: waba_id.as_str().into(),
                token: token.fingerprint.clone(),
                app: account.app.as_str().into(),
            };
            let (task, handle) = LaneTask::new(shared, lane, place, token, reads_limit)?;
            tasks.spawn(task.run());
            if reads_limit {
                read_limit_of.push(handle.clone());
            }
            lanes.push(handle);
        }
        accounts.push(Account {
            waba_id,
            tokens,
            lanes,
            read_limit_of,
        });
    }
    Ok(accounts)
}

/// SIGTERM and SIGINT, caught from the moment this is made.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Returns at a signal, or with the name of a part that should never have ended.
async fn wait_for_end(
    mut signals: Signals,
    tasks: &mut JoinSet<()>,
    edges: &mut JoinSet<String>,
    broker: &mut JoinHandle<()>,
) -> anyhow::Result<Option<String>> {
    let died = tokio::select! {
        () = signals.next() => None,
        // A lane that panicked: its channel is closed, so its messages are with RabbitMQ; start afresh rather than go on without it.
        Some(ended) = tasks.join_next() => Some(ended.map_or("a consumer panicked", |()| "a consumer ended by itself").to_owned()),
        _ = broker => Some("the supervisor of the broker sessions died".to_owned()),
        Some(ended) = edges.join_next() => Some(ended.unwrap_or_else(|_| "a part beside the lanes panicked".to_owned())),
    };
    tokio::spawn(async move {
        signals.next().await;
        tracing::warn!("second signal: ending at once");
        std::process::exit(1);
    });
    Ok(died)
}

async fn drain_tasks(tasks: &mut JoinSet<()>, handles: &[LaneHandle], timeout: Duration) -> Ended {
    let all = async { while tasks.join_next().await.is_some() {} };
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

/// Looks at the account's token file; a new token wakes the lanes that the old one had blocked.
async fn watch_token(shared: Arc<Shared>, account: Arc<Account>) -> String {
    let reloads = |result| {
        let metrics = &shared.concluder.metrics;
        metrics.token_reloads.with_label_values(&[result]).inc();
    };
    let waba_id = &account.waba_id;
    let mut is_broken = false;
    loop {
        tokio::time::sleep(RELOAD_PERIOD).await;
        // A mount that hangs must not stop the lanes.
        let tokens = account.tokens.clone();
        let reloaded = tokio::task::spawn_blocking(move || tokens.reload());
        let Ok(reloaded) = reloaded.await else {
            continue;
        };
        match reloaded {
            Ok(None) => is_broken = false,
            Ok(Some(token)) => {
                is_broken = false;
                reloads("ok");
                tracing::info!(waba_id, "new token loaded");
                shared.board.token_changed(waba_id, &token);
            }
            Err(error) if !is_broken => {
                is_broken = true;
                reloads("error");
                tracing::warn!(waba_id, %error, "the token file cannot be used: going on with the old token");
            }
            Err(_) => {}
        }
    }
}

/// Reads the limits that the config leaves to the API, at start and every `graph.refresh_s`; more rarely if there are so many that
/// it would be more than one a second, as these reads have a budget per account (Graph API, "Rate limiting": 5,000 per hour and
/// active account).
async fn read_limits(shared: Arc<Shared>, account: Arc<Account>, refresh: Duration) -> String {
    let numbers = u64::try_from(account.read_limit_of.len()).unwrap_or(u64::MAX);
    let period = refresh.max(Duration::from_secs(numbers));
    let mut pauses = delays(LIMIT_RETRY.0, LIMIT_RETRY.1.min(period));
    let mut to_read: Vec<&LaneHandle> = account.read_limit_of.iter().collect();
    loop {
        let mut not_read = vec![];
        for lane in to_read {
            let phone_number_id = &lane.id;
            let fields = shared
                .graph
                .number(phone_number_id, &account.tokens.token())
                .await;
            match fields.map(|fields| fields.limit_mps()) {
                Ok(Some(limit_mps)) => lane
                    .orders
                    .send_modify(|orders| orders.limit_mps = Some(limit_mps)),
                Ok(None) => tracing::warn!(
                    %phone_number_id, "the API names no throughput level that is known: keeping the limit"
                ),
                Err(error) => {
                    not_read.push(lane);
                    tracing::warn!(
                        %phone_number_id, %error, "cannot read the number's throughput level: keeping the limit"
                    );
                }
            }
        }
        to_read = not_read;
        if to_read.is_empty() {
            to_read = account.read_limit_of.iter().collect();
            pauses.reset();
            let stale = account.read_limit_of.iter();
            let stale = stale.map(|lane| Box::pin(lane.limit_is_stale.notified()));
            let stale = futures_util::future::select_all(stale);
            // An upgrade takes up to a minute.
            if tokio::time::timeout(period, stale).await.is_ok() {
                tokio::time::sleep(UPGRADE_PAUSE).await;
            }
        } else {
            tokio::time::sleep(pauses.next_backoff().unwrap_or(period)).await;
        }
    }
}
