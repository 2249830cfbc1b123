//! Knowledge of uploads: which source's file the API has, for which number, and under which id.
//!
//! By source, so that a link is uploaded once however many messages name it; and by content, so that the same file under another link is
//! not uploaded again. Sources and contents are told by their hashes.

use crate::contract::record::UploadRecord;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long an id is used. Source: Meta, "Media": uploaded media is kept for 30 days.
pub const USED_FOR: Duration = Duration::from_secs(29 * 24 * 3_600);

/// How long a source is believed to have the same file still. Source: Meta, "Media": so long it keeps what it fetched from a link itself.
pub const FRESH_FOR: Duration = Duration::from_secs(600);

/// A number and a hash.
type Key = (Arc<str>, Arc<str>);

/// The words by which a source says whether it still has the same file.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

impl Validators {
    /// True if there are none to ask by.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// The knowledge of a source.
#[derive(Clone, PartialEq, Debug)]
pub enum Look {
    Fresh {
        media_id: Arc<str>,
        fresh_for: Duration,
    },
    /// The source has to be asked whether its file is the same.
    Stale {
        media_id: Arc<str>,
        validators: Validators,
    },
    Nothing,
}

struct Entry {
    record: Arc<UploadRecord>,
    checked_ms: u64,
}

/// The memory of uploads, bounded in number.
pub struct Known {
    most: usize,
    by_source: HashMap<Key, Entry>,
    by_content: HashMap<Key, Arc<UploadRecord>>,
    /// In the order in which they became known.
    since: VecDeque<Arc<UploadRecord>>,
}

impl Known {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            by_source: HashMap::new(),
            by_content: HashMap::new(),
            since: VecDeque::new(),
        }
    }

    /// Takes note of an upload. `checked_ms`: when its source was asked last, in milliseconds since the epoch.
    pub fn learn(&mut self, record: UploadRecord, checked_ms: u64) {
        let record = Arc::new(record);
        self.since.push_back(record.clone());
        self.by_content.insert(content_key(&record), record.clone());
        let entry = Entry {
            record: record.clone(),
            checked_ms,
        };
        self.by_source.insert(source_key(&record), entry);
        while self.since.len() > self.most {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.since.pop_front() else {
            return;
        };
        let key = source_key(&oldest);
        if self
            .by_source
            .get(&key)
            .is_some_and(|entry| Arc::ptr_eq(&entry.record, &oldest))
        {
            self.by_source.remove(&key);
        }
        let key = content_key(&oldest);
        if self
            .by_content
            .get(&key)
            .is_some_and(|record| Arc::ptr_eq(record, &oldest))
        {
            self.by_content.remove(&key);
        }
    }

    /// Looks up a source for a number.
    pub fn look(&self, lane: &str, source: &str, now_ms: u64) -> Look {
        let entry = self.by_source.get(&key(lane, source));
        let Some(entry) = entry.filter(|entry| is_of_use(&entry.record, now_ms)) else {
            return Look::Nothing;
        };
        let fresh_until_ms = entry
            .checked_ms
            .saturating_add(ms(FRESH_FOR))
            .min(ends_ms(&entry.record));
        // A clock that was set back makes nothing fresh for longer.
        let fresh_for = Duration::from_millis(fresh_until_ms.saturating_sub(now_ms)).min(FRESH_FOR);
        let record = &entry.record;
        let media_id = record.media_id.as_str().into();
        if fresh_for.is_zero() {
            return Look::Stale {
                media_id,
                validators: Validators {
                    etag: record.etag.clone(),
                    last_modified: record.last_modified.clone(),
                },
            };
        }
        Look::Fresh {
            media_id,
            fresh_for,
        }
    }

    /// The source was asked, and has the same file still.
    pub fn check(&mut self, lane: &str, source: &str, now_ms: u64) {
        if let Some(entry) = self.by_source.get_mut(&key(lane, source)) {
            entry.checked_ms = now_ms;
        }
    }

    /// The upload of the same content for the same number, whatever its source.
    pub fn find_content(&self, lane: &str, content: &str, now_ms: u64) -> Option<&UploadRecord> {
        let record = self.by_content.get(&key(lane, content))?;
        is_of_use(record, now_ms).then_some(record)
    }

    /// The API does not know this id any more.
    pub fn forget(&mut self, lane: &str, media_id: &str) {
        let is_other = |record: &UploadRecord| record.lane != lane || record.media_id != media_id;
        self.by_source.retain(|_, entry| is_other(&entry.record));
        self.by_content.retain(|_, record| is_other(record));
    }

    /// Uploads that are known.
    pub fn len(&self) -> usize {
        self.by_source.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_source.is_empty()
    }
}

