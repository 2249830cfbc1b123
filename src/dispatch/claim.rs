//! Taking a lane over: RabbitMQ delivers to one worker at a time, and the first delivery is the sign. Nothing is sent before all
//! others can know.

use super::LaneTask;
use crate::core::tenure::Unsent;
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
        answer: oneshot::Receiver<Unsent>,
        until: Instant,
    },
    Held,
}

impl Claim {
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Held)
    }

    /// What the worker before has surely not sent; nothing is sure if the log does not say. Never comes unless asked.
    pub(super) async fn answered(&mut self) -> Unsent {
        match self {
            Self::Asked { answer, until } => {
                let answered = tokio::time::timeout_at(*until, answer).await;
                answered.unwrap_or(Ok(vec![])).unwrap_or_default()
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
                answer: self.shared.board.claim(self.lane.id()),
                until: Instant::now() + PATIENCE,
            };
        }
        self.claim.is_held()
    }

    pub(super) fn took_over(&mut self, unsent: Unsent) {
        self.claim = Claim::Held;
        self.lane.took_over(unsent, self.shared.now());
    }
}
