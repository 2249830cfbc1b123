//! The board: what holds which lane, in this worker and, by way of `wa.lanes.log`, in all of them. Everything that concerns
//! more than one lane meets here; [`crate::core::holds`] decides.
//!
//! A lane that finds a fault tells the board, which tells every lane that it strikes at once, and the other workers. The board also
//! asks the API whether a block is over: by reading the number's health, which spends no message.

use crate::broker::Sessions;
use crate::broker::lanes_log::Entry;
use crate::broker::session::Session;
use crate::clock::Clock;
use crate::core::Now;
use crate::core::holds::{Due, Finding, Health, Held, Holds, News, Place, Reach, Record};
use crate::core::message::LaneId;
use crate::core::outcome::Scope;
use crate::core::tenure::{Tenures, Unsent};
use crate::credentials::Token;
use crate::graph::Graph;
use crate::metrics::Metrics;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};

/// Longest that an operator waits for the other workers to be told.
const TOLD_TIMEOUT: Duration = Duration::from_secs(5);

mod accounts;
mod log;
mod tenure;

/// What the process wants of one lane. Only the newest counts.
#[derive(Clone)]
pub struct Orders {
    pub held: Held,
    /// Templates whose messages wait, until when.
    pub templates: Arc<[(Arc<str>, u64)]>,
    /// Who has the lane, by the log: who took it last and has not left it in order.
    pub owner: Option<Owner>,
    pub token: Arc<Token>,
    /// The number's limit, once the API has told it.
    pub limit_mps: Option<u32>,
}

/// A worker, in one of its lives.
#[derive(Clone, PartialEq, Debug)]
pub struct Owner {
    pub worker: Arc<str>,
    /// Since when it has what it has, by its own clock.
    pub since_ms: u64,
    pub is_us: bool,
}

/// A lane on the board.
struct Post {
    place: Place,
    orders: watch::Sender<Orders>,
}

/// How far the others can know.
#[derive(Clone, Copy, Default)]
struct Told {
    /// Records that were written, or need not be any more.
    count: u64,
    /// The log cannot be used: what is to be told waits until it can.
    is_mute: bool,
}

struct Inner {
    holds: Holds,
    tenures: Tenures,
    /// Lanes of ours that wait for the log to say that they are.
    claims: HashMap<Arc<str>, (Record, oneshot::Sender<Unsent>)>,
    posts: Vec<Post>,
    /// Records to write, in order.
    outgoing: VecDeque<Record>,
    /// Records ever put into `outgoing`.
    queued: u64,
    /// How far the log was read.
    offset: Option<u64>,
}

