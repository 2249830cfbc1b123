//! One task per lane: take everything that is ready, feed the core, perform its steps. The only file that knows the order
//! intake → validate → pace → send → classify → decide → publish → settle.

use crate::broker::consume::{Ended, Subscription};
use crate::broker::delivery::{Delivery, Settled};
use crate::broker::publish::{Confirmed, Publisher};
use crate::broker::session::Session;
use crate::broker::{Sessions, delays};
use crate::clock::Clock;
use crate::core::answer::{AnswerBody, Reply};
use crate::core::intake::{IntakeConfig, Refusal, intake};
use crate::core::lane::{Attempt, Decision, Lane, Luck, Resolved, State, Step, Ticket, View};
use crate::core::message::{LaneId, Message, Priority};
use crate::core::outcome::{Outcome, Rules};
use crate::core::placement;
use crate::core::report::{Report, ReportedError};
use crate::credentials::TokenSlot;
use crate::graph::Graph;
use crate::metrics::{LaneMetrics, Metrics};
use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How often a lane that must not send looks again.
const FENCED_PAUSE: Duration = Duration::from_millis(200);

/// What all lanes share.
pub struct Shared {
    pub graph: Graph,
    pub rules: Rules,
    pub intake: IntakeConfig,
    pub publisher: Publisher,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub worker_id: String,
    pub sessions: Sessions,
    pub drain: watch::Receiver<bool>,
    /// First and longest pause before trying again in place: `retry.quick_base_ms`, `retry.quick_max_ms`.
    pub quick: (Duration, Duration),
}

/// What an operator, a token file or the API's number fields ask of a lane.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    Pause,
    Resume,
    /// A new token was loaded: a blocked lane may try again.
    TokenChanged,
    SetLimit(u32),
}

/// A lane as the rest of the process sees it.
#[derive(Clone)]
pub struct LaneHandle {
    pub id: LaneId,
    pub waba_id: String,
    pub commands: mpsc::Sender<Command>,
    view: Arc<Mutex<View>>,
}

