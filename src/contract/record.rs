//! Records by which workers tell each other: the JSON of one of `wa.lanes.log` or `wa.tenures.log`.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

#[derive(Serialize, Deserialize)]
pub struct RecordDocument<'a> {
    pub at_ms: u64,
    #[serde(borrow)]
    pub worker: Cow<'a, str>,
    pub run: u64,
    #[serde(borrow)]
    pub scope: Cow<'a, str>,
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    #[serde(flatten)]
    pub news: NewsDocument,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum NewsDocument {
    Held {
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i64>,
        remedy: String,
        since_ms: u64,
        until_ms: u64,
        failed_probes: u32,
    },
    Lifted,
    Paused {
        since_ms: u64,
    },
    Resumed,
    TemplateHeld {
        until_ms: u64,
    },
    Taken,
    /// Each with its hops and its count of deliveries.
    Left {
        unsent: Vec<(String, u32, u64)>,
        /// Theirs, in the same order; 0 is none.
        #[serde(default)]
        incarnations: Vec<u64>,
    },
    Present {
        #[serde(default)]
        ends: bool,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lanes: Vec<(Arc<str>, u64)>,
    },
}

/// A record of `wa.media.log`: a file that was uploaded for a number. The link itself may be a secret, and is not in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UploadRecord {
    /// When it was uploaded, in milliseconds since the epoch.
    pub at_ms: u64,
    pub lane: String,
    /// SHA-256 of kind and link, in hexadecimal digits.
    pub source: String,
    /// SHA-256 of kind and file, likewise.
    pub content: String,
    pub media_id: String,
    /// The source's words for the version of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}
