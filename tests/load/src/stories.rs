//! What is worth a look in a finished load, told from results and ledger.

use crate::book::{Book, Tally};
use crate::figures::seconds;
use crate::plan::{PAIR_BURST, PAIR_PERSON, Plan, RETRY_CODE, Role};
use crate::sim::{PAIR_RATE, Truth};
use harness::answer::Answer;
use harness::figures::percentile;
use std::collections::BTreeSet;
use std::time::Duration;

/// One line each: a heading and what happened.
pub(crate) fn stories(plan: &Plan, book: &Book, truth: &Truth) -> Vec<(&'static str, String)> {
    let refused = |role| first(plan, book, role, |answer, _| rejection(answer));
    let retried = first(plan, book, Role::Retry, retry);
    let lost = first(plan, book, Role::LostAnswer, |answer, _| {
        answer.status.to_string()
    });
    vec![
        ("overtaking", overtaking(plan, book)),
        ("a retry", retried),
        ("our rejection", refused(Role::Invalid)),
        ("API rejection", refused(Role::BadTemplate)),
        ("unknown number", refused(Role::Unserved)),
        (
            "a lost answer",
            format!("{lost} {}", in_ledger(plan, book, truth)),
        ),
        ("one recipient", pair(truth)),
    ]
}

fn overtaking(plan: &Plan, book: &Book) -> String {
    let otps = plan
        .with(Role::Otp)
        .filter_map(|index| book.entries().get(index));
    let numbers: BTreeSet<usize> = otps.map(|entry| entry.number).collect();
    let tallies: Vec<Tally> = numbers.iter().map(|&number| book.tally(number)).collect();
    let Tally { high, bulk, .. } = Tally::total(&tallies);
    format!(
        "{} one-time passwords, published behind a bulk backlog, had their results after {}; the bulk after {}",
        high.len(),
        spread(&high),
        spread(&bulk),
    )
}

fn spread(sorted: &[Duration]) -> String {
    match (percentile(sorted, 50), percentile(sorted, 99)) {
        (Some(p50), Some(p99)) => format!("{} (p50), {} (p99)", seconds(p50), seconds(p99)),
        (None, _) | (_, None) => "no known time".to_owned(),
    }
}

/// The story of the one request with this role.
fn first(
    plan: &Plan,
    book: &Book,
    role: Role,
    tell: impl Fn(&Answer, Duration) -> String,
) -> String {
    let Some(index) = plan.with(role).next() else {
        return "none was planned".to_owned();
    };
    let entry = book.entries().get(index);
    let told = entry.and_then(|entry| Some(tell(entry.answer()?, entry.took()?)));
    format!(
        "{}: {}",
        book.id(index),
        told.as_deref().unwrap_or("no result")
    )
}

fn retry(answer: &Answer, took: Duration) -> String {
    let mut text = format!(
        "met API error {RETRY_CODE}, waited in RabbitMQ between its attempts, {} at attempt {}, {} after publishing",
        answer.status,
        answer.attempts,
        seconds(took),
    );
    if answer.possible_duplicate {
        text +=
            "; flagged possible_duplicate, since that error does not prove that nothing was sent";
    }
    text
}

/// The status, and what was wrong: for the dispatcher's own validation also where.
fn rejection(answer: &Answer) -> String {
    let error = answer.error.clone().unwrap_or_default();
    let mut text = format!(
        "{}, class {}",
        answer.status,
        error.class.as_deref().unwrap_or("none")
    );
    if let Some(code) = error.code {
        text += &format!(", API error {code}");
    }
    let why = match &error.at {
        Some(at) => {
            text += &format!(", at {at}");
            error.details
        }
        None => error.title,
    };
    text + &why.map_or(String::new(), |why| format!(": {why}"))
}

fn in_ledger(plan: &Plan, book: &Book, truth: &Truth) -> String {
    let id = plan
        .with(Role::LostAnswer)
        .next()
        .map(|index| book.id(index));
    let taken = truth
        .ledger
        .iter()
        .filter(|taken| taken.opaque == id)
        .count();
    format!(
        "since the connection broke before the API's answer; its ledger has the request {taken} time(s)"
    )
}

fn pair(truth: &Truth) -> String {
    let arrivals = truth.arrivals(|taken| taken.recipient == PAIR_PERSON);
    let Some(first) = arrivals.first() else {
        return "none arrived".to_owned();
    };
    let since: Vec<Duration> = arrivals.iter().map(|at| *at - *first).collect();
    let (burst, spaced) = since.split_at(since.len().min(PAIR_BURST));
    let spaced: Vec<String> = spaced.iter().map(|since| seconds(*since)).collect();
    format!(
        "{} messages to one recipient: {} within {}, then at Meta's pace for a pair, after {}; refused for it ({PAIR_RATE}): {}",
        since.len(),
        burst.len(),
        seconds(burst.last().copied().unwrap_or_default()),
        if spaced.is_empty() {
            "none".to_owned()
        } else {
            spaced.join(" and ")
        },
        truth.refusals_in_all(PAIR_RATE),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::tests::answer;
    use crate::plan::tests::plan;
    use crate::sim::tests::taken;
    use harness::answer::{Refusal, Status};

    #[test]
    fn a_rejection_says_where_and_why() {
        let error = Refusal {
            class: Some("invalid".to_owned()),
            at: Some("/text/body".to_owned()),
            details: Some("/text/body is required".to_owned()),
            ..Refusal::default()
        };
        let refused = Answer {
            error: Some(error),
            ..answer(Status::Rejected)
        };
        let expected = "rejected, class invalid, at /text/body: /text/body is required";
        assert_eq!(rejection(&refused), expected);
        assert_eq!(rejection(&answer(Status::Rejected)), "rejected, class none");
    }

    #[test]
    fn the_paired_person_is_told_from_the_ledger() {
        let mut truth = Truth::default();
        assert_eq!(pair(&truth), "none arrived");
        for n in 0..46_u32 {
            let at_ms = 1_000.0
                + if n == 45 {
                    6_000.0
                } else {
                    100.0 * f64::from(n)
                };
            let mut taken = taken("10002", "demo-1", "wamid.1", at_ms);
            taken.recipient = PAIR_PERSON.to_owned();
            truth.ledger.push(taken);
        }
        let expected = "46 messages to one recipient: 45 within 4.4 s, then at Meta's pace for a pair, \
            after 6.0 s; refused for it (131056): 0";
        assert_eq!(pair(&truth), expected);
    }

    #[test]
    fn what_never_came_is_said() {
        let book = Book::new("demo".to_owned());
        let stories = stories(&plan(), &book, &Truth::default());
        let text: Vec<String> = stories.into_iter().map(|(_, text)| text).collect();
        assert_eq!(text[1], "demo-47: no result");
        assert!(text[0].starts_with("0 one-time passwords"), "{}", text[0]);
    }
}
