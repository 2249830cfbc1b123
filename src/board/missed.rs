//! Records that a log had before it was read: only the last word on each thing counts, however many there are.

use crate::broker::lanes_log::Entry;
use crate::core::fleet::holds::{Record, Slot};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Missed {
    /// With how many bytes were read then.
    last: HashMap<Slot, (u64, Record)>,
    /// Lanes whose owners were told of.
    pub(super) lanes: BTreeSet<Arc<str>>,
    offset: Option<u64>,
    bytes: u64,
    pub(super) count: u64,
}

/// How far it was read.
pub(super) struct End {
    pub(super) offset: Option<u64>,
    pub(super) bytes: u64,
    pub(super) lanes: BTreeSet<Arc<str>>,
}

impl Missed {
    pub(super) fn read(&mut self, entry: &Entry) {
        self.offset = Some(entry.offset);
        self.bytes += u64::try_from(entry.body.len()).unwrap_or(0);
        self.count += 1;
    }

    pub(super) fn note(&mut self, record: Record) {
        self.last.insert(record.slot(), (self.bytes, record));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// In the log's order.
    pub(super) fn last_words(self) -> (Vec<(u64, Record)>, End) {
        let mut words: Vec<_> = self.last.into_values().collect();
        words.sort_by_key(|(bytes, _)| *bytes);
        let end = End {
            offset: self.offset,
            bytes: self.bytes,
            lanes: self.lanes,
        };
        (words, end)
    }
}
