//! How fast a lane may send, and how often one person may be written to.
//!
//! The lane's limit is Meta's messages per second for one phone number, counted here by `governor` (GCRA) on a clock that the lane
//! sets. Even spacing exactly at the limit is refused by a strict sliding second as soon as jitter moves two arrivals together, and a
//! burst allowance is refused whenever it is used. So the rate stays a little below the limit (`pacing.utilization`) and the
//! burst is worth a few milliseconds only (`pacing.burst_ms`): as much as a timer is late, so that lateness costs no rate. In any
//! window of W seconds a lane starts at most 1 + rate × (W + burst) messages.

use crate::core::Now;
use crate::core::lane::ceiling::Ceiling;
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Cells of the limiter per message, so that the burst can be a fraction of a message.
const CELLS: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// A clock that stands still until the lane moves it.
#[derive(Clone, Debug, Default)]
struct LaneClock(Arc<AtomicU64>);

impl LaneClock {
    fn set(&self, mono: Duration) {
        self.0.store(
            u64::try_from(mono.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }
}

impl Clock for LaneClock {
    type Instant = Nanos;
    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::Relaxed))
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, LaneClock, StateInformationMiddleware>;

/// The settings of a lane's pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PaceConfig {
    /// Messages per second that the API allows this number, in and out together; of an account's lane, operations per second.
    pub limit_mps: f64,
    /// Share of the limit to use, 0 to 1.
    pub utilization: f64,
    /// How much lateness may be caught up at once.
    pub burst: Duration,
}

impl PaceConfig {
    /// Messages per second that we start.
    pub fn rate_mps(&self) -> f64 {
        self.limit_mps * self.utilization
    }

    fn quota(&self, share: f64) -> Quota {
        let cells_per_second = self.rate_mps() * share * f64::from(CELLS.get());
        let period = Duration::from_secs_f64(1.0 / cells_per_second).max(Duration::from_nanos(1));
        let extra = (self.burst.as_secs_f64() * cells_per_second).floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a non-negative product of bounded config values"
        )]
        let burst = CELLS.saturating_add(extra as u32);
        // A zero period is impossible after `max`; the fallback only satisfies the type.
        Quota::with_period(period)
            .unwrap_or(Quota::per_second(CELLS))
            .allow_burst(burst)
    }
}

/// The lane's token bucket.
pub struct Pace {
    config: PaceConfig,
    ceiling: Ceiling,
    /// Share of the configured rate that the limiter was made for.
    share: f64,
    clock: LaneClock,
    limiter: Limiter,
    /// The moment that the limiter said last: until then there is no use asking.
    not_before: Duration,
    /// Messages that the bucket held then.
    left: (f64, Duration),
}

impl Pace {
    /// A bucket that starts empty: a restart or a hand-over must not add a burst to what the last owner sent.
    pub fn new(config: PaceConfig, now: Now) -> Self {
        let clock = LaneClock::default();
        let mut pace = Self {
            limiter: limiter(config.quota(1.0), &clock),
            config,
            ceiling: Ceiling::new(),
            share: 1.0,
            clock,
            not_before: now.mono,
            left: (0.0, now.mono),
        };
        pace.empty(now);
        pace
    }

    pub fn config(&self) -> PaceConfig {
        self.config
    }

    /// Messages per second that are started at most: the configured rate, or what the API was found to allow.
    pub fn effective_mps(&self) -> f64 {
        self.config.rate_mps() * self.share
    }

    pub fn bucket(&self) -> Bucket {
        let quota = self.config.quota(self.share);
        Bucket {
            left: self.left.0,
            at: self.left.1,
            most: f64::from(quota.burst_size().get()) / f64::from(CELLS.get()),
            rate_mps: self.effective_mps(),
        }
    }

    /// Takes all tokens. Also what another limit starts from, so that it never grants a burst.
    pub fn empty(&mut self, now: Now) {
        self.refill(0.0, now);
    }

