//! Whether everything adds up: requests against results, results against the API's own ledger.

use crate::book::Book;
use crate::plan::{FAULTS, Number, Plan};
use crate::sim::Truth;
use harness::answer::Status;

/// One line for each thing that does not add up.
pub(crate) fn faults(plan: &Plan, book: &Book, truth: &Truth) -> Vec<String> {
    let roles = plan.requests.iter().map(|planned| planned.role);
    let expected: Vec<_> = roles
        .map(|role| (role.ends_as(), format!(" ({role:?})")))
        .collect();
    let published = book.entries().len();
    let mut faults = vec![];
    if published != expected.len() {
        let planned = expected.len();
        faults.push(format!("{published} of {planned} requests were published"));
    }
    faults.extend(ends(book, truth, &expected));
    for (index, number) in plan.ids().iter().enumerate() {
        faults.extend(limit_of(number, plan.limit(index).unwrap_or(0), truth));
    }
    faults.extend(script(truth));
    faults
}

/// Of a load of which each request must be accepted, once, and each number stay within its limit.
pub(crate) fn all_accepted(numbers: &[Number], book: &Book, truth: &Truth) -> Vec<String> {
    let expected = vec![(Status::Accepted, String::new()); book.entries().len()];
    let mut faults = ends(book, truth, &expected);
    for Number { id, limit } in numbers {
        faults.extend(limit_of(id, *limit, truth));
    }
    faults
}

/// How each request ended, against how it should have.
fn ends(book: &Book, truth: &Truth, expected: &[(Status, String)]) -> Vec<String> {
    let mut findings = book.balance(&truth.ledger, |_, _, _| {});
    for (index, (entry, (status, role))) in book.entries().iter().zip(expected).enumerate() {
        let ended = entry.answer().map(|answer| answer.status);
        if let Some(ended) = ended.filter(|ended| ended != status) {
            let how = format!("{}{role}: {ended}, not {status}", book.id(index));
            findings.note("requests that ended otherwise than they should", how);
        }
        if entry.more_results() > 0 {
            findings.note("requests with more than one result", book.id(index));
        }
    }
    findings.lines()
}

fn limit_of(number: &str, limit: usize, truth: &Truth) -> Option<String> {
    let peak = truth.peak(number);
    (peak > limit).then(|| format!("{number}: {peak} messages in one second, {limit} are allowed"))
}