pub struct Board {
    inner: Mutex<Inner>,
    to_write: Notify,
    /// Something may be due earlier.
    to_tend: Notify,
    told: watch::Sender<Told>,
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
                outgoing: VecDeque::new(),
                queued: 0,
                offset: None,
            }),
            to_write: Notify::new(),
            to_tend: Notify::new(),
            told: watch::Sender::new(Told::default()),
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
            token,
            limit_mps: None,
        });
        let post = Post {
            place,
            orders: orders.clone(),
        };
        self.lock().posts.push(post);
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
        // Whatever the board made of it: the lane has stopped, and must hear until when.
        inner.order_lane(&place.lane, now);
        self.to_tend.notify_one();
    }

    /// To be told to the others; what was to be told of the same before need not be any more.
    fn share(&self, inner: &mut Inner, record: Option<Record>) {
        let Some(record) = record else { return };
        let slot = record.slot();
        // The first may be on its way already.
        let outdated = inner
            .outgoing
            .iter()
            .skip(1)
            .position(|other| other.slot() == slot);
        if let Some(other) = outdated.and_then(|place| inner.outgoing.remove(place + 1)) {
            inner.holds.not_told(&other);
            self.told.send_modify(|told| told.count += 1);
        }
        inner.outgoing.push_back(record);
        inner.queued += 1;
        self.to_write.notify_one();
    }

    /// Stops a lane in every worker. `None`: not a lane of this worker.
    pub async fn pause(&self, lane: &LaneId) -> Option<Result<(), NotTold>> {
        {
            let (mut inner, now) = (self.lock(), self.clock.now());
            let place = inner.place(lane)?;
            let record = inner.holds.pause(&place, now);
            self.share(&mut inner, record);
            inner.order_lane(&place.lane, now);
        }
        Some(self.have_told().await)
    }

    /// Ends a pause and whatever else holds the lane, in every worker.
    pub async fn resume(&self, lane: &LaneId) -> Option<Result<(), NotTold>> {
        {
            let (mut inner, now) = (self.lock(), self.clock.now());
            let place = inner.place(lane)?;
            for (reach, record) in inner.holds.resume(&place, now) {
                self.share(&mut inner, Some(record));
                inner.order(&reach, now);
            }
        }
        Some(self.have_told().await)
    }

    async fn have_told(&self) -> Result<(), NotTold> {
        if self.told(TOLD_TIMEOUT).await {
            Ok(())
        } else {
            Err(NotTold)
        }
    }

    /// Waits until the other workers can know what this one knew when it asked; false if they cannot.
    pub async fn told(&self, patience: Duration) -> bool {
        let queued = self.lock().queued;
        let mut told = self.told.subscribe();
        let all = told.wait_for(|told| told.count >= queued || told.is_mute);
        let all = tokio::time::timeout(patience, all).await;
        matches!(all, Ok(Ok(told)) if told.count >= queued)
    }

    /// Runs for ever, or until nobody opens sessions any more.
    pub async fn run(
        self: Arc<Self>,
        opened: Sessions,
        joined: watch::Sender<Option<Arc<Session>>>,
    ) {
        // What was asked of the API must not be forgotten with a session.
        tokio::select! {
            () = self.pass_on(opened, joined) => {}
            () = self.tend() => {}
        }
    }

    /// Passes sessions on to the lanes once the log was read, so that no lane begins that should not.
    async fn pass_on(&self, mut opened: Sessions, joined: watch::Sender<Option<Arc<Session>>>) {
        loop {
            let session = opened.borrow_and_update().clone();
            self.drop_claims();
            let Some(session) = session else {
                joined.send_replace(None);
                if opened.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let log = tokio::select! {
                log = self.catch_up(&session) => log,
                Ok(()) = opened.changed() => continue,
            };
            joined.send_replace(Some(session.clone()));
            tokio::select! {
                () = self.keep_log(&session, log) => {}
                changed = opened.changed() => if changed.is_err() {
                    joined.send_replace(None);
                    return;
                }
            }
        }
    }

    fn heard(&self, entry: &Entry) {
        let (mut inner, now) = (self.lock(), self.clock.now());
        inner.offset = inner.offset.max(Some(entry.offset));
        let Some(record) = Record::from_json(&entry.body) else {
            return;
        };
        if inner.heard_of_tenure(&record) {
            return;
        }
        let (worker, news) = (record.worker.clone(), record.news.clone());
        if let Some(reach) = inner.holds.heard(record) {
            log_heard(&reach, &news, &worker);
            inner.order(&reach, now);
            self.to_tend.notify_one();
        }
    }

    /// Asks the API what may be over, ends what is, for ever.
    async fn tend(&self) {
        let mut asking: FuturesUnordered<BoxFuture<'static, (Reach, Health)>> =
            FuturesUnordered::new();
        loop {
            asking.extend(self.see_to_what_is_due());
            tokio::select! {
                Some((reach, health)) = asking.next(), if !asking.is_empty() => self.asked(&reach, health),
                () = self.to_tend.notified() => {}
                () = self.sleep_until_due() => {}
            }
        }
    }

    fn see_to_what_is_due(&self) -> Vec<BoxFuture<'static, (Reach, Health)>> {
        let (mut inner, now) = (self.lock(), self.clock.now());
        let places = inner.places();
        let mut asking = vec![];
        for due in inner.holds.due(&places, now) {
            match due {
                Due::Ask(reach, lane) => asking.extend(self.ask(&inner, reach, lane)),
                Due::Ended(reach) => {
                    let (scope, key) = (reach.scope.as_str(), &reach.key);
                    tracing::info!(scope, %key, "the pause is over that the API asked for");
                    inner.order(&reach, now);
                }
                Due::Tell(record) => self.share(&mut inner, Some(record)),
            }
        }
        asking
    }

    fn ask(
        &self,
        inner: &Inner,
        reach: Reach,
        lane: LaneId,
    ) -> Option<BoxFuture<'static, (Reach, Health)>> {
        let post = inner.posts.iter().find(|post| post.place.lane == lane)?;
        let (graph, token) = (self.graph.clone(), post.orders.borrow().token.clone());
        let metrics = self.metrics.clone();
        let asking = async move {
            let health = graph.health(&lane, &token).await;
            metrics
                .health_probes
                .with_label_values(&[health.as_str()])
                .inc();
            (reach, health)
        };
        Some(asking.boxed())
    }

    fn asked(&self, reach: &Reach, health: Health) {
        let (mut inner, now) = (self.lock(), self.clock.now());
        let record = inner.holds.asked(reach, health, now);
        let (scope, key, health) = (reach.scope.as_str(), &reach.key, health.as_str());
        if inner.holds.is_held(reach) {
            tracing::debug!(scope, %key, health, "still held");
        } else {
            tracing::info!(scope, %key, health, "lifted: one request tries");
        }
        self.share(&mut inner, record);
        inner.order(reach, now);
    }

    fn sleep_until_due(&self) -> impl Future<Output = ()> + use<> {
        let (due_ms, now_ms) = (self.lock().holds.next_due_ms(), self.clock.now().wall_ms);
        async move {
            match due_ms {
                Some(due_ms) => {
                    let wait = Duration::from_millis(due_ms.saturating_sub(now_ms));
                    tokio::time::sleep(wait).await;
                }
                None => std::future::pending().await,
            }
        }
    }
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
        News::Taken | News::Left { .. } => {}
    }
}

impl Inner {
    fn places(&self) -> Vec<Place> {
        self.posts.iter().map(|post| post.place.clone()).collect()
    }

    fn place(&self, lane: &LaneId) -> Option<Place> {
        let post = self.posts.iter().find(|post| post.place.lane == *lane)?;
        Some(post.place.clone())
    }

    /// Tells every lane in reach what holds it now.
    fn order(&self, reach: &Reach, now: Now) {
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

    fn order_lane(&self, lane: &LaneId, now: Now) {
        for post in self.posts.iter().filter(|post| post.place.lane == *lane) {
            self.order_post(post, now);
        }
    }

    fn order_post(&self, post: &Post, now: Now) {
        let held = self.holds.on(&post.place, now);
        post.orders.send_modify(|orders| orders.held = held);
    }
}
