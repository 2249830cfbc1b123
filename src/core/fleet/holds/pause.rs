//! One operator's pause, and when it is told again: it lasts until somebody ends it, and the log that keeps it does not.

/// The log keeps records for 30 days, if they are not too many.
const TELL_AGAIN_MS: u64 = 24 * 3_600 * 1_000;

/// The log holds 64 MB, whole segments of 4 MB: a pause never falls out of it while one worker lives that reads it, however much is
/// written.
const TELL_AGAIN_BYTES: u64 = 8_000_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    /// Since when the lane is paused.
    pub(super) since_ms: u64,
    /// When it is told again, and behind which byte of the log.
    pub(super) tell_at_ms: u64,
    tell_behind: u64,
}

impl Pause {
    /// Notes that the pause was told then and there, by us or by another. Whoever told it last tells it again, half as much later anybody
    /// else does.
    pub(super) fn told(since_ms: u64, at_ms: u64, read_bytes: u64, is_ours: bool) -> Self {
        let later = |first: u64| if is_ours { first } else { first + first / 2 };
        Self {
            since_ms,
            tell_at_ms: at_ms.saturating_add(later(TELL_AGAIN_MS)),
            tell_behind: read_bytes + later(TELL_AGAIN_BYTES),
        }
    }

    pub(super) fn due_ms(&self, read_bytes: u64) -> u64 {
        if read_bytes >= self.tell_behind {
            0
        } else {
            self.tell_at_ms
        }
    }
}
