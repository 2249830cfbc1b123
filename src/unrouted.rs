//! Requests for numbers that nobody serves: answered `rejected`, class `unknown_number`. All workers share the queue.

use crate::broker::consume::Subscription;
use crate::broker::delivery::Delivery;
use crate::broker::topology::UNROUTED;
use crate::core::message::LaneId;
use crate::core::report::{Report, ReportedError, UNKNOWN_NUMBER};
use crate::dispatch::Shared;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;

const PREFETCH: u16 = 50;
/// After a lost consumer or a failed subscription.
const PAUSE: Duration = Duration::from_secs(2);

/// Until the drain.
pub async fn run(shared: Arc<Shared>) {
    let mut drain = shared.drain.clone();
    let mut sessions = shared.sessions.clone();
    loop {
        let serving = async {
            let Ok(Some(session)) = sessions
                .wait_for(Option::is_some)
                .await
                .map(|session| session.clone())
            else {
                return;
            };
            match Subscription::shared(&session, UNROUTED, PREFETCH).await {
                Ok(subscription) => serve(&shared, subscription).await,
                Err(error) => {
                    tracing::warn!(%error, "cannot subscribe to the queue of unroutable requests: trying again")
                }
            }
            tokio::time::sleep(PAUSE).await;
        };
        tokio::select! {
            _ = drain.wait_for(|drain| *drain) => return,
            () = serving => {}
        }
    }
}

async fn serve(shared: &Arc<Shared>, mut subscription: Subscription) {
    let mut answering = FuturesUnordered::new();
    loop {
        tokio::select! {
            delivery = subscription.next() => match delivery {
                Ok(delivery) => answering.push(answer(shared.clone(), delivery)),
                Err(ended) => {
                    tracing::warn!(reason = %ended, "lost the queue of unroutable requests");
                    return;
                }
            },
            Some(()) = answering.next(), if !answering.is_empty() => {}
        }
    }
}

async fn answer(shared: Arc<Shared>, delivery: Delivery) {
    let mut error = ReportedError::own(UNKNOWN_NUMBER, "no worker serves this phone_number_id");
    error.details = Some(
        "the routing key must be a phone_number_id of the workers' [[accounts.numbers]]".to_owned(),
    );
    let lane = LaneId::new(delivery.lane());
    let id = delivery.inbound().message_id.map(str::to_owned);
    let report = Report::refused(id.as_deref(), &lane, error, shared.clock.now());
    let confirmed = shared.publisher.result(&delivery, &report).await;
    shared.metrics.unrouted.inc();
    if delivery.settle(confirmed).await == crate::broker::delivery::Settled::Void {
        shared.metrics.settled_void.inc();
    }
}
