//! Bodies that are not as Meta documents them, by what `intake.schema` says.

use super::*;
use crate::core::operation::SchemaCheck;

fn take_with(schema: SchemaCheck, body: &str) -> Result<Message, Refusal> {
    let config = IntakeConfig { schema, ..BOUNDS };
    intake(body.to_owned().into(), sound(), &config, NOW)
}

/// The faults that a request is refused for, and the warnings that it is sent with.
fn judged(schema: SchemaCheck, body: &str) -> (Vec<String>, Vec<String>) {
    let told = |faults: &[Fault]| faults.iter().map(|fault| fault.at.clone()).collect();
    let text = |faults: &[Fault]| serde_json::to_string(faults).unwrap();
    match take_with(schema, body) {
        Ok(message) => {
            let warnings = message.warnings.as_deref().unwrap_or_default();
            assert!(!text(warnings).contains(SECRET));
            (vec![], told(warnings))
        }
        Err(refusal) => {
            assert!(!text(&refusal.faults).contains(SECRET));
            (told(&refusal.faults), vec![])
        }
    }
}

fn check_modes(body: &str, always: &[&str], by_schema: &[&str]) {
    let is_refused = !always.is_empty();
    for (schema, faults, warnings) in [
        (SchemaCheck::Off, always.to_vec(), vec![]),
        (
            SchemaCheck::Warn,
            always.to_vec(),
            if is_refused {
                vec![]
            } else {
                by_schema.to_vec()
            },
        ),
        (SchemaCheck::Strict, [always, by_schema].concat(), vec![]),
    ] {
        let (refused_for, warned_of) = judged(schema, body);
        assert_eq!(refused_for, faults, "{schema:?} {body}");
        assert_eq!(warned_of, warnings, "{schema:?} {body}");
    }
}

#[test]
fn a_body_as_documented_passes_in_every_mode() {
    check_modes(TEXT, &[], &[]);
    check_modes(
        r#"{"status":"read","message_id":"wamid.1","typing_indicator":{"type":"text"}}"#,
        &[],
        &[],
    );
}

#[test]
fn what_meta_would_refuse_is_told_or_refused_as_the_operator_says() {
    let image = format!(r#"{{"to":"49","type":"image","image":{{"caption":"{SECRET}"}}}}"#);
    check_modes(&image, &[], &["/image"]);
    let names = format!(
        r#"{{"to":"49","type":"template","template":{{"name":"{SECRET} ","{SECRET}":1,"language":"{SECRET}"}}}}"#
    );
    check_modes(&names, &[], &["/template/name", "/template/language"]);
    check_modes(
        r#"{"status":"seen","message_id":"wamid.1"}"#,
        &[],
        &["/status"],
    );
}

/// What intake refuses by itself it refuses in every mode, and says it once.
#[test]
fn what_is_refused_anyway_is_refused_in_every_mode() {
    check_modes(
        r#"{"to":"49","type":"text","context":{}}"#,
        &["/text/body"],
        &["/context/message_id"],
    );
    check_modes(
        r#"{"to":"ES.9f3cA71","type":"text","text":{"body":"hi"}}"#,
        &["/to"],
        &[],
    );
}

#[test]
fn warnings_are_few_and_faults_are_not_many() {
    let buttons = vec!["{}"; 200].join(",");
    let body = format!(
        r#"{{"to":"49","type":"interactive","interactive":{{"type":"button","body":{{"text":"?"}},"action":{{"buttons":[{buttons}]}}}}}}"#
    );
    let config = |schema| IntakeConfig {
        schema,
        check_sizes: false,
        ..BOUNDS
    };
    let take = |schema| intake(body.clone().into(), sound(), &config(schema), NOW);
    let warned = take(SchemaCheck::Warn).unwrap();
    assert_eq!(warned.warnings.unwrap().len(), 8);
    let refused = take(SchemaCheck::Strict).unwrap_err();
    assert_eq!(refused.faults.len(), 50);
}

/// Operations are held against what Meta requires of each.
#[test]
fn operations_have_forms_too() {
    let inbound = Inbound {
        operation: Some("block_users"),
        account: Some("20001"),
        target: "10001",
        ..sound()
    };
    let body = r#"{"block_users":[]}"#;
    for (schema, refused, warned) in [
        (SchemaCheck::Off, false, false),
        (SchemaCheck::Warn, false, true),
        (SchemaCheck::Strict, true, false),
    ] {
        let config = IntakeConfig { schema, ..BOUNDS };
        let taken = intake(body.into(), inbound.clone(), &config, NOW);
        assert_eq!(taken.is_err(), refused, "{schema:?}");
        let warnings = taken.ok().and_then(|message| message.warnings);
        assert_eq!(warnings.is_some(), warned, "{schema:?}");
    }
}
