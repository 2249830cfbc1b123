//! Leaving a lane: its steps, and what has to be remembered.

use crate::core::fleet::tenure::{Unread, Unsent};
use std::time::Duration;

/// The next step of a shell that leaves its lane. It performs all commands before it asks for the next step.
#[derive(PartialEq, Debug)]
pub enum LeaveStep {
    /// Let the other workers be told what holds the lane. [`Driver::others_told`] follows.
    TellHolds,
    /// Wait until the consumer is open, if it is being opened. [`Driver::opening_finished`] follows.
    FinishOpening,
    /// Take what comes, until nothing has come for so long or nothing can. [`Driver::heard_out`] follows.
    Listen { quiet: Duration },
    /// Wait for the answer to the claim. [`Driver::claimed`] follows.
    AwaitClaim,
    /// Tell the other workers that the lane is left, and what was not sent of it. [`Driver::others_told`] follows.
    TellUnsent(Unsent),
    /// Give back all that the channel holds while it is open. [`Driver::given_back`] follows.
    GiveBack,
    /// Close the channel. [`Driver::closed`] follows.
    Close,
    /// Nothing: the lane is left.
    Left,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Stage {
    Holds,
    Opening,
    Listening,
    Claiming,
    Unsent,
    GivingBack,
    UnsentAgain,
    Closing,
    Unread,
}

pub(super) struct Leaving {
    pub(super) stage: Stage,
    /// Deliveries that RabbitMQ made when nobody took them any more.
    pub(super) unread: Vec<Unread>,
    /// Deliveries of them that were surely not sent and are not told yet.
    pub(super) news: Unsent,
    /// Another worker took the lane: what still comes is claimed no more.
    pub(super) is_anothers: bool,
}

impl Leaving {
    /// The next owner should know why the lane was left.
    pub(super) fn telling_why() -> Self {
        Self::at(Stage::Holds)
    }

    pub(super) fn at(stage: Stage) -> Self {
        Self {
            stage,
            unread: vec![],
            news: vec![],
            is_anothers: false,
        }
    }

    pub(super) fn is_anothers(&self) -> bool {
        self.is_anothers
    }
}
