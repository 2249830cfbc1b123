//! Words of a lane's memory of ids.

use crate::contract::words::Status;
use crate::core::hash::stable_hash;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The hash that stands for an id.
pub fn key(id: &str) -> u64 {
    stable_hash(id.bytes())
}

/// The end of a request, as far as another of its id needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// The request is on the delay ladder.
    Away,
    Accepted,
    Unknown,
    /// The request has ended in another way, which another request of its id need not heed.
    Over,
}

impl Word {
    pub fn of(status: Status) -> Self {
        match status {
            Status::Accepted => Self::Accepted,
            Status::Unknown => Self::Unknown,
            Status::Rejected | Status::Expired | Status::Failed => Self::Over,
        }
    }
}

/// One entry of the log of results, or what this worker itself would write there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note {
    pub key: u64,
    /// Seconds since the epoch.
    pub at_s: u32,
    pub word: Word,
}

/// A part of the log of results to be read: all of the lane's since then; or only what these ids have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Read {
    /// Tells its answer from others.
    pub number: u64,
    pub from_s: u32,
    pub only: Option<Arc<BTreeSet<u64>>>,
}

/// The result of reading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recalled {
    /// A part of what there is, in the order of the log; more follows.
    Notes(Vec<Note>),
    /// All has been told.
    Whole,
    /// Reading goes on, and takes longer than anybody should wait in the lane.
    Late,
    /// The log cannot be read.
    Failed,
}

/// An id that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    pub at_s: u32,
    pub status: Status,
}

/// The verdict on a request whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::core::lane) enum Look {
    /// Nothing is known of an earlier one: it is sent.
    Goes,
    /// An earlier one is under way, or may be: it looks again later.
    Follows,
    Ended(Ended),
    /// The request waits until the log was read.
    Unread,
}

/// The memory of an id. 0: never.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Known {
    ended_s: u32,
    away_s: u32,
    is_unknown: bool,
}

impl Known {
    pub(super) fn apply(&mut self, note: &Note) {
        match note.word {
            Word::Away => self.away_s = self.away_s.max(note.at_s),
            Word::Over => self.away_s = 0,
            Word::Accepted | Word::Unknown => {
                self.away_s = 0;
                if note.at_s >= self.ended_s {
                    self.ended_s = note.at_s;
                    self.is_unknown = note.word == Word::Unknown;
                }
            }
        }
    }

    /// Takes what happened before all that is noted already: only an end still counts.
    pub(super) fn apply_superseded(&mut self, note: &Note) {
        let is_end = matches!(note.word, Word::Accepted | Word::Unknown);
        if is_end && note.at_s > self.ended_s {
            self.ended_s = note.at_s;
            self.is_unknown = note.word == Word::Unknown;
        }
    }

    pub(super) fn last_s(self) -> u32 {
        self.ended_s.max(self.away_s)
    }

    /// The verdict on a request that looks back until then. `is_own_copy`: the request is itself what is away.
    pub(super) fn look(self, since_s: u32, is_own_copy: bool) -> Look {
        if self.ended_s >= since_s && self.ended_s > 0 {
            let status = if self.is_unknown {
                Status::Unknown
            } else {
                Status::Accepted
            };
            let at_s = self.ended_s;
            return Look::Ended(Ended { at_s, status });
        }
        let is_away = self.away_s >= since_s && self.away_s > 0;
        if is_away && !is_own_copy {
            Look::Follows
        } else {
            Look::Goes
        }
    }
}
