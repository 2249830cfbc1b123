//! Pauses of a lane that nothing of reaches the API: short at first, then longer.

use crate::core::lane::State;
use crate::core::outcome::Outcome;
use std::time::Duration;

/// A pause is longer or shorter than its step by up to this share, so that lanes do not all come back at once.
const SPREAD: f64 = 0.5;

pub(super) struct QuickPauses {
    base: Duration,
    longest: Duration,
    next: Duration,
}

impl QuickPauses {
    pub(super) fn new(base: Duration, longest: Duration) -> Self {
        Self {
            base,
            longest,
            next: base,
        }
    }

    /// One step per pause of the lane, however many sends failed together. `drawn`: in [0, 1).
    pub(super) fn after(&mut self, outcome: &Outcome, state: State, drawn: f64) -> Duration {
        if !matches!(outcome, Outcome::NotSent { .. }) {
            self.next = self.base;
            return Duration::ZERO;
        }
        if matches!(state, State::Cooling { .. }) {
            return Duration::ZERO;
        }
        let pause = self.next.mul_f64(1.0 + SPREAD * (2.0 * drawn - 1.0));
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}
