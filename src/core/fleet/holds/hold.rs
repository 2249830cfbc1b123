//! One hold, and how long it is left alone before it is looked whether it is over.

use crate::contract::words::{Scope, words};
use crate::core::Now;
use std::sync::Arc;
use std::time::Duration;

/// A penalty for quality: hammering makes it worse. Source: "Error codes", 131048 and 131064, and experience.
const PENALTY_PROBES: [Duration; 3] = [
    Duration::from_secs(15 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(6 * 3_600),
];

/// First look at an outage, and the longest pause between two of them.
const OUTAGE_PROBE: Duration = Duration::from_secs(2);
const OUTAGE_PROBE_MAX: Duration = Duration::from_secs(30);

/// Longest pause of a throttle that is met again and again.
const THROTTLE_MAX: Duration = Duration::from_secs(3_600);
const THROTTLE_GUESS: Duration = Duration::from_secs(60);

words! {
    /// Why nobody in scope sends.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Why {
        /// Until something changes: a token, a registration, a payment method, …
        Block = "block",
        /// Lifts by itself, in hours.
        Penalty = "penalty",
        /// The API asked for a pause.
        Throttle = "throttle",
        /// The API has trouble, or cannot be reached.
        Outage = "outage",
    }
}

impl Why {
    fn rank(self) -> u8 {
        match self {
            Self::Throttle => 0,
            Self::Outage => 1,
            Self::Block => 2,
            Self::Penalty => 3,
        }
    }
}

/// A hold keeps a lane from sending. It has codes, never texts of the API.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Hold {
    pub scope: Scope,
    pub why: Why,
    pub code: Option<i64>,
    /// The remedy.
    pub remedy: &'static str,
    pub since_ms: u64,
    /// The end of a throttle; for others, when the API is asked whether it is over.
    pub until_ms: u64,
    pub failed_probes: u32,
}

impl Hold {
    pub(super) fn is_over(&self, now: Now) -> bool {
        self.why == Why::Throttle && self.until_ms <= now.steady_ms
    }

    /// Whether this says more than what is `known`. Stragglers of the same fault do not.
    pub(super) fn outweighs(&self, known: &Self) -> bool {
        let is_longer = self.why == Why::Throttle && self.until_ms > known.until_ms;
        let (ours, theirs) = (self.why.rank(), known.why.rank());
        ours > theirs || ours == theirs && is_longer
    }
}

words! {
    /// The API's answer to whether a number can send.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Health {
        /// The number can, as far as the API knows.
        Well = "well",
        /// The number cannot, or the token is dead.
        Blocked = "blocked",
        /// The token may not ask: that needs the permission whatsapp_business_management.
        Forbidden = "forbidden",
        /// No usable answer.
        Unanswered = "unanswered",
    }
}

impl Health {
    /// Whether that is reason enough to try with one request. An API in trouble is over it once it answers at all; where nothing may be
    /// asked, only trying tells.
    pub(super) fn ends(self, why: Why) -> bool {
        match self {
            Self::Well | Self::Forbidden => true,
            Self::Blocked => why == Why::Outage,
            Self::Unanswered => false,
        }
    }
}

/// A finding: what an answer tells about more than its message.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    pub scope: Scope,
    pub why: Why,
    pub code: Option<i64>,
    pub remedy: &'static str,
    /// How long the API wants to be left alone.
    pub pause: Option<Duration>,
    /// The hold whose end was being tried, in vain.
    pub before: Option<Hold>,
    /// Which template, if that is the scope.
    pub template: Option<Arc<str>>,
}

impl Finding {
    /// Since when this goes on.
    pub fn since_ms(&self, now: Now) -> u64 {
        let same = self.before.filter(|before| before.why == self.why);
        same.map_or(now.steady_ms, |before| before.since_ms)
    }
}

/// All that holds one lane.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Held {
    pub paused_since_ms: Option<u64>,
    pub hold: Option<Hold>,
    /// The API said that all is well, to this worker, and that ended the last block there.
    pub is_said_to_be_well: bool,
}

/// How soon it is looked whether a block is over, and how seldom at last.
#[derive(Clone, Copy, Debug)]
pub struct ProbePeriods {
    pub first: Duration,
    pub longest: Duration,
}

impl ProbePeriods {
    /// How long to leave the API alone.
    pub(super) fn wait(&self, why: Why, failed_probes: u32, pause: Option<Duration>) -> Duration {
        let doubled = |first: Duration, longest: Duration| {
            first
                .saturating_mul(1 << failed_probes.min(16))
                .min(longest)
        };
        let asked = pause.unwrap_or_default();
        match why {
            Why::Block => doubled(self.first, self.longest).max(asked),
            Why::Penalty => {
                let last = PENALTY_PROBES.len() - 1;
                let step = usize::try_from(failed_probes).unwrap_or(last).min(last);
                PENALTY_PROBES[step].max(asked)
            }
            // A minute is our own guess, and grows; what the API asks for is neither shortened nor prolonged.
            Why::Throttle if asked <= THROTTLE_GUESS => doubled(asked, THROTTLE_MAX),
            Why::Throttle => asked,
            Why::Outage => doubled(OUTAGE_PROBE, OUTAGE_PROBE_MAX).max(asked),
        }
    }
}