    /// A new bucket that holds so many messages, if that is less than it can.
    fn refill(&mut self, messages: f64, now: Now) {
        self.clock.set(now.mono);
        let quota = self.config.quota(self.share);
        self.limiter = limiter(quota, &self.clock);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and is bounded by the burst"
        )]
        let cells = (messages * f64::from(CELLS.get())) as u32;
        let most = quota.burst_size().get();
        let kept = cells.min(most);
        if let Some(surplus) = NonZeroU32::new(most - kept) {
            let taken = self.limiter.check_n(surplus);
            debug_assert!(matches!(taken, Ok(Ok(_))), "a new bucket is full");
        }
        self.not_before = now.mono;
        self.left = (f64::from(kept) / f64::from(CELLS.get()), now.mono);
    }

    pub fn set_limit(&mut self, limit_mps: u32, now: Now) {
        let limit_mps = f64::from(limit_mps);
        if limit_mps != self.config.limit_mps {
            self.config.limit_mps = limit_mps;
            // The ceiling was found out under another limit.
            self.ceiling = Ceiling::new();
            self.share = 1.0;
            self.empty(now);
        }
    }

    /// The API refused a request for speed. True if there is nothing left to slow down.
    pub fn refused(&mut self, sent_at: Duration, now: Now) -> bool {
        let was_least = self.ceiling.refused(sent_at, now);
        self.adjust(now);
        was_least
    }

    /// The percentage of a usage header.
    pub fn used(&mut self, percent: u32, now: Now) {
        self.ceiling.used(percent, now);
        self.adjust(now);
    }

    fn adjust(&mut self, now: Now) {
        let share = self.ceiling.share(now);
        if share != self.share {
            // A rate that rises each second and began anew each time would never let a slow number send.
            let kept = if share > self.share {
                self.bucket().tokens(now)
            } else {
                0.0
            };
            self.share = share;
            self.refill(kept, now);
        }
    }

    /// One message may go now (and is charged), or `Err` with the time to ask again.
    pub fn permit(&mut self, now: Now) -> Result<(), Duration> {
        if now.mono < self.not_before {
            return Err(self.not_before);
        }
        self.adjust(now);
        self.clock.set(now.mono);
        match self.limiter.check_n(CELLS) {
            Ok(Ok(state)) => {
                let left = f64::from(state.remaining_burst_capacity()) / f64::from(CELLS.get());
                self.left = (left, now.mono);
                Ok(())
            }
            Ok(Err(refused)) => {
                self.not_before = refused.earliest_possible().into();
                Err(self.not_before)
            }
            // The burst is never below one message, so this cannot happen; waiting a period is the harmless answer.
            Err(_) => Err(now.mono + Duration::from_secs_f64(1.0 / self.effective_mps())),
        }
    }
}

/// A lane's token bucket at some moment, in messages, from which follows what it holds later.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    left: f64,
    at: Duration,
    most: f64,
    pub rate_mps: f64,
}

impl Bucket {
    pub fn tokens(&self, now: Now) -> f64 {
        let since_s = now.mono.saturating_sub(self.at).as_secs_f64();
        (self.left + since_s * self.rate_mps).min(self.most)
    }

    /// How long until it holds a whole message.
    pub fn wait(&self, now: Now) -> Duration {
        let missing = (1.0 - self.tokens(now)).max(0.0);
        Duration::from_secs_f64(missing / self.rate_mps)
    }
}

fn limiter(quota: Quota, clock: &LaneClock) -> Limiter {
    RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware()
}

/// A burst, then one message per interval, borrowed from the future: one person's allowance from one number, as Meta has it.
/// `governor` cannot be asked without being charged, and the pair must be asked before the lane is charged: hence these lines.
/// Source: "Pair rate limits" on Meta's "About the platform" page (1 message per 6 s, bursts of up to 45).
#[derive(Clone, Copy, Debug)]
pub struct Spacing {
    pub interval: Duration,
    pub burst: u32,
}

impl Spacing {
    /// Spaces so many messages a second, evenly.
    pub fn of_rate(mps: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / mps.max(1),
            burst: 1,
        }
    }
}

/// When the next message would be due if they were spaced evenly (GCRA's theoretical arrival time).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Debt(Duration);

impl Debt {
    /// The earliest moment for the next message.
    pub fn not_before(self, limit: &Spacing) -> Duration {
        self.0
            .saturating_sub(limit.interval * limit.burst.saturating_sub(1))
    }

    pub fn charge(&mut self, limit: &Spacing, now: Now) {
        self.0 = self.0.max(now.mono) + limit.interval;
    }

    /// The API said no until then, whatever we had counted.
    pub fn forbid_until(&mut self, limit: &Spacing, until: Duration) {
        self.0 = self
            .0
            .max(until + limit.interval * limit.burst.saturating_sub(1));
    }

