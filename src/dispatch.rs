//! One task per lane: take everything that is ready, feed the core, perform its steps. The only file that knows the order
//! intake → validate → pace → send → classify → decide → publish → settle.

mod arrive;
mod budget;
mod claim;
mod conclude;
mod consumer;
mod handle;
#[cfg(debug_assertions)]
mod ill_wish;
mod observe;
mod trace;

pub use conclude::Concluder;
pub use handle::{LaneHandle, Seen};

use crate::board::{Board, Orders, Owner};
use crate::broker::delivery::Delivery;
use crate::broker::links::Links;
use crate::broker::results_log::{Found, FoundResult};
use crate::broker::{Sessions, delays};
use crate::core::Now;
use crate::core::answer::Reply;
use crate::core::holds::Place;
use crate::core::intake::{IntakeConfig, Refusal, intake};
use crate::core::lane::{Attempt, Decision, Lane, Luck, Resolved, Rest, State, Step, Ticket};
use crate::core::message::Message;
use crate::core::outcome::{Class, Outcome, Rules};
use crate::core::retry::RetryPolicy;
use crate::credentials::{Apps, Token};
use crate::evidence::Evidence;
use crate::graph::Graph;
use crate::spans::Spans;
use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use claim::Claim;
use consumer::Consumer;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use observe::Observer;
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// How often a lane that must not send looks again.
const FENCED_PAUSE: Duration = Duration::from_millis(200);

/// Longest that a lane waits for its limit to be read from the API before it starts at the lowest.
const LIMIT_PATIENCE: Duration = Duration::from_secs(10);

/// Requests of one lane that may be under way to the delay ladder: as many may be in doubt when their worker is killed. Source: measured,
/// RabbitMQ confirms as fast as it can from some 50 on, within 5 ms.
const MOVES_MAX: usize = 50;

/// Longest that a lane which stops waits for the other workers to be told why.
const TELL_PATIENCE: Duration = Duration::from_secs(1);

/// "Account in maintenance mode". Source: Meta, "Error codes" and "Throughput".
const MAINTENANCE: [i64; 2] = [131_057, 2_494_100];

/// What all lanes share.
pub struct Shared {
    pub graph: Graph,
    pub rules: Rules,
    pub intake: IntakeConfig,
    pub retry: RetryPolicy,
    pub concluder: Concluder,
    pub board: Arc<Board>,
    pub apps: Apps,
    pub evidence: Evidence,
    pub worker_id: String,
    pub sessions: Sessions,
    pub links: Arc<Links>,
    pub drain: watch::Receiver<bool>,
    /// How long after a loss of RabbitMQ a lane is left to the worker that had it.
    pub owner_first: Duration,
    /// If messages are traced.
    pub spans: Option<Arc<Spans>>,
    /// First and longest pause before trying again in place: `retry.quick_base_ms`, `retry.quick_max_ms`.
    pub quick: (Duration, Duration),
}

impl Shared {
    pub fn now(&self) -> Now {
        self.concluder.clock.now()
    }

    /// A request that makes the check itself fail would do the same to every worker in turn.
    pub fn intake(&self, delivery: &mut Delivery, now: Now) -> Result<Message, Refusal> {
        let checking = || intake(delivery.body.clone(), delivery.inbound(), &self.intake, now);
        let checked = std::panic::catch_unwind(AssertUnwindSafe(checking));
        let checked = checked.unwrap_or_else(|_| Err(Refusal::of_a_panic()));
        if let Some(journey) = delivery.journey() {
            journey.received(checked.is_err().then_some(Class::Invalid.as_str()));
        }
        checked
    }
}

/// Something of the lane's finished.
enum Done {
    Answered {
        ticket: Ticket,
        reply: Reply,
        took: Duration,
    },
    /// A decision was published and settled, or given up with its session.
    Settled { ticket: Ticket, confirmed: bool },
    /// A refusal at intake was answered.
    Refused,
    /// What the log of results has of a request that was delivered again.
    Evidence {
        ticket: Ticket,
        found: Option<Found>,
    },
}

pub struct LaneTask {
    shared: Arc<Shared>,
    lane: Lane,
    url: reqwest::Url,
    token: Arc<Token>,
    observer: Observer,
    orders: watch::Receiver<Orders>,
    handle: LaneHandle,
    consumer: Consumer,
    claim: Claim,
    /// The run of whoever had the lane before, and when this worker noticed that it has not.
    former: Option<(u64, tokio::time::Instant)>,
    /// Whom the lane was left to after a loss of RabbitMQ, and until when.
    left_to: Option<(Owner, Duration)>,
    /// Delivered before the lane was ours.
    unclaimed: VecDeque<Delivery>,
    deliveries: HashMap<Ticket, Delivery>,
    /// The last turn left something that is ready: it is the other lanes' turn first.
    is_cut_short: bool,
    next_ticket: Ticket,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Copies that may be under way to the ladder.
    moves: Arc<Semaphore>,
    quick: ExponentialBackoff,
}