/// A fault that never struck would make the demo show less than it says.
fn script(truth: &Truth) -> Option<String> {
    let struck = &truth.stats.struck;
    let expected = FAULTS.map(|(_, times)| times);
    (struck != &expected)
        .then(|| format!("the scripted faults struck {struck:?} times, not {expected:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::tests::answer;
    use crate::plan::tests::plan;
    use crate::sim::tests::taken;
    use harness::answer::Answer;
    use std::time::{Duration, Instant};

    /// A load that went as planned: every request answered, every accepted one in the ledger.
    fn perfect() -> (Plan, Book, Truth) {
        let (plan, mut book, mut truth) = (plan(), Book::new("demo".to_owned()), Truth::default());
        let (ids, now) = (plan.ids(), Instant::now());
        for (index, planned) in plan.requests.iter().enumerate() {
            let id = book.publish(planned.request.number, false, now);
            let status = planned.role.ends_as();
            let wamid = format!("wamid.{index}");
            if matches!(status, Status::Accepted | Status::Unknown) {
                let at_ms = 60.0 * f64::from(u32::try_from(index).unwrap());
                truth
                    .ledger
                    .push(taken(&ids[planned.request.number], &id, &wamid, at_ms));
            }
            let wamid = (status == Status::Accepted).then_some(wamid);
            book.answer(
                &id,
                Answer {
                    wamid,
                    ..answer(status)
                },
                now + Duration::from_secs(1),
            );
        }
        truth.stats.struck = FAULTS.map(|(_, times)| times).to_vec();
        (plan, book, truth)
    }

    fn check(spoil: impl FnOnce(&mut Book, &mut Truth), expected: &[&str]) {
        let (plan, mut book, mut truth) = perfect();
        spoil(&mut book, &mut truth);
        assert_eq!(faults(&plan, &book, &truth), expected);
    }

    #[test]
    fn what_went_as_planned_adds_up() {
        check(|_, _| {}, &[]);
    }

    #[test]
    fn each_way_not_to_add_up_is_named() {
        check(
            |book, _| book.answer("demo-60", answer(Status::Accepted), Instant::now()),
            &[
                "answered twice, differently, and not flagged: 1, such as demo-60",
                "requests with more than one result: 1, such as demo-60",
            ],
        );
        check(
            |book, _| book.answer("demo-2000", answer(Status::Accepted), Instant::now()),
            &["results with ids that nobody published: 1, such as demo"],
        );
        check(
            |_, truth| {
                truth
                    .ledger
                    .retain(|taken| taken.opaque.as_deref() != Some("demo-60"))
            },
            &["accepted, and not in the API's ledger: 1, such as demo-60"],
        );
        check(
            |_, truth| truth.ledger.push(taken("10001", "demo-50", "wamid.x", 1e9)),
            &["in the API's ledger, and reported otherwise: 1, such as demo-50"],
        );
        check(
            |_, truth| truth.ledger.push(taken("10001", "demo-60", "wamid.x", 1e9)),
            &["sent twice and not flagged: 1, such as demo-60"],
        );
        check(
            |_, truth| truth.stats.struck = vec![1, 1, 1],
            &["the scripted faults struck [1, 1, 1] times, not [2, 1, 1]"],
        );
    }

    #[test]
    fn a_request_without_a_result_is_lost() {
        let (plan, full, truth) = perfect();
        let mut book = Book::new("demo".to_owned());
        for (index, entry) in full.entries().iter().enumerate() {
            let id = book.publish(entry.number, entry.high, entry.published);
            if index != 60 {
                book.answer(&id, entry.answer().unwrap().clone(), entry.published);
            }
        }
        let expected = ["without a result: 1, such as demo-60"];
        assert_eq!(faults(&plan, &book, &truth), expected);
    }

    #[test]
    fn where_all_must_be_accepted_what_is_not_is_named() {
        let (now, mut truth) = (Instant::now(), Truth::default());
        let mut book = Book::new("scale".to_owned());
        for (at_ms, wamid) in [(0.0, "a"), (1.0, "b"), (2.0, "c")] {
            let id = book.publish(0, false, now);
            truth.ledger.push(taken("1", &id, wamid, at_ms));
            let wamid = Some(wamid.to_owned());
            book.answer(
                &id,
                Answer {
                    wamid,
                    ..answer(Status::Accepted)
                },
                now,
            );
        }
        let number = |mps: &str| ["1=".to_owned() + mps].map(|one| one.parse().unwrap());
        assert_eq!(all_accepted(&number("3"), &book, &truth), [""; 0]);
        book.answer("scale-0", answer(Status::Accepted), now);
        let lost = book.publish(0, false, now);
        assert_eq!(
            all_accepted(&number("2"), &book, &truth),
            [
                "answered twice, differently, and not flagged: 1, such as scale-0".to_owned(),
                format!("without a result: 1, such as {lost}"),
                "requests with more than one result: 1, such as scale-0".to_owned(),
                "1: 3 messages in one second, 2 are allowed".to_owned(),
            ]
        );
    }

    #[test]
    fn more_than_the_limit_in_a_second_is_named() {
        let (plan, book, mut truth) = perfect();
        let slow = truth
            .ledger
            .iter_mut()
            .filter(|taken| taken.phone_number_id == "10004");
        slow.take(21).for_each(|taken| taken.at_ms = 0.0);
        assert_eq!(
            faults(&plan, &book, &truth),
            ["10004: 21 messages in one second, 20 are allowed"]
        );
    }
}
