//! Requests that are in no lane: for numbers that nobody serves, those that RabbitMQ took out because the caller's own `expiration`
//! was over, and those that came while their lane had no queue. All workers share this queue and answer them; the last go back
//! to their lane.

use super::conclude::Concluder;
use super::intake::take_in;
use crate::broker::Sessions;
use crate::broker::consume::Subscription;
use crate::broker::delivery::Delivery;
use crate::broker::links::{Links, NotSubscribed};
use crate::broker::session::Session;
use crate::clock::Clock;
use crate::config::Config;
use crate::contract::names::UNROUTED;
use crate::core::connection::quarantine::{Assignment, Quarantine};
use crate::core::operation::IntakeConfig;
use crate::core::request::decide::Terms;
use crate::core::request::message::LaneId;
use crate::core::request::retry::RetryPolicy;
use crate::metrics::Metrics;
use crate::spans::Spans;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const PREFETCH: u16 = 50;
/// After a lost consumer or a failed subscription.
const PAUSE: Duration = Duration::from_secs(2);

/// Why it is consumed no more.
enum Left {
    Drained,
    Lost,
    /// The queue belongs on another connection now.
    Moved,
}

/// Answers requests that are in no lane.
pub struct Unrouted {
    pub clock: Clock,
    pub intake: IntakeConfig,
    pub retry: RetryPolicy,
    pub concluder: Arc<Concluder>,
    pub metrics: Arc<Metrics>,
    pub sessions: Sessions,
    pub links: Arc<Links>,
    pub drain: watch::Receiver<bool>,
    /// If messages are traced.
    pub spans: Option<Arc<Spans>>,
    /// The lanes of this worker.
    pub served: HashSet<String>,
    /// The account's lane for each id that an operation may be published for.
    pub accounts: HashMap<String, LaneId>,
}

/// The account's lane for whatever an operation may be published for.
pub fn accounts_by_target(config: &Config) -> HashMap<String, LaneId> {
    let targets = config.accounts.iter().flat_map(|account| {
        let lane = LaneId::of_account(&account.waba_id);
        let numbers = account.numbers.iter();
        let numbers = numbers.map(|number| number.phone_number_id.as_str());
        let targets = numbers.chain([account.waba_id.as_str()]);
        targets.map(move |target| (target.to_owned(), lane.clone()))
    });
    targets.collect()
}

impl Unrouted {
    /// Until the drain.
    pub async fn run(self) {
        let mut sessions = self.sessions.clone();
        let mut drain = self.drain.clone();
        loop {
            let subscribing = async {
                let session = sessions.wait_for(Option::is_some).await.ok()?.clone()?;
                let assignment = self.links.assignment(UNROUTED);
                tokio::time::sleep_until(self.clock.instant(assignment.not_before)).await;
                let links = &self.links;
                let subscribed = links.shared(&session, UNROUTED, assignment, PREFETCH).await;
                Some((session, assignment, subscribed))
            };
            let subscribed = tokio::select! {
                _ = drain.wait_for(|drain| *drain) => return,
                subscribed = subscribing => subscribed,
            };
            match subscribed {
                Some((session, assignment, Ok(subscription))) => {
                    match self.serve(&session, assignment, subscription).await {
                        Left::Drained => return,
                        Left::Moved => continue,
                        Left::Lost => {}
                    }
                }
                // The end of a connection is told where it is watched.
                Some((_, _, Err(NotSubscribed::Gone))) => continue,
                Some((_, _, Err(error))) => {
                    tracing::warn!(%error, "cannot subscribe to the queue of unroutable requests: trying again");
                }
                None => return,
            }
            tokio::select! {
                _ = drain.wait_for(|drain| *drain) => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Answers what comes until the consumer is lost or left.
    async fn serve(
        &self,
        session: &Session,
        assignment: Assignment,
        mut subscription: Subscription,
    ) -> Left {
        let mut drain = self.drain.clone();
        let mut changes = self.links.changes();
        let is_elsewhere =
            |quarantine: &Quarantine| quarantine.assignment(UNROUTED).moves_from(assignment);
        let mut answering = FuturesUnordered::new();
        let left = loop {
            tokio::select! {
                _ = drain.wait_for(|drain| *drain) => break Left::Drained,
                // A connection that hangs may never tell its consumers.
                _ = session.ended() => break Left::Lost,
                Ok(_) = changes.wait_for(is_elsewhere) => break Left::Moved,
                delivery = subscription.next() => match delivery {
                    Ok(delivery) => {
                        let links = &self.links;
                        links.delivered(UNROUTED, assignment, delivery.redelivered);
                        answering.push(self.answer(delivery));
                    }
                    Err(reason) => {
                        tracing::warn!(%reason, "lost the queue of unroutable requests");
                        break Left::Lost;
                    }
                },
                Some(()) = answering.next(), if !answering.is_empty() => {}
            }
        };
        while let Some(()) = answering.next().await {}
        match left {
            Left::Drained | Left::Moved => {
                let (_, void) = subscription.close().await;
                void.into_iter().for_each(Delivery::give_back);
            }
            Left::Lost => {}
        }
        left
    }

    async fn answer(&self, mut delivery: Delivery) {
        if let Some(spans) = &self.spans {
            delivery.trace(spans, UNROUTED);
        }
        delivery.bound_body(self.intake.max_body_bytes);
        if delivery.is_stray_operation()
            && let Some(lane) = self.accounts.get(delivery.lane())
        {
            delivery.assign(lane);
        }
        let concluder = &self.concluder;
        let is_served = self.served.contains(delivery.lane());
        if !is_served || delivery.dead_lettered().is_some() {
            return concluder.unrouted(delivery).await;
        }
        let (lane, now) = (LaneId::new(delivery.lane()), self.clock.now());
        let metrics = self.metrics.lane(lane.as_str());
        match take_in(&mut delivery, &self.intake, now) {
            Ok(message) => {
                let (lane, retry, jitter) = (&lane, &self.retry, 0.0);
                let terms = Terms {
                    lane,
                    retry,
                    now,
                    jitter,
                };
                let priority = message.priority;
                let decision = terms.strayed(message);
                concluder
                    .decision(&metrics, delivery, decision, None, priority)
                    .await;
            }
            Err(refusal) => concluder.refusal(&metrics, &lane, delivery, refusal).await,
        }
    }
}