impl LaneTask {
    /// `reads_limit`: the lane's limit comes from the API, by an order; its configured one is only the lowest there is.
    pub fn new(
        shared: Arc<Shared>,
        mut lane: Lane,
        place: Place,
        token: Arc<Token>,
        reads_limit: bool,
    ) -> anyhow::Result<(Self, LaneHandle)> {
        let now = shared.now();
        if reads_limit {
            lane.await_limit(now.mono + LIMIT_PATIENCE);
        }
        let waba_id = place.waba.clone();
        let metrics = shared.concluder.metrics.clone();
        let orders = shared.board.post(place, token.clone());
        let handle = LaneHandle {
            id: lane.id().clone(),
            waba_id,
            label: metrics.label(lane.id().as_str()).into(),
            orders,
            limit_is_stale: Arc::default(),
            seen: Arc::new(Mutex::new(Seen::new(lane.view()))),
        };
        let task = Self {
            url: shared.graph.messages_url(lane.id())?,
            token,
            observer: Observer::new(lane.id().clone(), metrics, lane.state()),
            orders: handle.orders.subscribe(),
            handle: handle.clone(),
            consumer: Consumer::new(
                lane.id().clone(),
                &shared.worker_id,
                shared.sessions.clone(),
                shared.links.clone(),
                shared.spans.clone(),
            ),
            claim: Claim::None,
            former: None,
            left_to: None,
            unclaimed: VecDeque::new(),
            deliveries: HashMap::new(),
            is_cut_short: false,
            next_ticket: 0,
            work: FuturesUnordered::new(),
            moves: Arc::new(Semaphore::new(MOVES_MAX)),
            quick: delays(shared.quick.0, shared.quick.1),
            lane,
            shared,
        };
        Ok((task, handle))
    }

    /// Until the drain has finished.
    pub async fn run(mut self) {
        let mut drain = self.shared.drain.clone();
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        loop {
            let wake = self.turn().await;
            if self.is_drained() {
                break;
            }
            if let Some(at) = wake {
                let at = self.shared.concluder.clock.instant(at);
                if timer.deadline() != at {
                    timer.as_mut().reset(at);
                }
            }
            let clock = self.shared.concluder.clock;
            tokio::select! {
                biased;
                _ = drain.wait_for(|drain| *drain), if self.lane.state() != State::Draining => self.lane.drain(),
                Ok(()) = self.orders.changed() => self.obey(),
                Some(done) = self.work.next(), if !self.work.is_empty() => self.finish_all_ready(done),
                legacy = self.claim.answered() => self.took_over(legacy),
                () = std::future::ready(()), if self.has_unread() => self.take_unclaimed(),
                event = self.consumer.next(|| clock.now().mono) => self.heed(event),
                () = &mut timer, if wake.is_some() => {}
            }
            if std::mem::take(&mut self.is_cut_short) {
                tokio::task::yield_now().await;
            }
        }
        self.leave().await;
    }

    /// Performs what the core wants now, sees to the consumer, and returns when to look again.
    async fn turn(&mut self) -> Option<Duration> {
        if self.consumer.is_misplaced() && self.lane.state() == State::Flowing {
            self.lane.fetch_anew(self.shared.now());
        }
        let wake = match self.perform() {
            Performed::Until(wake) => wake,
            Performed::GiveBack => {
                let is_open = self.consumer.is_open() && self.lane.state() != State::Draining;
                if is_open && self.work.is_empty() {
                    // Whoever takes the lane next should know why we left it.
                    self.shared.board.told(TELL_PATIENCE).await;
                    self.leave().await;
                }
                None
            }
        };
        let (prefetch, now) = (self.lane.config().prefetch(), self.shared.now().mono);
        let wanted_at = self.lane.rejoin_at();
        let open_at = self.consumer.open_if_due(wanted_at, prefetch, now);
        self.observer.state(self.lane.state());
        let mut view = self.lane.view();
        if self.is_fenced() {
            view.rest = Rest::Broker;
        }
        let (consumer, is_owned) = (&self.consumer, self.claim.is_held());
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

    fn is_drained(&self) -> bool {
        let is_idle = self.work.is_empty() && self.lane.in_flight() == 0;
        self.lane.state() == State::Draining && is_idle
    }

    /// It could send, and must not: the broker may give its messages away, or take no results.
    fn is_fenced(&self) -> bool {
        let sends = matches!(
            self.lane.state(),
            State::Flowing | State::Cooling { .. } | State::Probing { .. }
        );
        let publisher = &self.shared.concluder.publisher;
        sends && (!self.consumer.may_send() || publisher.is_stuck(self.lane.id().as_str()))
    }

    /// Sends and decides until the core says wait.
    fn perform(&mut self) -> Performed {
        let now = self.shared.now();
        if self.is_fenced() {
            let again = self.consumer.has_session().then(|| now.mono + FENCED_PAUSE);
            return Performed::Until(again);
        }
        loop {
            match self.lane.next(now) {
                Step::Send(attempt) => self.send(attempt),
                Step::Decide(all) => all.into_iter().for_each(|one| self.carry_out(one, None)),
                Step::Wait(until) => return Performed::Until(Some(until)),
                Step::Idle => return Performed::Until(None),
                Step::GiveBack => return Performed::GiveBack,
            }
        }
    }

    fn send(&mut self, attempt: Attempt) {
        let Attempt {
            ticket,
            body,
            priority,
            waited,
            would_wait,
        } = attempt;
        if would_wait {
            self.observer.metrics.shadow_waits.inc();
        }
        self.observer
            .metrics
            .pacing_wait(priority)
            .observe(waited.as_secs_f64());
        self.trace_pace(ticket);
        let (shared, url, token) = (self.shared.clone(), self.url.clone(), self.token.clone());
        #[cfg(debug_assertions)]
        if let Some(delivery) = self.deliveries.get(&ticket) {
            ill_wish::panic_at(delivery.id());
        }
        let sending = async move {
            let started = Instant::now();
            let reply = shared.graph.send(url, &token, body).await;
            Done::Answered {
                ticket,
                reply,
                took: started.elapsed(),
            }
        };
        self.work.push(sending.boxed());
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Answered {
                ticket,
                reply,
                took,
            } => self.answered(ticket, reply, took),
            Done::Settled { ticket, confirmed } => self.lane.settled(ticket, confirmed),
            Done::Refused => {}
            Done::Evidence { ticket, found } => self.weigh_evidence(ticket, found),
        }
    }

