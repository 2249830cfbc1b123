use super::*;
use crate::contract::request::{History, Inbound};
use crate::contract::words::Class;
use crate::core::operation::IntakeConfig;
use crate::core::outcome::Rules;
use crate::core::outcome::answer::{Answer, AnswerBody, ApiError, Reply, Usage};
use crate::core::request::decide::{Decision, Terms};
use crate::core::request::intake::intake;
use crate::core::request::retry::RetryPolicy;
use serde_json::{Value, json};

const NOW: Now = Now {
    mono: std::time::Duration::ZERO,
    wall_ms: 1_800_000_000_250,
    steady_ms: 1_800_000_000_250,
};

fn message(body: &str, history: History) -> Message {
    let inbound = Inbound {
        message_id: Some("r-1"),
        timestamp_s: Some(1_799_999_999),
        history,
        ..Inbound::default()
    };
    intake(
        body.to_owned().into(),
        inbound,
        &IntakeConfig::OF_TESTS,
        NOW,
    )
    .unwrap()
}

fn lane() -> LaneId {
    LaneId::new("10001")
}

/// The report as it is published, which is what its schema says and begins with its version.
fn check(report: &ResultDocument, expected: Value) {
    let text = serde_json::to_string(report).unwrap();
    assert!(text.starts_with("{\"v\":1,"), "{text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    check_schema(&told);
    assert_eq!(told, expected);
}

fn check_schema(report: &Value) {
    let schema = include_str!("../../../../deploy/contract/result.schema.json");
    let validator = jsonschema::draft202012::new(&serde_json::from_str(schema).unwrap()).unwrap();
    let faults = validator.iter_errors(report).map(|fault| fault.to_string());
    assert_eq!(faults.collect::<Vec<_>>(), [""; 0], "{report}");
}

const BODY: &str = r#"{"to":"49","biz_opaque_callback_data":"mine"}"#;

#[test]
fn an_accepted_message_tells_what_the_api_said() {
    let history = History {
        attempts: 2,
        possible_duplicate: true,
        ..History::default()
    };
    let accepted = Accepted {
        wamid: Some("wamid.1".to_owned()),
        wa_id: Some("49".to_owned()),
        user_id: None,
        message_status: Some("accepted".to_owned()),
        ..Accepted::default()
    };
    let report = ResultDocument::accepted(
        &message(BODY, history),
        &lane(),
        accepted,
        NOW.wall_ms - 250,
        NOW,
    );
    check(
        &report,
        json!({
            "v": 1, "id": "r-1", "phone_number_id": "10001", "status": "accepted",
            "wamid": "wamid.1", "wa_id": "49", "message_status": "accepted",
            "attempts": 2, "possible_duplicate": true, "biz_opaque_callback_data": "mine",
            "enqueued_at": "2027-01-15T07:59:59.000Z", "sent_at": "2027-01-15T08:00:00.000Z", "completed_at": "2027-01-15T08:00:00.250Z",
        }),
    );
}

#[test]
fn an_error_of_the_apis_is_told_whole() {
    let error = ErrorDocument {
        code: Some(131_049),
        subcode: Some(7),
        details: Some("details".to_owned()),
        fbtrace_id: Some("A1".to_owned()),
        retry_not_before: Some(NOW.wall_ms + 750),
        ..ErrorDocument::own(Class::Policy.as_str(), "title")
    };
    let plain = message(r#"{"to":"49"}"#, History::default());
    let report = ResultDocument::new(&plain, &lane(), Status::Rejected, Some(error), NOW);
    check(
        &report,
        json!({
            "v": 1, "id": "r-1", "phone_number_id": "10001", "status": "rejected",
            "error": {
                "code": 131_049, "subcode": 7, "title": "title", "details": "details", "class": "policy", "fbtrace_id": "A1",
                "retry_not_before": "2027-01-15T08:00:01.000Z",
            },
            "attempts": 0, "possible_duplicate": false,
            "enqueued_at": "2027-01-15T07:59:59.000Z", "completed_at": "2027-01-15T08:00:00.250Z",
        }),
    );
}

#[test]
fn faults_of_our_own_name_their_places() {
    let fault = |at: &str| Fault {
        at: at.to_owned(),
        problem: "is wrong".to_owned(),
        limit: Some(3),
        length: Some(4),
    };
    let error = ErrorDocument::from_faults(vec![fault("/to"), fault("")]);
    let report = ResultDocument::unread(
        &Inbound::default(),
        &lane(),
        Status::Rejected,
        Some(error),
        NOW,
    );
    check(
        &report,
        json!({
            "v": 1, "phone_number_id": "10001", "status": "rejected",
            "error": {
                "title": "refused by the dispatcher before sending", "class": "invalid", "at": "/to",
                "details": "/to is wrong (limit 3, length 4); the body is wrong (limit 3, length 4)",
                "faults": [
                    {"at": "/to", "problem": "is wrong", "limit": 3, "length": 4},
                    {"at": "", "problem": "is wrong", "limit": 3, "length": 4},
                ],
            },
            "attempts": 0, "possible_duplicate": false, "completed_at": "2027-01-15T08:00:00.250Z",
        }),
    );
}

#[test]
fn nothing_of_a_person_is_in_debug_output() {
    let accepted = Accepted {
        wamid: Some("wamid.SECRET".to_owned()),
        wa_id: Some("SECRET".to_owned()),
        user_id: Some("SECRET".to_owned()),
        message_status: None,
        ..Accepted::default()
    };
    let mut error = ErrorDocument::own("invalid", "SECRET");
    error.details = Some("SECRET".to_owned());
    let mut report = ResultDocument::accepted(
        &message(BODY, History::default()),
        &lane(),
        accepted,
        0,
        NOW,
    );
    report.error = Some(error);
    report.biz_opaque_callback_data = Some("SECRET".into());
    let debug = format!("{report:?}");
    assert!(
        !debug.contains("SECRET") && debug.contains("r-1"),
        "{debug}"
    );
}

#[test]
fn every_status_has_its_word() {
    for status in Status::ALL {
        assert_eq!(json!(status), json!(status.as_str()));
    }
}

fn order(attempts: u32) -> Inbound<'static> {
    Inbound {
        message_id: Some("order-4711-shipped"),
        timestamp_s: Some(1_799_999_999),
        history: History {
            attempts,
            ..History::default()
        },
        ..Inbound::default()
    }
}

/// The result of an order that was sent `attempts` times before, and now once more.
fn answered(reply: Reply, attempts: u32) -> Value {
    let body = r#"{"to":"+34600112233"}"#;
    let mut message = intake(body.into(), order(attempts), &IntakeConfig::OF_TESTS, NOW).unwrap();
    let retry = RetryPolicy {
        max_attempts: 5,
        max_age_s: 86_400,
        base_s: 2,
        max_delay_s: 3_600,
    };
    let terms = Terms {
        lane: &lane(),
        retry: &retry,
        now: NOW,
        jitter: 0.0,
    };
    let outcome = Rules::default().classify(reply);
    match terms.answered(&mut message, NOW.wall_ms - 250, outcome, true) {
        Decision::Finish(report) | Decision::Bury(report) => json!(*report),
        other @ (Decision::Delay { .. }
        | Decision::Repeat { .. }
        | Decision::Duplicate { .. }
        | Decision::Forget
        | Decision::Abandon) => panic!("{other:?}"),
    }
}

/// The results that the contract shows, each made by what decides it.
fn shown() -> [Value; 5] {
    let answer = |body| {
        Reply::Answered(Answer {
            status: 200,
            usage: Usage::default(),
            retry_after_s: None,
            body,
        })
    };
    let error = |code, title: &str| {
        answer(AnswerBody::Error(ApiError {
            code,
            title: Some(title.to_owned()),
            fbtrace_id: Some("AbCd…".to_owned()),
            ..ApiError::default()
        }))
    };
    let accepted = answer(AnswerBody::Accepted(Accepted {
        wamid: Some("wamid.HBgL…".to_owned()),
        wa_id: Some("34600112233".to_owned()),
        ..Accepted::default()
    }));
    let unaddressed = r#"{"type":"text","text":{"body":"Your parcel is on its way."}}"#;
    let refusal = intake(unaddressed.into(), order(0), &IntakeConfig::OF_TESTS, NOW);
    let faults = ErrorDocument::from_faults(refusal.err().unwrap().faults);
    let refused = ResultDocument::unread(&order(0), &lane(), Status::Rejected, Some(faults), NOW);
    [
        answered(accepted, 0),
        answered(error(131_026, "(#131026) Message undeliverable"), 0),
        json!(refused),
        answered(error(131_016, "(#131016) Service unavailable"), 4),
        answered(Reply::NoAnswer("timeout"), 0),
    ]
}

/// The result of an operation that is shown.
fn shown_operation() -> Value {
    let answer = r#"{"block_users":{"added_users":[{"input":"34600000001","wa_id":"34600000001"}],
        "failed_users":[{"input":"34600000002","errors":[{"code":131047,"message":"Re-engagement required"}]}]},
        "error":{"code":139100,"message":"Some users failed"}}"#;
    let inbound = Inbound {
        message_id: Some("block-17"),
        operation: Some("block_users"),
        account: Some("20001"),
        target: "10001",
        ..order(0)
    };
    let body = r#"{"block_users":[{"user":"34600000001"},{"user":"34600000002"}]}"#;
    let message = intake(body.into(), inbound, &IntakeConfig::OF_TESTS, NOW).unwrap();
    let form = message.operation.facts().answer;
    let AnswerBody::Accepted(accepted) = AnswerBody::of(form, 400, answer.as_bytes()) else {
        panic!("an answer in part")
    };
    let lane = LaneId::of_account("20001");
    let mut message = message;
    message.history.attempts = 1;
    let sent_at = NOW.wall_ms - 250;
    json!(ResultDocument::accepted(
        &message, &lane, accepted, sent_at, NOW
    ))
}

#[test]
fn the_contract_shows_results_as_they_are() {
    let contract = include_str!("../../../../deploy/contract/README.md");
    for (section, expected) in [
        ("\n## Operations\n", vec![shown_operation()]),
        ("\n## Results\n", shown().to_vec()),
    ] {
        let (_, section) = contract.split_once(section).unwrap();
        let block = section.split("```json\n").nth(1).unwrap();
        let block = block.split("```").next().unwrap();
        let there = serde_json::Deserializer::from_str(block).into_iter::<Value>();
        let there: Vec<Value> = there.map(Result::unwrap).collect();
        there.iter().for_each(check_schema);
        assert_eq!(there, expected);
    }
}
