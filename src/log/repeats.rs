//! A line that comes again and again is left out for a while, and how often is told: a thousand lanes that lose RabbitMQ at once must
//! not bury what an operator looks for. Lines of DEBUG and below are there for whoever asks for all of them.

use crate::core::Now;
use crate::core::lane::pacing::{Debt, Spacing};
use crate::metrics::Metrics;
use crate::tasks::Rounds;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one place in the source that may come at once, and after them one per interval.
const LIMIT: Spacing = Spacing {
    interval: Duration::from_secs(1),
    burst: 100,
};

/// How often is told what was left out.
pub const TELL: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Callsite {
    debt: Debt,
    left_out: u64,
}

/// The lines that are left out, shared by the log and the task that tells of them.
#[derive(Clone)]
pub struct Repeats {
    started: Instant,
    places: Arc<Mutex<HashMap<Identifier, (&'static Metadata<'static>, Callsite)>>>,
}

impl Default for Repeats {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            places: Arc::default(),
        }
    }
}

impl Repeats {
    /// Whether one more line from there may come, `since_start` after the start.
    fn may_come(&self, line: &'static Metadata<'static>, since_start: Duration) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, place) = places
            .entry(line.callsite())
            .or_insert_with(|| (line, Callsite::default()));
        if place.debt.not_before(&LIMIT) > since_start {
            place.left_out += 1;
            return false;
        }
        let now = Now {
            mono: since_start,
            wall_ms: 0,
            steady_ms: 0,
        };
        place.debt.charge(&LIMIT, now);
        true
    }

    /// Takes what was left out since this was asked last: where each line stands in the source, and how often it came.
    fn take(&self) -> Vec<(&'static Metadata<'static>, u64)> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = places
            .values_mut()
            .map(|(line, place)| (*line, std::mem::take(&mut place.left_out)));
        left_out.filter(|(_, count)| *count > 0).collect()
    }

    fn tell(&self, metrics: &Metrics) {
        for (line, count) in self.take() {
            metrics.log_lines_left_out.inc_by(count);
            let (file, number) = (line.file().unwrap_or_default(), line.line().unwrap_or(0));
            let at = format!("{file}:{number}");
            tracing::info!(count, at, "lines that came too often were left out");
        }
    }

    /// Tells of it every now and then, and at the end.
    pub async fn keep_telling(self, metrics: Arc<Metrics>, rounds: Rounds) -> String {
        let last = LastWords(self, metrics);
        loop {
            tokio::time::sleep(TELL).await;
            last.0.tell(&last.1);
            rounds.count();
        }
    }
}

struct LastWords(Repeats, Arc<Metrics>);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.tell(&self.1);
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let line = event.metadata();
        *line.level() > Level::INFO || self.may_come(line, self.started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::prelude::*;

    /// Keeps where lines come from.
    #[derive(Clone, Default)]
    struct Keep(Arc<Mutex<Vec<&'static Metadata<'static>>>>);

    impl<S: Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(event.metadata());
        }
    }

    /// Two places in the source.
    fn lines() -> [&'static Metadata<'static>; 2] {
        let keep = Keep::default();
        let subscriber = tracing_subscriber::registry().with(keep.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("one");
            tracing::info!("other");
        });
        let kept = keep.0.lock().unwrap();
        [kept[0], kept[1]]
    }

    #[test]
    fn what_comes_too_often_is_left_out_and_counted() {
        let (repeats, [one, other]) = (Repeats::default(), lines());
        let come = |line, at_s| repeats.may_come(line, Duration::from_secs(at_s));
        assert_eq!((0..1_000).filter(|_| come(one, 0)).count(), 100);
        assert!(come(other, 0), "another place is not concerned");
        let left_out: Vec<u64> = repeats.take().into_iter().map(|(_, n)| n).collect();
        assert_eq!((left_out, repeats.take().len()), (vec![900], 0));
        // One a second, and after a silence as many as before.
        assert!(come(one, 1) && !come(one, 1));
        assert_eq!((0..1_000).filter(|_| come(one, 500)).count(), 100);
    }
}
