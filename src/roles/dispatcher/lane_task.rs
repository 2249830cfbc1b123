//! One task per lane: tells its [`Driver`] what happens, and performs what that commands. In which order a message passes its steps is
//! the driver's to say.

mod arrive;
mod consumer;
mod handle;
mod leave;
mod observe;
mod perform;
#[cfg(debug_assertions)]
mod test_panic;
mod trace;

pub use handle::LaneHandle;

use crate::broker::Sessions;
use crate::broker::delivery::Delivery;
use crate::broker::held::{HeldByLane, HeldByWorker};
use crate::broker::links::Links;
use crate::broker::results_log::Found;
use crate::clock::Clock;
use crate::core::fleet::holds::Place;
use crate::core::fleet::tenure::Legacy;
use crate::core::lane::dedupe::Recalled;
use crate::core::lane::driver::{self, Consuming, Driver, DriverConfig};
use crate::core::lane::{Lane, State, Ticket};
use crate::core::media::links::Source;
use crate::core::media::upload::Uploaded;
use crate::core::operation::{IntakeConfig, Operation};
use crate::core::outcome::Rules;
use crate::core::outcome::answer::Reply;
use crate::credentials::Token;
use crate::graph::Graph;
use crate::metrics::{Metrics, Seen};
use crate::roles::dispatcher::board::{Board, Orders};
use crate::roles::dispatcher::conclude::Concluder;
use crate::roles::dispatcher::evidence::Evidence;
use crate::roles::dispatcher::media::{Uploading, Uploads};
use crate::roles::dispatcher::recall::Parts;
use crate::spans::Spans;
use consumer::Consumer;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use observe::Observer;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};

/// Requests of one lane that may be under way to the delay ladder: as many may be in doubt when their worker is killed. Source: measured,
/// RabbitMQ confirms as fast as it can from some 50 on, within 5 ms.
const MOVES_MAX: usize = 50;

/// The parts that all lanes work with.
pub struct Common {
    pub clock: Clock,
    pub graph: Graph,
    pub rules: Rules,
    pub intake: IntakeConfig,
    /// Bodies that all lanes hold.
    pub bodies: HeldByWorker,
    pub concluder: Arc<Concluder>,
    pub metrics: Arc<Metrics>,
    pub board: Arc<Board>,
    pub evidence: Evidence,
    pub uploads: Uploads,
    pub driver: DriverConfig,
    pub sessions: Sessions,
    pub links: Arc<Links>,
    pub drain: watch::Receiver<bool>,
    /// If messages are traced.
    pub spans: Option<Arc<Spans>>,
}

/// Something of the lane's finished.
enum Done {
    Answered {
        ticket: Ticket,
        operation: Operation,
        reply: Reply,
        took: Duration,
    },
    /// A decision was published and settled, or given up with its session.
    Settled { ticket: Ticket, confirmed: bool },
    /// A part of the log of results was read for those who say `dedupe`; or that takes long.
    Recalled {
        number: u64,
        recalled: Recalled,
        rest: Parts,
    },
    /// A file was uploaded or cannot be; or that takes long.
    Uploaded {
        source: Source,
        uploaded: Uploaded,
        rest: Option<Uploading>,
    },
    /// A refusal at intake was answered.
    Refused,
    /// The log of results on a request that was delivered again.
    Evidence {
        ticket: Ticket,
        found: Option<Found>,
    },
}

pub struct LaneTask {
    common: Arc<Common>,
    driver: Driver<Delivery>,
    token: Arc<Token>,
    observer: Observer,
    orders: watch::Receiver<Orders>,
    handle: LaneHandle,
    consumer: Consumer,
    /// Says that the lane is this worker's, while that is asked for.
    claim: Option<oneshot::Receiver<Legacy>>,
    bodies: HeldByLane,
    /// The last turn left something that is ready: it is the other lanes' turn first.
    is_cut_short: bool,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Copies that may be under way to the ladder.
    moves: Arc<Semaphore>,
}

