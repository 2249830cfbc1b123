//! The decisions. Nothing in here waits, reads a clock, draws a random number or touches a socket:
//! time, chance and configuration are arguments, and what must happen is a returned value.
//! That is what lets a seeded simulation run the very code that production runs.

pub mod connection;
pub mod evidence;
pub mod fleet;
pub mod hash;
pub mod lane;
pub mod media;
pub mod operation;
pub mod outcome;
pub mod request;

use std::time::Duration;

/// One moment, read once per turn of a lane's loop by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the process started: for pacing and waiting.
    pub mono: Duration,
    /// Milliseconds since the Unix epoch: for deadlines and reports.
    pub wall_ms: u64,
    /// The same by a clock that nobody sets: the wall's time when the process started, and what has passed since. For what lasts so long
    /// and no longer: holds.
    pub steady_ms: u64,
}

impl Now {
    /// Converts a moment by [`Self::steady_ms`] to the wall clock, as that goes now.
    pub fn on_the_wall(&self, steady_ms: u64) -> u64 {
        if self.wall_ms >= self.steady_ms {
            steady_ms.saturating_add(self.wall_ms - self.steady_ms)
        } else {
            steady_ms.saturating_sub(self.steady_ms - self.wall_ms)
        }
    }

    /// Converts a monotonic time to what the wall clock says then, or will say if nobody sets it; in milliseconds since the Unix epoch.
    pub fn wall_at(self, mono: Duration) -> u64 {
        let since = ms(self.mono.saturating_sub(mono));
        let until = ms(mono.saturating_sub(self.mono));
        self.wall_ms.saturating_sub(since).saturating_add(until)
    }
}

/// Whole milliseconds of it.
pub fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
