//! Whether everything adds up at the end, and the figures.

use super::acts::{Lanes, Marks};
use super::stage::Stage;
use crate::balance;
use crate::chaos::verdict::longest_gap;
use crate::figures::thousands;
use crate::plan::Number;
use crate::sim::Truth;
use std::time::{Duration, Instant};

/// A lane that changes hands does so within this.
const HANDED_OVER: Duration = Duration::from_secs(8);

pub(crate) fn balance(stage: &mut Stage, numbers: &[Number], truth: &Truth) {
    let faults = balance::all_accepted(numbers, &stage.load.book.lock(), truth);
    for fault in faults {
        stage.must(false, &fault);
    }
    stage.must(truth.repeats() == 0, "the API took no request twice");
}

pub(crate) fn report(
    stage: &Stage,
    lanes: &Lanes,
    marks: &Marks,
    truth: &Truth,
    sim_zero: Instant,
) -> String {
    let on_sim = |at: Instant| at.saturating_duration_since(sim_zero);
    let arrivals = truth.arrivals(|_| true);
    let rate = |span: Option<(Instant, Instant)>| {
        let Some((from, until)) = span else {
            return "unknown".to_owned();
        };
        let (from, until) = (on_sim(from), on_sim(until));
        let count = arrivals.iter().filter(|at| (from..until).contains(*at));
        let count = u32::try_from(count.count()).unwrap_or(u32::MAX);
        format!("{:.0}", f64::from(count) / (until - from).as_secs_f64())
    };
    let mut text = format!(
        "\n{} requests, {} taken by the API.\n\
         The most that waited on held lanes: {:.0}.\n\
         Messages per second in the campaign: {} with one worker, {} with {}.\n",
        thousands(stage.load.book.lock().entries().len()),
        thousands(truth.ledger.len()),
        marks.held_backlog,
        rate(marks.alone),
        rate(marks.together),
        stage.most(),
    );
    let by_lane: Vec<Vec<Duration>> = lanes
        .numbers
        .iter()
        .take(lanes.open)
        .map(|number| truth.arrivals(|taken| taken.phone_number_id == *number))
        .collect();
    for change in &stage.changes {
        let (from, until) = (on_sim(change.from), on_sim(change.until) + HANDED_OVER);
        let gaps = by_lane.iter().map(|lane| longest_gap(lane, from, until));
        let what = if change.has_come {
            "ready after"
        } else {
            "drained within"
        };
        text += &format!(
            "{} {what} {:.2} s; the longest silence of a lane meanwhile: {:.2} s\n",
            change.worker,
            (change.until - change.from).as_secs_f64(),
            gaps.max().unwrap_or_default().as_secs_f64(),
        );
    }
    text
}
