//! When the API refused something for the rate, and whether this machine was too busy to tell.

use crate::sim;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

const TICK: Duration = Duration::from_millis(50);
/// Every so many ticks the API is asked.
const ASK_EVERY: u32 = 10;
/// So late, and arrivals bunch that were sent apart.
const LATE: Duration = Duration::from_millis(30);
const NOTES_MAX: usize = 20;

pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    task: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    refused: u64,
    late: usize,
    latest: Duration,
    notes: Vec<String>,
}

impl Watch {
    pub(crate) fn start(sim: String, began: Instant) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut task = JoinSet::new();
        task.spawn(look(sim, began, Arc::clone(&seen)));
        Self { seen, task }
    }

    pub(crate) fn end(&mut self) -> Vec<String> {
        self.task.abort_all();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut notes = std::mem::take(&mut seen.notes);
        if seen.refused > 0 {
            notes.push(format!(
                "this machine was late {} times, by {:.0} ms at most",
                seen.late,
                seen.latest.as_secs_f64() * 1_000.0
            ));
        }
        notes
    }
}

async fn look(sim: String, began: Instant, seen: Arc<Mutex<Seen>>) {
    for tick in 0_u32.. {
        let due = Instant::now() + TICK;
        sleep(TICK).await;
        let late = Instant::now().saturating_duration_since(due);
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.late += usize::from(late > LATE);
            seen.latest = seen.latest.max(late);
        }
        if !tick.is_multiple_of(ASK_EVERY) {
            continue;
        }
        if let Ok(refused) = sim::refused(&sim).await {
            let at = began.elapsed().as_secs_f64();
            seen.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .note(refused, at);
        }
    }
}

impl Seen {
    fn note(&mut self, refused: u64, at_s: f64) {
        let more = refused.saturating_sub(self.refused);
        if more > 0 && self.notes.len() < NOTES_MAX {
            self.notes.push(format!("130429: {more} at {at_s:.1} s"));
        }
        self.refused = refused;
    }
}
