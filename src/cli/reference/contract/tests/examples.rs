//! The bodies that Meta itself gives as examples are valid, but for those that are not as Meta's own pages say.

use super::*;
use std::collections::BTreeMap;

const FILE: &str = include_str!("../../../../../tests/cases/meta-message-examples.jsonl");

const PLACEHOLDER: &str = "a placeholder, where a name is of small letters, digits and _";

/// Examples that are not valid: the place, and why the example is wrong and not the schema.
const WRONG: [(&str, &str, &str); 9] = [
    ("Send Flow Template Message", "/template/name", PLACEHOLDER),
    (
        "Send Message Template Interactive",
        "/template/name",
        PLACEHOLDER,
    ),
    ("Send Message Template Media", "/template/name", PLACEHOLDER),
    ("Send Message Template Text", "/template/name", PLACEHOLDER),
    (
        "Send Sample Shipping Confirmation Template",
        "/template/name",
        PLACEHOLDER,
    ),
    ("Send Sample Text Message", "/template/name", PLACEHOLDER),
    (
        "Send Multi-Product Message",
        "/interactive/header/type",
        "a placeholder, where only \"text\" may stand",
    ),
    (
        "Send Reply to List Message",
        "",
        "an interactive message without its type, which then is that of a text",
    ),
    (
        "Send Sample Issue Resolution Template",
        "/template/components/1/parameters/0/text",
        "true for a text, where a quick reply has a payload",
    ),
];

/// Those of the Cloud API's pages that stand for a whole body: a template, and a typing indicator.
const OF_PAGES: [&str; 2] = [
    r#"{"messaging_product":"whatsapp","to":"+15551230000","type":"template","biz_opaque_callback_data":"d-01J9ZK",
        "template":{"name":"pickup_ready_v3","language":{"code":"en_GB"},"components":[
        {"type":"body","parameters":[{"type":"text","parameter_name":"locker","text":"B-17"}]},
        {"type":"button","sub_type":"url","index":"0","parameters":[{"type":"text","text":"t/88412"}]}]}}"#,
    r#"{"messaging_product":"whatsapp","status":"read","message_id":"wamid.INBOUND1","typing_indicator":{"type":"text"}}"#,
];

fn examples() -> Vec<Value> {
    let lines = FILE.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(super) fn bodies() -> impl Iterator<Item = Value> {
    examples()
        .into_iter()
        .map(|mut example| example["body"].take())
}

/// The first place of each example that is not valid.
fn first_faults() -> BTreeMap<String, String> {
    let schema = super::super::request::make_schema();
    let (messages, marketing) = (validator(&schema), definition(schema, "marketing_message"));
    let examples = examples();
    assert_eq!(examples.len(), 53);
    let fault = |example: &Value| {
        let validator = match example["path"] == "messages" {
            true => &messages,
            false => &marketing,
        };
        let mut errors = validator.iter_errors(&example["body"]);
        let at = errors.next()?.instance_path().to_string();
        Some((example["name"].as_str()?.to_owned(), at))
    };
    examples.iter().filter_map(fault).collect()
}

#[test]
fn metas_own_examples_are_valid_but_for_those_that_are_wrong() {
    let expected = WRONG.map(|(name, at, _)| (name.to_owned(), at.to_owned()));
    assert_eq!(first_faults(), BTreeMap::from(expected));
}

/// Where a placeholder is all that is wrong, the example is valid with a name in its place.
#[test]
fn an_example_is_valid_once_its_placeholder_is_filled_in() {
    let validator = requests();
    let is_wrong = |name: &str| WRONG.iter().find(|(of, ..)| *of == name);
    let mut count = 0;
    for example in examples() {
        let Some((name, at, _)) = is_wrong(example["name"].as_str().unwrap()) else {
            continue;
        };
        let filled = match *at {
            "/template/name" => "a_name",
            "/interactive/header/type" => "text",
            _ => continue,
        };
        let mut body = example["body"].clone();
        *body.pointer_mut(at).unwrap() = filled.into();
        assert_eq!(faults(&validator, &body), [""; 0], "{name}");
        count += 1;
    }
    assert_eq!(count, 7);
}

#[test]
fn examples_of_pages_are_valid() {
    let validator = requests();
    for body in OF_PAGES {
        let body = serde_json::from_str(body).unwrap();
        assert_eq!(faults(&validator, &body), [""; 0], "{body}");
    }
}