impl LaneHandle {
    pub fn view(&self) -> View {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something of the lane's finished.
enum Done {
    Answered {
        ticket: Ticket,
        reply: Reply,
        took: Duration,
    },
    /// A decision was published and settled (with the message if it is on the ladder now), or given up with its session.
    Settled {
        settled: Settled,
        delayed: Option<Message>,
    },
    /// A refusal at intake was answered.
    Refused(Settled),
}

pub struct LaneTask {
    shared: Arc<Shared>,
    lane: Lane,
    url: reqwest::Url,
    tokens: Arc<TokenSlot>,
    metrics: Arc<LaneMetrics>,
    commands: mpsc::Receiver<Command>,
    view: Arc<Mutex<View>>,
    sessions: Sessions,
    session: Option<Arc<Session>>,
    subscription: Option<Subscription>,
    deliveries: HashMap<Ticket, Delivery>,
    next_ticket: Ticket,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Not before this after a lost consumer.
    subscribe_at: Duration,
    resubscribe: ExponentialBackoff,
    quick: ExponentialBackoff,
}

impl LaneTask {
    pub fn new(
        shared: Arc<Shared>,
        lane: Lane,
        waba_id: &str,
        tokens: Arc<TokenSlot>,
    ) -> anyhow::Result<(Self, LaneHandle)> {
        let (sender, commands) = mpsc::channel(16);
        let view = Arc::new(Mutex::new(lane.view()));
        let handle = LaneHandle {
            id: lane.id().clone(),
            waba_id: waba_id.to_owned(),
            commands: sender,
            view: view.clone(),
        };
        let task = Self {
            url: shared.graph.messages_url(lane.id())?,
            tokens,
            metrics: Arc::new(shared.metrics.lane(lane.id().as_str())),
            commands,
            view,
            sessions: shared.sessions.clone(),
            session: None,
            subscription: None,
            deliveries: HashMap::new(),
            next_ticket: 0,
            work: FuturesUnordered::new(),
            subscribe_at: Duration::ZERO,
            resubscribe: delays(Duration::from_millis(200), Duration::from_secs(15)),
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
        self.sessions.mark_changed();
        loop {
            let wake = self.turn().await;
            if self.is_drained() {
                break;
            }
            if let Some(at) = wake {
                let at = self.shared.clock.instant(at);
                if timer.deadline() != at {
                    timer.as_mut().reset(at);
                }
            }
            tokio::select! {
                biased;
                _ = drain.wait_for(|drain| *drain), if self.lane.state() != State::Draining => self.lane.drain(),
                _ = self.sessions.changed() => self.session_changed(),
                Some(command) = self.commands.recv() => self.obey(command),
                Some(done) = self.work.next(), if !self.work.is_empty() => self.finish_all_ready(done),
                delivery = next_delivery(&mut self.subscription) => self.take_all_ready(delivery),
                () = &mut timer, if wake.is_some() => {}
            }
        }
        self.leave().await;
    }

    /// Subscribes if it is time, performs what the core wants now, and returns when to look again.
    async fn turn(&mut self) -> Option<Duration> {
        let before = self.lane.state();
        let rejoin_at = self.subscribe_if_due().await;
        let wake = match self.perform() {
            Performed::Until(wake) => wake,
            Performed::GiveBack => {
                if self.work.is_empty() && self.lane.state() != State::Draining {
                    self.leave().await;
                }
                None
            }
        };
        self.notice(before);
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = self.lane.view();
        match (rejoin_at, wake) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn is_drained(&self) -> bool {
        self.lane.state() == State::Draining
            && self.work.is_empty()
            && self.lane.view().in_flight == 0
    }

    /// Sends and decides until the core says wait.
    fn perform(&mut self) -> Performed {
        let now = self.shared.clock.now();
        let sends = matches!(
            self.lane.state(),
            State::Flowing | State::Cooling { .. } | State::Probing { .. }
        );
        if sends && !self.may_send() {
            return Performed::Until(self.session.as_ref().map(|_| now.mono + FENCED_PAUSE));
        }
        loop {
            match self.lane.next(now) {
                Step::Send(attempt) => self.send(attempt),
                Step::Decide(resolved) => self.carry_out(resolved),
                Step::Wait(until) => return Performed::Until(Some(until)),
                Step::Idle => return Performed::Until(None),
                Step::GiveBack => return Performed::GiveBack,
            }
        }
    }

    /// A delivery of a channel that is gone belongs to the next worker already.
    fn may_send(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.may_send())
            && self
                .subscription
                .as_ref()
                .is_some_and(Subscription::is_open)
    }

    fn send(&mut self, attempt: Attempt) {
        let Attempt {
            ticket,
            body,
            priority,
        } = attempt;
        let now = self.shared.clock.now();
        if let Some(waited) = self.lane.waited(ticket, now) {
            self.metrics
                .pacing_wait(priority)
                .observe(waited.as_secs_f64());
        }
        let (shared, url, token) = (self.shared.clone(), self.url.clone(), self.tokens.token());
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

    fn finish_all_ready(&mut self, done: Done) {
        self.finish(done);
        while let Some(Some(done)) = self.work.next().now_or_never() {
            self.finish(done);
        }
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Answered {
                ticket,
                reply,
                took,
            } => self.answered(ticket, reply, took),
            Done::Settled { settled, delayed } => {
                self.lane.settled();
                if let Some(copy) = delayed {
                    self.metrics.delayed.inc();
                    self.lane.delayed(copy);
                }
                self.count_void(settled);
            }
            Done::Refused(settled) => self.count_void(settled),
        }
    }

    fn count_void(&self, settled: Settled) {
        if settled == Settled::Void {
            self.shared.metrics.settled_void.inc();
        }
    }

    fn answered(&mut self, ticket: Ticket, reply: Reply, took: Duration) {
        let now = self.shared.clock.now();
        self.count_code(&reply);
        let outcome = self.shared.rules.classify(reply);
        self.metrics.attempted(word(&outcome));
        tracing::debug!(phone_number_id = %self.lane.id(), outcome = word(&outcome), latency_ms = took.as_secs_f64() * 1000.0, "attempt");
        let luck = Luck {
            jitter: fastrand::f64(),
            quick_pause: self.quick_pause(&outcome, took),
        };
        if let Some(resolved) = self.lane.resolve(ticket, outcome, now, luck) {
            if resolved.ticket != ticket {
                // Delivered again meanwhile: the first delivery is void.
                self.give_back(ticket);
            }
            self.carry_out(resolved);
        }
    }

    fn count_code(&self, reply: &Reply) {
        if let Reply::Answered(answer) = reply
            && let AnswerBody::Error(error) = &answer.body
        {
            let known = self.shared.rules.row(error.code, error.subcode).is_some();
            let code = if known {
                error.code.to_string()
            } else {
                "other".to_owned()
            };
            self.shared
                .metrics
                .error_codes
                .with_label_values(&[&code])
                .inc();
        }
    }

    /// One step of the backoff per pause of the lane, however many sends failed together.
    fn quick_pause(&mut self, outcome: &Outcome, took: Duration) -> Duration {
        if !matches!(outcome, Outcome::NotSent { .. }) {
            self.quick.reset();
            self.shared.metrics.api_latency.observe(took.as_secs_f64());
            return Duration::ZERO;
        }
        if matches!(self.lane.state(), State::Cooling { .. }) {
            return Duration::ZERO;
        }
        self.quick.next_backoff().unwrap_or(self.shared.quick.1)
    }

    /// Publishes a decision, then settles its delivery: in that order, so that a crash between the two repeats a result and never
    /// loses one.
    fn carry_out(&mut self, resolved: Resolved) {
        let Resolved {
            ticket,
            priority,
            decision,
        } = resolved;
        let Some(delivery) = self.deliveries.remove(&ticket) else {
            tracing::error!(phone_number_id = %self.lane.id(), "a decision without its delivery");
            self.lane.settled();
            return;
        };
        let (shared, metrics) = (self.shared.clone(), self.metrics.clone());
        let publishing = async move {
            let publisher = &shared.publisher;
            let (confirmed, delayed) = match decision {
                Decision::Finish(report) => (
                    publish_result(&shared, &metrics, &delivery, &report, priority).await,
                    None,
                ),
                Decision::Bury(report) => {
                    let code = report.error.as_ref().and_then(|error| error.code);
                    drop(publisher.dead(&delivery, "exhausted", code).await);
                    shared.metrics.dead_letters.inc();
                    (
                        publish_result(&shared, &metrics, &delivery, &report, priority).await,
                        None,
                    )
                }
                Decision::Delay { delay_s, message } => {
                    match publisher.delayed(&delivery, &message, delay_s).await {
                        Some(confirmed) => (confirmed, Some(message)),
                        None => {
                            delivery.give_back();
                            return Done::Settled {
                                settled: Settled::Void,
                                delayed: None,
                            };
                        }
                    }
                }
                Decision::Forget => (Confirmed::earlier(), None),
                Decision::Abandon => {
                    delivery.give_back();
                    return Done::Settled {
                        settled: Settled::Void,
                        delayed: None,
                    };
                }
            };
            Done::Settled {
                settled: delivery.settle(confirmed).await,
                delayed,
            }
        };
        self.work.push(publishing.boxed());
    }

    fn take_all_ready(&mut self, first: Result<Delivery, Ended>) {
        let mut next = Some(first);
        while let Some(delivery) = next {
            match delivery {
                Ok(delivery) => self.take(delivery),
                Err(ended) => return self.consumer_ended(&ended),
            }
            next = self
                .subscription
                .as_mut()
                .and_then(|subscription| subscription.next().now_or_never());
        }
    }

    fn take(&mut self, delivery: Delivery) {
        let now = self.shared.clock.now();
        if delivery.redelivered {
            self.shared.metrics.redelivered.inc();
        }
        match intake(
            delivery.body.clone(),
            delivery.inbound(),
            &self.shared.intake,
            now,
        ) {
            Ok(message) => {
                if let Some(at) = message.enqueued_at_ms.filter(|_| message.history.hops == 0) {
                    self.metrics
                        .queue_wait(message.priority)
                        .observe(seconds_since(at, now.wall_ms));
                }
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                self.deliveries.insert(ticket, delivery);
                if let Some(resolved) = self.lane.accept(message, ticket, now) {
                    self.carry_out(resolved);
                }
            }
            Err(refusal) => {
                let (shared, metrics, lane) = (
                    self.shared.clone(),
                    self.metrics.clone(),
                    self.lane.id().clone(),
                );
                self.work.push(
                    async move {
                        Done::Refused(
                            answer_refusal(&shared, &metrics, &lane, delivery, refusal).await,
                        )
                    }
                    .boxed(),
                );
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let before = self.lane.state();
        let now = self.shared.clock.now();
        match command {
            Command::Pause => self.lane.pause(now),
            Command::Resume => self.lane.resume(),
            Command::TokenChanged
                if matches!(before, State::Away { .. } | State::Probing { .. }) =>
            {
                self.lane.resume()
            }
            Command::TokenChanged => {}
            Command::SetLimit(limit_mps) => self.lane.set_limit(limit_mps, now),
        }
        self.notice(before);
    }

    fn session_changed(&mut self) {
        let session = self.sessions.borrow_and_update().clone();
        if self.session.as_ref().map(|s| s.epoch) == session.as_ref().map(|s| s.epoch) {
            return;
        }
        self.session = session;
        self.subscribe_at = Duration::ZERO;
        self.lose_channel();
    }

    fn consumer_ended(&mut self, ended: &Ended) {
        let delay = self
            .resubscribe
            .next_backoff()
            .unwrap_or(Duration::from_secs(1));
        self.subscribe_at = self.shared.clock.now().mono + delay;
        self.metrics.resubscriptions.inc();
        tracing::warn!(phone_number_id = %self.lane.id(), reason = %ended, "the lane lost its consumer: subscribing again");
        self.lose_channel();
    }

    /// Drops the subscription; what waited is RabbitMQ's again, what is in flight is awaited.
    fn lose_channel(&mut self) {
        self.subscription = None;
        self.metrics.subscribed.set(0);
        self.lane.channel_lost(self.shared.clock.now());
        let lane = &self.lane;
        for (_, delivery) in self
            .deliveries
            .extract_if(|ticket, _| !lane.is_in_flight(*ticket))
        {
            delivery.give_back();
        }
    }

    fn give_back(&mut self, ticket: Ticket) {
        if let Some(delivery) = self.deliveries.remove(&ticket) {
            delivery.give_back();
        }
    }

    /// Closes the lane's channel: nothing is in flight, and RabbitMQ gets back what waits.
    async fn leave(&mut self) {
        if let Some(subscription) = self.subscription.take() {
            subscription.close().await;
        }
        self.lose_channel();
    }

    /// The moment of the next subscription, if that is what the lane waits for.
    async fn subscribe_if_due(&mut self) -> Option<Duration> {
        let session = self
            .session
            .clone()
            .filter(|session| self.subscription.is_none() && !session.has_ended())?;
        let at = self.lane.rejoin_at()?.max(self.subscribe_at);
        let now = self.shared.clock.now();
        if at > now.mono {
            return Some(at);
        }
        let (lane, prefetch) = (self.lane.id().clone(), self.lane.config().prefetch());
        let priority = placement::priority(&self.shared.worker_id, lane.as_str());
        match Subscription::lane(&session, lane.as_str(), prefetch, priority).await {
            Ok(subscription) => {
                self.subscription = Some(subscription);
                self.resubscribe.reset();
                self.metrics.subscribed.set(1);
                self.lane.rejoined(self.shared.clock.now());
                None
            }
            Err(error) => {
                let delay = self
                    .resubscribe
                    .next_backoff()
                    .unwrap_or(Duration::from_secs(1));
                tracing::warn!(phone_number_id = %lane, %error, "cannot subscribe to the lane: trying again");
                self.subscribe_at = now.mono + delay;
                Some(self.subscribe_at)
            }
        }
    }

    /// One line per change of state, where an operator looks for it.
    fn notice(&self, before: State) {
        let after = self.lane.state();
        if before.as_str() == after.as_str() {
            return;
        }
        let (phone_number_id, from, to) = (self.lane.id(), before.as_str(), after.as_str());
        match after {
            State::Away { cause, .. } => tracing::warn!(
                %phone_number_id, from, to, scope = cause.scope.as_str(), code = cause.code, remedy = cause.remedy,
                "the lane stops sending and gives its messages back"
            ),
            State::Flowing
            | State::Cooling { .. }
            | State::Probing { .. }
            | State::Paused { .. }
            | State::Draining => {
                tracing::info!(%phone_number_id, from, to, "lane state");
            }
        }
    }
}

enum Performed {
    /// Look again then, or when something happens.
    Until(Option<Duration>),
    GiveBack,
}

async fn next_delivery(subscription: &mut Option<Subscription>) -> Result<Delivery, Ended> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

async fn publish_result(
    shared: &Shared,
    metrics: &LaneMetrics,
    delivery: &Delivery,
    report: &Report,
    priority: Priority,
) -> Confirmed {
    let confirmed = shared.publisher.result(delivery, report).await;
    metrics.ended(report.status, priority);
    if report.possible_duplicate {
        shared.metrics.possible_duplicates.inc();
    }
    if let Some(at) = report.enqueued_at {
        metrics
            .end_to_end(priority)
            .observe(seconds_since(at, shared.clock.now().wall_ms));
    }
    confirmed
}

/// What cannot be sent is answered at once; what cannot even be identified is kept whole in `wa.dead` first.
async fn answer_refusal(
    shared: &Shared,
    metrics: &LaneMetrics,
    lane: &LaneId,
    delivery: Delivery,
    refusal: Refusal,
) -> Settled {
    if refusal.keep_in_dead {
        drop(shared.publisher.dead(&delivery, "malformed", None).await);
        shared.metrics.dead_letters.inc();
    }
    let error = ReportedError::from_faults(refusal.faults);
    let report = Report::refused(refusal.id.as_deref(), lane, error, shared.clock.now());
    let confirmed = publish_result(shared, metrics, &delivery, &report, Priority::Bulk).await;
    delivery.settle(confirmed).await
}

fn seconds_since(then_ms: u64, now_ms: u64) -> f64 {
    Duration::from_millis(now_ms.saturating_sub(then_ms)).as_secs_f64()
}

/// The outcome's word in metrics and logs.
fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Refused { .. } => "refused",
        Outcome::NotSent { .. } => "not_sent",
        Outcome::Transient { .. } => "transient",
        Outcome::Throttled { .. } => "throttled",
        Outcome::Blocked { .. } => "blocked",
        Outcome::Unknown { .. } => "unknown",
    }
}
