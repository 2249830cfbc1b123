//! A second, simpler account of what a lane may send: of its rate (P2) and of each person's pair limit.

use super::Us;
use super::checks::{Checked, ensure};
use std::collections::BTreeMap;
use std::time::Duration;
use whatsapp_dispatcher::core::lane::View;
use whatsapp_dispatcher::core::lane::pacing::{PaceConfig, Spacing};

/// After a refusal by the pair limit, Meta's rule and not the account decides for this long: 4^4 s, and 45 × 6 s to regain.
const PAIR_MEMORY: Us = 600_000_000;
/// The limiter counts in hundredths of a message.
const ROUNDING: f64 = 0.02;

/// By then the whole rate is found again: a hundredth each second.
const RECOVERY: Us = 101_000_000;

/// One tenure of a lane: from an empty bucket at its start.
pub(crate) struct RateAccount {
    pub(crate) config: PaceConfig,
    since: Us,
    sends: Vec<Us>,
    /// The lowest rate since the last send, and how often it has changed: each time costs what the limiter rounds off.
    slowest_mps: f64,
    last_mps: f64,
    changes: u32,
    /// It began anew, at a lower rate.
    lowered_at: Us,
    /// The API found it too fast.
    slowed_at: Option<Us>,
}

impl RateAccount {
    pub(crate) fn new(config: PaceConfig, now: Us) -> Self {
        Self {
            config,
            since: now,
            sends: vec![],
            slowest_mps: config.rate_mps(),
            last_mps: config.rate_mps(),
            changes: 0,
            lowered_at: now,
            slowed_at: None,
        }
    }

    /// What the lane takes to be its rate.
    pub(crate) fn note(&mut self, view: &View, now: Us) {
        if view.bucket.rate_mps < self.last_mps {
            self.lowered_at = now;
        }
        if view.bucket.rate_mps != self.last_mps {
            self.last_mps = view.bucket.rate_mps;
            self.changes += 1;
        }
        self.slowest_mps = self.slowest_mps.min(view.bucket.rate_mps);
    }

    pub(crate) fn slowed(&mut self, now: Us) {
        self.slowed_at = Some(now);
        self.lowered_at = now;
    }

    /// P2: never faster than configured, and as fast once the API has had nothing against it for long enough.
    pub(crate) fn check_recovered(&mut self, view: &View, now: Us) -> Checked {
        let (rate, configured) = (view.bucket.rate_mps, self.config.rate_mps());
        ensure(rate <= configured, "P2", || {
            format!("a rate of {rate} is more than {configured}")
        })?;
        let lately = self.slowed_at.is_some_and(|at| now < at + RECOVERY);
        ensure(lately || rate == configured, "P2", || {
            format!(
                "still at {rate} of {configured}, long after {:?}",
                self.slowed_at
            )
        })?;
        (self.slowest_mps, self.last_mps, self.changes) = (rate, rate, 0);
        Ok(())
    }

    pub(crate) fn begin(&mut self, now: Us) {
        self.since = now;
        self.sends.clear();
        self.changes = 0;
    }

    /// In any window of W seconds at most 1 + rate × (W + burst), and from an empty bucket at the start.
    pub(crate) fn send(&mut self, now: Us) -> Checked {
        let rate = self.config.rate_mps();
        self.sends.push(now);
        let all = self.sends.len();
        let since_start = rate * seconds(now - self.since);
        ensure(all as f64 <= since_start + ROUNDING, "P2", || {
            format!("{all} sends since the lane began, {since_start:.2} allowed")
        })?;
        for (index, at) in self.sends.iter().enumerate().rev().take(200) {
            let count = all - index;
            let window = seconds(now - at);
            let allowed = 1.0 + rate * (window + self.config.burst.as_secs_f64());
            ensure(count as f64 <= allowed + ROUNDING, "P2", || {
                format!("{count} sends in {window:.3} s, {allowed:.2} allowed")
            })?;
        }
        Ok(())
    }

    /// The latest moment at which the next send must be allowed.
    pub(crate) fn due(&self) -> Us {
        let messages = 1.0 + ROUNDING * f64::from(self.changes);
        let period = (1e6 * messages / self.slowest_mps) as Us;
        let last = self.sends.last().copied().unwrap_or(self.since);
        last.max(self.lowered_at) + period
    }
}

pub(crate) struct PairAccount {
    limit: Spacing,
    /// When all that was sent is paid back.
    counted: BTreeMap<usize, Us>,
    /// The API said no until then.
    quiet: BTreeMap<usize, Us>,
    /// The API said no at all.
    refused_until: BTreeMap<usize, Us>,
}

impl PairAccount {
    pub(crate) fn new(limit: Spacing) -> Self {
        Self {
            limit,
            counted: BTreeMap::new(),
            quiet: BTreeMap::new(),
            refused_until: BTreeMap::new(),
        }
    }

    pub(crate) fn count(&mut self, person: usize, now: Us) {
        let debt = self.counted.entry(person).or_default();
        *debt = (*debt).max(now) + us(self.limit.interval);
        // Nothing is regained while messages go out as fast as they may.
        if let Some(until) = self
            .refused_until
            .get_mut(&person)
            .filter(|until| now < **until)
        {
            *until = now + PAIR_MEMORY;
        }
    }

    pub(crate) fn refuse(&mut self, person: usize, pause: Us, now: Us) {
        self.quiet.insert(person, now + pause);
        self.refused_until.insert(person, now + PAIR_MEMORY);
    }

    /// The latest moment at which the next message must be allowed; none while the API's word decides.
    pub(crate) fn due(&self, person: usize, now: Us) -> Option<Us> {
        let refused_until = self.refused_until.get(&person);
        let refused = refused_until.is_some_and(|until| now < *until);
        (!refused).then(|| self.next(person))
    }

    fn next(&self, person: usize) -> Us {
        let debt = self.counted.get(&person).copied().unwrap_or_default();
        debt.saturating_sub(us(self.limit.interval) * Us::from(self.limit.burst - 1))
    }

    pub(crate) fn send(&self, person: usize, now: Us) -> Checked {
        let quiet = self.quiet.get(&person).is_some_and(|until| now < *until);
        ensure(!quiet, "P4", || {
            "a message was sent although the API had refused its person for longer".to_owned()
        })?;
        let due = self.next(person);
        ensure(due <= now, "P2", || {
            format!("a message was sent {} us before its pair allows", due - now)
        })
    }
}

pub(crate) fn us(duration: Duration) -> Us {
    duration.as_nanos().div_ceil(1_000) as Us
}

fn seconds(us: Us) -> f64 {
    us as f64 / 1e6
}
