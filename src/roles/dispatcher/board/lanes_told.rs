//! When this worker last said which lanes it has.

use std::time::Duration;

/// The moment when this worker last said which lanes it has, and how much of the log was read then.
#[derive(Clone, Copy, Default)]
pub(super) struct LanesTold {
    pub(super) at: Duration,
    pub(super) read_bytes: u64,
}
