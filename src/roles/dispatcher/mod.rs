//! The role that sends: builds everything once, runs it, and drains it in order.

pub mod admin;
pub mod board;
pub mod conclude;
mod delay;
pub mod evidence;
pub mod intake;
pub mod lane_task;
pub mod media;
pub mod recall;
mod signals;
pub mod unrouted;
pub mod upkeep;
pub mod workload;

use crate::broker::held::HeldByWorker;
use crate::broker::links::Links;
use crate::broker::publish::Publisher;
use crate::broker::session::Session;
use crate::broker::topology::Topology;
use crate::broker::unsettled::Writer;
use crate::broker::{Sessions, supervise};
use crate::clock::Clock;
use crate::config::{Config, MetricsConfig};
use crate::core::fleet::holds::{Holds, Place};
use crate::core::lane::Lane;
use crate::core::lane::demand::Effort;
use crate::core::lane::driver::DriverConfig;
use crate::core::outcome::Rules;
use crate::core::request::message::LaneId;
use crate::credentials::{Apps, RELOAD_PERIOD, TokenSlot};
use crate::graph::Graph;
use crate::log::{self, Repeats};
use crate::metrics::Metrics;
use crate::spans::{Exporting, Spans};
use crate::tasks::{TaskList, Tasks};
use admin::Admin;
use anyhow::Context;
use board::Board;
use conclude::Concluder;
use evidence::{Search, evidence};
use lane_task::{Common, LaneHandle, LaneTask};
use media::uploads;
use recall::{Reader, memory};
use signals::Signals;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use unrouted::Unrouted;
use upkeep::{Account, NumberLane, Upkeep, read_account, watch_token};
use workload::Workload;

/// The lowest limit a number can have: where a lane starts until the API has said what it really is.
const UNKNOWN_LIMIT_MPS: u32 = 20;

/// Longest that a lane is left to a worker that may be dead.
const OWNER_FIRST_MAX: Duration = Duration::from_secs(30);

/// Longest wait for the lanes' connections to be closed in order.
const GOODBYES: Duration = Duration::from_secs(2);

/// How long a session takes to open, mostly.
const SESSION_OPENS: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    Drained,
    /// Names what was still in flight when the time was over, or which part had died.
    Failed(String),
}

/// Runs until SIGTERM or SIGINT and the drain that follows; a second signal ends at once.
pub async fn run(config: Config, repeats: Repeats) -> anyhow::Result<Ended> {
    // First of all: a signal while the rest is built must drain as well.
    let signals = Signals::catch()?;
    let topology = Arc::new(Topology::of(&config.accounts));
    let metrics = metrics(&config, &topology)?;
    let (drain, draining) = watch::channel(false);
    let (stop_broker, broker_stops) = watch::channel(false);
    let (session_sender, opened) = watch::channel(None);
    let (joined, sessions) = watch::channel(None);
    let (graph, clock) = (Graph::new(&config.graph)?, Clock::start());
    let list = TaskList::new(clock);
    let (board, writer) = board(&config, &graph, clock, &metrics);
    let (evidence, search) = evidence(config.broker.clone(), metrics.clone());
    let (recall, reader) = memory(config.broker.clone());
    let (spans, exporting) = Spans::start(&config, &metrics)?.unzip();
    let served = topology.lanes.iter().map(|queue| queue.lane.clone());
    let served: HashSet<String> = served.collect();
    let concluder = Arc::new(Concluder {
        publisher: publisher(&config, &sessions, &metrics, &served, writer.clone()),
        metrics: metrics.clone(),
        clock,
        recall,
    });
    let links = Links::new(
        config.broker.clone(),
        topology.clone(),
        clock,
        metrics.clone(),
        writer,
    );
    let (uploads, uploading) = uploads(&config, metrics.clone())?;
    let common = Arc::new(Common {
        clock,
        graph: graph.clone(),
        rules: Rules::new(config.outcomes.clone()),
        intake: config.intake.clone(),
        bodies: HeldByWorker::default(),
        concluder: concluder.clone(),
        metrics: metrics.clone(),
        board: board.clone(),
        evidence,
        uploads,
        driver: configure_drivers(&config),
        sessions: sessions.clone(),
        links: links.clone(),
        drain: draining,
        spans,
    });
    let unrouted = unrouted(&config, &common, served);

    let listener = TcpListener::bind(config.admin.listen)
        .await
        .with_context(|| format!("admin.listen: {}", config.admin.listen))?;
    let mut lanes = JoinSet::new();
    let accounts = start_lanes(&config, &common, &mut lanes)?;
    lanes.spawn(unrouted.run());
    let handles = handles(&accounts);
    let (workload, effort) = Workload::new(sessions, clock, metrics.clone(), handles.clone());
    let router = admin::router(admin(&config, &common, &accounts, effort, list.clone()));
    let upkeep = Arc::new(Upkeep {
        graph,
        board: board.clone(),
        metrics: metrics.clone(),
        apps: Apps::default(),
    });
    let mut tasks = Tasks::new(list);
    tasks.start("the measure of delays", delay::measure(metrics.clone()));
    tasks.start_periodic("the log's keeper", None, log::TELL, |rounds| {
        repeats.keep_telling(metrics.clone(), rounds)
    });
    tasks.start("the admin port", serve_admin(listener, router));
    let mut broker = start_sessions(&config, topology, session_sender, metrics, broker_stops);
    tasks.start("the lanes' connections", links.clone().run());
    start_threads(&mut tasks, search, reader, uploading)?;
    let leaving = board.clone();
    tasks.start("the board", async move {
        board.run(opened, joined).await;
        String::new()
    });
    let period = workload::PERIOD;
    tasks.start_periodic("the reader of queues", None, period, |rounds| {
        workload.run(rounds)
    });
    start_upkeep(&mut tasks, &upkeep, &accounts, config.graph.refresh);
    tracing::info!(worker = config.worker_id, lanes = handles.len(), admin = %config.admin.listen, "running");

    let died = wait_for_end(signals, &mut lanes, &mut tasks, &mut broker).await?;
    tracing::info!("draining: no new sends");
    leaving.say_end();
    drain.send_replace(true);
    let ended = drain_lanes(&mut lanes, &handles, config.drain_timeout).await;
    concluder.publisher.replied().await;
    stop_broker.send_replace(true);
    tokio::join!(ended_in_time(broker), flushed(exporting));
    drop(tokio::time::timeout(GOODBYES, links.closed()).await);
    if ended == Ended::Drained {
        tracing::info!(
            "drained: every answer in flight is published, what waited is RabbitMQ's again"
        );
    }
    Ok(died.map_or(ended, Ended::Failed))
}

