//! The line of what waits for one recipient.

use crate::contract::words::Priority;
use crate::core::operation::Recipient;
use crate::core::request::message::Message;
use std::collections::VecDeque;
use std::time::Duration;

/// Names a delivery that the shell keeps.
pub type Ticket = u64;

/// The key of a line: its recipient. Requests without one wait alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::core) enum Key {
    Person(Recipient),
    Nobody(Ticket),
}

pub(in crate::core) struct Waiting {
    pub(in crate::core) message: Message,
    pub(in crate::core) ticket: Ticket,
    pub(in crate::core) accepted_at: Duration,
    /// The log of results is being asked whether it was sent already; nothing behind it in its line goes before.
    pub(in crate::core) awaits_evidence: bool,
    /// The log is being read for what is known of its id, or its files are being uploaded; likewise.
    pub(in crate::core) awaits_word: bool,
}

/// The requests of one priority in a line.
#[derive(Default)]
pub(super) struct Rank {
    pub(super) queue: VecDeque<Waiting>,
    pub(super) is_ready: bool,
    /// Where it stands in the backlog's `parked`.
    pub(super) parked: Option<Parking>,
}

impl Rank {
    pub(super) fn awaits_word(&self) -> bool {
        self.queue
            .front()
            .is_some_and(|first| first.awaits_evidence || first.awaits_word)
    }
}

/// When the pair limit lets go, and which parking it was.
pub(super) type Parking = (Duration, u64);

#[derive(Default)]
pub(super) struct Line {
    pub(super) high: Rank,
    pub(super) bulk: Rank,
    pub(super) in_flight: bool,
    /// When the last one in flight was answered.
    pub(super) answered_at: Duration,
}

impl Line {
    pub(super) fn rank(&self, priority: Priority) -> &Rank {
        match priority {
            Priority::High => &self.high,
            Priority::Bulk => &self.bulk,
        }
    }
    pub(super) fn rank_mut(&mut self, priority: Priority) -> &mut Rank {
        match priority {
            Priority::High => &mut self.high,
            Priority::Bulk => &mut self.bulk,
        }
    }
    /// The rank, if its turn would not be in vain.
    pub(super) fn free(&self, priority: Priority) -> Option<&Rank> {
        let rank = Some(self.rank(priority));
        rank.filter(|rank| !self.in_flight && rank.parked.is_none() && !rank.awaits_word())
    }
    pub(super) fn is_idle(&self) -> bool {
        !self.in_flight && self.high.queue.is_empty() && self.bulk.queue.is_empty()
    }
}
