//! Saying that this worker is there and which lanes it has, and hearing of others that have its name.

use super::lanes_told::LanesTold;
use super::{Board, Inner};
use crate::contract::words::Scope;
use crate::core::Now;
use crate::core::fleet::holds::{News, Reach, Record};
use crate::core::fleet::namesakes::PRESENT_EVERY;
use std::time::Duration;

/// How often a worker says which lanes it has: the log of tenures forgets in hours, or sooner if much is written, who took them.
const LANES_EVERY: Duration = Duration::from_secs(3_600);
const LANES_EVERY_BYTES: u64 = 25_000_000;

impl Board {
    /// Says again and again that this worker is there, for ever.
    pub(super) async fn announce(&self) {
        loop {
            self.say_present();
            tokio::time::sleep(PRESENT_EVERY).await;
            self.look_for_namesakes();
        }
    }

    /// Says that this worker is about to end: whoever has its name from now on is the next one.
    pub fn say_end(&self) {
        self.lock().is_ending = true;
        self.say_present();
    }

    fn say_present(&self) {
        let (mut inner, now) = (self.lock(), self.clock.now());
        let ends = inner.is_ending;
        let lanes = inner.lanes_to_tell(now);
        // A record of no lane.
        let reach = Reach {
            scope: Scope::Message,
            key: "".into(),
        };
        let record = inner
            .holds
            .record(reach, News::Present { ends, lanes }, now);
        self.share(&mut inner, Some(record));
    }

    /// A word of another life of a worker with this name was read as it was written.
    pub(super) fn namesake_seen(&self, inner: &mut Inner, record: &Record, now: Now) {
        if *record.worker != *self.worker_id || inner.holds.is_own(record) {
            return;
        }
        match record.news {
            News::Present { ends: true, .. } => inner.namesakes.ends(record.run, now),
            News::Present { .. }
            | News::Taken
            | News::Left { .. }
            | News::Held(_)
            | News::Lifted
            | News::Paused { .. }
            | News::Resumed
            | News::TemplateHeld { .. } => inner.namesakes.seen(record.run, now),
        }
    }

    fn look_for_namesakes(&self) {
        let (mut inner, now) = (self.lock(), self.clock.now());
        let is_any = inner.namesakes.is_any(now);
        self.metrics.worker_id_shared.set(is_any.into());
        if is_any && !inner.has_namesake {
            tracing::warn!(
                worker = self.worker_id,
                "another worker runs with this one's worker.id: give each a name of its own, else they share lanes badly"
            );
        }
        inner.has_namesake = is_any;
    }
}

impl Inner {
    /// Every so often all that this worker has; else none.
    fn lanes_to_tell(&mut self, now: Now) -> Vec<(std::sync::Arc<str>, u64)> {
        let LanesTold { at, read_bytes } = self.lanes_told;
        let read = self.tenures_log.read_bytes;
        let is_due = now.mono.saturating_sub(at) >= LANES_EVERY
            || read.saturating_sub(read_bytes) >= LANES_EVERY_BYTES;
        if !is_due {
            return vec![];
        }
        self.lanes_told = LanesTold {
            at: now.mono,
            read_bytes: read,
        };
        self.holds.own_lanes(&self.tenures)
    }
}