/// All metrics, with series of their own for so many numbers, and so many accounts.
fn metrics(config: &Config, topology: &Topology) -> anyhow::Result<Arc<Metrics>> {
    let lanes = topology.lanes.iter().map(|queue| queue.lane.clone());
    let (accounts, numbers): (Vec<_>, Vec<_>) =
        lanes.partition(|lane| LaneId::new(lane).waba_id().is_some());
    let (
        MetricsConfig {
            max_lanes,
            max_tags,
            ..
        },
        id,
    ) = (config.metrics, &config.worker_id);
    let labelled = numbers.into_iter().take(max_lanes);
    let labelled = labelled.chain(accounts.into_iter().take(max_lanes));
    Ok(Arc::new(Metrics::new(id, labelled.collect(), max_tags)?))
}

fn unrouted(config: &Config, common: &Common, served: HashSet<String>) -> Unrouted {
    Unrouted {
        clock: common.clock,
        intake: config.intake.clone(),
        retry: config.retry.policy,
        concluder: common.concluder.clone(),
        metrics: common.metrics.clone(),
        sessions: common.sessions.clone(),
        links: common.links.clone(),
        drain: common.drain.clone(),
        spans: common.spans.clone(),
        served,
        accounts: unrouted::accounts_by_target(config),
    }
}

/// The parts of the worker that the admin port tells of.
fn admin(
    config: &Config,
    common: &Common,
    accounts: &Arc<[Arc<Account>]>,
    effort: Arc<Mutex<Effort>>,
    tasks: TaskList,
) -> Admin {
    Admin {
        worker_id: config.worker_id.as_str().into(),
        sessions: common.sessions.clone(),
        draining: common.drain.clone(),
        board: common.board.clone(),
        links: common.links.clone(),
        publisher: common.concluder.publisher.clone(),
        metrics: common.metrics.clone(),
        clock: common.clock,
        lanes: handles(accounts),
        accounts: accounts.clone(),
        effort,
        tasks,
        config: config.admin.clone(),
        drain_target: config.metrics.drain_target,
    }
}

/// Starts the supervisor of the sessions. It ends after all else, when it is told to.
fn start_sessions(
    config: &Config,
    topology: Arc<Topology>,
    sessions: watch::Sender<Option<Arc<Session>>>,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let broker = config.broker.clone();
    tokio::spawn(supervise(broker, topology, sessions, metrics, stop))
}

/// Starts what would take time from the lanes.
fn start_threads(
    tasks: &mut Tasks,
    search: Search,
    reader: Reader,
    uploads: media::Work,
) -> std::io::Result<()> {
    tasks.start_apart("the search for evidence", "evidence", search.run())?;
    tasks.start_apart("the reader of results", "dedupe", reader.run())?;
    tasks.start_apart("the uploader of media", "media", uploads.run())
}

/// Starts the two tasks of each account.
fn start_upkeep(
    tasks: &mut Tasks,
    upkeep: &Arc<Upkeep>,
    accounts: &[Arc<Account>],
    refresh: Duration,
) {
    for account in accounts {
        let waba_id = || Some(account.waba_id.clone());
        let (watched, read) = (upkeep.clone(), upkeep.clone());
        tasks.start_periodic(
            "the watch on the token",
            waba_id(),
            RELOAD_PERIOD,
            |rounds| watch_token(watched, account.clone(), rounds),
        );
        tasks.start_periodic("the reader of Meta's view", waba_id(), refresh, |rounds| {
            read_account(read, account.clone(), refresh, rounds)
        });
    }
}

