//! Whether everything adds up after a scenario, and its figures. Pure: reads the book and the API's ledger.

use crate::book::{Book, Entry, Fate};
use crate::sim::{RATE, Truth};
use harness::answer::{LOST, Status};
use std::time::Duration;

/// A lane is at full load again when a second holds this share of what its limit allows.
const FULL_PERCENT: usize = 85;
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn full(limit: usize) -> usize {
    (limit * FULL_PERCENT / 100).max(1)
}

/// What is needed to judge besides book and ledger. Times are by the simulator's clock.
pub(crate) struct Course<'a> {
    pub(crate) lanes: &'a [String],
    pub(crate) limit: usize,
    /// All lanes flowed from then on, and had a backlog until then.
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    /// When the last fault was over.
    pub(crate) healed: Option<Duration>,
    /// The only lane that the fault was meant for.
    pub(crate) struck: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) published: usize,
    pub(crate) doubtful: usize,
    pub(crate) unknown: usize,
    /// Neither accepted nor unknown.
    pub(crate) other: usize,
    /// The same result more than once, and a request with different results.
    pub(crate) repeats: usize,
    pub(crate) contradicted: usize,
    pub(crate) flagged_twice: usize,
    pub(crate) unflagged_twice: usize,
    /// Flagged, and in the ledger once at most.
    pub(crate) needless: usize,
    pub(crate) lost: usize,
    pub(crate) peak: usize,
    pub(crate) refused: u64,
    pub(crate) gap: Duration,
    /// The same of the lanes that the fault was not meant for.
    pub(crate) bystander_gap: Duration,
    pub(crate) recovery: Option<Duration>,
    /// What does not add up, one line each.
    pub(crate) faults: Vec<String>,
}

pub(crate) fn judge(course: &Course<'_>, book: &Book, truth: &Truth) -> Figures {
    let mut figures = Figures {
        published: book.entries().len(),
        ..Figures::default()
    };
    let findings = book.balance(&truth.ledger, |entry, taken, fault| {
        figures.lost += usize::from(fault == Some(LOST));
        count(entry, taken.len() > 1, &mut figures);
    });
    figures.faults = findings.lines();
    pace(course, truth, &mut figures);
    figures
}

/// Adds one request to the figures.
fn count(entry: &Entry, is_twice: bool, figures: &mut Figures) {
    figures.doubtful += usize::from(entry.fate == Fate::Doubtful);
    figures.repeats += entry.repeats();
    figures.contradicted += usize::from(entry.answers.len() > 1);
    let is_flagged = entry.answers.iter().any(|answer| answer.possible_duplicate);
    match (is_twice, is_flagged) {
        (true, true) => figures.flagged_twice += 1,
        (true, false) => figures.unflagged_twice += 1,
        (false, true) => figures.needless += 1,
        (false, false) => {}
    }
    match entry.answers.last().map(|last| last.status) {
        None | Some(Status::Accepted) => {}
        Some(Status::Unknown) => figures.unknown += 1,
        Some(Status::Rejected | Status::Expired | Status::Failed) => figures.other += 1,
    }
}

fn pace(course: &Course<'_>, truth: &Truth, figures: &mut Figures) {
    let mut recovered = course.healed.map(|_| Duration::ZERO);
    for (index, lane) in course.lanes.iter().enumerate() {
        figures.peak = figures.peak.max(truth.peak(lane));
        figures.refused += truth.refusals(lane, RATE);
        let arrivals = truth.arrivals(|taken| taken.phone_number_id == *lane);
        let gap = longest_gap(&arrivals, course.from, course.until);
        figures.gap = figures.gap.max(gap);
        if course.struck.is_some_and(|struck| struck != index) {
            figures.bystander_gap = figures.bystander_gap.max(gap);
        }
        if let Some(healed) = course.healed {
            let full = full_from(&arrivals, healed, course.limit);
            recovered = recovered.max_with(full);
        }
    }
    figures.recovery = recovered;
}

trait Later {
    fn max_with(self, other: Option<Duration>) -> Self;
}

impl Later for Option<Duration> {
    /// One that never recovered makes it never.
    fn max_with(self, other: Option<Duration>) -> Self {
        Some(self?.max(other?))
    }
}

pub(crate) fn longest_gap(arrivals: &[Duration], from: Duration, until: Duration) -> Duration {
    let within = arrivals.iter().filter(|at| (from..until).contains(*at));
    let (mut last, mut longest) = (from, Duration::ZERO);
    for at in within.chain([&until]) {
        longest = longest.max(at.saturating_sub(last));
        last = *at;
    }
    longest
}

