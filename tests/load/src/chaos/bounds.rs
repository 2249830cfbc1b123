//! What each scenario promises, and whether it kept it.

use super::verdict::Figures;
use std::time::Duration;

/// Nothing lost, no lane above its limit and nothing sent twice unflagged is promised always; this is what differs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The longest time that a lane with a backlog is silent, and one that the fault was not meant for.
    pub(crate) gap: Duration,
    pub(crate) bystander_gap: Duration,
    /// Until every lane is at full load again.
    pub(crate) recovery: Duration,
    /// Whether requests may be sent twice, if flagged.
    pub(crate) twice: bool,
    /// Whether answers may be lost, so that results are `unknown`.
    pub(crate) unknown: bool,
    /// Whether requests may end otherwise than accepted or unknown.
    pub(crate) other: bool,
    /// Whether times count: not where other work may slow the machine down.
    pub(crate) timed: bool,
}

impl Bounds {
    pub(crate) const fn new(gap_s: u64, recovery_s: u64) -> Self {
        Self {
            gap: Duration::from_secs(gap_s),
            bystander_gap: Duration::from_secs(1),
            recovery: Duration::from_secs(recovery_s),
            twice: false,
            unknown: false,
            other: false,
            timed: true,
        }
    }

    pub(crate) const fn untimed(self) -> Self {
        Self {
            timed: false,
            ..self
        }
    }

    pub(crate) const fn twice(self) -> Self {
        Self {
            twice: true,
            ..self
        }
    }

    pub(crate) const fn unknown(self) -> Self {
        Self {
            unknown: true,
            ..self
        }
    }

    pub(crate) const fn other(self) -> Self {
        Self {
            other: true,
            ..self
        }
    }

    /// One line for each promise that was broken.
    pub(crate) fn broken(&self, figures: &Figures) -> Vec<String> {
        let mut broken = figures.faults.clone();
        let mut check = |kept: bool, what: String| {
            if !kept {
                broken.push(what);
            }
        };
        let twice = figures.flagged_twice;
        check(self.twice || twice == 0, format!("sent twice: {twice}"));
        let unknown = figures.unknown;
        check(
            self.unknown || unknown == 0,
            format!("unknown results: {unknown}"),
        );
        let other = figures.other;
        check(
            self.other || other == 0,
            format!("rejected, failed or expired: {other}"),
        );
        if !self.timed {
            return broken;
        }
        let refused = figures.refused;
        check(refused == 0, format!("refused for the rate: {refused}"));
        for (what, took, bound) in [
            ("a lane was silent", figures.gap, self.gap),
            (
                "a lane that the fault was not meant for was silent",
                figures.bystander_gap,
                self.bystander_gap,
            ),
        ] {
            check(
                took <= bound,
                format!("{what} for {took:.1?}, at most {bound:?} is promised"),
            );
        }
        match figures.recovery {
            Some(took) => check(
                took <= self.recovery,
                format!(
                    "full load after {took:.1?}, at most {:?} is promised",
                    self.recovery
                ),
            ),
            None => check(false, "full load was not reached again".to_owned()),
        }
        broken
    }
}
