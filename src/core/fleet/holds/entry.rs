//! One hold, with who looks after it.

use super::{Hold, Why};
use std::sync::Arc;

/// Delay after which another worker looks whether a hold is over, should the one that found it be gone.
const GRACE_MS: u64 = 15_000;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) hold: Hold,
    /// The worker that found it and looks after it.
    pub(super) author: Arc<str>,
    /// Being looked at right now.
    pub(super) is_probing: bool,
    /// Known here only: the network may be this worker's alone.
    pub(super) is_own: bool,
}

impl Entry {
    /// When it is over, or to be asked about, by this worker.
    pub(super) fn due_ms(&self, worker: &Arc<str>) -> u64 {
        let is_ours = self.hold.why == Why::Throttle || self.author == *worker;
        self.hold.until_ms + if is_ours { 0 } else { GRACE_MS }
    }
}
