//! How long ago something was, for who may have slept since: a monotonic clock stands still while the machine is suspended, or the virtual
//! machine that it is.

use std::time::Duration;

/// A reading of both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Monotonic: never ahead of the truth, but it may have stood still.
    pub mono: Duration,
    /// Milliseconds since the Unix epoch: right, unless somebody set it.
    pub wall_ms: u64,
}

/// How much time may have passed: as much as the clock says that says more. A wall clock that is set forth looks like a sleep, and one that
/// is set back hides none that the other saw.
pub fn passed(since: Reading, now: Reading) -> Duration {
    let by_the_wall = Duration::from_millis(now.wall_ms.saturating_sub(since.wall_ms));
    now.mono.saturating_sub(since.mono).max(by_the_wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_counts_and_a_clock_that_is_set_back_hides_nothing() {
        let at = |mono_s: u64, wall_s: u64| Reading {
            mono: Duration::from_secs(mono_s),
            wall_ms: wall_s * 1_000,
        };
        for (name, now, expected_s) in [
            ("nothing special", at(14, 1_004), 4),
            ("suspended for a minute", at(11, 1_061), 61),
            ("set back by an hour", at(14, 400), 4),
            ("set forth by an hour", at(14, 4_604), 3_604),
            ("suspended, and set back by less", at(11, 1_031), 31),
            ("a second reading of the same moment", at(10, 1_000), 0),
            ("read in the wrong order", at(9, 999), 0),
        ] {
            let passed = passed(at(10, 1_000), now);
            assert_eq!(passed, Duration::from_secs(expected_s), "{name}");
        }
    }
}
