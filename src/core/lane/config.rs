//! A lane's bounds.

use crate::core::lane::pacing::{PaceConfig, Spacing};
use crate::core::request::retry::RetryPolicy;
use std::time::Duration;

/// Deliveries held ready at least, so that a slow lane need not wait for RabbitMQ between two sends.
const AHEAD_MIN: usize = 8;

/// `[redelivery]`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Redelivery {
    pub policy: RedeliveryPolicy,
    /// Deliveries of one request after which another that nothing explains makes it a suspect.
    pub max_deliveries: u64,
}

/// The policy for a redelivered request of which nobody knows whether it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RedeliveryPolicy {
    /// Send it, and flag the result.
    Resend,
    /// End it as `unknown`.
    Report,
}

/// `window`: see [`crate::core::lane::window::Window::most`].
#[derive(Clone, Copy, Debug)]
pub struct LaneConfig {
    pub pace: PaceConfig,
    /// A rate to try out: counted is what would have waited for it.
    pub shadow_mps: Option<u32>,
    pub pair: Spacing,
    /// Recipients whose pair limit is remembered at most.
    pub pairs_max: usize,
    /// A recipient that must wait longer than this leaves through the delay ladder.
    pub pair_wait_max: Duration,
    /// The API latency that in flight is sized for: rate × latency.
    pub latency: Duration,
    pub max_in_flight: usize,
    /// Ids that are remembered at most for requests that say `dedupe`.
    pub dedupe_ids_max: usize,
    /// Deliveries held ready beyond those in flight: rate × buffer.
    pub buffer: Duration,
    /// One send in this many is bulk while high requests wait.
    pub bulk_every: u32,
    pub retry: RetryPolicy,
    pub redelivery: Redelivery,
    /// Requests in a row that an API in trouble may fail before the lane stops.
    pub breaker_failures: usize,
}

impl LaneConfig {
    /// Requests in flight at most: Little's law at the lane's rate.
    pub fn in_flight_max(&self) -> usize {
        per(self.pace.rate_mps(), self.latency).clamp(1, self.max_in_flight)
    }

    /// Unacknowledged deliveries at most, as its rate asks for and its window allows; also what can be in doubt after a crash.
    pub fn prefetch(&self, window: Option<u16>) -> u16 {
        let wanted = u16::try_from(self.in_flight_max() + self.ahead(None)).unwrap_or(u16::MAX);
        window.map_or(wanted, |most| wanted.min(most))
    }

    /// Deliveries held ready beyond those in flight.
    fn ahead(&self, window: Option<u16>) -> usize {
        let ahead_max = self.max_in_flight.max(AHEAD_MIN);
        let wanted = per(self.pace.rate_mps(), self.buffer).clamp(AHEAD_MIN, ahead_max);
        window.map_or(wanted, |most| wanted.min(usize::from(most) / 3))
    }

    /// Requests of one person and class that wait here at most, beside the one in flight; twice that, of those that have been on the
    /// delay ladder. A quarter of what is held ready: one person's burst must not leave a lane without work for others.
    pub fn person_max(&self, window: Option<u16>) -> usize {
        (self.ahead(window) / 4).max(1)
    }

    /// Requests of all people together that wait here for their pair limits at most, each for up to `pair_wait_max`.
    pub fn parked_max(&self, window: Option<u16>) -> usize {
        (self.ahead(window) / 2).max(1)
    }

    /// Requests that are answered by an earlier result at once, at most: each waits until that was read, and the lane goes on with the
    /// rest of what it may have in hand.
    pub fn answers_max(&self, window: Option<u16>) -> usize {
        (self.ahead(window) / 2).max(1)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; both factors are non-negative"
)]
fn per(rate_mps: f64, time: Duration) -> usize {
    (rate_mps * time.as_secs_f64()).ceil() as usize
}
