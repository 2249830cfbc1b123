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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::words::Scope;
    use crate::core::fleet::holds::{News, Reach};

    #[test]
    fn the_last_word_on_each_thing_counts_in_the_logs_order() {
        let record = |lane: &str, news| Record {
            at_ms: 0,
            worker: "a".into(),
            run: 1,
            reach: Reach {
                scope: Scope::Lane,
                key: lane.into(),
            },
            news,
        };
        let paused = |lane| record(lane, News::Paused { since_ms: 0 });
        let mut missed = Missed::default();
        assert!(missed.is_empty());
        // A pause and a hold of one lane are two things.
        let read = [
            (7, 100, Some(paused("1"))),
            (8, 50, Some(paused("2"))),
            (9, 10, Some(record("1", News::Lifted))),
            (11, 40, Some(record("1", News::Resumed))),
            // Of a later version.
            (12, 5, None),
        ];
        for (offset, bytes, record) in read {
            missed.read(offset, bytes);
            record.into_iter().for_each(|record| missed.note(record));
        }
        missed.lanes.insert("3".into());
        assert!(!missed.is_empty());
        assert_eq!(missed.count, 5);
        let (words, end) = missed.last_words();
        let expected = [
            (150, paused("2")),
            (160, record("1", News::Lifted)),
            (200, record("1", News::Resumed)),
        ];
        assert_eq!(words, expected);
        assert_eq!((end.offset, end.bytes), (Some(12), 205));
        assert_eq!(end.lanes, ["3".into()].into());
    }
}
