use serde_json::{Map, Value, json};

use super::answer::Usage;
use super::*;

/// Answers as the API and what stands in front of it give them, and what must follow.
const CASES: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/cases/api_errors.json"
));

struct Case {
    name: String,
    answer: Answer,
    expect: Value,
}

fn cases() -> Vec<Case> {
    let cases: Vec<Map<String, Value>> = serde_json::from_str(CASES).unwrap();
    cases.into_iter().map(case).collect()
}

fn case(case: Map<String, Value>) -> Case {
    let known = ["name", "status", "retry_after_s", "body", "text", "expect"];
    assert!(
        case.keys().all(|key| known.contains(&key.as_str())),
        "{case:?}"
    );
    let bytes = match case.get("text") {
        Some(text) => text.as_str().unwrap().to_owned(),
        None => case["body"].to_string(),
    };
    Case {
        name: case["name"].as_str().unwrap().to_owned(),
        answer: Answer {
            usage: Usage::default(),
            status: u16::try_from(case["status"].as_u64().unwrap()).unwrap(),
            retry_after_s: case.get("retry_after_s").and_then(Value::as_u64),
            body: AnswerBody::read(bytes.as_bytes()),
        },
        expect: case["expect"].clone(),
    }
}

/// All that an outcome says, as a case writes it.
fn described(outcome: &Outcome) -> Value {
    let mut said = match outcome {
        Outcome::Accepted(accepted) => json!({
            "outcome": "accepted", "wamid": accepted.wamid, "wa_id": accepted.wa_id,
            "user_id": accepted.user_id, "message_status": accepted.message_status,
        }),
        Outcome::NotSent { .. } => json!({"outcome": "not_sent"}),
        Outcome::Failed(effect, error) => {
            assert_eq!(effect.class().as_str(), error.class);
            described_effect(*effect)
        }
    };
    let said = said.as_object_mut().unwrap();
    said.retain(|_, value| !value.is_null());
    if let Some(error) = report(outcome) {
        said.insert("class".to_owned(), error.class.into());
    }
    Value::Object(said.clone())
}

fn described_effect(effect: Effect) -> Value {
    let scope = effect.scope().as_str();
    match effect {
        Effect::Refused {
            retry_not_before_s, ..
        } => {
            json!({"outcome": "refused", "scope": scope, "retry_not_before_s": retry_not_before_s})
        }
        Effect::Transient {
            max_retries,
            min_delay_s,
            proves_unsent,
            then_invalid,
            ..
        } => json!({
            "outcome": "transient", "scope": scope, "max_retries": max_retries, "min_delay_s": min_delay_s,
            "proves_unsent": proves_unsent, "then_invalid": then_invalid.then_some(true),
        }),
        Effect::Throttled {
            pause_s,
            slow_down,
            new_limit,
            ..
        } => json!({
            "outcome": "throttled", "scope": scope, "pause_s": pause_s,
            "slow_down": slow_down.then_some(true),
            "new_limit": new_limit.then_some(true),
        }),
        Effect::Blocked {
            remedy,
            is_penalty,
            second_recipient,
            ..
        } => {
            assert!(!remedy.is_empty());
            json!({
                "outcome": "blocked", "scope": scope, "penalty": is_penalty.then_some(true),
                "second_recipient": second_recipient,
            })
        }
        Effect::Ambiguous => json!({"outcome": "unknown"}),
    }
}

fn report(outcome: &Outcome) -> Option<&ErrorDocument> {
    match outcome {
        Outcome::Accepted(_) => None,
        Outcome::NotSent { error } | Outcome::Failed(_, error) => Some(error),
    }
}

fn answered(status: u16, body: AnswerBody) -> Reply {
    Reply::Answered(Answer {
        status,
        usage: Usage::default(),
        retry_after_s: None,
        body,
    })
}

fn api_error(code: i64, subcode: Option<i64>) -> AnswerBody {
    AnswerBody::Error(ApiError {
        code,
        subcode,
        ..ApiError::default()
    })
}

