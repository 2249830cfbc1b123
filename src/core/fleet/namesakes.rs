//! Whether another worker runs under this one's name: two hosts of one image, two files with one `worker.id`. RabbitMQ then spreads lanes
//! badly, as both want the same ones.
//!
//! A worker that is started again has its name from one that has ended, or that says it is about to.

use crate::core::Now;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a worker says that it is there.
pub const PRESENT_EVERY: Duration = Duration::from_secs(10);

/// A life that is heard of for so long beside this one has not ended: more than one word of it that was late.
const SURE_AFTER: Duration = Duration::from_secs(15);

/// A life that has not been heard of for so long has ended.
const GONE_AFTER: Duration = Duration::from_secs(45);

/// The other lives under this name that were heard of since this one began.
#[derive(Default)]
pub struct Namesakes {
    lives: BTreeMap<u64, Life>,
}

struct Life {
    first: Duration,
    last: Duration,
    /// The life has said that it ends.
    ends: bool,
}

impl Namesakes {
    /// A word of that life was read as it was written.
    pub fn seen(&mut self, run: u64, now: Now) {
        self.life(run, now);
    }

    /// Notes that a life says that it ends; it may have more to say until then.
    pub fn ends(&mut self, run: u64, now: Now) {
        self.life(run, now).ends = true;
    }

    fn life(&mut self, run: u64, now: Now) -> &mut Life {
        let life = self.lives.entry(run).or_insert(Life {
            first: now.mono,
            last: now.mono,
            ends: false,
        });
        life.last = now.mono;
        life
    }

    /// Whether one of them goes on beside this one.
    pub fn is_any(&mut self, now: Now) -> bool {
        self.lives
            .retain(|_, life| now.mono.saturating_sub(life.last) < GONE_AFTER);
        let goes_on = |life: &Life| !life.ends && life.last - life.first >= SURE_AFTER;
        self.lives.values().any(goes_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            mono: Duration::from_secs(seconds),
            wall_ms: 0,
            steady_ms: 0,
        }
    }

    /// What one of them makes of it, when the life 7 was seen at those seconds and said at `ends` that it ends.
    fn check(seen: &[u64], ends: Option<u64>, expected: &[(u64, bool)]) {
        let mut namesakes = Namesakes::default();
        for second in 0..300 {
            if seen.contains(&second) {
                namesakes.seen(7, at(second));
            }
            if ends == Some(second) {
                namesakes.ends(7, at(second));
            }
            for (when, is_any) in expected.iter().filter(|(when, _)| *when == second) {
                assert_eq!(namesakes.is_any(at(second)), *is_any, "{seen:?} at {when}");
            }
        }
    }

    #[test]
    fn only_who_goes_on_beside_this_one_is_a_namesake() {
        // Two hosts of one image; until one is mended.
        let both: Vec<u64> = (0..100).step_by(10).collect();
        check(
            &both,
            None,
            &[(10, false), (20, true), (100, true), (150, false)],
        );
        // Killed: some last words at most.
        check(&[0, 1], None, &[(1, false), (60, false)]);
        // It drains while the next one is there already, and says so; and tells of its lanes while it does.
        check(
            &[0, 10, 40, 70],
            Some(11),
            &[(11, false), (41, false), (71, false)],
        );
        // Others are started and killed one after the other.
        let mut namesakes = Namesakes::default();
        for run in 0..20 {
            namesakes.seen(run, at(run));
        }
        assert!(!namesakes.is_any(at(20)));
    }
}
