//! When a request that failed is tried again. The wait itself happens in RabbitMQ (see [`crate::core::request::ladder`]).

use crate::contract::request::History;
use crate::core::Now;
use crate::core::request::ladder::MAX_DELAY_S;

/// The bounds of trying again; both are hard.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Requests to the API, the first included.
    pub max_attempts: u32,
    /// Since its first try, in seconds.
    pub max_age_s: u64,
    /// The upper edge of the first delay; doubles per attempt.
    pub base_s: u32,
    /// The upper edge never exceeds this.
    pub max_delay_s: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    After {
        delay_s: u32,
    },
    /// Out of attempts or too old.
    Exhausted,
}

impl RetryPolicy {
    /// Says what follows a failed attempt that `history` already counts. `jitter` in [0, 1] spreads the delay over its whole range
    /// (full jitter). A `floor_s` that the API asked for is honoured even above `max_delay_s`: coming early would only be refused.
    pub fn after_failure(
        &self,
        history: &History,
        max_retries: Option<u32>,
        floor_s: u32,
        now: Now,
        jitter: f64,
    ) -> Retry {
        if self.is_out(history, max_retries) {
            return Retry::Exhausted;
        }
        let doublings = history.attempts.saturating_sub(1).min(31);
        let edge_s = u64::from(self.base_s)
            .saturating_mul(1 << doublings)
            .min(u64::from(self.max_delay_s));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "edge_s is at most max_delay_s, a u32"
        )]
        let jittered_s = (edge_s as f64 * jitter.clamp(0.0, 1.0)).ceil() as u32;
        let delay_s = jittered_s.max(floor_s).clamp(1, MAX_DELAY_S);
        if self.too_old(history, u64::from(delay_s), now) {
            return Retry::Exhausted;
        }
        Retry::After { delay_s }
    }

    /// True if no attempt is left.
    pub fn is_out(&self, history: &History, max_retries: Option<u32>) -> bool {
        let attempts_allowed = max_retries.map_or(self.max_attempts, |n| {
            self.max_attempts.min(n.saturating_add(1))
        });
        history.attempts >= attempts_allowed
    }

    /// True if the request will be older than `max_age_s` in `ahead_s` seconds.
    pub fn too_old(&self, history: &History, ahead_s: u64, now: Now) -> bool {
        let age_ms = now.wall_ms.saturating_sub(history.first_seen_ms);
        history.first_seen_ms > 0 && age_ms.saturating_add(ahead_s * 1000) > self.max_age_s * 1000
    }
}

/// Meta's rule for error 131056: wait 4^X seconds, X counting from 0; capped at 256 s.
/// Source: "Error codes", 131056, and "Pair rate limits" on "About the platform".
pub fn pair_pause_s(throttles: u32) -> u32 {
    4_u32.pow(throttles.min(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        max_age_s: 86_400,
        base_s: 2,
        max_delay_s: 600,
    };

    fn now(wall_s: u64) -> Now {
        Now {
            mono: Duration::ZERO,
            wall_ms: wall_s * 1000,
            steady_ms: wall_s * 1000,
        }
    }
    fn history(attempts: u32, first_seen_s: u64) -> History {
        History {
            attempts,
            first_seen_ms: first_seen_s * 1000,
            ..History::default()
        }
    }

    #[test]
    fn delays_double_to_the_cap_and_attempts_end() {
        let edges: Vec<Retry> = (1..=5)
            .map(|n| POLICY.after_failure(&history(n, 1), None, 0, now(1), 1.0))
            .collect();
        let after = |delay_s| Retry::After { delay_s };
        assert_eq!(
            edges,
            [after(2), after(4), after(8), after(16), Retry::Exhausted]
        );
        let patient = RetryPolicy {
            max_attempts: 50,
            ..POLICY
        };
        assert_eq!(
            patient.after_failure(&history(40, 1), None, 0, now(1), 1.0),
            after(600)
        );
    }

    #[test]
    fn a_codes_own_bound_and_the_servers_hint_hold() {
        assert_eq!(
            POLICY.after_failure(&history(3, 1), Some(2), 0, now(1), 1.0),
            Retry::Exhausted
        );
        assert_eq!(
            POLICY.after_failure(&history(1, 1), Some(2), 900, now(1), 0.0),
            Retry::After { delay_s: 900 }
        );
    }

    #[test]
    fn age_ends_it_as_attempts_do() {
        assert_eq!(
            POLICY.after_failure(&history(1, 1), None, 0, now(86_400), 1.0),
            Retry::Exhausted
        );
        assert!(!POLICY.too_old(&history(1, 0), 0, now(999_999)));
    }

    #[test]
    fn pair_pauses_are_powers_of_four() {
        assert_eq!(
            [0, 1, 2, 3, 4, 9].map(pair_pause_s),
            [1, 4, 16, 64, 256, 256]
        );
    }

    proptest! {
        #[test]
        fn delays_stay_in_bounds(attempts in 1_u32..60, jitter in 0.0_f64..=1.0, floor_s in 0_u32..5_000) {
            let policy = RetryPolicy { max_attempts: 100, ..POLICY };
            match policy.after_failure(&history(attempts, 1), None, floor_s, now(1), jitter) {
                Retry::After { delay_s } => prop_assert!(delay_s >= floor_s.max(1) && delay_s <= floor_s.max(600)),
                Retry::Exhausted => prop_assert!(false, "not exhausted yet"),
            }
        }
    }
}
