use super::*;
use crate::contract::request::ID_HEADERS;
use proptest::prelude::*;
use serde_json::Value;

mod clients;
mod dedupe;
mod schema;
mod tags;

const NOW: Now = Now {
    mono: std::time::Duration::ZERO,
    wall_ms: 1_800_000_000_000,
    steady_ms: 1_800_000_000_000,
};
const BOUNDS: IntakeConfig = IntakeConfig::OF_TESTS;
/// Stands for what a caller wrote and must never read again in an error.
const SECRET: &str = "hunter2";

fn sound<'a>() -> Inbound<'a> {
    Inbound {
        message_id: Some("r-1"),
        ..Inbound::default()
    }
}

fn take(body: &str, inbound: Inbound<'_>) -> Result<Message, Refusal> {
    intake(body.to_owned().into(), inbound, &BOUNDS, NOW)
}

/// A body with these members is sound; refused, its faults say exactly this.
fn check(body: &str, inbound: Inbound<'_>, expected: &[&str]) {
    let faults = match take(body, inbound) {
        Ok(_) => vec![],
        Err(refusal) => refusal.faults,
    };
    let told: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert_eq!(told, expected, "{body}");
    for fault in &faults {
        let text = serde_json::to_string(fault).unwrap();
        assert!(!text.contains(SECRET), "{text}");
    }
}

fn check_body(body: &str, expected: &[&str]) {
    check(body, sound(), expected);
}

const TEXT: &str = r#"{"to":"49151","type":"text","text":{"body":"hi"}}"#;

#[test]
fn every_property_that_cannot_be_used_is_named() {
    let with = |change: fn(&mut Inbound<'static>)| {
        let mut inbound = sound();
        change(&mut inbound);
        inbound
    };
    let long: &'static str = "x".repeat(129).leak();
    let id = "/@amqp/message_id is required: it is the request's identity (AMQP property message_id, 1 to 128 characters)";
    check(TEXT, sound(), &[]);
    check(TEXT, with(|i| i.message_id = None), &[id]);
    check(TEXT, with(|i| i.message_id = Some("")), &[id]);
    check(
        TEXT,
        Inbound {
            message_id: Some(long),
            ..Inbound::default()
        },
        &["/@amqp/message_id is too long, in characters (limit 128, length 129)"],
    );
    check(
        TEXT,
        with(|i| i.operation = Some(SECRET)),
        &[
            "/@amqp/type is not an operation of this dispatcher: leave it empty or say \"message\" or \"marketing_message\"",
        ],
    );
    let own =
        "/@amqp/reply_to must not name a queue of the dispatcher's own: those begin with \"wa.\"";
    check(TEXT, with(|i| i.reply_to = Some("wa.delay.1")), &[own]);
    check(TEXT, with(|i| i.reply_to = Some("/queues/wa.dead")), &[own]);
    check(TEXT, with(|i| i.reply_to = Some("answers")), &[]);
    for operation in [None, Some(""), Some("message")] {
        let inbound = Inbound {
            operation,
            ..sound()
        };
        check(TEXT, inbound, &[]);
    }
}

#[test]
fn every_header_that_cannot_be_used_is_named() {
    // What is wrong with a moment is `instant`'s to say; here counts where.
    let unusable = [
        Header::Text(SECRET.as_bytes()),
        Header::Text(b"\xff"),
        Header::Int(7),
        Header::Bool(true),
        Header::EmptyTable,
        Header::Other,
        Header::TimestampS(u64::MAX),
    ];
    for header in unusable {
        let problem = instant::read(header).unwrap_err();
        let expires = Inbound {
            expires_at: Some(header),
            ..sound()
        };
        let told = format!("/@amqp/headers/expires-at {problem}");
        check(TEXT, expires, &[&told]);
        let scheduled = Inbound {
            not_before: Some(header),
            ..sound()
        };
        let told = format!("/@amqp/headers/not-before {problem}");
        check(TEXT, scheduled, &[&told]);
        let unknown = Inbound {
            on_unknown: Some(header),
            ..sound()
        };
        let expected = "/@amqp/headers/on-unknown must be \"report\" or \"resend\"";
        check(TEXT, unknown, &[expected]);
    }
    let days = |days: u64| Some(Header::TimestampS(1_800_000_000 + days * 86_400));
    for (ahead, expected) in [
        (30, vec![]),
        (
            31,
            vec!["/@amqp/headers/not-before lies more than 30 days ahead"],
        ),
    ] {
        let inbound = Inbound {
            not_before: days(ahead),
            ..sound()
        };
        check(TEXT, inbound, &expected);
    }
}

