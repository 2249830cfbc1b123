//! Counters and histograms of one lane.

use super::OUTCOMES;
use crate::contract::words::{Priority, Status};
use prometheus::{Histogram, IntCounter};

/// One lane's series, looked up once.
pub struct LaneMetrics {
    pub(super) high: [IntCounter; 5],
    pub(super) bulk: [IntCounter; 5],
    pub(super) attempts: [IntCounter; 7],
    pub delayed: IntCounter,
    pub duplicates: IntCounter,
    pub dedupe_searches: IntCounter,
    pub shadow_waits: IntCounter,
    pub transient: IntCounter,
    pub resubscriptions: IntCounter,
    pub(super) queue_wait: [Histogram; 2],
    pub(super) pacing_wait: [Histogram; 2],
    pub(super) end_to_end: [Histogram; 2],
}

fn of<T>(pair: &[T; 2], priority: Priority) -> &T {
    match priority {
        Priority::High => &pair[0],
        Priority::Bulk => &pair[1],
    }
}

impl LaneMetrics {
    pub fn ended(&self, status: Status, priority: Priority) {
        let counters = match priority {
            Priority::High => &self.high,
            Priority::Bulk => &self.bulk,
        };
        for (counted, counter) in Status::ALL.iter().zip(counters) {
            if *counted == status {
                counter.inc();
            }
        }
    }
    pub fn attempted(&self, outcome: &str) {
        for (counted, counter) in OUTCOMES.iter().zip(&self.attempts) {
            if *counted == outcome {
                counter.inc();
            }
        }
    }
    pub fn queue_wait(&self, priority: Priority) -> &Histogram {
        of(&self.queue_wait, priority)
    }
    pub fn pacing_wait(&self, priority: Priority) -> &Histogram {
        of(&self.pacing_wait, priority)
    }
    pub fn end_to_end(&self, priority: Priority) -> &Histogram {
        of(&self.end_to_end, priority)
    }
}
