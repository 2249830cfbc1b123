//! What is printed at the end: the counts by number, the ledger against the results, the stories.

use crate::book::{Book, Tally};
use crate::figures::{seconds, thousands, wrapped};
use crate::plan::Plan;
use crate::sim::{RATE, Truth};
use crate::stories::stories;
use crate::table::{Row, Snapshot};
use harness::answer::Status;

pub(crate) fn summary(plan: &Plan, book: &Book, truth: &Truth, last: &Snapshot) -> String {
    let tallies: Vec<Tally> = (0..last.rows.len()).map(|n| book.tally(n)).collect();
    let total = Tally::total(&tallies);
    let mut text = format!(
        "\n{} requests, {} results in {}: {} lost, {} duplicated.\n\n",
        thousands(total.published),
        thousands(total.answered()),
        seconds(last.elapsed),
        total.missing(),
        total.repeats,
    );
    text += &numbers(&total, truth, last);
    text += "busiest second: the most that any sliding second holds, by the API's clock;\n";
    text += &format!("{RATE}: refused by the API for exceeding its limit.\n\n");
    text += &format!("{}\n\n", wrapped(&ledger(&total, truth), 0));
    for (heading, story) in stories(plan, book, truth) {
        text += &format!("{heading:<INDENT$}{}\n", wrapped(&story, INDENT));
    }
    text
}

/// The stories stand right of their headings.
const INDENT: usize = 16;

/// One line per number: requests = the sum of results by status, and how close to the limit it came.
fn numbers(total: &Tally, truth: &Truth, last: &Snapshot) -> String {
    let statuses = last.statuses();
    let heads = statuses
        .iter()
        .map(|status| format!("   {:>8}", status.to_string()));
    let heads: String = heads.collect();
    let mut text = format!("number worker requests{heads} busiest second {RATE}\n");
    for row in &last.rows {
        let owner = row.owner.as_deref().unwrap_or("-");
        text += &format!("{:<6} {owner:<6} ", row.number);
        text += &equation(&row.tally, &statuses);
        text += &against_limit(row, truth);
        text.push('\n');
    }
    text + &format!("total         {}\n", equation(total, &statuses))
}

fn equation(tally: &Tally, statuses: &[Status]) -> String {
    let counts = statuses
        .iter()
        .map(|status| format!("{:>8}", tally.count(*status)));
    let sum = counts.collect::<Vec<_>>().join(" + ");
    format!("{:>8} = {sum}", tally.published)
}

fn against_limit(row: &Row, truth: &Truth) -> String {
    let Some(limit) = row.limit else {
        return String::new();
    };
    let peak = format!("{} of {limit}", truth.peak(&row.number));
    format!("{peak:>15}{:>7}", truth.refusals(&row.number, RATE))
}

fn ledger(total: &Tally, truth: &Truth) -> String {
    format!(
        "The API's own ledger has {} messages, {} of them twice: {} are reported as accepted, {} as unknown.",
        thousands(truth.ledger.len()),
        thousands(truth.repeats()),
        thousands(total.count(Status::Accepted)),
        thousands(total.count(Status::Unknown)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::tests::answer;
    use crate::plan::tests::plan;
    use crate::sim::tests::taken;
    use crate::workers::Owners;
    use std::time::{Duration, Instant};

    #[test]
    fn the_counts_stand_as_a_sum() {
        let (plan, mut book, now) = (plan(), Book::new("demo".to_owned()), Instant::now());
        let ids: Vec<String> = (0..3).map(|_| book.publish(0, false, now)).collect();
        book.answer(&ids[0], answer(Status::Accepted), now);
        book.answer(&ids[1], answer(Status::Rejected), now);
        let truth = Truth {
            ledger: vec![taken("10001", &ids[0], "wamid.1", 5.0)],
            ..Truth::default()
        };
        let mut owners = Owners::default();
        owners.set("10001", "east");
        let last = Snapshot::take(&plan, &book, &owners, now, now + Duration::from_secs(12));
        let text = summary(&plan, &book, &truth, &last);
        let expected = "
3 requests, 2 results in 12.0 s: 1 lost, 0 duplicated.

number worker requests   accepted   rejected busiest second 130429
10001  east          3 =        1 +        1        1 of 80      0
10002  -             0 =        0 +        0        0 of 80      0
10003  -             0 =        0 +        0      0 of 1000      0
10004  -             0 =        0 +        0        0 of 20      0
10009  -             0 =        0 +        0
total                3 =        1 +        1
";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
    }
}
