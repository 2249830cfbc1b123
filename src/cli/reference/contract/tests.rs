use crate::core::operation::{Max, Operation, SIZES};
use jsonschema::Validator;
use serde_json::{Value, json};

mod agreement;
mod documented;
mod examples;
mod limits;
mod operations;
mod result;

/// Kinds that no body of tests/cases is of.
const MORE: [&str; 7] = [
    r#"{"to":"Y2Fw","recipient_type":"group","type":"pin","pin":{"type":"pin","message_id":"wamid.1","expiration_days":7}}"#,
    r#"{"to":"49","type":"interactive","interactive":{"type":"voice_call","body":{"text":"Call us"},
        "action":{"name":"voice_call","parameters":{"display_text":"Call","ttl_minutes":10}}}}"#,
    r#"{"to":"49","type":"interactive","interactive":{"type":"call_permission_request","action":{"name":"call_permission_request"}}}"#,
    r#"{"to":"49","type":"interactive","interactive":{"type":"order_details","action":{"name":"review_and_pay",
        "parameters":{"reference_id":"INV-1","type":"digital-goods","currency":"BRL","order":{}}}}}"#,
    r#"{"to":"49","type":"template","template":{"name":"parts","language":{"code":"en"},"components":[{"type":"header","parameters":[
        {"type":"currency","currency":{"fallback_value":"$1","code":"USD","amount_1000":1000}},
        {"type":"date_time","date_time":{"fallback_value":"today"}},
        {"type":"video","video":{"id":"1"}}, {"type":"document","document":{"link":"https://cdn.example/a.pdf"}},
        {"type":"location","location":{"latitude":1.5,"longitude":"2"}}]}]}}"#,
    r#"{"to":"49","type":"interactive","interactive":{"type":"button","header":{"type":"document","document":{"id":"1"}},"body":{"text":"?"},
        "action":{"buttons":[{"type":"reply","reply":{"id":"y","title":"Yes"}}]}}}"#,
    r#"{"to":"49","type":"template","product_policy":"STRICT","message_activity_sharing":true,
        "template":{"name":"marketing_message","language":{"code":"en"}}}"#,
];

/// What nobody would write so, and nobody refuses.
const ODD: [&str; 10] = [
    r#"{"to":34600112233,"text":{"body":"no type, and a number for a recipient"}}"#,
    r#"{"to":"49","type":null,"context":null,"text":{"body":"hi","preview_url":null}}"#,
    r#"{"to":"","recipient":"ES.9f3cA71","text":{"body":"hi"}}"#,
    r#"{"to":null,"recipient":"ES.9f3cA71","text":{"body":"hi"}}"#,
    r#"{"to":"49","type":"location","location":{"latitude":40.41680000000000001,"longitude":-3.70e0}}"#,
    r#"{"to":"49","type":"contacts","contacts":"[{\"name\":{\"formatted_name\":\"Ana\",\"first_name\":\"Ana\"}}]"}"#,
    r#"{"to":"49","type":"hologram","hologram":{"depth":[1,2.5,{"a":null}]}}"#,
    r#"{"to":"49","type":"interactive","interactive":{"type":"hologram","header":{"type":"hologram"}}}"#,
    r#"{"to":"49","type":"reaction","context":null,"reaction":{"message_id":"wamid.1","emoji":""}}"#,
    r#"{"status":"read","message_id":"wamid.1","type":"image","typing_indicator":null}"#,
];

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::new(schema).unwrap()
}

/// One of the definitions, as a schema.
fn definition(mut schema: Value, name: &str) -> Validator {
    schema["$ref"] = format!("#/$defs/{name}").into();
    validator(&schema)
}

fn requests() -> Validator {
    validator(&super::request::make_schema())
}

#[test]
fn every_operation_has_its_definition() {
    let schema = super::request::make_schema();
    let bodies = documented();
    for (operation, expected) in [
        (Operation::MESSAGE, bodies.len()..=bodies.len()),
        (Operation::MARKETING_MESSAGE, 2..=bodies.len() / 2),
        (Operation::RECEIPT, 1..=1),
    ] {
        let of_it = definition(schema.clone(), super::request::definition_of(operation));
        let valid = bodies.iter().filter(|body| of_it.is_valid(body)).count();
        assert!(expected.contains(&valid), "{operation:?}: {valid}");
    }
}

fn faults(of: &Validator, document: &Value) -> Vec<String> {
    let errors = of.iter_errors(document);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// A body of each kind that Meta documents.
fn documented() -> Vec<Value> {
    let cases = include_str!("../../../../tests/cases/messages.jsonl").lines();
    let bodies = cases.filter(|body| !body.trim().is_empty()).chain(MORE);
    bodies
        .map(|body| serde_json::from_str(body).unwrap())
        .collect()
}

#[test]
fn every_documented_body_is_valid_and_so_are_oddities() {
    let validator = requests();
    let odd = ODD.iter().map(|body| serde_json::from_str(body).unwrap());
    for body in documented().into_iter().chain(odd) {
        assert_eq!(faults(&validator, &body), [""; 0], "{body}");
    }
}

/// Meta adds members, and nobody who sends them may be refused.
#[test]
fn new_members_are_nobodys_fault() {
    let validator = requests();
    for mut body in documented() {
        add_everywhere(&mut body);
        assert_eq!(faults(&validator, &body), [""; 0], "{body}");
    }
}

fn add_everywhere(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(add_everywhere),
        Value::Object(members) => {
            members.values_mut().for_each(add_everywhere);
            members.insert("since_tomorrow".to_owned(), json!({ "a": [1] }));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn properties_and_headers_have_a_definition() {
    let validator = definition(super::request::make_schema(), "properties");
    let whole = json!({
        "message_id": "order-1", "priority": 9, "timestamp": 1_800_000_000, "type": "message", "reply_to": "answers",
        "correlation_id": "c", "content_type": "application/json", "delivery_mode": 2, "app_id": "crm",
        "headers": { "expires-at": "2027-01-15T08:00:00Z", "not-before": null, "on-unknown": "resend", "tag": ["spring", "vip"], "dedupe": 60, "x-campaign": [1], "other": {} },
    });
    assert_eq!(faults(&validator, &whole), [""; 0]);
    assert_eq!(
        faults(&validator, &json!({ "message_id": "1", "type": "" })),
        [""; 0]
    );
    for (at, wrong) in [
        ("/message_id", json!("x".repeat(129))),
        ("/message_id", json!("")),
        ("/message_id", json!(7)),
        ("/priority", json!(256)),
        ("/timestamp", json!(-1)),
        ("/type", json!("register")),
        ("/reply_to", json!("wa.dead")),
        ("/delivery_mode", json!(3)),
        ("/headers/on-unknown", json!("retry")),
        ("/headers/expires-at", json!(7)),
        ("/headers/tag", json!("x".repeat(65))),
        ("/headers/tag", json!(vec!["x"; 9])),
        ("/headers/dedupe", json!(0)),
        ("/headers/dedupe", json!(86_401)),
    ] {
        let mut properties = whole.clone();
        *properties.pointer_mut(at).unwrap() = wrong;
        assert!(!validator.is_valid(&properties), "{properties}");
    }
    assert!(!validator.is_valid(&json!({})));
}
