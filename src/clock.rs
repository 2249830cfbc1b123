//! The one place where time is read for the core.

use crate::core::{Now, ms};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_ms: u64,
}

impl Clock {
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            started_ms: wall_ms(),
        }
    }

    pub fn now(&self) -> Now {
        let mono = self.started.elapsed();
        Now {
            mono,
            wall_ms: wall_ms(),
            steady_ms: self.started_ms.saturating_add(ms(mono)),
        }
    }

    /// The timer's moment for a moment of the core's.
    pub fn instant(&self, mono: Duration) -> Instant {
        self.started + mono
    }
}

/// Milliseconds since the Unix epoch, as the wall clock goes now.
pub fn wall_ms() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    ms(wall.unwrap_or_default())
}