#[test]
fn every_fault_of_a_body_is_named_and_no_value() {
    let no_object =
        " must be a JSON object, the one that would go to POST /{phone_number_id}/messages";
    for body in [r#""hunter2""#, "[1]", "7", "null", "true"] {
        check_body(body, &[&format!("the body{no_object}")]);
    }
    for (body, at) in [
        ("", "1, column 0"),
        ("{\n\"hunter2\":", "2, column 10"),
        ("{} x", "1, column 4"),
    ] {
        check_body(
            body,
            &[&format!(
                "the body is not JSON: it stops making sense at line {at}"
            )],
        );
    }
    check_body(
        r#"{"messaging_product":"hunter2","to":["hunter2"],"type":7,"biz_opaque_callback_data":{"a":"hunter2"}}"#,
        &[
            "/messaging_product must be \"whatsapp\" (or be left out)",
            "/type must be a string",
            "/to must be a string",
            "/biz_opaque_callback_data must be a string",
        ],
    );
    let whom =
        "/to is required: whom the message goes to (or `recipient` for a business-scoped user id)";
    check_body(r#"{"type":"image","image":{}}"#, &[whom]);
    check_body(r#"{"to":"  "}"#, &["/to must not be empty"]);
    check_body(r#"{"recipient":""}"#, &["/recipient must not be empty"]);
    check_body(r#"{"to":1.5}"#, &["/to must be a string"]);
    check_body(r#"{"to":49151}"#, &[]);
    // `to` wins, as at the API.
    check_body(r#"{"to":"49","recipient":7}"#, &[]);
    let text = "/text/body is required for type \"text\"";
    check_body(r#"{"to":"49","type":"text"}"#, &[text]);
    let empty = "/text/body must be a string with at least one character";
    check_body(r#"{"to":"49","type":"text","text":{"body":""}}"#, &[empty]);
    check_body(r#"{"to":"49","type":"text","text":{"body":7}}"#, &[empty]);
    let read = "/message_id is required and must be a string";
    check_body(r#"{"status":"read"}"#, &[read]);
    check_body(r#"{"status":"read","message_id":7}"#, &[read]);
    // What is not known passes.
    check_body(r#"{"to":"49","type":"hologram","hologram":{"x":1}}"#, &[]);
}

#[test]
fn a_body_too_large_is_not_even_read() {
    let bounds = IntakeConfig {
        max_body_bytes: 10,
        ..BOUNDS
    };
    let refusal = intake("{not json either".into(), sound(), &bounds, NOW).unwrap_err();
    let told = refusal
        .faults
        .iter()
        .map(Fault::to_string)
        .collect::<Vec<_>>();
    assert_eq!(
        told,
        ["the body is larger than intake.max_body_bytes, in bytes (limit 10, length 16)"]
    );
    let fault = &refusal.faults[0];
    assert_eq!((fault.limit, fault.length), (Some(10), Some(16)));
}

#[test]
fn what_cannot_be_parsed_or_identified_is_kept_whole() {
    let anonymous = Inbound::default();
    for (body, inbound, id, kept) in [
        ("not JSON", sound(), Some("r-1"), true),
        (TEXT, anonymous.clone(), None, true),
        ("{}", sound(), Some("r-1"), false),
    ] {
        let refusal = take(body, inbound).unwrap_err();
        assert_eq!(
            (refusal.id.as_deref(), refusal.dead_reason.is_some()),
            (id, kept),
            "{body}"
        );
    }
    // Too long to be an identity, and still an answer's address.
    let long = "x".repeat(200);
    let inbound = Inbound {
        message_id: Some(&long),
        ..anonymous
    };
    let refusal = take(TEXT, inbound).unwrap_err();
    assert_eq!(
        (refusal.id, refusal.dead_reason.is_some()),
        (Some(long), true)
    );
}

#[test]
fn headers_become_the_messages_own() {
    let inbound = Inbound {
        priority: Some(5),
        timestamp_s: Some(1_700_000_000),
        redelivered: true,
        delivery_count: 3,
        expires_at: Some(Header::Text(b"2027-01-15T08:00:00.25Z")),
        not_before: Some(Header::TimestampS(1_800_000_001)),
        on_unknown: Some(Header::Text(b"resend")),
        history: History {
            attempts: 2,
            first_seen_ms: 5,
            ..History::default()
        },
        ..sound()
    };
    let message = take(TEXT, inbound).unwrap();
    assert_eq!(message.priority, Priority::High);
    assert_eq!(message.enqueued_at_ms, Some(1_700_000_000_000));
    assert_eq!(message.expires_at_ms, Some(NOW.wall_ms + 250));
    assert_eq!(message.not_before_ms, Some(NOW.wall_ms + 1_000));
    assert_eq!(message.on_unknown, Some(OnUnknown::Resend));
    assert!(message.redelivered && message.delivery_count == 3);
    assert_eq!(
        (message.history.attempts, message.history.first_seen_ms),
        (2, 5)
    );

    let fresh = take(TEXT, sound()).unwrap();
    assert_eq!((fresh.priority, fresh.on_unknown), (Priority::Bulk, None));
    let said = Inbound {
        on_unknown: Some(Header::Text(b"report")),
        ..sound()
    };
    assert_eq!(
        take(TEXT, said).unwrap().on_unknown,
        Some(OnUnknown::Report)
    );
    assert_eq!(fresh.history.first_seen_ms, NOW.wall_ms);
}

#[test]
fn one_person_has_many_spellings() {
    let recipient = |to: &str| {
        let body = serde_json::json!({ "recipient": to });
        take(&body.to_string(), sound()).unwrap().recipient
    };
    for same in [
        "49151000001",
        "+49151000001",
        "+49 151-000 001",
        "(49) 151.000001",
        " 49151000001 ",
    ] {
        assert_eq!(recipient(same), recipient("49151000001"), "{same}");
    }
    let number = take(r#"{"to":49151000001}"#, sound()).unwrap().recipient;
    assert_eq!(number, recipient("49151000001"));
    // Ids are not numbers: every character counts.
    for other in [
        "ES.9f3cA71",
        "ES.9f3ca71",
        "Y2FwaV9ncm91cDo0",
        "49151000002",
    ] {
        assert_ne!(recipient(other), recipient("49151000001"));
        assert_eq!(recipient(&format!(" {other} ")), recipient(other));
    }
    assert_ne!(recipient("ES.9f3cA71"), recipient("ES.9f3ca71"));
}

/// Every message type of Meta's documentation passes as it is, but for the members we add behind the opening brace.
#[test]
fn every_documented_body_passes_untouched() {
    let documented = include_str!("../../../../tests/cases/messages.jsonl").lines();
    let mut count = 0;
    for body in documented.filter(|body| !body.trim().is_empty()) {
        let message =
            take(body, sound()).unwrap_or_else(|refusal| panic!("{body}: {:?}", refusal.faults));
        let sent = message.completed();
        let sent = std::str::from_utf8(&sent).unwrap();
        let is_receipt = body.contains(r#""status":"read""#);
        let added = if is_receipt {
            ""
        } else {
            r#""biz_opaque_callback_data":"r-1","#
        };
        assert_eq!(sent, format!("{{{added}{}", &body[1..]));
        assert_eq!(
            (message.recipient.is_none(), message.is_harmless_to_repeat()),
            (is_receipt, is_receipt)
        );
        count += 1;
    }
    assert!(count >= 28, "only {count} documented bodies");
}

#[test]
fn only_what_is_missing_is_added() {
    let product = r#""messaging_product":"whatsapp","#;
    let opaque = r#""biz_opaque_callback_data":"r-1","#;
    for (body, sent) in [
        (
            r#"{"to":"49"}"#,
            format!(r#"{{{product}{opaque}"to":"49"}}"#),
        ),
        (
            r#"{"messaging_product":"whatsapp","to":"49"}"#,
            format!(r#"{{{opaque}"messaging_product":"whatsapp","to":"49"}}"#),
        ),
        (
            r#"{"to":"49","biz_opaque_callback_data":"mine"}"#,
            format!(r#"{{{product}"to":"49","biz_opaque_callback_data":"mine"}}"#),
        ),
        (
            " \n{ \"to\" : \"49\" } ",
            format!(" \n{{{product}{opaque} \"to\" : \"49\" }} "),
        ),
        (
            r#"{"status":"read","message_id":"wamid.1"}"#,
            format!(r#"{{{product}"status":"read","message_id":"wamid.1"}}"#),
        ),
    ] {
        let message = take(body, sound()).unwrap();
        assert_eq!(std::str::from_utf8(&message.completed()).unwrap(), sent);
        let own = body.contains("mine").then_some("mine");
        assert_eq!(message.own_opaque.as_deref(), own);
    }
    // An id is text, whatever it holds.
    let inbound = Inbound {
        message_id: Some("a\"\\\n{"),
        ..sound()
    };
    let message = take(r#"{"to":"49"}"#, inbound).unwrap();
    let sent: Value = serde_json::from_slice(&message.completed()).unwrap();
    assert_eq!(sent["biz_opaque_callback_data"], "a\"\\\n{");
}

fn header() -> impl Strategy<Value = Option<Header<'static>>> {
    prop_oneof![
        Just(None),
        any::<Vec<u8>>().prop_map(|bytes| Some(Header::Text(bytes.leak()))),
        any::<i64>().prop_map(|value| Some(Header::Int(value))),
        any::<u64>().prop_map(|value| Some(Header::TimestampS(value))),
        any::<bool>().prop_map(|value| Some(Header::Bool(value))),
        Just(Some(Header::EmptyTable)),
        Just(Some(Header::Other)),
    ]
}

/// Bytes that are nearly a body.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let member = prop_oneof![
        Just("\"to\""),
        Just("\"type\""),
        Just("\"text\""),
        Just("\"status\""),
        Just("\"interactive\""),
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(":"),
        Just(","),
        Just("7"),
        Just("null"),
        Just("\"\\u0000é\""),
    ];
    let nearly = proptest::collection::vec(member, 0..40);
    let nearly = nearly.prop_map(|parts| parts.concat().into_bytes());
    prop_oneof![
        any::<Vec<u8>>(),
        nearly.clone(),
        (any::<u8>(), any::<u8>(), nearly).prop_map(|(code, length, json)| [
            &[0, 0x53, 0x77, code, length],
            &json[..]
        ]
        .concat()),
    ]
}

proptest! {
    /// Whatever arrives ends in a message or in faults, and a message is a JSON object with both members we add.
    #[test]
    fn intake_is_total(
        body in body(), id in proptest::option::of(".{0,140}"), operation in proptest::option::of("(message|amqp-1.0)?.?"),
        id_in_header in header(), compression in header(), content_encoding in proptest::option::of("(gzip)?"),
        expires_at in header(), not_before in header(), on_unknown in header(),
        priority in any::<Option<u8>>(), timestamp_s in any::<Option<u64>>(), tag in header(),
    ) {
        let inbound = Inbound {
            message_id: id.as_deref(), operation: operation.as_deref(), priority, timestamp_s, expires_at, not_before, on_unknown,
            id_header: id_in_header.map(|header| (ID_HEADERS[1], header)),
            content_encoding: content_encoding.as_deref(), compression,
            tags: tag.into_iter().collect(),
            ..Inbound::default()
        };
        match intake(body.into(), inbound, &BOUNDS, NOW) {
            Ok(message) => {
                let sent: Value = serde_json::from_slice(&message.completed()).unwrap();
                prop_assert!(sent["messaging_product"] == "whatsapp");
                prop_assert!(message.is_harmless_to_repeat() || sent["biz_opaque_callback_data"].is_string());
            }
            Err(refusal) => prop_assert!(!refusal.faults.is_empty()),
        }
    }
}
