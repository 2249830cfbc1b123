use super::*;
use crate::core::operation::forms::{MESSAGE, RECEIPT};
use serde_json::json;

fn check_form(form: &Form, body: &Value, expected: &[&str]) {
    let found = find_deviations(form, body, false, 50);
    let told: Vec<String> = found.iter().map(Fault::to_string).collect();
    assert_eq!(told, expected, "{body}");
}

fn check(body: &Value, expected: &[&str]) {
    check_form(&MESSAGE, body, expected);
}

/// An interactive message of this kind.
fn interactive(kind: &str, action: &Value) -> Value {
    let interactive = json!({ "type": kind, "body": { "text": "?" }, "action": action });
    json!({ "to": "49", "type": "interactive", "interactive": interactive })
}

#[test]
fn a_body_as_documented_has_none() {
    check(&json!({ "to": "49", "text": { "body": "hi" } }), &[]);
    check(
        &json!({ "recipient": "ES.9f3cA71", "text": { "body": "hi" }, "context": null }),
        &[],
    );
    check(
        &json!({ "to": "49", "type": "hologram", "hologram": 7 }),
        &[],
    );
    check_form(
        &RECEIPT,
        &json!({ "status": "read", "message_id": "wamid.1" }),
        &[],
    );
}

#[test]
fn what_is_missing_is_named_once_where_it_begins() {
    check(
        &json!({ "to": "49", "type": "image" }),
        &["/image is required"],
    );
    check(
        &interactive("cta_url", &json!(null)),
        &["/interactive/action is required"],
    );
    let buttons = json!({ "buttons": [{ "type": "reply" }, null, { "type": "reply", "reply": { "id": "y", "title": "Yes" } }] });
    check(
        &interactive("button", &buttons),
        &[
            "/interactive/action/buttons/1 must be an object",
            "/interactive/action/buttons/0/reply is required",
        ],
    );
}

#[test]
fn what_is_of_the_wrong_type_is_named_with_what_it_must_be() {
    check(
        &json!({ "to": true, "type": "text", "text": "hi" }),
        &["/to must be a string", "/text must be an object"],
    );
    let link = json!({ "id": "1", "link": "https://cdn.example/1" });
    check(
        &json!({ "to": "49", "type": "image", "image": link }),
        &[r#"/image needs exactly one of ["id", "link"]"#],
    );
    let voice = json!({ "name": "call", "parameters": { "ttl_minutes": 43_201 } });
    check(
        &interactive("voice_call", &voice),
        &[
            r#"/interactive/action/name must be one of ["voice_call"]"#,
            "/interactive/action/parameters/ttl_minutes must be a whole number from 1 to 43200",
        ],
    );
    let template = json!({ "name": "Otp v2", "language": { "code": "en" }, "components": {} });
    check(
        &json!({ "to": "49", "type": "template", "template": template }),
        &[
            "/template/name must match ^[a-z0-9_]+$",
            "/template/components must be an array",
        ],
    );
    let rows = json!([{ "rows": vec![json!({ "id": "1", "title": "a" }); 11] }]);
    check(
        &interactive("list", &json!({ "button": "Open", "sections": rows })),
        &[
            "/interactive/action/sections/0/rows has more elements than the API takes (limit 10, length 11)",
        ],
    );
}

#[test]
fn an_id_of_a_person_may_stand_in_to_where_the_operator_says_so() {
    let body = json!({ "to": "ES.9f3cA71", "text": { "body": "hi" } });
    check(&body, &[&format!("/to {IS_USER_ID}")]);
    assert_eq!(find_deviations(&MESSAGE, &body, true, 50), []);
}

/// A body may be wrong in as many places as it has bytes.
#[test]
fn so_many_are_found_and_no_more() {
    let buttons = vec![json!({}); 1_000];
    let body = interactive("button", &json!({ "buttons": buttons }));
    assert_eq!(find_deviations(&MESSAGE, &body, false, 8).len(), 8);
}

#[test]
fn a_place_has_no_index_and_an_end() {
    for (pointer, expected) in [
        ("", "/"),
        ("/to", "/to"),
        (
            "/interactive/action/buttons/2/reply/title",
            "/interactive/action/buttons/*/reply/title",
        ),
        (
            "/template/components/0/cards/12/components/1/cards",
            "/template/components/*/cards/*/components",
        ),
    ] {
        assert_eq!(place_of(pointer), expected);
    }
}