    fn answered(&mut self, ticket: Ticket, reply: Reply, took: Duration) {
        let now = self.shared.now();
        self.observer.replied(&reply, &self.shared.rules);
        let usage = reply.usage();
        let traced = self.shared.spans.as_ref().map(|_| trace::answer(&reply));
        let outcome = self.shared.rules.classify(reply);
        self.observer.attempted(&outcome, took);
        if let Some(answer) = traced {
            self.trace_send(ticket, &outcome, answer, took);
        }
        let quick_pause = self.quick_pause(&outcome);
        let luck = Luck {
            jitter: fastrand::f64(),
            quick_pause,
        };
        self.heed_upgrade(&outcome);
        let used_up = usage.and_then(|usage| self.lane.used(usage, now));
        let verdict = self.lane.resolve(ticket, outcome, now, luck);
        for finding in used_up.iter().chain(&verdict.finding) {
            self.shared.board.found(self.lane.id(), finding);
        }
        if let Some(resolved) = verdict.resolved {
            self.carry_out(resolved, None);
        }
    }

    /// A number is in maintenance while its throughput is raised: its limit is another one afterwards.
    fn heed_upgrade(&self, outcome: &Outcome) {
        if let Outcome::Throttled { error, .. } = outcome
            && error.code.is_some_and(|code| MAINTENANCE.contains(&code))
        {
            self.handle.limit_is_stale.notify_one();
        }
    }

    /// One step of the backoff per pause of the lane, however many sends failed together.
    fn quick_pause(&mut self, outcome: &Outcome) -> Duration {
        if !matches!(outcome, Outcome::NotSent { .. }) {
            self.quick.reset();
            return Duration::ZERO;
        }
        if matches!(self.lane.state(), State::Cooling { .. }) {
            return Duration::ZERO;
        }
        self.quick.next_backoff().unwrap_or(self.shared.quick.1)
    }

    fn carry_out(&mut self, resolved: Resolved, found: Option<FoundResult>) {
        let Resolved {
            ticket,
            priority,
            decision,
        } = resolved;
        let Some(delivery) = self.deliveries.remove(&ticket) else {
            tracing::error!(phone_number_id = %self.lane.id(), "a decision without its delivery");
            self.lane.settled(ticket, false);
            return;
        };
        let (shared, metrics) = (self.shared.clone(), self.observer.metrics.clone());
        let moves = matches!(decision, Decision::Delay { .. }).then(|| self.moves.clone());
        let concluding = async move {
            // Never closed.
            let _move = OptionFuture::from(moves.map(Semaphore::acquire_owned)).await;
            let concluder = &shared.concluder;
            let confirmed = concluder
                .decision(&metrics, delivery, decision, found, priority)
                .await;
            Done::Settled { ticket, confirmed }
        };
        self.work.push(concluding.boxed());
    }

    fn obey(&mut self) {
        let (orders, now) = (self.orders.borrow_and_update().clone(), self.shared.now());
        if !Arc::ptr_eq(&orders.token, &self.token) {
            self.token = orders.token;
            self.lane.token_changed();
        }
        for (template, until_ms) in orders.templates.iter() {
            self.lane.hold_template(template, *until_ms, now);
        }
        if let Some(limit_mps) = orders.limit_mps {
            self.lane.set_limit(limit_mps, now);
        }
        self.lane.held(orders.held, now);
        self.lane.inherit(&orders.unsent);
        // RabbitMQ has given it away, though this worker may not have noticed yet.
        if self.claim.is_held() && orders.owner.is_some_and(|owner| !owner.is_us) {
            tracing::warn!(phone_number_id = %self.lane.id(), "another worker took the lane: leaving it");
            self.claim = Claim::None;
            self.lane.fetch_anew(now);
        }
    }
}

enum Performed {
    /// Look again then, or when something happens.
    Until(Option<Duration>),
    GiveBack,
}
