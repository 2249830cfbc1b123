//! Whether everything adds up at the end, and the figures.

use super::acts::Lanes;
use super::stage::Stage;
use crate::balance;
use crate::chaos::verdict::longest_gap;
use crate::figures::thousands;
use crate::plan::Number;
use crate::sim::{RATE, Truth, at};
use std::time::{Duration, Instant};

/// A lane that changes hands does so within this.
const HANDED_OVER: Duration = Duration::from_secs(8);

pub(crate) fn balance(stage: &mut Stage, numbers: &[Number], truth: &Truth) {
    let faults = balance::all_accepted(numbers, &stage.load.book.lock(), truth);
    for fault in faults {
        stage.must(false, &fault);
    }
    stage.must(truth.repeats() == 0, "the API took no request twice");
    for Number { id, .. } in numbers {
        let refused = truth.refusals(id, RATE);
        stage.must(
            refused == 0,
            &format!("{id} keeps to its limit: {refused} were refused for it"),
        );
    }
}

pub(crate) fn report(
    stage: &Stage,
    lanes: &Lanes,
    campaign: (Instant, Instant),
    truth: &Truth,
    sim_zero: Instant,
) -> String {
    let on_sim = |at: Instant| at.saturating_duration_since(sim_zero);
    let (from, until) = (on_sim(campaign.0), on_sim(campaign.1));
    let arrivals = truth.arrivals(|taken| (from..until).contains(&at(taken)));
    let count = u32::try_from(arrivals.len()).unwrap_or(u32::MAX);
    let mut text = format!(
        "{} requests, {} taken by the API; in the campaign, with {} workers, {:.0} a second.\n",
        thousands(stage.load.book.lock().entries().len()),
        thousands(truth.ledger.len()),
        stage.most(),
        f64::from(count) / (until - from).as_secs_f64(),
    );
    let quiet = stage.load_ended.map_or(Duration::MAX, on_sim);
    let by_lane: Vec<Vec<Duration>> = lanes
        .numbers
        .iter()
        .take(lanes.open)
        .map(|number| truth.arrivals(|taken| taken.phone_number_id == *number))
        .collect();
    for change in &stage.changes {
        let (from, until) = (on_sim(change.from), on_sim(change.until) + HANDED_OVER);
        // A lane that nothing is published for is silent anyway.
        let until = until.min(quiet);
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