/// How long after `healed` a second begins that is as full as it may be.
fn full_from(arrivals: &[Duration], healed: Duration, limit: usize) -> Option<Duration> {
    let after = arrivals.partition_point(|at| *at < healed);
    let arrivals = arrivals.get(after..)?;
    // The window's last message is so many behind its first.
    let mut windows = arrivals.windows(full(limit));
    let first = windows.find(|window| match window {
        [first, .., last] => *last - *first < SECOND,
        [_] | [] => true,
    })?;
    Some(first.first()?.saturating_sub(healed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::tests::answer;
    use crate::sim::tests::taken;
    use harness::answer::Answer;
    use std::time::Instant;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// One confirmed request with these results, taken by the API with these wamids.
    fn verdict(fate: Fate, answers: &[Answer], wamids: &[&str]) -> Figures {
        let mut book = Book::new("chaos".to_owned());
        let id = book.publish(0, false, Instant::now());
        match fate {
            Fate::Sent => {}
            Fate::Confirmed => book.confirm(0),
            Fate::Doubtful => book.doubt(0),
        }
        for answer in answers {
            book.answer(&id, answer.clone(), Instant::now());
        }
        let lanes = ["1".to_owned()];
        let course = Course {
            lanes: &lanes,
            limit: 80,
            from: ms(0),
            until: ms(0),
            healed: None,
            struck: None,
        };
        let ledger = wamids.iter().map(|wamid| taken("1", &id, wamid, 0.0));
        let truth = Truth {
            ledger: ledger.collect(),
            ..Truth::default()
        };
        judge(&course, &book, &truth)
    }

    fn accepted(wamid: &str, possible_duplicate: bool) -> Answer {
        Answer {
            wamid: Some(wamid.to_owned()),
            possible_duplicate,
            ..answer(Status::Accepted)
        }
    }

    #[test]
    fn what_adds_up_has_no_faults() {
        for (fate, answers, wamids) in [
            (Fate::Confirmed, &[accepted("a", false)][..], &["a"][..]),
            (Fate::Confirmed, &[accepted("b", true)], &["a", "b"]),
            (
                Fate::Confirmed,
                &[accepted("a", false), accepted("b", true)],
                &["a", "b"],
            ),
            (Fate::Confirmed, &[answer(Status::Unknown)], &["a"]),
            (Fate::Confirmed, &[answer(Status::Rejected)], &[]),
            (Fate::Doubtful, &[], &[]),
            (Fate::Doubtful, &[accepted("a", false)], &["a"]),
        ] {
            let figures = verdict(fate, answers, wamids);
            assert!(figures.faults.is_empty(), "{figures:?}");
            assert_eq!((figures.lost, figures.unflagged_twice), (0, 0));
        }
    }

    #[test]
    fn what_does_not_is_named() {
        for (fate, answers, wamids, says) in [
            (Fate::Confirmed, &[][..], &[][..], "without a result"),
            (Fate::Doubtful, &[], &["a"], "without a result"),
            (
                Fate::Confirmed,
                &[accepted("a", false)],
                &["a", "b"],
                "sent twice and not flagged",
            ),
            (
                Fate::Confirmed,
                &[accepted("a", false)],
                &[],
                "accepted, and not in",
            ),
            (
                Fate::Confirmed,
                &[answer(Status::Unknown), answer(Status::Rejected)],
                &[],
                "answered twice, differently",
            ),
            (
                Fate::Confirmed,
                &[answer(Status::Failed)],
                &["a"],
                "reported otherwise",
            ),
        ] {
            let faults = verdict(fate, answers, wamids).faults;
            assert!(
                matches!(&faults[..], [fault] if fault.contains(says)),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn a_gap_counts_at_both_ends() {
        let arrivals = [100, 300, 900].map(ms);
        assert_eq!(longest_gap(&arrivals, ms(0), ms(1_000)), ms(600));
        assert_eq!(longest_gap(&arrivals, ms(0), ms(2_000)), ms(1_100));
        assert_eq!(longest_gap(&arrivals, ms(200), ms(250)), ms(50));
        assert_eq!(longest_gap(&[], ms(0), ms(70)), ms(70));
    }

    #[test]
    fn full_again_is_when_a_second_is_full() {
        let slow = (0..20).map(|n| ms(n * 100));
        let fast = (0..100).map(|n| ms(2_000 + n * 12));
        let arrivals: Vec<_> = slow.chain(fast).collect();
        // Its first messages may be of the slow time.
        assert_eq!(full_from(&arrivals, ms(500), 80), Some(ms(1_300)));
        assert_eq!(full_from(&arrivals[..40], ms(500), 80), None);
    }
}
