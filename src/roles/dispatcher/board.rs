//! The board: what holds which lane, in this worker and, by way of `wa.lanes.log`, in all of them. Everything that concerns
//! more than one lane meets here; [`crate::core::fleet::holds`] decides.
//!
//! A lane that finds a fault tells the board, which tells every lane that it strikes at once, and the other workers. The board also
//! asks the API whether a block is over: by reading the number's health, which spends no message.

use crate::broker::Sessions;
use crate::broker::session::Session;
use crate::broker::workers_log::Log;
use crate::clock::Clock;
use crate::contract::words::Scope;
use crate::core::Now;
use crate::core::fleet::holds::{Finding, Held, Holds, News, Place, Reach, Read, Record};
use crate::core::fleet::namesakes::Namesakes;
use crate::core::fleet::outbox::Outbox;
use crate::core::fleet::readers::Readers;
use crate::core::fleet::tenure::{Legacy, Owner, Tenures};
use crate::core::request::message::LaneId;
use crate::core::request::recent::Identity;
use crate::credentials::Token;
use crate::graph::Graph;
use crate::metrics::Metrics;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};

/// Longest that an operator waits for the other workers to be told.
const TOLD_TIMEOUT: Duration = Duration::from_secs(5);

mod accounts;
mod lanes_told;
mod log;
mod presence;
mod probes;
mod tenure;

use lanes_told::LanesTold;

/// Orders of the process to one lane. Only the newest counts.
#[derive(Clone)]
pub struct Orders {
    pub held: Held,
    /// Templates whose messages wait, until when.
    pub templates: Arc<[(Arc<str>, u64)]>,
    /// The lane's owner, by the log: who took it last and has not left it in order.
    pub owner: Option<Owner>,
    /// Requests that workers which had it before have surely not sent, told since it was taken last.
    pub unsent: Arc<[(Identity, u64)]>,
    pub token: Arc<Token>,
    /// The number's limit, once the API has told it.
    pub limit_mps: Option<u32>,
}

/// A lane on the board.
struct Post {
    place: Place,
    orders: watch::Sender<Orders>,
}

/// One of the workers' logs, as far as this worker has come with it.
#[derive(Default)]
struct LogState {
    outbox: Outbox<oneshot::Sender<()>>,
    /// Behind which place it is read on.
    offset: Option<u64>,
    /// The last place that was read.
    end: Option<u64>,
    /// Bytes of records, in this life of the worker.
    read_bytes: u64,
    /// The log was read to its end once.
    has_read: bool,
    is_available: bool,
}

struct Inner {
    holds: Holds,
    tenures: Tenures,
    /// Lanes of ours that wait for the log to say that they are.
    claims: HashMap<Arc<str>, (Record, oneshot::Sender<Legacy>)>,
    posts: Vec<Post>,
    /// Where a lane's post stands.
    places: HashMap<Arc<str>, usize>,
    holds_log: LogState,
    tenures_log: LogState,
    /// Lanes wait for the log of holds to be read.
    is_reading: bool,
    namesakes: Namesakes,
    readers: Readers,
    has_namesake: bool,
    /// The worker has begun to drain.
    is_ending: bool,
    lanes_told: LanesTold,
}

pub struct Board {
    inner: Mutex<Inner>,
    to_write: (Notify, Notify),
    /// Something may be due earlier.
    to_probe: Notify,
    graph: Graph,
    clock: Clock,
    metrics: Arc<Metrics>,
    worker_id: String,
}

/// An operator's word that reached this worker only.
#[derive(Debug, thiserror::Error)]
#[error("done in this worker; the others will be told once wa.lanes.log can be written")]
pub struct NotTold;