/// Reads what the lanes' drivers go by.
fn configure_drivers(config: &Config) -> DriverConfig {
    // By then it has tried to connect once more, whatever its pause.
    let owner_first = config.broker.reconnect_max.mul_f64(1.5) + SESSION_OPENS;
    DriverConfig {
        worker: config.worker_id.as_str().into(),
        owner_first: owner_first.min(OWNER_FIRST_MAX),
        lookback: config.broker.lookback(),
        quick: (config.retry.quick_base, config.retry.quick_max),
    }
}

fn publisher(
    config: &Config,
    sessions: &Sessions,
    metrics: &Arc<Metrics>,
    served: &HashSet<String>,
    writer: Arc<Writer>,
) -> Publisher {
    let (broker, sessions) = (config.broker.clone(), sessions.clone());
    Publisher::new(broker, sessions, metrics.clone(), served.clone(), writer)
}

async fn serve_admin(listener: TcpListener, router: axum::Router) -> String {
    let served = axum::serve(listener, router).await;
    served.map_or_else(|error| error.to_string(), |()| String::new())
}

async fn ended_in_time(broker: JoinHandle<()>) {
    // The supervisor's end may have ended the run: then there is nothing to wait for.
    if !broker.is_finished() {
        drop(tokio::time::timeout(Duration::from_secs(5), broker).await);
    }
}

async fn flushed(spans: Option<Exporting>) {
    if let Some(exporting) = spans {
        exporting.flush().await;
    }
}

fn board(
    config: &Config,
    graph: &Graph,
    clock: Clock,
    metrics: &Arc<Metrics>,
) -> (Arc<Board>, Arc<Writer>) {
    let run = fastrand::u64(1..=1 << 53);
    let holds = Holds::new(&config.worker_id, run, config.probe_periods());
    let board = Board::new(
        holds,
        graph.clone(),
        clock,
        metrics.clone(),
        &config.worker_id,
    );
    let writer = Writer::new(run, clock, config.broker.lookback());
    (Arc::new(board), writer)
}

fn start_lanes(
    config: &Config,
    common: &Arc<Common>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Arc<[Arc<Account>]>> {
    let mut accounts = vec![];
    for account in &config.accounts {
        let waba_id: Arc<str> = account.waba_id.as_str().into();
        let tokens = TokenSlot::load(account, config.app_secret(&account.app))
            .with_context(|| format!("accounts: the token or app secret of WABA {waba_id}"))?;
        let tokens = Arc::new(tokens);
        let token = tokens.token();
        let mut start = |id: LaneId, lane_config, reads_limit| {
            let lane = Lane::new(id.clone(), lane_config, common.clock.now());
            let place = Place {
                lane: id,
                waba: waba_id.clone(),
                token: token.fingerprint.clone(),
                app: account.app.as_str().into(),
            };
            let (task, handle) =
                LaneTask::new(common.clone(), lane, place, token.clone(), reads_limit);
            tasks.spawn(task.run());
            handle
        };
        let numbers = account.numbers.iter().map(|number| {
            let lane_config = config.lane(number.mps.unwrap_or(UNKNOWN_LIMIT_MPS));
            let reads_limit = number.mps.is_none();
            NumberLane {
                handle: start(number.phone_number_id.clone(), lane_config, reads_limit),
                reads_limit,
            }
        });
        let lanes = numbers.collect();
        let own_lane = start(LaneId::of_account(&waba_id), config.account_lane(), false);
        accounts.push(Arc::new(Account {
            waba_id,
            app: account.app.as_str().into(),
            tokens,
            lanes,
            own_lane,
            state: Mutex::default(),
        }));
    }
    Ok(accounts.into())
}

/// The lanes of all accounts: first those of their numbers.
fn handles(accounts: &[Arc<Account>]) -> Arc<[LaneHandle]> {
    let numbers = accounts.iter().flat_map(|account| &account.lanes);
    let own = accounts.iter().map(|account| &account.own_lane);
    numbers
        .map(|lane| &lane.handle)
        .chain(own)
        .cloned()
        .collect()
}

/// Returns at a signal, or with the name of a part that should never have ended.
async fn wait_for_end(
    mut signals: Signals,
    lanes: &mut JoinSet<()>,
    tasks: &mut Tasks,
    broker: &mut JoinHandle<()>,
) -> anyhow::Result<Option<String>> {
    let died = tokio::select! {
        () = signals.next() => None,
        // A lane that panicked: its channel is closed, so its messages are with RabbitMQ; start afresh rather than go on without it.
        Some(ended) = lanes.join_next() => Some(ended.map_or("a consumer panicked", |()| "a consumer ended by itself").to_owned()),
        _ = broker => Some("the supervisor of the broker sessions died".to_owned()),
        ended = tasks.ended() => Some(ended),
    };
    tokio::spawn(async move {
        signals.next().await;
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
