//! Publishes that RabbitMQ does not take: a reader's full queue, a log that is gone. They are tried again until it does, one per
//! lane and exchange at a time, and ever more rarely: each trial may put the result once more into the queues that do take it. A
//! lane whose results are refused sends nothing meanwhile: what it sent could not be told either.

use super::topology::RESULTS;
use crate::metrics::Metrics;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// Between two trials, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// A lane and an exchange.
type Key = (String, String);

#[derive(Default)]
struct Queue {
    /// Publishes that were refused and are not taken yet.
    count: usize,
    /// Held by the one of them that tries.
    turn: Arc<tokio::sync::Mutex<()>>,
}

pub(super) struct Refusals {
    queues: Mutex<HashMap<Key, Queue>>,
    /// Of results, in all lanes; so that nobody has to look for theirs while all is well.
    results: AtomicUsize,
    metrics: Arc<Metrics>,
    /// The numbers of this worker.
    served: HashSet<String>,
}

impl Refusals {
    pub(super) fn new(metrics: Arc<Metrics>, served: HashSet<String>) -> Self {
        Self {
            queues: Mutex::default(),
            results: AtomicUsize::new(0),
            metrics,
            served,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn any(&self) -> bool {
        self.results.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_refused(&self, lane: &str) -> bool {
        // Asked before each send, and nearly always answered by this.
        if !self.any() {
            return false;
        }
        let key = (lane.to_owned(), RESULTS.to_owned());
        self.lock().contains_key(&key)
    }

    /// A publish was refused. Whoever holds this waits with [`Refused::wait`] before each further trial.
    pub(super) fn refused(
        self: &Arc<Self>,
        lane: &str,
        exchange: &str,
        why: &'static str,
    ) -> Refused {
        let key = (lane.to_owned(), exchange.to_owned());
        let (turn, is_first) = {
            let mut queues = self.lock();
            let queue = queues.entry(key.clone()).or_default();
            queue.count += 1;
            (queue.turn.clone(), queue.count == 1)
        };
        self.metrics.refused_waiting.inc();
        if exchange == RESULTS {
            self.results.fetch_add(1, Ordering::Relaxed);
        }
        if is_first {
            let phone_number_id = self.served(lane);
            tracing::error!(
                phone_number_id,
                exchange,
                why,
                "RabbitMQ does not take a publish: it is tried again until it does"
            );
        }
        Refused {
            refusals: self.clone(),
            key,
            turn,
            has_turn: None,
            pause: PAUSE.0,
        }
    }

    /// Only ids of ours are written to the log.
    fn served<'a>(&self, lane: &'a str) -> &'a str {
        if self.served.contains(lane) {
            lane
        } else {
            "other"
        }
    }
}

/// A publish that is not taken yet.
pub(super) struct Refused {
    refusals: Arc<Refusals>,
    key: Key,
    turn: Arc<tokio::sync::Mutex<()>>,
    has_turn: Option<OwnedMutexGuard<()>>,
    pause: Duration,
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
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        let is_last = {
            let mut queues = self.refusals.lock();
            match queues.get_mut(&self.key) {
                Some(queue) if queue.count > 1 => {
                    queue.count -= 1;
                    false
                }
                Some(_) => queues.remove(&self.key).is_some(),
                None => false,
            }
        };
        let (lane, exchange) = &self.key;
        self.refusals.metrics.refused_waiting.dec();
        if exchange == RESULTS {
            self.refusals.results.fetch_sub(1, Ordering::Relaxed);
        }
        if is_last {
            let phone_number_id = self.refusals.served(lane);
            tracing::info!(phone_number_id, exchange, "RabbitMQ takes publishes again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals() -> Arc<Refusals> {
        let metrics = Arc::new(Metrics::new("w", HashSet::new()).unwrap());
        Arc::new(Refusals::new(metrics, HashSet::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_at_a_time_and_the_others_follow_at_once() {
        let refusals = refusals();
        let began = tokio::time::Instant::now();
        let mut first = refusals.refused("1", RESULTS, "nack");
        first.wait().await;
        assert_eq!(began.elapsed(), PAUSE.0);
        let mut second = refusals.refused("1", RESULTS, "nack");
        let second = tokio::spawn(async move {
            second.wait().await;
            let first_trial = began.elapsed();
            second.wait().await;
            (first_trial, began.elapsed())
        });
        // 2 s, 4 s, 5 s.
        for _ in 0..3 {
            first.wait().await;
        }
        drop(first);
        let trials = second.await.unwrap();
        assert_eq!(trials, (PAUSE.0 * 12, PAUSE.0 * 13));
    }

    #[test]
    fn a_lane_is_free_once_all_of_its_publishes_are() {
        let refusals = refusals();
        let one = refusals.refused("1", RESULTS, "nack");
        let other = refusals.refused("1", RESULTS, "nack");
        assert!(refusals.is_refused("1"));
        assert!(!refusals.is_refused("2"));
        drop(one);
        assert!(refusals.is_refused("1"));
        drop(other);
        assert!(!refusals.is_refused("1") && !refusals.any());
        // What waits for a later time, or is kept, says nothing about results.
        let _dead = refusals.refused("1", "wa.dead", "nack");
        assert!(!refusals.is_refused("1") && !refusals.any());
    }
}
