//! Orders to a lane from outside: holds, limits, tokens, the drain.

use super::{Lane, State, remembered};
use crate::core::Now;
use crate::core::fleet::holds::Held;
use std::sync::Arc;
use std::time::Duration;

impl Lane {
    /// The number's limit is being read from the API: without it the lane starts at `until`, at the limit it has.
    pub fn await_limit(&mut self, until: Duration) {
        self.standing.rejoin(until);
    }

    /// The API's limit for this number, now known or changed. A prefetch can only be changed by subscribing anew.
    pub fn set_limit(&mut self, limit_mps: u32, now: Now) {
        let prefetch = self.prefetch();
        self.config.pace.limit_mps = limit_mps.into();
        self.pace.set_limit(limit_mps, now);
        self.recent.grow(remembered(&self.config));
        if self.prefetch() != prefetch || matches!(self.state(), State::Rejoining { .. }) {
            self.standing.rejoin(now.mono);
        }
    }

    /// All that holds the lane, as of now: what it found itself, what others did, and operators' pauses.
    pub fn held(&mut self, held: Held, now: Now) {
        self.standing.held(held, now);
    }

    /// The lane is another's: what waits goes back, and is fetched again should it become this worker's once more.
    pub fn fetch_anew(&mut self, now: Now) {
        self.standing.rejoin(now.mono);
    }

    /// Messages of this template wait until then.
    pub fn hold_template(&mut self, template: &Arc<str>, until_ms: u64, now: Now) {
        self.templates.hold(template, until_ms, now);
    }

    /// Notes a new token: blocks that speak of the one before say nothing any more.
    pub fn token_changed(&mut self) {
        self.tokens_before += 1;
        self.blame.forget();
    }

    /// Starts no more sends; `Leave` follows once nothing is in flight.
    pub fn drain(&mut self) {
        self.standing.drain();
    }
}
