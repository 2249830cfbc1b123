use super::*;
use crate::options::NumberRules;
use crate::request::Request;

/// A call as the rules make it.
pub(super) fn call<'a>(
    method: Method,
    of: Of,
    id: &'a str,
    edge: &'a str,
    query: &'a str,
    body: &'a str,
) -> Call<'a> {
    let request = Request {
        method,
        path: "",
        query,
        bearer: None,
        body: body.as_bytes(),
        received_us: 0,
    };
    Call {
        method,
        of,
        id,
        owner: id.to_owned(),
        edge,
        given: parameters(&request),
        file: file(&request),
        query,
        rules: NumberRules::default(),
        numbers: vec![],
        link: String::new(),
        token: "t",
    }
}

fn perform(
    operations: &mut Operations,
    method: Method,
    id: &str,
    edge: &str,
    body: &Value,
) -> Result<(u16, Value), i64> {
    let body = body.to_string();
    let of = place(method, edge).unwrap();
    let told = operations.perform(&call(method, of, id, edge, "", &body));
    told.map_err(|error| error.code)
}

#[test]
fn a_later_read_shows_what_was_done() {
    let mut operations = Operations::default();
    operations.set_strangers(["2".to_owned()].into());
    let mut perform = |method, edge: &str, body: Value| {
        perform(&mut operations, method, "111", edge, &body).unwrap()
    };
    let users = |users: &[&str]| {
        let users: Vec<Value> = users.iter().map(|user| json!({ "user": user })).collect();
        json!({ "messaging_product": "whatsapp", "block_users": users })
    };
    let (status, answer) = perform(Method::Post, "block_users", users(&["1", "2", "3"]));
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(139_100)));
    assert_eq!(answer["block_users"]["failed_users"][0]["input"], "2");
    let (status, _) = perform(Method::Delete, "block_users", users(&["3"]));
    assert_eq!(status, 200);
    let (_, listed) = perform(Method::Get, "block_users", json!({}));
    assert_eq!(listed["data"][0]["wa_id"], "1");
    let about = json!({ "messaging_product": "whatsapp", "about": "open" });
    perform(Method::Post, "whatsapp_business_profile", about);
    let (_, profile) = perform(Method::Get, "whatsapp_business_profile", json!({}));
    assert_eq!(profile["data"][0]["about"], "open");
    assert_eq!(operations.done()["POST block_users"], 1);
}

#[test]
fn what_is_missing_is_said() {
    let mut operations = Operations::default();
    for body in [
        json!({}),
        json!({ "messaging_product": "whatsapp" }),
        json!({ "messaging_product": "whatsapp", "block_users": [] }),
    ] {
        let refused = perform(&mut operations, Method::Post, "111", "block_users", &body);
        assert_eq!(refused, Err(100), "{body}");
    }
}

#[test]
fn no_two_rows_answer_the_same_request() {
    let mut seen = vec![];
    for row in all_rows() {
        let request = (row.method, format!("{:?}", row.of), row.edge);
        assert!(!seen.contains(&request), "{request:?}");
        seen.push(request);
    }
}
