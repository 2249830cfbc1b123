//! Publishes that RabbitMQ does not take: a reader's full queue, a log that is gone. They are tried again until it does, one per
//! lane and exchange at a time, and ever more rarely: each trial may put the result once more into the queues that do take it. And
//! those of which it does not say that it has taken them: a queue that does not answer. Such a confirm is awaited. A lane whose results
//! are refused or late sends nothing meanwhile: what it sent could not be told either.

use crate::contract::names::RESULTS;
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
    refused: usize,
    /// Publishes whose confirm is late.
    late: usize,
    /// Held by the one of them that tries.
    turn: Arc<tokio::sync::Mutex<()>>,
}

pub(super) struct Refusals {
    queues: Mutex<HashMap<Key, Queue>>,
    /// Publishes of results, in all lanes, that are refused and that are late.
    refused_results: AtomicUsize,
    late_results: AtomicUsize,
    metrics: Arc<Metrics>,
    /// The numbers of this worker.
    served: HashSet<String>,
}

impl Refusals {
    pub(super) fn new(metrics: Arc<Metrics>, served: HashSet<String>) -> Self {
        Self {
            queues: Mutex::default(),
            refused_results: AtomicUsize::new(0),
            late_results: AtomicUsize::new(0),
            metrics,
            served,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_any_refused(&self) -> bool {
        self.refused_results.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_stuck(&self, lane: &str) -> bool {
        // Asked before each send, and nearly always answered by this.
        if !self.is_any_refused() && self.late_results.load(Ordering::Relaxed) == 0 {
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
            queue.refused += 1;
            (queue.turn.clone(), queue.refused == 1)
        };
        self.metrics.refused_waiting.inc();
        if exchange == RESULTS {
            self.refused_results.fetch_add(1, Ordering::Relaxed);
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

    /// A publish is not confirmed, though its connection answers. Until what this returns is dropped.
    pub(super) fn late(self: &Arc<Self>, lane: &str, exchange: &str) -> Late {
        let key = (lane.to_owned(), exchange.to_owned());
        let is_first = {
            let mut queues = self.lock();
            let queue = queues.entry(key.clone()).or_default();
            queue.late += 1;
            queue.late == 1
        };
        self.metrics.late(exchange).inc();
        if exchange == RESULTS {
            self.late_results.fetch_add(1, Ordering::Relaxed);
        }
        if is_first {
            let phone_number_id = self.served(lane);
            tracing::warn!(
                phone_number_id,
                exchange,
                "RabbitMQ does not confirm a publish: waiting for it"
            );
        }
        Late {
            refusals: self.clone(),
            key,
        }
    }

    /// One less of a lane's publishes to an exchange; true if it was the last.
    fn leaves(&self, key: &Key, count: fn(&mut Queue) -> &mut usize) -> bool {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(key) else {
            return false;
        };
        let left = count(queue).saturating_sub(1);
        *count(queue) = left;
        if queue.refused + queue.late == 0 {
            queues.remove(key);
        }
        left == 0
    }

    /// Only ids of ours are written to the log.
    pub(super) fn served<'a>(&self, lane: &'a str) -> &'a str {
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
        let is_last = self.refusals.leaves(&self.key, |queue| &mut queue.refused);
        let (lane, exchange) = &self.key;
        self.refusals.metrics.refused_waiting.dec();
        if exchange == RESULTS {
            self.refusals
                .refused_results
                .fetch_sub(1, Ordering::Relaxed);
        }
        if is_last {
            let phone_number_id = self.refusals.served(lane);
            tracing::info!(phone_number_id, exchange, "RabbitMQ takes publishes again");
        }
    }
}

/// A publish whose confirm is late.
pub(super) struct Late {
    refusals: Arc<Refusals>,
    key: Key,
}

impl Drop for Late {
    fn drop(&mut self) {
        let is_last = self.refusals.leaves(&self.key, |queue| &mut queue.late);
        let (lane, exchange) = &self.key;
        self.refusals.metrics.late(exchange).dec();
        if exchange == RESULTS {
            self.refusals.late_results.fetch_sub(1, Ordering::Relaxed);
        }
        if is_last {
            let phone_number_id = self.refusals.served(lane);
            tracing::info!(
                phone_number_id,
                exchange,
                "no confirm of RabbitMQ's is late any more"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals() -> Arc<Refusals> {
        let metrics = Arc::new(Metrics::new("w", HashSet::new(), 0).unwrap());
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
        let late = refusals.late("1", RESULTS);
        assert!(refusals.is_stuck("1"));
        assert!(!refusals.is_stuck("2"));
        drop(one);
        assert!(refusals.is_stuck("1"));
        drop(other);
        assert!(refusals.is_stuck("1") && !refusals.is_any_refused());
        assert_eq!(refusals.metrics.late(RESULTS).get(), 1);
        drop(late);
        assert!(!refusals.is_stuck("1"));
        assert_eq!(refusals.metrics.late(RESULTS).get(), 0);
        // What waits for a later time, or is kept, says nothing about results.
        let _dead = refusals.refused("1", "wa.dead", "nack");
        let _rung = refusals.late("1", "wa.delay.3");
        assert!(!refusals.is_stuck("1") && !refusals.is_any_refused());
        assert_eq!(refusals.metrics.late("wa.delay.7").get(), 1);
    }
}
