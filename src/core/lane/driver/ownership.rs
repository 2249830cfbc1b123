//! Ownership of the lane. RabbitMQ delivers to one worker at a time, and the first delivery is the sign; nothing is read before all others
//! can know.

use super::DriverConfig;
use crate::core::Now;
use crate::core::evidence::search::Former;
use crate::core::fleet::tenure::Owner;
use std::time::Duration;

/// Longest wait for the log to say that the lane is ours, however many others it says that of first. Without it RabbitMQ's word has to do;
/// a log that takes nothing at all is given up sooner.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Default)]
enum Claim {
    /// Nothing was delivered yet.
    #[default]
    None,
    Asked {
        at: Duration,
        until: Duration,
    },
    Held,
}

#[derive(Default)]
pub(super) struct Ownership {
    claim: Claim,
    /// The run of whoever had the lane before, and when this worker noticed that it has not.
    former: Option<(u64, Duration)>,
    /// The lane's owner, by the log.
    owner: Option<Owner>,
    /// Another worker took the lane from this one.
    is_overruled: bool,
    /// The owner that the lane was left to after a loss of RabbitMQ, and until when.
    left_to: Option<(Owner, Duration)>,
    /// The lane is not consumed before.
    not_before: Duration,
}

impl Ownership {
    pub(super) fn is_held(&self) -> bool {
        matches!(self.claim, Claim::Held)
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self.claim, Claim::Asked { .. })
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self.claim, Claim::None)
    }

    /// Notes that something was delivered. True if the lane is to be claimed for that.
    pub(super) fn begin_claim(&mut self, now: Now) -> bool {
        let is_first = self.is_none();
        if is_first {
            self.claim = Claim::Asked {
                at: now.mono,
                until: now.mono + PATIENCE,
            };
        }
        is_first
    }

    /// Until when the log may take to say that the lane is this worker's.
    pub(super) fn claim_until(&self) -> Option<Duration> {
        match self.claim {
            Claim::Asked { until, .. } => Some(until),
            Claim::None | Claim::Held => None,
        }
    }

    /// The log takes too long.
    pub(super) fn is_given_up(&self, now: Now) -> bool {
        self.claim_until().is_some_and(|until| now.mono >= until)
    }

    /// The lane is this worker's. `former`: the run of whoever had it before, and for how long. False if nobody asked.
    pub(super) fn claimed(&mut self, former: Option<(u64, Duration)>, lookback: Duration) -> bool {
        let Claim::Asked { at, .. } = self.claim else {
            return false;
        };
        self.claim = Claim::Held;
        // Counts only who had it for long: what is delivered again was that one's then, and no earlier one's.
        let former = former.filter(|(_, had)| *had > lookback);
        self.former = former.map(|(run, _)| (run, at));
        true
    }

    pub(super) fn former(&self, now: Now) -> Option<Former> {
        self.former.map(|(run, noticed)| Former {
            run,
            gone: now.mono.saturating_sub(noticed),
        })
    }

    /// The lane's channel is gone.
    pub(super) fn lost(&mut self) {
        self.claim = Claim::None;
        self.is_overruled = false;
    }

    /// Another worker took the lane, and its channel here is still open.
    pub(super) fn is_overruled(&self) -> bool {
        self.is_overruled
    }

    /// Takes who has the lane by now. True if another worker took it from this one.
    pub(super) fn note_owner(&mut self, owner: Option<&Owner>) -> bool {
        if self.owner.as_ref() != owner {
            self.owner = owner.cloned();
        }
        let is_anothers = owner.is_some_and(|owner| !owner.is_us);
        let is_taken = self.is_held() && is_anothers;
        if is_taken {
            self.claim = Claim::None;
            self.is_overruled = true;
        }
        is_taken
    }

    /// When all have lost RabbitMQ, whoever had a lane knows what became of its requests; anybody else would have to send them again.
    /// An earlier life of this worker knows nothing any more.
    pub(super) fn let_owner_first(&mut self, is_back: bool, config: &DriverConfig, now: Now) {
        self.not_before = Duration::ZERO;
        let owner = self.owner.as_ref();
        let Some(owner) = owner.filter(|owner| is_back && owner.worker != config.worker) else {
            return;
        };
        // Once: a RabbitMQ that comes and goes must not leave a lane to the dead for ever.
        let is_news = self
            .left_to
            .as_ref()
            .is_none_or(|(left_to, _)| left_to != owner);
        if is_news {
            self.left_to = Some((owner.clone(), now.mono + config.owner_first));
        }
        if let Some((_, until)) = &self.left_to {
            self.not_before = *until;
        }
    }

    pub(super) fn not_before(&self) -> Duration {
        self.not_before
    }
}
