//! Requests' bodies in this worker's memory, by lane: counted from a delivery's arrival until it is settled or given back.

use crate::core::lane::window::Load;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Default)]
struct Tally {
    deliveries: AtomicUsize,
    bytes: AtomicUsize,
}

impl Tally {
    fn load(&self) -> Load {
        Load {
            deliveries: self.deliveries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// Bodies that all lanes of a worker hold.
#[derive(Clone, Default)]
pub struct HeldByWorker(Arc<Tally>);

/// Bodies that one lane holds.
pub struct HeldByLane {
    lane: Arc<Tally>,
    worker: Arc<Tally>,
}

impl HeldByLane {
    pub fn new(worker: &HeldByWorker) -> Self {
        Self {
            lane: Arc::default(),
            worker: worker.0.clone(),
        }
    }

    /// Tells what the lane holds, and what its worker.
    pub fn load(&self) -> (Load, Load) {
        (self.lane.load(), self.worker.load())
    }

    pub(super) fn hold(&self, bytes: usize) -> Held {
        for tally in [&self.lane, &self.worker] {
            tally.deliveries.fetch_add(1, Ordering::Relaxed);
            tally.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Held {
            bytes,
            lane: self.lane.clone(),
            worker: self.worker.clone(),
        }
    }
}

/// One body, until it is dropped.
pub(super) struct Held {
    bytes: usize,
    lane: Arc<Tally>,
    worker: Arc<Tally>,
}

impl Drop for Held {
    fn drop(&mut self) {
        for tally in [&self.lane, &self.worker] {
            tally.deliveries.fetch_sub(1, Ordering::Relaxed);
            tally.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_counts_its_own_and_the_worker_all() {
        let load = |deliveries, bytes| Load { deliveries, bytes };
        let worker = HeldByWorker::default();
        let (one, other) = (HeldByLane::new(&worker), HeldByLane::new(&worker));
        let first = one.hold(300);
        let _second = other.hold(20);
        assert_eq!(one.load(), (load(1, 300), load(2, 320)));
        assert_eq!(other.load(), (load(1, 20), load(2, 320)));
        drop(first);
        assert_eq!(one.load(), (load(0, 0), load(1, 20)));
    }
}
