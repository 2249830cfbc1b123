//! Looking after holds: the API is asked whether they are over, what is over ends, and pauses are told again.

use super::{Board, Inner};
use crate::core::fleet::holds::{Due, Health, Reach};
use crate::core::request::message::LaneId;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::time::Duration;

impl Board {
    /// Asks the API what may be over, ends what is, for ever.
    pub(super) async fn probe_loop(&self) {
        let mut asking: FuturesUnordered<BoxFuture<'static, (Reach, Health)>> =
            FuturesUnordered::new();
        loop {
            asking.extend(self.see_to_what_is_due());
            tokio::select! {
                Some((reach, health)) = asking.next(), if !asking.is_empty() => self.probed(&reach, health),
                () = self.to_probe.notified() => {}
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
        let post = inner.post(lane.as_str())?;
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

    fn probed(&self, reach: &Reach, health: Health) {
        let (mut inner, now) = (self.lock(), self.clock.now());
        let record = inner.holds.probed(reach, health, now);
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
        let (due_ms, now_ms) = (self.lock().holds.next_due_ms(), self.clock.now().steady_ms);
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
