//! How much of its rate a lane finds usable: less than all while the API refuses it for speed.
//!
//! Meta counts a number's inbound messages too, and other senders may share it, so the true ceiling moves and is never told. It is found by
//! additive increase, multiplicative decrease: a refusal lowers the rate by a seventh, each second gives back a hundredth. Against a
//! strict sliding second that allows 60 of 80, this uses 0.91 of the 60 and has one request in a hundred refused.

use crate::core::Now;
use std::time::Duration;

const DECREASE: f64 = 0.85;
/// Given back per [`RAISE_EVERY`].
const INCREASE: f64 = 0.01;
const RAISE_EVERY: Duration = Duration::from_secs(1);
/// Lowest share of the limit, so that a better time is noticed.
const SHARE_MIN: f64 = 0.05;

/// Percent of a usage budget from which on the lane slows down, to the least share at 100.
/// Source: Graph API, "Rate limiting": calls are refused once a percentage of the usage headers reaches 100.
const USAGE_FREE: u32 = 90;
/// How long one header is believed.
const USAGE_TRUST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    share: f64,
    /// Answers to what was sent before say nothing about the rate since.
    lowered_at: Duration,
    raised_at: Duration,
    usage_share: f64,
    usage_until: Duration,
}

impl Ceiling {
    pub fn new() -> Self {
        Self {
            share: 1.0,
            lowered_at: Duration::ZERO,
            raised_at: Duration::ZERO,
            usage_share: 1.0,
            usage_until: Duration::ZERO,
        }
    }

    /// The API refused a request for speed. True if the rate was at its least already.
    pub fn refused(&mut self, sent_at: Duration, now: Now) -> bool {
        // Sent at the rate before: its refusal is part of what lowered that one.
        if sent_at < self.lowered_at {
            return false;
        }
        let was_least = self.share <= SHARE_MIN;
        self.share = (self.share * DECREASE).max(SHARE_MIN);
        self.lowered_at = now.mono;
        self.raised_at = now.mono;
        was_least
    }

    /// Takes what the usage headers of an answer say: the highest of their percentages.
    pub fn used(&mut self, percent: u32, now: Now) {
        let over = f64::from(percent.clamp(USAGE_FREE, 100) - USAGE_FREE);
        let span = f64::from(100 - USAGE_FREE);
        self.usage_share = (1.0 - over / span).max(SHARE_MIN);
        self.usage_until = now.mono + USAGE_TRUST;
    }

    /// The share of the rate to send at now.
    pub fn share(&mut self, now: Now) -> f64 {
        if self.share < 1.0 {
            let since = now.mono.saturating_sub(self.raised_at);
            let steps = since.as_secs() / RAISE_EVERY.as_secs();
            let steps = u32::try_from(steps).unwrap_or(u32::MAX);
            self.share = (self.share + INCREASE * f64::from(steps)).min(1.0);
            self.raised_at += RAISE_EVERY.saturating_mul(steps);
        }
        let usage = if now.mono < self.usage_until {
            self.usage_share
        } else {
            1.0
        };
        self.share.min(usage)
    }
}

impl Default for Ceiling {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Now {
        Now {
            mono: Duration::from_secs_f64(seconds),
            wall_ms: 0,
            steady_ms: 0,
        }
    }

    fn check(ceiling: &mut Ceiling, at_seconds: f64, expected: f64) {
        let share = ceiling.share(at(at_seconds));
        assert!(
            (share - expected).abs() < 1e-9,
            "{share} after {at_seconds} s"
        );
    }

    #[test]
    fn one_refusal_per_rate_counts_and_time_gives_back() {
        let mut ceiling = Ceiling::new();
        check(&mut ceiling, 100.0, 1.0);
        let sent = Duration::from_secs(100);
        assert!(!ceiling.refused(sent, at(100.5)));
        check(&mut ceiling, 100.5, 0.85);
        // In flight when the rate was lowered.
        assert!(!ceiling.refused(sent, at(100.6)));
        check(&mut ceiling, 101.4, 0.85);
        check(&mut ceiling, 101.5, 0.86);
        check(&mut ceiling, 111.6, 0.96);
        check(&mut ceiling, 1_000.0, 1.0);
    }

    #[test]
    fn the_least_share_is_told() {
        let mut ceiling = Ceiling::new();
        let mut told = 0;
        for second in 0..30 {
            told += u32::from(ceiling.refused(Duration::from_secs(second), at(second as f64)));
        }
        check(&mut ceiling, 29.0, SHARE_MIN);
        assert_eq!(told, 11);
    }

    #[test]
    fn usage_slows_down_near_its_budget_and_is_forgotten() {
        let mut ceiling = Ceiling::new();
        for (percent, expected) in [
            (0, 1.0),
            (90, 1.0),
            (95, 0.5),
            (99, 0.1),
            (100, 0.05),
            (400, 0.05),
        ] {
            ceiling.used(percent, at(10.0));
            check(&mut ceiling, 69.9, expected);
        }
        check(&mut ceiling, 70.0, 1.0);
    }
}