#[test]
fn every_case_ends_as_expected() {
    let rules = Rules::default();
    let mut wrong = Vec::new();
    for case in cases() {
        let found = described(&rules.classify(Reply::Answered(case.answer)));
        if found != case.expect {
            wrong.push(format!(
                "{}: expected {}, found {found}",
                case.name, case.expect
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_is_met_by_a_case() {
    let rules = Rules::default();
    let mut unmet: Vec<&Row> = TABLE.iter().collect();
    for case in cases() {
        if let AnswerBody::Error(error) = &case.answer.body {
            let met = rules.find(error.code, error.subcode, error.details.as_deref());
            unmet.retain(|row| met != Some(*row));
        }
    }
    assert!(unmet.is_empty(), "{unmet:#?}");
}

#[test]
fn no_code_has_two_rows() {
    for (index, row) in TABLE.iter().enumerate() {
        assert!(row.code <= row.last, "{row:?}");
        for other in &TABLE[index + 1..] {
            let apart = row.last < other.code || other.last < row.code;
            assert!(apart || row.when != other.when, "{row:?} {other:?}");
            // The first row that covers an error wins: one for all errors must come last.
            let hidden = row.when == When::Always && other.when == When::FetchFailed;
            assert!(apart || !hidden, "{other:?} is never reached");
        }
    }
}

#[test]
fn every_row_says_what_and_whence() {
    for row in TABLE {
        assert!(!row.meaning.is_empty(), "{row:?}");
        assert!(SOURCES.iter().any(|(key, _)| *key == row.source), "{row:?}");
        let (_, edition) = row.source.rsplit_once('-').unwrap();
        assert!(
            edition.len() == 4 && edition.parse::<u16>().is_ok(),
            "{row:?}"
        );
    }
}

/// A row that a typed configuration could not have written is a slip.
#[test]
fn every_scope_fits_its_class() {
    for row in TABLE {
        let mut same = Override::new(row.code, row.effect.class());
        same.scope = Some(row.effect.scope());
        assert_eq!(same.fault(), None, "{row:?}");
        if let Effect::Refused { class, .. } = row.effect {
            let classes = [Class::Invalid, Class::Undeliverable, Class::Policy];
            assert!(classes.contains(&class), "{row:?}");
        }
    }
}

#[test]
fn transport_phases() {
    let rules = Rules::default();
    let not_sent = rules.classify(Reply::NotSent("connect"));
    assert_eq!(
        described(&not_sent),
        json!({"outcome": "not_sent", "class": "transient"})
    );
    let no_answer = rules.classify(Reply::NoAnswer("timeout"));
    assert_eq!(
        described(&no_answer),
        json!({"outcome": "unknown", "class": "ambiguous"})
    );
    assert_eq!(
        report(&no_answer).unwrap().title.as_deref(),
        Some("no answer: timeout")
    );
}

/// What the API says to people is often the only sentence that says what is wrong.
#[test]
fn a_report_has_what_the_api_says_to_people() {
    let report_of = |error: Value| {
        let body = json!({ "error": error }).to_string();
        let outcome = Rules::default().classify(answered(400, AnswerBody::read(body.as_bytes())));
        let report = report(&outcome).unwrap();
        (report.title.clone(), report.details.clone())
    };
    let some = |text: &str| Some(text.to_owned());
    let people = json!({"code": 100, "message": "(#100) Invalid parameter", "error_data": {"details": "bad"},
        "error_user_title": "Name taken", "error_user_msg": "Choose another one"});
    assert_eq!(
        report_of(people),
        (
            some("(#100) Invalid parameter: Name taken"),
            some("bad: Choose another one")
        )
    );
    let alone = json!({"code": 100, "error_user_title": "Name taken", "error_user_msg": "Choose another one"});
    assert_eq!(
        report_of(alone),
        (some("Name taken"), some("Choose another one"))
    );
    let same = json!({"code": 100, "message": "Name taken", "error_user_title": "Name taken", "error_user_msg": 7});
    assert_eq!(report_of(same), (some("Name taken"), None));
    // They decide nothing: the words of a failed download are looked for in the details only.
    let media = json!({"code": 131_053, "error_user_msg": "download failed"});
    let body = json!({ "error": media }).to_string();
    let outcome = Rules::default().classify(answered(400, AnswerBody::read(body.as_bytes())));
    assert!(
        matches!(outcome, Outcome::Failed(Effect::Refused { .. }, _)),
        "{outcome:?}"
    );
}

#[test]
fn a_known_code_does_not_care_about_the_status() {
    let rules = Rules::default();
    for row in TABLE {
        let expected = rules.classify(answered(400, api_error(row.code, None)));
        if row.when != When::Always {
            continue;
        }
        for status in 0..=999 {
            let found = rules.classify(answered(status, api_error(row.code, None)));
            assert_eq!(found, expected, "{} with status {status}", row.code);
        }
    }
}

#[test]
fn classification_is_total() {
    let rules = Rules::new(vec![Override::new(i64::MAX, Class::Ambiguous)]);
    let edges = [i64::MIN, -1, 5, 999_999, i64::MAX];
    let codes = TABLE
        .iter()
        .flat_map(|row| [row.code - 1, row.code, row.last, row.last + 1])
        .chain(edges);
    for code in codes {
        for status in [
            0,
            100,
            200,
            204,
            301,
            400,
            401,
            403,
            408,
            429,
            500,
            599,
            600,
            u16::MAX,
        ] {
            for (retry_after_s, subcode) in [
                (None, None),
                (Some(u64::MAX), Some(33)),
                (Some(7), Some(-1)),
            ] {
                let answer = Answer {
                    usage: Usage::default(),
                    status,
                    retry_after_s,
                    body: api_error(code, subcode),
                };
                let outcome = rules.classify(Reply::Answered(answer));
                assert_eq!(report(&outcome).unwrap().code, Some(code));
                assert!(waits_s(&outcome) <= MAX_RETRY_AFTER_S, "{outcome:?}");
            }
        }
    }
}

#[test]
fn every_status_has_an_outcome_for_every_body() {
    let rules = Rules::default();
    for status in 0..=u16::MAX {
        for body in [AnswerBody::Unreadable, AnswerBody::Success] {
            let outcome = rules.classify(answered(status, body.clone()));
            let accepted = matches!(outcome, Outcome::Accepted(_));
            let success = body == AnswerBody::Success && (200..300).contains(&status);
            assert_eq!(accepted, success, "{status}");
            // Nothing that is not the API's own answer is final: it would burn a backlog.
            assert!(
                !matches!(outcome, Outcome::Failed(Effect::Refused { .. }, _)),
                "{status}"
            );
        }
        let accepted = AnswerBody::Accepted(Accepted::default());
        assert!(matches!(
            rules.classify(answered(status, accepted)),
            Outcome::Accepted(_)
        ));
    }
}

fn waits_s(outcome: &Outcome) -> u32 {
    match outcome.effect() {
        Some(Effect::Transient { min_delay_s, .. }) => min_delay_s.unwrap_or(0),
        Some(Effect::Throttled { pause_s, .. }) => pause_s.unwrap_or(0),
        Some(Effect::Refused { .. } | Effect::Blocked { .. } | Effect::Ambiguous) | None => 0,
    }
}

#[test]
fn overrides_win_for_every_row_and_class() {
    for row in TABLE {
        for class in Class::ALL {
            let mut wish = Override::new(row.code, class);
            if let When::Subcode(subcode) = row.when {
                wish.subcode = Some(subcode);
            }
            let rules = Rules::new(vec![wish.clone()]);
            // Also against details that have a row of their own.
            let body = AnswerBody::Error(ApiError {
                code: row.code,
                subcode: wish.subcode,
                details: Some("download timed out".to_owned()),
                ..ApiError::default()
            });
            let outcome = rules.classify(answered(400, body));
            assert_eq!(report(&outcome).unwrap().class, class.as_str(), "{row:?}");
        }
    }
}

#[test]
fn words_and_back() {
    for class in Class::ALL {
        assert_eq!(Class::of_word(class.as_str()), Some(class));
    }
    for scope in Scope::ALL {
        assert_eq!(Scope::of_word(scope.as_str()), Some(scope));
    }
    assert_eq!(Class::of_word("Blocked"), None);
    assert_eq!(Scope::of_word(""), None);
}

#[test]
fn debug_prints_nothing_private() {
    let secret = "34600112233";
    let error = ApiError {
        code: 131009,
        title: Some(secret.to_owned()),
        details: Some(secret.to_owned()),
        ..ApiError::default()
    };
    let outcome = Rules::default().classify(answered(400, AnswerBody::Error(error)));
    let printed = format!("{outcome:?} {outcome:#?}");
    assert!(
        printed.contains("131009") && !printed.contains(secret),
        "{printed}"
    );
}
