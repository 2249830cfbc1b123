//! How much of what is ready one turn of a lane takes, before it is the other lanes' turn: lanes share one thread.

use std::time::Duration;

/// Deliveries, or ends of work, in one turn.
const ITEMS: usize = 64;

/// Bytes of bodies in one turn: reading them is most of the work.
const BYTES: usize = 512 * 1024;

/// How long one turn takes in deliveries.
const TIME: Duration = Duration::from_millis(5);

pub struct Budget {
    items: usize,
    bytes: usize,
    until: Duration,
}

impl Budget {
    /// Begins the budget of a turn.
    pub fn new(now: Duration) -> Self {
        Self {
            items: ITEMS,
            bytes: BYTES,
            until: now + TIME,
        }
    }

    /// One more was taken. False once the turn is over.
    pub fn spend(&mut self, bytes: usize, now: Duration) -> bool {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.items > 0 && self.bytes > 0 && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bodies of this size one turn takes, if each takes so long.
    fn taken(bytes: usize, each: Duration) -> usize {
        let mut now = Duration::from_secs(9);
        let mut budget = Budget::new(now);
        let mut taken = 0;
        loop {
            taken += 1;
            now += each;
            if !budget.spend(bytes, now) {
                return taken;
            }
        }
    }

    #[test]
    fn a_turn_is_bounded_in_items_bytes_and_time() {
        assert_eq!(taken(300, Duration::ZERO), ITEMS);
        assert_eq!(taken(250 * 1024, Duration::ZERO), 3);
        assert_eq!(taken(300, Duration::from_millis(1)), 5);
        // One is always taken.
        assert_eq!(taken(16 * 1024 * 1024, Duration::from_secs(1)), 1);
    }
}