impl LaneTask {
    /// `reads_limit`: the lane's limit comes from the API, by an order; its configured one is only the lowest there is.
    pub fn new(
        common: Arc<Common>,
        lane: Lane,
        place: Place,
        token: Arc<Token>,
        reads_limit: bool,
    ) -> (Self, LaneHandle) {
        let waba_id = place.waba.clone();
        let metrics = common.metrics.clone();
        let orders = common.board.post(place, token.clone());
        let handle = LaneHandle {
            id: lane.id().clone(),
            waba_id,
            label: metrics.label(lane.id().as_str()).into(),
            orders,
            limit_is_stale: Arc::default(),
            seen: Arc::new(Mutex::new(Seen::new(lane.view()))),
        };
        let task = Self {
            token,
            observer: Observer::new(lane.id().clone(), metrics, lane.state()),
            orders: handle.orders.subscribe(),
            handle: handle.clone(),
            consumer: Consumer::new(
                lane.id().clone(),
                &common.driver.worker,
                common.sessions.clone(),
                common.links.clone(),
                common.spans.clone(),
            ),
            claim: None,
            bodies: HeldByLane::new(&common.bodies),
            is_cut_short: false,
            work: FuturesUnordered::new(),
            moves: Arc::new(Semaphore::new(MOVES_MAX)),
            driver: Driver::new(lane, common.driver.clone(), reads_limit, common.clock.now()),
            common,
        };
        (task, handle)
    }

    /// Until the drain has finished.
    pub async fn run(mut self) {
        let mut drain = self.common.drain.clone();
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        loop {
            let wake = self.turn().await;
            if self.driver.is_drained() {
                break;
            }
            if let Some(at) = wake {
                let at = self.common.clock.instant(at);
                if timer.deadline() != at {
                    timer.as_mut().reset(at);
                }
            }
            let clock = self.common.clock;
            tokio::select! {
                biased;
                _ = drain.wait_for(|drain| *drain), if self.driver.state() != State::Draining => self.driver.drain(),
                Ok(()) = self.orders.changed() => self.apply_orders(),
                Some(done) = self.work.next(), if !self.work.is_empty() => self.finish_all_ready(done),
                legacy = answered(&mut self.claim) => self.claimed(legacy),
                () = std::future::ready(()), if self.driver.unread().is_some() => self.read_all_unread(),
                event = self.consumer.next(|| clock.now().mono) => self.on_consumer_event(event),
                () = &mut timer, if wake.is_some() => {}
            }
            if std::mem::take(&mut self.is_cut_short) {
                tokio::task::yield_now().await;
            }
        }
        self.driver.leave();
        self.leave().await;
    }

    /// Performs what the driver wants now, sees to the consumer, and returns when to look again.
    async fn turn(&mut self) -> Option<Duration> {
        let wake = self.driver.turn(self.consuming(), self.common.clock.now());
        self.perform();
        if self.driver.is_leaving() {
            self.leave().await;
        }
        let (prefetch, now) = (self.driver.prefetch(), self.common.clock.now().mono);
        let wanted_at = self.driver.wanted_at();
        let open_at = self.consumer.open_if_due(wanted_at, prefetch, now);
        self.observer.state(self.driver.state());
        let view = self.driver.view(self.consuming());
        let (consumer, is_owned) = (&self.consumer, self.driver.is_owner());
        self.handle.update(|seen| {
            seen.view = view;
            seen.is_subscribed = consumer.is_open();
            seen.is_wanted = wanted_at.is_some();
            seen.last_try = consumer.last_try();
            seen.is_apart = consumer.is_apart();
            seen.is_owned = is_owned;
        });
        [wake, open_at].into_iter().flatten().min()
    }

    fn consuming(&self) -> Consuming {
        let publisher = &self.common.concluder.publisher;
        let is_stuck = publisher.is_stuck(self.driver.id().as_str());
        Consuming {
            has_session: self.consumer.has_session(),
            is_open: self.consumer.is_open(),
            may_send: self.consumer.may_send() && !is_stuck,
            is_misplaced: self.consumer.is_misplaced(),
        }
    }

    fn apply_orders(&mut self) {
        let (orders, now) = (
            self.orders.borrow_and_update().clone(),
            self.common.clock.now(),
        );
        let has_new_token = !Arc::ptr_eq(&orders.token, &self.token);
        self.token = orders.token;
        let orders = driver::Orders {
            held: orders.held,
            templates: &orders.templates,
            owner: orders.owner.as_ref(),
            unsent: orders.unsent,
            limit_mps: orders.limit_mps,
            has_new_token,
        };
        self.driver.apply_orders(orders, now);
        self.perform();
    }

    fn claimed(&mut self, legacy: Legacy) {
        self.claim = None;
        self.driver.claimed(legacy, self.common.clock.now());
        self.perform();
    }
}

/// Waits for what is known of the worker before; nothing, if the log does not say. Does not end unless the lane is claimed.
async fn answered(claim: &mut Option<oneshot::Receiver<Legacy>>) -> Legacy {
    match claim {
        Some(claim) => claim.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}
