//! Publishes that RabbitMQ does not take: a reader's full queue, a log that is gone. They are tried again until it does, one per
//! lane at a time: each trial may put the result once more into the queues that do take it. A lane with such a publish sends
//! nothing meanwhile, as its results could not be told either.

use crate::metrics::Metrics;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// Between two trials.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Lane {
    /// Publishes that were refused and are not taken yet.
    count: usize,
    /// Held by the one of them that tries.
    turn: Arc<tokio::sync::Mutex<()>>,
}

pub(super) struct Refusals {
    lanes: Mutex<HashMap<String, Lane>>,
    /// In all lanes; so that nobody has to look for theirs while all is well.
    total: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Refusals {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            lanes: Mutex::default(),
            total: AtomicUsize::new(0),
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn any(&self) -> bool {
        self.total.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_refused(&self, lane: &str) -> bool {
        self.any() && self.lock().contains_key(lane)
    }

    /// A publish was refused. Whoever holds this waits with [`Refused::wait`] before each further trial.
    pub(super) fn refused(
        self: &Arc<Self>,
        lane: &str,
        exchange: &str,
        why: &'static str,
    ) -> Refused {
        let turn = {
            let mut lanes = self.lock();
            let lane = lanes.entry(lane.to_owned()).or_default();
            lane.count += 1;
            lane.turn.clone()
        };
        let before = self.total.fetch_add(1, Ordering::Relaxed);
        self.metrics.refused_waiting.inc();
        if before == 0 {
            tracing::error!(
                exchange,
                why,
                "RabbitMQ does not take a publish: its lane sends nothing until it does"
            );
        }
        Refused {
            refusals: self.clone(),
            lane: lane.to_owned(),
            turn,
            has_turn: None,
        }
    }
}

/// A publish that is not taken yet.
pub(super) struct Refused {
    refusals: Arc<Refusals>,
    lane: String,
    turn: Arc<tokio::sync::Mutex<()>>,
    has_turn: Option<OwnedMutexGuard<()>>,
}

impl Refused {
    /// Until it may be tried again: after a pause, or, once it has come to its turn, at once.
    pub(super) async fn wait(&mut self) {
        if self.has_turn.is_none() {
            let is_free = self.turn.try_lock().is_ok();
            self.has_turn = Some(self.turn.clone().lock_owned().await);
            if !is_free {
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        {
            let mut lanes = self.refusals.lock();
            if let Some(lane) = lanes.get_mut(&self.lane) {
                lane.count -= 1;
                if lane.count == 0 {
                    lanes.remove(&self.lane);
                }
            }
        }
        self.refusals.metrics.refused_waiting.dec();
        if self.refusals.total.fetch_sub(1, Ordering::Relaxed) == 1 {
            tracing::info!("RabbitMQ takes publishes again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals() -> Arc<Refusals> {
        Arc::new(Refusals::new(Arc::new(Metrics::new("w").unwrap())))
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_at_a_time_and_the_others_follow_at_once() {
        let refusals = refusals();
        let began = tokio::time::Instant::now();
        let mut first = refusals.refused("1", "e", "nack");
        first.wait().await;
        assert_eq!(began.elapsed(), PAUSE);
        let mut second = refusals.refused("1", "e", "nack");
        let second = tokio::spawn(async move {
            second.wait().await;
            let first_trial = began.elapsed();
            second.wait().await;
            (first_trial, began.elapsed())
        });
        first.wait().await;
        first.wait().await;
        drop(first);
        let trials = second.await.unwrap();
        assert_eq!(trials, (PAUSE * 3, PAUSE * 4));
    }

    #[test]
    fn a_lane_is_free_once_all_of_its_publishes_are() {
        let refusals = refusals();
        let one = refusals.refused("1", "e", "nack");
        let other = refusals.refused("1", "e", "nack");
        assert!(refusals.is_refused("1"));
        assert!(!refusals.is_refused("2"));
        drop(one);
        assert!(refusals.is_refused("1"));
        drop(other);
        assert!(!refusals.is_refused("1") && !refusals.any());
        assert!(refusals.lock().is_empty());
    }
}
