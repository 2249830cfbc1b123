//! Whether everything adds up: requests against results, results against the API's own ledger.

use crate::answer::Status;
use crate::book::{Book, Entry};
use crate::plan::{FAULTS, Number, Plan};
use crate::sim::Truth;
use std::collections::BTreeMap;

/// One line for each thing that does not add up.
pub(crate) fn faults(plan: &Plan, book: &Book, truth: &Truth) -> Vec<String> {
    let mut faults = Faults(vec![]);
    requests_against_results(plan, book, &mut faults);
    results_against_ledger(book, truth, &mut faults);
    limits(plan, truth, &mut faults);
    script(truth, &mut faults);
    faults.0
}

/// Of a load of which each request must be accepted, once, and each number stay within its limit.
pub(crate) fn all_accepted(numbers: &[Number], book: &Book, truth: &Truth) -> Vec<String> {
    let mut faults = Faults(vec![]);
    let (mut otherwise, mut repeated) = (vec![], vec![]);
    for (index, entry) in book.entries().iter().enumerate() {
        let status = entry.answer().map(|answer| answer.status);
        if status != Some(Status::Accepted) {
            let status = status.map_or("no result".to_owned(), |status| status.to_string());
            otherwise.push(format!("{}: {status}", book.id(index)));
        }
        if entry.repeats > 0 {
            repeated.push(book.id(index));
        }
    }
    faults.note("requests that were not accepted", &otherwise);
    faults.note("requests with more than one result", &repeated);
    strangers(book, &mut faults);
    results_against_ledger(book, truth, &mut faults);
    for Number { id, limit } in numbers {
        limit_of(id, *limit, truth, &mut faults);
    }
    faults.0
}

struct Faults(Vec<String>);

impl Faults {
    /// Many of a kind make one line, with the first as an example.
    fn note(&mut self, what: &str, which: &[String]) {
        if let [first, ..] = which {
            self.0
                .push(format!("{what}: {}, such as {first}", which.len()));
        }
    }
}

fn requests_against_results(plan: &Plan, book: &Book, faults: &mut Faults) {
    let (mut lost, mut repeated, mut surprising) = (vec![], vec![], vec![]);
    for (index, (planned, entry)) in plan.requests.iter().zip(book.entries()).enumerate() {
        let id = book.id(index);
        let expected = planned.role.ends_as();
        match entry.answer() {
            None => lost.push(id.clone()),
            Some(answer) if answer.status != expected => {
                let role = planned.role;
                surprising.push(format!(
                    "{id} ({role:?}): {}, not {expected}",
                    answer.status
                ));
            }
            Some(_) => {}
        }
        if entry.repeats > 0 {
            repeated.push(id);
        }
    }
    let published = book.entries().len();
    if published != plan.requests.len() {
        faults.0.push(format!(
            "{published} of {} requests were published",
            plan.requests.len()
        ));
    }
    strangers(book, faults);
    faults.note("requests without a result", &lost);
    faults.note("requests with more than one result", &repeated);
    faults.note(
        "requests that ended otherwise than they should",
        &surprising,
    );
}

fn strangers(book: &Book, faults: &mut Faults) {
    if book.strangers > 0 {
        faults.0.push(format!(
            "results with ids that nobody published: {}",
            book.strangers
        ));
    }
}

/// Both ways: what is reported as accepted was taken, and what was taken is reported.
fn results_against_ledger(book: &Book, truth: &Truth, faults: &mut Faults) {
    let mut taken: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for message in &truth.ledger {
        let id = message.opaque.as_deref().unwrap_or_default();
        taken.entry(id).or_default().push(&message.wamid);
    }
    let (mut unfounded, mut unreported, mut twice) = (vec![], vec![], vec![]);
    for (index, entry) in book.entries().iter().enumerate() {
        let id = book.id(index);
        let Some(answer) = entry
            .answer()
            .filter(|answer| answer.status == Status::Accepted)
        else {
            continue;
        };
        let wamids = taken.get(id.as_str()).map_or(&[][..], Vec::as_slice);
        if !answer
            .wamid
            .as_deref()
            .is_some_and(|wamid| wamids.contains(&wamid))
        {
            unfounded.push(id);
        }
    }
    for (id, wamids) in &taken {
        match book.find(id).and_then(Entry::answer) {
            Some(answer) if may_be_taken(answer.status) => {
                if wamids.len() > 1 && !answer.possible_duplicate {
                    twice.push((*id).to_owned());
                }
            }
            Some(_) | None => unreported.push((*id).to_owned()),
        }
    }
    faults.note(
        "accepted results that are not in the API's ledger",
        &unfounded,
    );
    faults.note(
        "messages in the API's ledger that no result reports",
        &unreported,
    );
    faults.note("requests taken twice by the API and not flagged", &twice);
}

fn may_be_taken(status: Status) -> bool {
    match status {
        Status::Accepted | Status::Unknown => true,
        Status::Rejected | Status::Expired | Status::Failed => false,
    }
}

fn limits(plan: &Plan, truth: &Truth, faults: &mut Faults) {
    for (index, number) in plan.ids().iter().enumerate() {
        limit_of(number, plan.limit(index).unwrap_or(0), truth, faults);
    }
}

fn limit_of(number: &str, limit: usize, truth: &Truth, faults: &mut Faults) {
    let peak = truth.peak(number);
    if peak > limit {
        faults.0.push(format!(
            "{number}: {peak} messages in one second, {limit} are allowed"
        ));
    }
}

/// A fault that never struck would make the demo show less than it says.
fn script(truth: &Truth, faults: &mut Faults) {
    let struck = &truth.stats.struck;
    let expected = FAULTS.map(|(_, times)| times);
    if struck != &expected {
        faults.0.push(format!(
            "the scripted faults struck {struck:?} times, not {expected:?}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;
    use crate::book::tests::answer;
    use crate::plan::tests::plan;
    use crate::sim::tests::taken;
    use std::time::{Duration, Instant};

    /// A load that went as planned: every request answered, every accepted one in the ledger.
    fn perfect() -> (Plan, Book, Truth) {
        let (plan, mut book, mut truth) = (plan(), Book::new("demo".to_owned()), Truth::default());
        let (ids, now) = (plan.ids(), Instant::now());
        for (index, planned) in plan.requests.iter().enumerate() {
            let id = book.publish(planned.request.number, false, now);
            let status = planned.role.ends_as();
            let wamid = format!("wamid.{index}");
            if may_be_taken(status) {
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
            &["requests with more than one result: 1, such as demo-60"],
        );
        check(
            |book, _| book.answer("demo-2000", answer(Status::Accepted), Instant::now()),
            &["results with ids that nobody published: 1"],
        );
        check(
            |_, truth| {
                truth
                    .ledger
                    .retain(|taken| taken.opaque.as_deref() != Some("demo-60"))
            },
            &["accepted results that are not in the API's ledger: 1, such as demo-60"],
        );
        check(
            |_, truth| truth.ledger.push(taken("10001", "demo-50", "wamid.x", 1e9)),
            &["messages in the API's ledger that no result reports: 1, such as demo-50"],
        );
        check(
            |_, truth| truth.ledger.push(taken("10001", "demo-60", "wamid.x", 1e9)),
            &["requests taken twice by the API and not flagged: 1, such as demo-60"],
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
        let expected = [
            "requests without a result: 1, such as demo-60",
            "messages in the API's ledger that no result reports: 1, such as demo-60",
        ];
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
                format!("requests that were not accepted: 1, such as {lost}: no result"),
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