fn key(lane: &str, hash: &str) -> Key {
    (lane.into(), hash.into())
}

fn source_key(record: &UploadRecord) -> Key {
    key(&record.lane, &record.source)
}

fn content_key(record: &UploadRecord) -> Key {
    key(&record.lane, &record.content)
}

fn ends_ms(record: &UploadRecord) -> u64 {
    record.at_ms.saturating_add(ms(USED_FOR))
}

fn is_of_use(record: &UploadRecord, now_ms: u64) -> bool {
    ends_ms(record) > now_ms
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn record(source: &str, content: &str, media_id: &str) -> UploadRecord {
        UploadRecord {
            at_ms: 0,
            lane: "106".to_owned(),
            source: source.to_owned(),
            content: content.to_owned(),
            media_id: media_id.to_owned(),
            etag: Some("\"1\"".to_owned()),
            last_modified: None,
        }
    }

    fn id_of(look: Look) -> Option<String> {
        match look {
            Look::Fresh { media_id, .. } => Some(media_id.to_string()),
            Look::Stale { .. } | Look::Nothing => None,
        }
    }

    #[test]
    fn a_source_is_asked_again_after_ten_minutes_and_an_id_used_for_29_days() {
        let mut known = Known::new(10);
        assert_eq!(known.look("106", "s", 0), Look::Nothing);
        known.learn(record("s", "c", "1"), 0);
        assert_eq!(id_of(known.look("106", "s", 599_999)).as_deref(), Some("1"));
        assert_eq!(known.look("107", "s", 0), Look::Nothing);
        let validators = Validators {
            etag: Some("\"1\"".to_owned()),
            last_modified: None,
        };
        let stale = Look::Stale {
            media_id: "1".into(),
            validators,
        };
        assert_eq!(known.look("106", "s", 600_000), stale);
        known.check("106", "s", 600_000);
        assert!(id_of(known.look("106", "s", 700_000)).is_some());
        known.check("106", "s", 29 * 24 * HOUR_MS - 1);
        let last = known.look("106", "s", 29 * 24 * HOUR_MS - 1);
        let fresh_for = Duration::from_millis(1);
        assert_eq!(
            last,
            Look::Fresh {
                media_id: "1".into(),
                fresh_for
            }
        );
        assert_eq!(known.look("106", "s", 29 * 24 * HOUR_MS), Look::Nothing);
        assert!(known.find_content("106", "c", 29 * 24 * HOUR_MS).is_none());
    }

    #[test]
    fn content_is_known_whatever_its_source_until_it_is_gone() {
        let mut known = Known::new(10);
        known.learn(record("s", "c", "1"), 0);
        let found = known
            .find_content("106", "c", 0)
            .map(|record| record.media_id.as_str());
        assert_eq!(found, Some("1"));
        assert!(known.find_content("107", "c", 0).is_none());
        known.learn(record("t", "c", "1"), 0);
        known.forget("106", "2");
        assert_eq!(known.len(), 2);
        known.forget("106", "1");
        assert!(known.is_empty() && known.find_content("106", "c", 0).is_none());
    }

    #[test]
    fn the_oldest_are_forgotten_and_what_replaced_them_is_not() {
        let mut known = Known::new(2);
        known.learn(record("s", "c", "1"), 0);
        known.learn(record("s", "d", "2"), 0);
        known.learn(record("t", "e", "3"), 0);
        assert_eq!(id_of(known.look("106", "s", 0)).as_deref(), Some("2"));
        assert!(known.find_content("106", "c", 0).is_none());
        known.learn(record("u", "f", "4"), 0);
        assert_eq!(known.look("106", "s", 0), Look::Nothing);
        assert_eq!(known.len(), 2);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_fresh_for_longer() {
        let mut known = Known::new(2);
        known.learn(record("s", "c", "1"), 10 * HOUR_MS);
        let Look::Fresh { fresh_for, .. } = known.look("106", "s", 0) else {
            panic!("known");
        };
        assert_eq!(fresh_for, FRESH_FOR);
    }
}
