//! The two limits of the Cloud API as exact counters over given times.
//!
//! Times are microseconds since any fixed origin and never go back.

use std::collections::{HashMap, VecDeque};

pub(crate) const SECOND_US: u64 = 1_000_000;

/// Counts events in a window of exactly one second that ends now, and remembers
/// the highest count any such window held. The window is half open: an event
/// exactly one second old has left it.
#[derive(Debug, Default)]
pub(crate) struct SlidingSecond {
    times_us: VecDeque<u64>,
    peak: u64,
}

impl SlidingSecond {
    /// Events in `(now - 1 s, now]`.
    pub(crate) fn count(&mut self, now_us: u64) -> u64 {
        while let Some(&oldest_us) = self.times_us.front() {
            if now_us.saturating_sub(oldest_us) < SECOND_US {
                break;
            }
            self.times_us.pop_front();
        }
        self.times_us.len() as u64
    }

    pub(crate) fn push(&mut self, now_us: u64) {
        self.times_us.push_back(now_us);
        self.peak = self.peak.max(self.count(now_us));
    }

    /// The highest count of any window that ended with an event.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }
}

/// Messages that customers send to the number: they count towards its limit and
/// cannot be refused. Evenly spaced, since only their sum matters here.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// `None`: no customer writes.
    spacing_us: Option<u64>,
    next_us: u64,
}

impl Inbound {
    /// Customers have written at `mps` messages a second since time 0.
    pub(crate) fn steady(mps: f64) -> Self {
        Self {
            spacing_us: spacing_us(mps),
            next_us: 0,
        }
    }

    /// From `now_us` on customers write at `mps` messages a second. What came in
    /// before must have flowed.
    pub(crate) fn change(&mut self, mps: f64, now_us: u64) {
        let silent = self.spacing_us.is_none();
        self.spacing_us = spacing_us(mps);
        let latest_us = now_us.saturating_add(self.spacing_us.unwrap_or_default());
        // Who is about to write at a slow pace does not hold up a faster one.
        self.next_us = if silent {
            latest_us
        } else {
            self.next_us.min(latest_us)
        };
    }

    /// Adds to `window` what came in up to `now_us`.
    pub(crate) fn flow(&mut self, window: &mut SlidingSecond, now_us: u64) {
        let Some(spacing_us) = self.spacing_us else {
            return;
        };
        // What is older than the window cannot matter any more: skip a silence instead
        // of replaying it, in whole spacings, so that slow traffic keeps its rhythm.
        let oldest_us = now_us.saturating_sub(SECOND_US);
        let spacings = oldest_us.saturating_sub(self.next_us) / spacing_us;
        self.next_us += spacings * spacing_us;
        while self.next_us <= now_us {
            window.push(self.next_us);
            self.next_us += spacing_us;
        }
    }
}

/// Rounded down, so that every sliding second holds at least `mps`: what is left of
/// the number's limit is never exceeded.
fn spacing_us(mps: f64) -> Option<u64> {
    (mps > 0.0).then(|| ((SECOND_US as f64 / mps) as u64).max(1))
}

/// How a burst to one recipient is paid back. The documents say both "one per
/// 6 s after a burst" and "after a burst of n wait about n × 6 s".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairMode {
    /// A bucket of `pair_burst` that regains one message per interval.
    #[default]
    Gcra,
    /// A burst lasts one interval at most; then nothing until all of it is paid back.
    Repay,
}

/// The pair limit's figures for one number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PairRate {
    pub(crate) burst: u64,
    pub(crate) interval_us: u64,
    pub(crate) mode: PairMode,
}

#[derive(Debug, Clone, Copy)]
struct Debt {
    /// When everything sent so far is paid back.
    paid_us: u64,
    burst_start_us: u64,
}

/// Who has been written to lately, per recipient.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    debts: HashMap<Box<str>, Debt>,
    sweep_at: usize,
}

const SWEEP_AT_LEAST: usize = 1_024;

impl Pairs {
    /// Whether one more message to `recipient` fits now. Charges nothing.
    pub(crate) fn allows(&self, recipient: &str, rate: PairRate, now_us: u64) -> bool {
        let Some(debt) = self.debts.get(recipient) else {
            return true;
        };
        let owed_us = debt.paid_us.saturating_sub(now_us);
        if owed_us == 0 {
            return true;
        }
        let within_burst = owed_us <= rate.burst.saturating_sub(1) * rate.interval_us;
        match rate.mode {
            PairMode::Gcra => within_burst,
            PairMode::Repay => within_burst && now_us - debt.burst_start_us < rate.interval_us,
        }
    }

    /// Notes that one message to `recipient` was accepted.
    pub(crate) fn charge(&mut self, recipient: &str, rate: PairRate, now_us: u64) {
        self.sweep(now_us);
        let fresh = Debt {
            paid_us: now_us,
            burst_start_us: now_us,
        };
        match self.debts.get_mut(recipient) {
            Some(debt) => {
                if debt.paid_us <= now_us {
                    *debt = fresh;
                }
                debt.paid_us += rate.interval_us;
            }
            None => {
                let debt = Debt {
                    paid_us: now_us + rate.interval_us,
                    ..fresh
                };
                self.debts.insert(recipient.into(), debt);
            }
        }
    }

