//! What clients of other languages and protocols send, and mean.

use super::*;
use crate::core::operation::Recipient;

#[test]
fn an_id_may_stand_in_a_header_and_the_fault_says_what_came() {
    let long: &'static str = "x".repeat(129).leak();
    // 128 characters that AMQP's own property could not hold.
    let wide: &'static str = "👍".repeat(128).leak();
    let must = "the request's identity must be text of 1 to 128 characters";
    let came = |as_what: &str| {
        vec![format!(
            "/@amqp/headers/x-message-id came as {as_what}: {must}"
        )]
    };
    let too_long = |problem: &str| {
        vec![format!(
            "/@amqp/headers/x-message-id is too long, in {problem}"
        )]
    };
    for (header, expected) in [
        (Header::Text(b"id-1"), vec![]),
        (Header::Text("ñ-1".as_bytes()), vec![]),
        (Header::Text(b""), came("empty text")),
        (Header::Text(b"\xff\x00"), came("bytes that are not UTF-8")),
        (
            Header::Text(long.as_bytes()),
            too_long("characters (limit 128, length 129)"),
        ),
        (
            Header::Text(wide.as_bytes()),
            too_long("bytes (limit 255, length 512)"),
        ),
        (Header::Int(7), came("a number")),
        (Header::Bool(true), came("true or false")),
        (Header::TimestampS(7), came("a timestamp")),
        (Header::EmptyTable, came("something other than text")),
        (Header::Other, came("something other than text")),
    ] {
        for message_id in [None, Some("")] {
            let inbound = Inbound {
                message_id,
                id_header: Some((ID_HEADERS[0], header)),
                ..Inbound::default()
            };
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            check(TEXT, inbound.clone(), &expected);
            if let Ok(message) = take(TEXT, inbound.clone()) {
                assert_eq!(Some(message.id.as_str()), inbound.id());
            }
        }
        // The property goes before.
        let both = Inbound {
            id_header: Some((ID_HEADERS[0], header)),
            ..sound()
        };
        assert_eq!(take(TEXT, both).unwrap().id.as_str(), "r-1");
    }
}

#[test]
fn a_time_of_publishing_that_cannot_be_is_unknown() {
    let now_s = NOW.wall_ms / 1000;
    for (timestamp_s, known) in [
        (None, false),
        (Some(0), true),
        (Some(now_s), true),
        (Some(now_s + 60), true),
        (Some(now_s + 61), false),
        // A local time that was taken for UTC; milliseconds.
        (Some(now_s + 3600), false),
        (Some(now_s * 1000), false),
        (Some(u64::MAX), false),
    ] {
        let inbound = Inbound {
            timestamp_s,
            ..sound()
        };
        let expected = timestamp_s.filter(|_| known).map(|s| s * 1000);
        assert_eq!(take(TEXT, inbound).unwrap().enqueued_at_ms, expected);
    }
}

