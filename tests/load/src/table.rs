//! The live table: a snapshot of the load, and the snapshot as text.

use crate::book::{Book, Tally};
use crate::figures::thousands;
use crate::plan::Plan;
use crate::workers::Owners;
use harness::answer::Status;
use std::time::{Duration, Instant};

/// The load at one moment.
pub(crate) struct Snapshot {
    pub(crate) elapsed: Duration,
    pub(crate) rows: Vec<Row>,
    /// People whose messages wait for the pair limit.
    held_people: usize,
}

/// One number.
pub(crate) struct Row {
    pub(crate) number: String,
    /// `None`: nobody serves it.
    pub(crate) limit: Option<usize>,
    pub(crate) owner: Option<String>,
    pub(crate) planned: usize,
    pub(crate) tally: Tally,
    /// Results within the last second.
    pub(crate) rate: usize,
}

impl Snapshot {
    pub(crate) fn take(
        plan: &Plan,
        book: &Book,
        owners: &Owners,
        began: Instant,
        now: Instant,
    ) -> Self {
        let rows = plan
            .ids()
            .into_iter()
            .enumerate()
            .map(|(index, number)| Row {
                limit: plan.limit(index),
                owner: owners.of(&number).map(str::to_owned),
                number,
                planned: plan.planned_for(index),
                tally: book.tally(index),
                rate: answered_since(book, index, now.checked_sub(Duration::from_secs(1))),
            });
        Self {
            elapsed: now - began,
            rows: rows.collect(),
            held_people: owners.held_people,
        }
    }

    fn sum(&self, of: impl Fn(&Row) -> usize) -> usize {
        self.rows.iter().map(of).sum()
    }

    /// Accepted, and whatever else has occurred.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        let occurs = |status| self.sum(|row| row.tally.count(status)) > 0;
        let all = Status::ALL.into_iter();
        all.filter(|&status| status == Status::Accepted || occurs(status))
            .collect()
    }
}

fn answered_since(book: &Book, number: usize, since: Option<Instant>) -> usize {
    let answered = book.of(number).filter_map(|entry| entry.answered);
    answered
        .filter(|at| since.is_none_or(|since| *at > since))
        .count()
}

const BAR: usize = 10;

/// For a terminal of 80 columns: one line per number, and one for all.
pub(crate) fn table(snapshot: &Snapshot) -> String {
    let statuses = snapshot.statuses();
    let mut text = format!(
        "number   limit  worker published{}  now/s\n",
        heads(&statuses)
    );
    for row in &snapshot.rows {
        let limit = row
            .limit
            .map_or("none".to_owned(), |limit| format!("{limit}/s"));
        text += &format!("{:<7} {limit:>6}  ", row.number);
        text += &format!(
            "{:<6} {:>9}",
            row.owner.as_deref().unwrap_or("-"),
            row.tally.published
        );
        for status in &statuses {
            text += &format!(" {:>8}", row.tally.count(*status));
        }
        text += &format!(
            " {:>6}  {}\n",
            row.rate,
            bar(row.tally.answered(), row.planned)
        );
    }
    let (answered, planned) = (
        snapshot.sum(|row| row.tally.answered()),
        snapshot.sum(|row| row.planned),
    );
    let (answered, planned) = (thousands(answered), thousands(planned));
    text + &format!(
        "{}  {answered} of {planned} answered{}\n",
        clock(snapshot),
        held(snapshot)
    )
}

fn clock(snapshot: &Snapshot) -> String {
    format!("{:>5.1} s", snapshot.elapsed.as_secs_f64())
}

/// Why nothing seems to happen towards the end.
fn held(snapshot: &Snapshot) -> String {
    match snapshot.held_people {
        0 => String::new(),
        people => format!("; waiting for Meta's pair limit: {people} recipient(s)"),
    }
}

fn heads(statuses: &[Status]) -> String {
    statuses
        .iter()
        .map(|status| format!(" {:>8}", status.to_string()))
        .collect()
}

fn bar(done: usize, all: usize) -> String {
    // Full only when all is done.
    let filled = done * BAR / all.max(1);
    "█".repeat(filled.min(BAR)) + &"░".repeat(BAR.saturating_sub(filled))
}

/// For a log: everything on one line.
pub(crate) fn line(snapshot: &Snapshot) -> String {
    let published = thousands(snapshot.sum(|row| row.tally.published));
    let mut text = format!("{}  published {published}", clock(snapshot));
    for status in snapshot.statuses() {
        let count = thousands(snapshot.sum(|row| row.tally.count(status)));
        text += &format!(", {status} {count}");
    }
    text += "; now/s:";
    for row in snapshot.rows.iter().filter(|row| row.limit.is_some()) {
        text += &format!(" {} {}", row.number, row.rate);
    }
    text + &held(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::tests::answer;
    use crate::plan::tests::plan;

    fn snapshot() -> Snapshot {
        let plan = plan();
        let (mut book, began) = (Book::new("demo".to_owned()), Instant::now());
        let at = |ms| began + Duration::from_millis(ms);
        let ids: Vec<String> = (0..400).map(|_| book.publish(2, false, began)).collect();
        ids[..380]
            .iter()
            .for_each(|id| book.answer(id, answer(Status::Accepted), at(100)));
        book.answer(&ids[380], answer(Status::Unknown), at(1_600));
        let other = book.publish(4, false, began);
        book.answer(&other, answer(Status::Rejected), at(1_700));
        let mut owners = Owners::default();
        owners.set("10003", "east");
        owners.held_people = 1;
        Snapshot::take(&plan, &book, &owners, began, at(2_000))
    }

    #[test]
    fn one_line_per_number_within_80_columns() {
        let expected = "\
number   limit  worker published accepted rejected  unknown  now/s
10001     80/s  -              0        0        0        0      0  ░░░░░░░░░░
10002     80/s  -              0        0        0        0      0  ░░░░░░░░░░
10003   1000/s  east         400      380        0        1      1  ████░░░░░░
10004     20/s  -              0        0        0        0      0  ░░░░░░░░░░
10009     none  -              1        0        1        0      1  ██████████
  2.0 s  382 of 2,000 answered; waiting for Meta's pair limit: 1 recipient(s)
";
        let table = table(&snapshot());
        assert_eq!(table, expected);
        assert!(table.lines().all(|line| line.chars().count() < 80));
    }

    #[test]
    fn a_log_gets_it_on_one_line() {
        let expected = "  2.0 s  published 401, accepted 380, rejected 1, unknown 1; \
            now/s: 10001 0 10002 0 10003 1 10004 0; waiting for Meta's pair limit: 1 recipient(s)";
        assert_eq!(line(&snapshot()), expected);
    }

    #[test]
    fn a_bar_is_full_when_all_is_done() {
        assert_eq!(bar(0, 0), "░░░░░░░░░░");
        assert_eq!(bar(99, 100), "█████████░");
        assert_eq!(bar(100, 100), "██████████");
    }
}
