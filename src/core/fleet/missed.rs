//! Records that a log had before it was read: only the last word on each thing counts, however many there are.

use super::holds::{Record, Slot};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

#[derive(Default)]
pub struct Missed {
    /// With how many bytes were read then.
    last: HashMap<Slot, (u64, Record)>,
    /// Lanes whose owners were told of.
    pub lanes: BTreeSet<Arc<str>>,
    offset: Option<u64>,
    bytes: u64,
    pub count: u64,
}

/// How far it was read.
pub struct End {
    pub offset: Option<u64>,
    pub bytes: u64,
    pub lanes: BTreeSet<Arc<str>>,
}

impl Missed {
    /// Counts a record of so many bytes that stands there.
    pub fn read(&mut self, offset: u64, bytes: usize) {
        self.offset = Some(offset);
        self.bytes += u64::try_from(bytes).unwrap_or(0);
        self.count += 1;
    }

    pub fn note(&mut self, record: Record) {
        self.last.insert(record.slot(), (self.bytes, record));
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// In the log's order.
    pub fn last_words(self) -> (Vec<(u64, Record)>, End) {
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