#[test]
fn a_member_that_is_null_is_absent_and_passes_on() {
    let product = r#""messaging_product":"whatsapp""#;
    let opaque = r#""biz_opaque_callback_data":"r-1""#;
    let user = r#""recipient":"ES.9f3cA71""#;
    for (members, front, back) in [
        (
            format!(r#"{user},"to":null"#),
            format!("{product},{opaque},"),
            String::new(),
        ),
        (
            format!(r#"{user},"to":"""#),
            format!("{product},{opaque},"),
            String::new(),
        ),
        (
            format!(r#"{user},"to":" ""#),
            format!("{product},{opaque},"),
            String::new(),
        ),
        (
            r#""to":"49","recipient":null"#.to_owned(),
            format!("{product},{opaque},"),
            String::new(),
        ),
        (
            r#""to":"49","status":null,"type":null"#.to_owned(),
            format!("{product},{opaque},"),
            String::new(),
        ),
        // Of two with the same name the last counts.
        (
            r#""to":"49","messaging_product":null"#.to_owned(),
            format!("{opaque},"),
            format!(",{product}"),
        ),
        (
            r#""to":"49","biz_opaque_callback_data":null"#.to_owned(),
            format!("{product},"),
            format!(",{opaque}"),
        ),
        (
            r#""to":"49","biz_opaque_callback_data":null,"messaging_product":null"#.to_owned(),
            String::new(),
            format!(",{product},{opaque}"),
        ),
        (
            r#""to":"49","text":null,"template":null"#.to_owned(),
            format!("{product},{opaque},"),
            String::new(),
        ),
    ] {
        let body = format!(" {{{members} }} ");
        let message = take(&body, sound()).unwrap_or_else(|r| panic!("{body}: {:?}", r.faults));
        let sent = message.completed();
        let sent = std::str::from_utf8(&sent).unwrap();
        assert_eq!(sent, format!(" {{{front}{members} {back}}} "));
        let sent: Value = serde_json::from_str(sent).unwrap();
        assert_eq!(sent["messaging_product"], "whatsapp");
        assert_eq!(sent["biz_opaque_callback_data"], "r-1");
        assert!(!message.is_harmless_to_repeat() && message.own_opaque.is_none());
        let is_user = members.contains(user);
        let whom = if is_user { "ES.9f3cA71" } else { "49" };
        assert_eq!(message.recipient, Some(Recipient::parse(whom)));
    }
}

#[test]
fn what_is_only_null_is_missing() {
    let whom =
        "/to is required: whom the message goes to (or `recipient` for a business-scoped user id)";
    check_body(r#"{"to":null,"recipient":null}"#, &[whom]);
    check_body(r#"{"to":"","recipient":null}"#, &["/to must not be empty"]);
    check_body(
        r#"{"to":"","recipient":""}"#,
        &["/recipient must not be empty"],
    );
    let text = "/text/body is required for type \"text\"";
    check_body(r#"{"to":"49","type":"text","text":null}"#, &[text]);
    check_body(r#"{"to":"49","type":"text","text":{"body":null}}"#, &[text]);
    let read = "/message_id is required and must be a string";
    check_body(r#"{"status":"read","message_id":null}"#, &[read]);
}

#[test]
fn a_user_id_belongs_into_recipient() {
    let told = "/to is a business-scoped user id, which belongs into `recipient` (intake.user_ids_in_to = true lets it pass)";
    let lenient = IntakeConfig {
        user_ids_in_to: true,
        ..BOUNDS
    };
    for id in ["ES.9f3cA71", " ES.9f3cA71 ", "US.1", "ES.ENT.9f3cA71"] {
        let body = format!(r#"{{"to":"{id}"}}"#);
        check_body(&body, &[told]);
        let taken = intake(body.into(), sound(), &lenient, NOW).unwrap();
        assert_eq!(taken.recipient, Some(Recipient::parse(id)));
        check_body(&format!(r#"{{"recipient":"{id}"}}"#), &[]);
        // `to` wins, so beside a recipient it is as wrong.
        check_body(&format!(r#"{{"to":"{id}","recipient":"{id}"}}"#), &[told]);
    }
    // Numbers, groups, and what is nearly one.
    let long = format!("ES.{}", "x".repeat(129));
    for to in [
        "49151",
        "Y2FwaV9ncm91cDo0",
        "es.9f3c",
        "E1.9f3c",
        "ESP.9f3c",
        "ES.",
        "ES.9f-3c",
        "ES.ENT.",
        &long,
    ] {
        check_body(&format!(r#"{{"to":"{to}"}}"#), &[]);
    }
}

#[test]
fn a_body_of_amqp_1_0_is_unwrapped_or_told_in_one_fault() {
    let from = |operation: &'static str| Inbound {
        operation: Some(operation),
        ..sound()
    };
    let encoded =
        |code: u8, json: &str| [&[0, 0x53, 0x77, code, json.len() as u8], json.as_bytes()].concat();
    for code in [0xa0, 0xa1] {
        let message = intake(encoded(code, TEXT).into(), from("amqp-1.0"), &BOUNDS, NOW).unwrap();
        assert_eq!(
            message.completed(),
            take(TEXT, sound()).unwrap().completed()
        );
    }
    let faults = |body: Vec<u8>, inbound: Inbound<'_>| {
        let refusal = intake(body.into(), inbound, &BOUNDS, NOW).unwrap_err();
        let told: Vec<String> = refusal.faults.iter().map(Fault::to_string).collect();
        assert!(refusal.dead_reason.is_some(), "{told:?}");
        told
    };
    // A map, a null, an empty list, a sequence, and what only says so.
    for body in [
        &[0, 0x53, 0x77, 0xc1, 1, 0][..],
        &[0, 0x53, 0x77, 0x40],
        &[0, 0x53, 0x77, 0x45],
        &[0, 0x53, 0x76, 0x45],
        TEXT.as_bytes(),
    ] {
        let told = faults(body.to_vec(), from("amqp-1.0"));
        assert_eq!(told, [format!("the body {}", body::NO_DATA)]);
    }
    // What was a value is judged as any body.
    let told = faults(encoded(0xa1, "7"), from("amqp-1.0"));
    let object =
        "the body must be a JSON object, the one that would go to POST /{phone_number_id}/messages";
    assert_eq!(told, [object]);
    // Nobody else is unwrapped.
    assert_eq!(faults(encoded(0xa1, TEXT), from("message")).len(), 1);
}

#[test]
fn a_compressed_body_is_told_by_what_says_so() {
    const GZIP: &[u8] = &[0x1f, 0x8b, 8, 0];
    let place = "the body is not JSON: it stops making sense at line 1, column 1";
    let by_header =
        "the body is not JSON but compressed, says the header compression: publish it as it is";
    let by_property = "the body is not JSON but compressed, says the property content_encoding: publish it as it is";
    let method = Header::Text(b"application/x-gzip");
    for (compression, content_encoding, expected) in [
        (None, None, place),
        (Some(method), None, by_header),
        (Some(method), Some("utf-8"), by_header),
        (Some(Header::Text(b"")), None, place),
        (None, Some("gzip"), by_property),
        (None, Some("GZIP"), by_property),
        (None, Some("br"), by_property),
        (None, Some("utf-8"), place),
        (None, Some("binary"), place),
        (None, Some("identity"), place),
    ] {
        let inbound = Inbound {
            compression,
            content_encoding,
            ..sound()
        };
        let refusal = intake(GZIP.into(), inbound.clone(), &BOUNDS, NOW).unwrap_err();
        let told: Vec<String> = refusal.faults.iter().map(Fault::to_string).collect();
        assert_eq!(
            (told, refusal.dead_reason.is_some()),
            (vec![expected.to_owned()], true)
        );
        // Whatever is said of it, a body that can be read is read.
        check(TEXT, inbound, &[]);
    }
}

/// Pace, order and doubt go by whom a message is for: each line is somebody.
#[test]
fn whoever_it_is_for_is_one_person_however_spelled_and_a_group_is_none() {
    let phone = [
        r#""to":"+49 151-23""#,
        r#""to":"4915123""#,
        r#""to":"(49) 151.23","recipient_type":"individual""#,
        r#""to":4915123"#,
        r#""to":"4915123","recipient":"ES.9f3cA71""#,
        r#""to":"4915123","recipient_type":null"#,
    ];
    let user = [
        r#""recipient":"ES.9f3cA71""#,
        r#""recipient":" ES.9f3cA71 ""#,
        r#""recipient":"ES.9f3cA71","to":null"#,
        r#""recipient":"ES.9f3cA71","to":"","recipient_type":"individual""#,
        // It says nothing of a `recipient`.
        r#""recipient":"ES.9f3cA71","recipient_type":"group""#,
    ];
    let others = [
        r#""recipient":"ES.9f3ca71""#,
        r#""recipient":"DE.9f3cA71""#,
        r#""recipient":"ES.ENT.9f3cA71""#,
        r#""to":"4915123","recipient_type":"group""#,
        r#""to":"4915124","recipient_type":"group""#,
        r#""to":"49-15123","recipient_type":"group""#,
        r#""to":"Y2FwaV9ncm91cDo0","recipient_type":"group""#,
    ];
    let mut all = vec![&phone[..], &user[..]];
    all.extend(others.iter().map(std::slice::from_ref));
    let recipient = |members: &&str| {
        let body = format!("{{{members}}}");
        let taken = take(&body, sound()).unwrap_or_else(|r| panic!("{body}: {:?}", r.faults));
        taken.recipient.unwrap()
    };
    let keys: Vec<Vec<Recipient>> = all
        .iter()
        .map(|spellings| spellings.iter().map(recipient).collect())
        .collect();
    for (one, ones) in keys.iter().enumerate() {
        for (other, others) in keys.iter().enumerate() {
            let is_same = |a: &Recipient| others.iter().all(|b| (a == b) == (one == other));
            assert!(ones.iter().all(is_same), "{:?} {:?}", all[one], all[other]);
        }
    }
}