    /// Forgets who owes nothing, at a cost spread over the charges between two sweeps.
    fn sweep(&mut self, now_us: u64) {
        if self.debts.len() < self.sweep_at.max(SWEEP_AT_LEAST) {
            return;
        }
        self.debts.retain(|_, debt| debt.paid_us > now_us);
        self.sweep_at = self.debts.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: PairRate = PairRate {
        burst: 45,
        interval_us: 6 * SECOND_US,
        mode: PairMode::Gcra,
    };

    #[test]
    fn the_second_is_half_open_to_the_microsecond() {
        let mut window = SlidingSecond::default();
        window.push(10);
        window.push(20);
        assert_eq!(window.count(SECOND_US + 9), 2);
        assert_eq!(window.count(SECOND_US + 10), 1);
        assert_eq!(window.count(SECOND_US + 20), 0);
        assert_eq!(window.peak(), 2);
    }

    #[test]
    fn the_peak_is_of_any_window_and_not_of_calendar_seconds() {
        let mut window = SlidingSecond::default();
        // 40 at the end of one calendar second and 40 at the start of the next.
        (0..40).for_each(|i| window.push(900_000 + i));
        (0..40).for_each(|i| window.push(SECOND_US + 50_000 + i));
        window.push(3 * SECOND_US);
        assert_eq!(window.peak(), 80);
    }

    #[test]
    fn inbound_fills_the_window_and_skips_silence() {
        let mut window = SlidingSecond::default();
        let mut inbound = Inbound::steady(20.0);
        inbound.flow(&mut window, 3_600 * SECOND_US);
        assert_eq!(window.count(3_600 * SECOND_US), 20);
    }

    #[test]
    fn inbound_fills_every_second_at_its_rate() {
        for (mps, most) in [(20_u32, 20), (30, 31), (39, 40), (7, 8)] {
            let mut window = SlidingSecond::default();
            let mut inbound = Inbound::steady(f64::from(mps));
            let mut held = |now_us| {
                inbound.flow(&mut window, now_us);
                window.count(now_us)
            };
            // Looked at every 7 ms for 20 s, and then after an hour of silence.
            let looks = (0..2_857).map(|i| SECOND_US + i * 7_000);
            let looks = looks.chain([3_600 * SECOND_US]);
            let wrong = looks
                .map(&mut held)
                .find(|held| !(u64::from(mps)..=most).contains(held));
            assert_eq!(wrong, None, "{mps}");
        }
    }

    #[test]
    fn slow_inbound_keeps_its_rhythm_over_silences() {
        let (mut window, mut inbound) = (SlidingSecond::default(), Inbound::steady(0.5));
        // One message every 2 s: in the window at every other of these looks, 3 s apart.
        let seen = (0..100).filter(|i| {
            let now_us = i * 3 * SECOND_US;
            inbound.flow(&mut window, now_us);
            window.count(now_us) == 1
        });
        assert_eq!(seen.count(), 50);
    }

    #[test]
    fn inbound_changes_at_once() {
        let (mut window, mut inbound) = (SlidingSecond::default(), Inbound::steady(0.01));
        let mut count_at = |now_us, mps| {
            inbound.flow(&mut window, now_us);
            inbound.change(mps, now_us);
            window.count(now_us)
        };
        assert_eq!(count_at(5 * SECOND_US, 20.0), 0);
        assert_eq!(count_at(6 * SECOND_US, 20.0), 20);
        assert_eq!(count_at(7 * SECOND_US, 0.0), 20);
        assert_eq!(count_at(8 * SECOND_US, 10.0), 0);
        // Not for the time before the change.
        assert_eq!(count_at(8 * SECOND_US + 500_000, 40.0), 5);
        assert_eq!(count_at(9 * SECOND_US + 500_000, 0.0), 40);
    }

    fn sent_by(pairs: &mut Pairs, rate: PairRate, tries: u64, every_us: u64) -> Vec<u64> {
        let mut sent_at = Vec::new();
        for now_us in (0..tries).map(|i| i * every_us) {
            if pairs.allows("34600112233", rate, now_us) {
                pairs.charge("34600112233", rate, now_us);
                sent_at.push(now_us);
            }
        }
        sent_at
    }

    #[test]
    fn a_pair_takes_45_at_once_and_then_one_per_6_s() {
        // A try every 10 ms for one minute.
        let sent = sent_by(&mut Pairs::default(), RATE, 6_000, 10_000);
        assert_eq!(sent.len(), 45 + 9);
        assert_eq!(sent[44], 440_000);
        let gaps: Vec<u64> = sent[45..]
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        assert!(gaps.iter().all(|gap| *gap == 6 * SECOND_US), "{gaps:?}");
        // The debt is of the first message's time, not of the last one's.
        assert_eq!(sent[45], 6 * SECOND_US);
    }

    #[test]
    fn repay_waits_for_the_whole_burst() {
        let rate = PairRate {
            mode: PairMode::Repay,
            ..RATE
        };
        let mut pairs = Pairs::default();
        for _ in 0..20 {
            assert!(pairs.allows("1", rate, 0));
            pairs.charge("1", rate, 0);
        }
        assert!(pairs.allows("1", rate, 5 * SECOND_US));
        assert!(!pairs.allows("1", rate, 6 * SECOND_US));
        assert!(!pairs.allows("1", rate, 120 * SECOND_US - 1));
        assert!(pairs.allows("1", rate, 120 * SECOND_US));
    }

    #[test]
    fn steady_sending_at_the_pair_rate_is_never_refused() {
        for mode in [PairMode::Gcra, PairMode::Repay] {
            let rate = PairRate { mode, ..RATE };
            let sent = sent_by(&mut Pairs::default(), rate, 100, 6 * SECOND_US);
            assert_eq!(sent.len(), 100, "{mode:?}");
        }
    }

    #[test]
    fn pairs_without_debt_are_forgotten() {
        let mut pairs = Pairs::default();
        for i in 0..5_000u64 {
            pairs.charge(&i.to_string(), RATE, i * SECOND_US);
        }
        assert!(pairs.debts.len() <= SWEEP_AT_LEAST, "{}", pairs.debts.len());
    }
}