impl Board {
    pub fn new(
        holds: Holds,
        graph: Graph,
        clock: Clock,
        metrics: Arc<Metrics>,
        worker_id: &str,
    ) -> Self {
        Self {
            inner: Mutex::new(Inner {
                holds,
                tenures: Tenures::default(),
                claims: HashMap::new(),
                posts: vec![],
                places: HashMap::new(),
                holds_log: LogState::default(),
                tenures_log: LogState::default(),
                is_reading: false,
                namesakes: Namesakes::default(),
                readers: Readers::default(),
                has_namesake: false,
                is_ending: false,
                lanes_told: LanesTold::default(),
            }),
            to_write: (Notify::new(), Notify::new()),
            to_probe: Notify::new(),
            graph,
            clock,
            metrics,
            worker_id: worker_id.to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane that wants to be told what concerns it.
    pub fn post(&self, place: Place, token: Arc<Token>) -> watch::Sender<Orders> {
        let orders = watch::Sender::new(Orders {
            held: Held::default(),
            templates: Arc::new([]),
            owner: None,
            unsent: Arc::new([]),
            token,
            limit_mps: None,
        });
        let post = Post {
            place,
            orders: orders.clone(),
        };
        let mut inner = self.lock();
        let index = inner.posts.len();
        inner.places.insert(post.place.lane.0.clone(), index);
        inner.posts.push(post);
        orders
    }

    /// A lane met something that concerns more than the message it was about.
    pub fn found(&self, lane: &LaneId, finding: &Finding) {
        let (mut inner, now) = (self.lock(), self.clock.now());
        let Some(place) = inner.place(lane) else {
            return;
        };
        let places = inner.places();
        if let Some((reach, record)) = inner.holds.found(&place, finding, &places, now) {
            self.metrics
                .holds_found
                .with_label_values(&[reach.scope.as_str(), finding.why.as_str()])
                .inc();
            tracing::warn!(
                scope = reach.scope.as_str(), key = %reach.key, why = finding.why.as_str(), code = finding.code,
                remedy = finding.remedy, "held: nobody in scope sends"
            );
            self.share(&mut inner, record);
            inner.order(&reach, now);
        }
        // The lane has stopped, whatever the board made of it, and must hear until when.
        inner.order_lane(place.lane.as_str(), now);
        self.to_probe.notify_one();
    }

    /// To be told to the others; what was to be told of the same before need not be any more.
    fn share(&self, inner: &mut Inner, record: Option<Record>) {
        let Some(record) = record else { return };
        let log = if record.is_of_tenure() {
            Log::Tenures
        } else {
            Log::Holds
        };
        if let Some(outdated) = inner.log(log).outbox.put(record) {
            inner.holds.stop_waiting_for(&outdated);
        }
        self.to_write(log).notify_one();
    }

    fn to_write(&self, log: Log) -> &Notify {
        match log {
            Log::Holds => &self.to_write.0,
            Log::Tenures => &self.to_write.1,
        }
    }

    /// Stops a lane in every worker. `None`: not a lane of this worker.
    pub async fn pause(&self, lane: &LaneId) -> Option<Result<(), NotTold>> {
        let told = {
            let (mut inner, now) = (self.lock(), self.clock.now());
            let place = inner.place(lane)?;
            let record = inner.holds.pause(&place, now);
            self.share(&mut inner, record);
            inner.order_lane(place.lane.as_str(), now);
            when_told(&mut inner.holds_log.outbox)
        };
        let is_told = is_told(told, TOLD_TIMEOUT).await;
        Some(is_told.then_some(()).ok_or(NotTold))
    }

    /// Ends a pause and whatever else holds the lane, in every worker.
    pub async fn resume(&self, lane: &LaneId) -> Option<Result<(), NotTold>> {
        let told = {
            let (mut inner, now) = (self.lock(), self.clock.now());
            let place = inner.place(lane)?;
            for (reach, record) in inner.holds.resume(&place, now) {
                self.share(&mut inner, Some(record));
                inner.order(&reach, now);
            }
            when_told(&mut inner.holds_log.outbox)
        };
        let is_told = is_told(told, TOLD_TIMEOUT).await;
        Some(is_told.then_some(()).ok_or(NotTold))
    }

    /// Waits until the other workers can know what holds this one knew of when it asked; false if they cannot.
    pub async fn wait_until_told(&self, patience: Duration) -> bool {
        let told = when_told(&mut self.lock().holds_log.outbox);
        is_told(told, patience).await
    }

    /// Lanes do not begin yet: which of them are paused is not known.
    pub fn is_reading(&self) -> bool {
        self.lock().is_reading
    }

    /// Runs for ever, or until nobody opens sessions any more.
    pub async fn run(
        self: Arc<Self>,
        opened: Sessions,
        joined: watch::Sender<Option<Arc<Session>>>,
    ) {
        // Questions to the API must not be forgotten with a session.
        tokio::select! {
            () = self.pass_on(opened, joined) => {}
            () = self.probe_loop() => {}
            () = self.announce() => {}
        }
    }

    /// Passes sessions on to the lanes once the log was read, so that no lane begins that should not.
    async fn pass_on(&self, mut opened: Sessions, joined: watch::Sender<Option<Arc<Session>>>) {
        loop {
            let session = opened.borrow_and_update().clone();
            self.begin_anew();
            self.lock().is_reading = false;
            let Some(session) = session else {
                joined.send_replace(None);
                if opened.changed().await.is_err() {
                    return;
                }
                continue;
            };
            self.lock().is_reading = true;
            let (holds, tenures) = tokio::select! {
                logs = self.catch_up(&session) => logs,
                Ok(()) = opened.changed() => continue,
            };
            self.lock().is_reading = false;
            joined.send_replace(Some(session.clone()));
            let keep_holds = self.keep_log(&session, Log::Holds, holds);
            let keep_tenures = self.keep_log(&session, Log::Tenures, tenures);
            tokio::select! {
                _ = async { tokio::join!(keep_holds, keep_tenures) } => {}
                changed = opened.changed() => if changed.is_err() {
                    joined.send_replace(None);
                    return;
                }
            }
        }
    }

    fn apply_hold(&self, inner: &mut Inner, record: Record, read: Read, now: Now) {
        let (worker, news) = (record.worker.clone(), record.news.clone());
        if let Some(reach) = inner.holds.apply_record(record, read, now) {
            log_heard(&reach, &news, &worker);
            inner.order(&reach, now);
            self.to_probe.notify_one();
        }
    }
}

/// Ends once what it waits for is confirmed; with an error if the log cannot be used. `None`: it cannot be used now.
type Told = Option<oneshot::Receiver<()>>;

/// Lets somebody wait for all that is to be told now.
fn when_told(outbox: &mut Outbox<oneshot::Sender<()>>) -> Told {
    let (sender, told) = oneshot::channel();
    if outbox.is_empty() {
        sender.send(()).ok();
    } else if outbox.is_mute() {
        return None;
    } else {
        outbox.wait(sender);
    }
    Some(told)
}

async fn is_told(told: Told, patience: Duration) -> bool {
    let Some(told) = told else { return false };
    matches!(tokio::time::timeout(patience, told).await, Ok(Ok(())))
}

fn log_heard(reach: &Reach, news: &News, worker: &str) {
    let (scope, key) = (reach.scope.as_str(), &reach.key);
    match news {
        News::Held(hold) => tracing::warn!(
            scope, %key, why = hold.why.as_str(), code = hold.code, remedy = hold.remedy, worker,
            "held, as another worker found: nobody in scope sends"
        ),
        News::Lifted => {
            tracing::info!(scope, %key, worker, "lifted, as another worker found: one request tries")
        }
        News::Paused { .. } => tracing::info!(%key, worker, "paused by an operator"),
        News::Resumed => tracing::info!(%key, worker, "resumed by an operator"),
        News::TemplateHeld { .. } => tracing::info!(%key, worker, "messages of this template wait"),
        // Told where they count.
        News::Taken | News::Left { .. } | News::Present { .. } => {}
    }
}

impl Inner {
    fn log(&mut self, log: Log) -> &mut LogState {
        match log {
            Log::Holds => &mut self.holds_log,
            Log::Tenures => &mut self.tenures_log,
        }
    }

    fn post(&self, lane: &str) -> Option<&Post> {
        self.posts.get(*self.places.get(lane)?)
    }

    fn places(&self) -> Vec<Place> {
        self.posts.iter().map(|post| post.place.clone()).collect()
    }

    fn place(&self, lane: &LaneId) -> Option<Place> {
        Some(self.post(lane.as_str())?.place.clone())
    }

    /// Tells every lane in reach what holds it now.
    fn order(&self, reach: &Reach, now: Now) {
        if reach.scope == Scope::Lane {
            return self.order_lane(&reach.key, now);
        }
        for post in &self.posts {
            let waba = reach.key.split_once('/').map(|(waba, _)| waba);
            let of_template = reach.scope == Scope::Template && waba == Some(&*post.place.waba);
            if of_template {
                let templates = self.holds.templates(&post.place.waba);
                let templates = templates
                    .map(|(name, until_ms)| (name.into(), until_ms))
                    .collect();
                post.orders
                    .send_modify(|orders| orders.templates = templates);
            } else if post.place.is_in(reach) {
                self.order_post(post, now);
            }
        }
    }

    fn order_lane(&self, lane: &str, now: Now) {
        if let Some(post) = self.post(lane) {
            self.order_post(post, now);
        }
    }

    fn order_post(&self, post: &Post, now: Now) {
        let held = self.holds.on(&post.place, now);
        post.orders.send_modify(|orders| orders.held = held);
    }
}
