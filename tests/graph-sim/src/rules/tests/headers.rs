//! What the headers of answers say.

use super::*;
use crate::options::Usage;

const BUSINESS: &str = "x-business-use-case-usage";
const APP: &str = "x-app-usage";

fn header(reply: &Reply, name: &str) -> Option<Value> {
    let header = reply.headers.iter().find(|header| header.0 == name)?;
    Some(serde_json::from_str(&header.1).unwrap())
}

fn business(percent: u32, regain_minutes: u32) -> Value {
    json!({ "100000000000001": [{
        "type": "whatsapp", "call_count": percent, "total_cputime": 1, "total_time": 1,
        "estimated_time_to_regain_access": regain_minutes,
    }] })
}

fn app(percent: u32) -> Value {
    json!({ "call_count": percent, "total_cputime": 1, "total_time": 1 })
}

#[test]
fn usage_is_what_is_set_or_what_the_throughput_uses() {
    let full = json!({ "business_percent": 95, "regain_minutes": 5, "app_percent": 40 });
    // The usage set, `usage_headers`, and the two headers.
    for (usage, derived, wanted_business, wanted_app) in [
        (json!(null), false, None, None),
        (json!(null), true, Some(business(50, 0)), None),
        (json!({}), true, Some(business(50, 0)), None),
        (
            json!({ "business_percent": 0 }),
            false,
            Some(business(0, 0)),
            None,
        ),
        (
            json!({ "business_percent": 99 }),
            true,
            Some(business(99, 0)),
            None,
        ),
        (json!({ "app_percent": 100 }), false, None, Some(app(100))),
        (
            json!({ "app_percent": 7 }),
            true,
            Some(business(50, 0)),
            Some(app(7)),
        ),
        (full, false, Some(business(95, 5)), Some(app(40))),
    ] {
        let rules = json!({ "mps": 2, "usage": usage });
        let rules = serde_json::from_value(rules).unwrap();
        let mut world = World::new(&Options {
            numbers: [("111".to_owned(), rules)].into(),
            usage_headers: derived,
            ..Options::default()
        });
        let reply = send(&mut world, "1", 0);
        assert_eq!(
            header(&reply, BUSINESS),
            wanted_business,
            "{usage} {derived}"
        );
        assert_eq!(header(&reply, APP), wanted_app, "{usage} {derived}");
    }
}

#[test]
fn every_answer_of_the_number_carries_its_usage() {
    let mut world = world(NumberRules {
        mps: Some(1),
        usage: Some(Usage {
            business_percent: Some(80),
            regain_minutes: 0,
            app_percent: Some(81),
        }),
        ..NumberRules::default()
    });
    let script = json!({ "faults": [
        { "match": { "recipient": "7" }, "action": { "kind": "error", "code": 131000 } },
        { "match": { "recipient": "8" }, "action": { "kind": "http", "status": 502, "body": "" } }
    ] });
    world.set_script(serde_json::from_value(script).unwrap(), 0);
    let path = "/v24.0/111/messages";
    let replies = [
        (200, send(&mut world, "1", 0)),
        (400, send(&mut world, "2", 0)),
        (500, send(&mut world, "7", 0)),
        (502, send(&mut world, "8", 0)),
        (400, ask(&mut world, Method::Post, path, "t", b"{}", 0)),
        (
            401,
            ask(&mut world, Method::Post, path, "", &text_to("1"), 0),
        ),
        (200, ask(&mut world, Method::Get, "/v24.0/111", "t", b"", 0)),
    ];
    for (status, reply) in &replies {
        assert_eq!(reply.status, *status);
        assert_eq!(header(reply, BUSINESS), Some(business(80, 0)), "{status}");
        assert_eq!(header(reply, APP), Some(app(81)), "{status}");
    }
    let elsewhere = ask(&mut world, Method::Get, "/v24.0/999", "t", b"", 0);
    assert_eq!(header(&elsewhere, BUSINESS), None);
}

#[test]
fn usage_is_set_as_a_whole_and_taken_away_while_it_runs() {
    let mut world = world(NumberRules::default());
    let mut after = |usage: Value| {
        let change = json!({ "phone_number_id": "111", "usage": usage });
        let change = serde_json::from_value(change).unwrap();
        world.change_numbers(&[change], 0).map(|()| {
            let reply = send(&mut world, "1", 0);
            (header(&reply, BUSINESS), header(&reply, APP))
        })
    };
    let both = json!({ "business_percent": 100, "regain_minutes": 3, "app_percent": 4 });
    assert_eq!(after(both), Ok((Some(business(100, 3)), Some(app(4)))));
    let business_only = json!({ "business_percent": 90 });
    assert_eq!(after(business_only), Ok((Some(business(90, 0)), None)));
    assert_eq!(after(json!(null)), Ok((None, None)));
    assert!(after(json!({ "percent": 90 })).is_err());
}
