//! Every code of the API, all the way: what it costs its message, what it does to the lane, and whom else it strikes.

use super::*;
use crate::core::outcome::Rules;
use crate::core::outcome::answer::{Answer, AnswerBody, Reply};
use serde_json::Value;

/// Also read by the tests of the classification.
const CASES: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/cases/api_errors.json"
));

/// The decision, the lane's state, and the scope of what was found.
fn lived(case: &Value) -> (String, &'static str, Option<&'static str>) {
    let bytes = match case.get("text") {
        Some(text) => text.as_str().unwrap().to_owned(),
        None => case["body"].to_string(),
    };
    let outcome = Rules::default().classify(Reply::Answered(Answer {
        status: u16::try_from(case["status"].as_u64().unwrap()).unwrap(),
        usage: Usage::default(),
        retry_after_s: case.get("retry_after_s").and_then(Value::as_u64),
        body: AnswerBody::read(bytes.as_bytes()),
    }));
    let mut story = Story {
        lane: Lane::new(LaneId::new("1"), config(), Story::now_at(-50.0)),
        now: Story::now_at(0.0),
        names: vec![],
    };
    story.get("a1", Inbound::default());
    let Step::Send(attempt) = story.lane.next(story.now) else {
        panic!("not sent");
    };
    let drawn = Drawn {
        jitter: 1.0,
        quick_pause: Duration::ZERO,
    };
    let verdict = story
        .lane
        .resolve(attempt.ticket, outcome, story.now, drawn);
    let decision = verdict.resolved.map(|resolved| told(&resolved.decision));
    (
        decision.unwrap_or_else(|| "stays".to_owned()),
        story.lane.state().as_str(),
        verdict.finding.map(|finding| finding.scope.as_str()),
    )
}

/// What a code's class, scope and pause, as the cases have them from the documents, must come to.
fn expected(expect: &Value) -> (String, &'static str, Option<&str>) {
    let (free, scope) = ("flowing", expect["scope"].as_str());
    let doubt = if expect["proves_unsent"] == false {
        " !"
    } else {
        ""
    };
    let delay_s = expect["min_delay_s"].as_u64().unwrap_or(0).max(2);
    let pause_s = expect["pause_s"].as_u64().unwrap_or(0);
    let second = expect["second_recipient"] == true;
    match (expect["outcome"].as_str().unwrap(), scope) {
        ("accepted", _) => ("accepted #1".to_owned(), free, None),
        ("refused", _) => ("rejected #1".to_owned(), free, None),
        ("unknown", _) => ("unknown #1 !".to_owned(), free, None),
        // One attempt; the lane stops only once several fail in a row.
        ("transient", _) => (format!("delay {delay_s} #1{doubt}"), free, None),
        ("blocked", _) if second => ("delay 2 #1".to_owned(), free, None),
        ("blocked", _) => ("stays".to_owned(), "away", scope),
        ("throttled", Some("pair")) => ("stays".to_owned(), free, None),
        ("throttled", _) if pause_s > 30 => ("stays".to_owned(), "away", scope),
        ("throttled", Some("lane")) if pause_s == 0 => ("stays".to_owned(), free, None),
        ("throttled", Some("lane")) => ("stays".to_owned(), "cooling", None),
        (outcome, _) => panic!("{outcome} with {scope:?} and {pause_s} s is in no case yet"),
    }
}

#[test]
fn every_code_costs_and_stops_what_it_should_and_no_more() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let mut wrong = vec![];
    for case in &cases {
        let (lived, expected) = (lived(case), expected(&case["expect"]));
        if (&lived.0, lived.1, lived.2) != (&expected.0, expected.1, expected.2) {
            wrong.push(format!("{}: {lived:?}, not {expected:?}", case["name"]));
        }
    }
    assert!(
        wrong.is_empty() && cases.len() > 200,
        "{}",
        wrong.join("\n")
    );
}
