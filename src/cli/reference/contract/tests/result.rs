use super::super::result::make_schema;
use super::*;
use crate::contract::fault::Fault;
use crate::contract::result::{ErrorDocument, Response, ResultDocument, VERSION};
use crate::contract::words::{Class, POISON, Status, UNKNOWN_NUMBER};
use std::collections::BTreeSet;

/// A result that has every member there is, whether or not they come together.
fn whole(status: Status) -> Value {
    let error = ErrorDocument {
        code: Some(131_049),
        subcode: Some(7),
        details: Some("details".to_owned()),
        fbtrace_id: Some("A1".to_owned()),
        retry_not_before: Some(1_800_000_000_000),
        at: Some("/to".to_owned()),
        faults: vec![Fault::too_long("/to", "is too long", 3, 4)],
        ..ErrorDocument::own(Class::Policy.as_str(), "title")
    };
    let document = ResultDocument {
        media_expires_at: Some(1_800_000_000_000),
        v: VERSION,
        id: Some("r-1".into()),
        phone_number_id: Some("10001".into()),
        waba_id: Some("10002".into()),
        operation: Some("block_users"),
        response: Response::of("{}"),
        status,
        wamid: Some("wamid.1".to_owned()),
        wa_id: Some("49".to_owned()),
        user_id: Some("ES.9f3cA71".to_owned()),
        message_status: Some("accepted".to_owned()),
        error: Some(error),
        warnings: Some([Fault::too_long("/text", "is too long", 3, 4)].into()),
        attempts: 1,
        possible_duplicate: false,
        duplicate_of_earlier: true,
        biz_opaque_callback_data: Some("mine".into()),
        enqueued_at: Some(1_800_000_000_000),
        sent_at: Some(1_800_000_000_000),
        completed_at: 1_800_000_000_250,
    };
    json!(document)
}

/// A result as this status has it.
fn typical(status: Status) -> Value {
    let mut document = whole(status);
    let members = document.as_object_mut().unwrap();
    match status {
        Status::Accepted => drop(members.remove("error")),
        Status::Failed | Status::Expired => drop(members.remove("sent_at")),
        Status::Rejected | Status::Unknown => {}
    }
    document
}

fn names(of: &Value) -> BTreeSet<&str> {
    of.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_schema_has_the_members_that_results_have() {
    let (schema, document) = (make_schema(), whole(Status::Rejected));
    let error = &document["error"];
    for (name, of) in [
        ("result", &document),
        ("error", error),
        ("fault", &error["faults"][0]),
    ] {
        assert_eq!(
            names(&schema["$defs"][name]["properties"]),
            names(of),
            "{name}"
        );
    }
}

#[test]
fn every_status_has_a_valid_result_and_what_is_wrong_or_missing_is_seen() {
    let validator = validator(&make_schema());
    let schema = make_schema();
    for status in Status::ALL {
        let document = typical(status);
        assert_eq!(faults(&validator, &document), [""; 0]);
        for required in schema["$defs"]["result"]["required"].as_array().unwrap() {
            let mut document = document.clone();
            document
                .as_object_mut()
                .unwrap()
                .remove(required.as_str().unwrap());
            assert!(!validator.is_valid(&document), "without {required}");
        }
        // An answer may be any JSON.
        for member in names(&document)
            .into_iter()
            .filter(|name| *name != "response")
        {
            let mut document = document.clone();
            document[member] = json!([]);
            assert!(!validator.is_valid(&document), "{member} is an array");
        }
        let mut newer = document.clone();
        newer["since_tomorrow"] = json!(1);
        assert!(validator.is_valid(&newer));
    }
}

#[test]
fn what_never_comes_together_is_not_valid() {
    let validator = validator(&make_schema());
    for (status, member) in [
        (Status::Accepted, "error"),
        (Status::Failed, "sent_at"),
        (Status::Expired, "sent_at"),
    ] {
        let mut document = typical(status);
        document[member] = whole(status)[member].clone();
        assert!(!validator.is_valid(&document), "{document}");
    }
    for (status, member) in [
        (Status::Rejected, "error"),
        (Status::Failed, "error"),
        (Status::Accepted, "sent_at"),
        (Status::Accepted, "id"),
    ] {
        let mut document = typical(status);
        document.as_object_mut().unwrap().remove(member);
        assert!(!validator.is_valid(&document), "{document}");
    }
    for (at, wrong) in [
        ("/v", json!(2)),
        ("/status", json!("sent")),
        ("/attempts", json!(-1)),
        ("/error/class", json!("Not a word")),
        ("/error/faults", json!([])),
        ("/error/faults/0/at", json!(1)),
        (
            "/warnings",
            json!(vec![json!({ "at": "", "problem": "is wrong" }); 9]),
        ),
        ("/warnings/0", json!({ "at": "" })),
    ] {
        let mut document = typical(Status::Rejected);
        *document.pointer_mut(at).unwrap() = wrong;
        assert!(!validator.is_valid(&document), "{document}");
    }
}

/// New classes may come.
#[test]
fn a_class_is_any_word() {
    let validator = validator(&make_schema());
    for class in Class::WORDS
        .into_iter()
        .chain([UNKNOWN_NUMBER, POISON, "of_tomorrow"])
    {
        let mut document = typical(Status::Failed);
        document["error"]["class"] = class.into();
        assert_eq!(faults(&validator, &document), [""; 0]);
    }
}
