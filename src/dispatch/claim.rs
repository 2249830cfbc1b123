//! Taking a lane over: RabbitMQ delivers to one worker at a time, and the first delivery is the sign. Nothing is sent before all
//! others can know.

use super::LaneTask;
use crate::core::tenure::Legacy;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Longest wait for the log to say that the lane is ours, however many others it says that of first. Without it RabbitMQ's word has to do;
/// a log that takes nothing at all is given up sooner.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) enum Claim {
    /// Nothing was delivered yet.
    None,
    Asked {
        at: Instant,
        answer: oneshot::Receiver<Legacy>,
        until: Instant,
    },
    Held,
}

impl Claim {
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Held)
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Self::Asked { .. })
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// What is known of the worker before; nothing, if the log does not say. Never comes unless asked.
    pub(super) async fn answered(&mut self) -> Legacy {
        match self {
            Self::Asked { answer, until, .. } => {
                let answered = tokio::time::timeout_at(*until, answer).await;
                answered.ok().and_then(Result::ok).unwrap_or_default()
            }
            Self::None | Self::Held => std::future::pending().await,
        }
    }
}

impl LaneTask {
    /// True if the lane is ours; else it is asked for.
    pub(super) fn is_ours(&mut self) -> bool {
        if let Claim::None = self.claim {
            self.claim = Claim::Asked {
                at: Instant::now(),
                answer: self.shared.board.claim(self.lane.id()),
                until: Instant::now() + PATIENCE,
            };
        }
        self.claim.is_held()
    }

    pub(super) fn took_over(&mut self, legacy: Legacy) {
        let noticed = match self.claim {
            Claim::Asked { at, .. } => at,
            Claim::None | Claim::Held => Instant::now(),
        };
        self.claim = Claim::Held;
        let Legacy { unsent, former } = legacy;
        // What is delivered again was that one's then, and no earlier one's.
        let had_it_for_long = |(_, had): &(u64, Duration)| *had > self.shared.evidence.lookback();
        let former = former.filter(had_it_for_long);
        self.former = former.map(|(run, _)| (run, noticed));
        self.lane.took_over(unsent, self.shared.now());
        // Told meanwhile.
        self.lane.inherit(&self.orders.borrow().unsent);
    }
}
