//! One hold, with who looks after it.

use super::{Hold, Why};
use std::sync::Arc;

/// Who found a hold looks whether it is over; should that worker be gone, another one does this much later.
const GRACE_MS: u64 = 15_000;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) hold: Hold,
    /// Who found it and looks after it.
    pub(super) author: Arc<str>,
    /// Being looked at right now.
    pub(super) is_asked: bool,
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