    /// Nothing is owed any more: as good as a person never written to.
    pub fn is_clear(self, now: Now) -> bool {
        self.0 <= now.mono
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(mono: Duration) -> Now {
        Now {
            mono,
            wall_ms: 0,
            steady_ms: 0,
        }
    }

    /// Sends as fast as `permit` lets it, waking `late_us` late each time; returns the send times.
    fn run(config: PaceConfig, seconds: u64, late_us: &[u64]) -> Vec<Duration> {
        let mut now = at(Duration::from_secs(5));
        let mut pace = Pace::new(config, now);
        let (end, mut sent, mut late) = (
            now.mono + Duration::from_secs(seconds),
            vec![],
            late_us.iter().cycle(),
        );
        while now.mono < end {
            match pace.permit(now) {
                Ok(()) => sent.push(now.mono),
                Err(until) => {
                    assert!(until > now.mono, "a refusal must name a later moment");
                    now.mono = until + Duration::from_micros(*late.next().unwrap_or(&0));
                }
            }
        }
        sent
    }

    fn most_in(window: Duration, sent: &[Duration]) -> usize {
        let mut first = 0;
        let mut most = 0;
        for (last, at) in sent.iter().enumerate() {
            while *at - sent[first] >= window {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most
    }

    proptest! {
        #[test]
        fn never_above_the_bound_and_close_to_the_rate(
            limit_mps in 1_u32..2_000, burst_ms in 0_u64..20, late_us in proptest::collection::vec(0_u64..3_000, 1..20),
        ) {
            let config = PaceConfig { limit_mps: limit_mps.into(), utilization: 0.97, burst: Duration::from_millis(burst_ms) };
            let sent = run(config, 4, &late_us);
            let bound = 1.0 + config.rate_mps() * (1.0 + burst_ms as f64 / 1000.0);
            prop_assert!(most_in(Duration::from_secs(1), &sent) as f64 <= bound + 1e-6);
            // The burst is whole cells: below a millisecond more than the lateness, each send may lose a part of one.
            if burst_ms >= 4 {
                // The empty start, the last lateness, and a message cut off at either end.
                let least = config.rate_mps() * (4.0 - 0.003) - 3.0;
                prop_assert!(sent.len() as f64 >= least, "{} sent", sent.len());
            }
        }
    }

    #[test]
    fn default_pace_fits_a_strict_second_with_arrivals_moved_by_12_ms() {
        for limit_mps in [20_u32, 80, 1000] {
            let config = PaceConfig {
                limit_mps: limit_mps.into(),
                utilization: 0.97,
                burst: Duration::from_millis(2),
            };
            let sent = run(config, 40, &[100, 1_900, 700]);
            assert!(most_in(Duration::from_millis(1_024), &sent) <= limit_mps as usize);
            assert!(sent.len() as f64 >= 0.97 * 40.0 * f64::from(limit_mps) - 5.0);
        }
    }

    #[test]
    fn a_new_bucket_and_a_changed_rate_start_empty() {
        let start = at(Duration::from_secs(1));
        let config = PaceConfig {
            limit_mps: 10.0,
            utilization: 1.0,
            burst: Duration::from_secs(1),
        };
        let mut pace = Pace::new(config, start);
        assert_eq!(pace.permit(start), Err(Duration::from_millis(1_100)));
        let later = at(Duration::from_secs(10));
        pace.set_limit(100, later);
        assert_eq!(pace.permit(later), Err(Duration::from_millis(10_010)));
    }

    #[test]
    fn a_slow_rate_that_rises_each_second_still_sends() {
        let config = PaceConfig {
            limit_mps: 1.0,
            utilization: 0.5,
            burst: Duration::ZERO,
        };
        let mut now = at(Duration::from_secs(10));
        let mut pace = Pace::new(config, now);
        for _ in 0..5 {
            pace.refused(now.mono, now);
        }
        // 0.22 a second at first, and the hundredths that the limiter rounds off.
        let Err(until) = pace.permit(now) else {
            panic!("an empty bucket")
        };
        now.mono = until;
        while let Err(until) = pace.permit(now) {
            now.mono = until;
        }
        let waited = now.mono.as_secs_f64() - 10.0;
        assert!((4.5..4.7).contains(&waited), "{waited}");
    }

    #[test]
    fn pair_has_its_burst_then_one_per_interval() {
        let limit = Spacing {
            interval: Duration::from_secs(6),
            burst: 45,
        };
        let mut debt = Debt::default();
        let mut now = at(Duration::from_secs(100));
        for _ in 0..45 {
            assert!(debt.not_before(&limit) <= now.mono);
            debt.charge(&limit, now);
        }
        for _ in 0..5 {
            assert_eq!(debt.not_before(&limit), now.mono + limit.interval);
            now.mono += limit.interval;
            debt.charge(&limit, now);
        }
        assert!(!debt.is_clear(now));
        now.mono += limit.interval * 45;
        assert!(debt.is_clear(now));
        debt.forbid_until(&limit, now.mono + Duration::from_secs(16));
        assert_eq!(debt.not_before(&limit), now.mono + Duration::from_secs(16));
    }
}
