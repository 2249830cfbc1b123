use super::*;
use crate::options::{Level, NumberRules};
use crate::proof;
use serde_json::json;
use std::collections::BTreeMap;

const SECOND_US: u64 = 1_000_000;

fn world(rules: NumberRules) -> World {
    let numbers = [("111".to_owned(), rules)].into();
    World::new(&Options {
        numbers,
        keep_bodies: true,
        ..Options::default()
    })
}

/// Numbers 111 and 112 of the first WABA, 113 of the second; 111 and 113 of the app `shop`.
fn family(first: &str, second: &str) -> BTreeMap<String, NumberRules> {
    let numbers = [
        ("111", first, Some("shop")),
        ("112", first, None),
        ("113", second, Some("shop")),
    ];
    let numbers = numbers.map(|(id, waba_id, app)| {
        let rules = NumberRules {
            waba_id: waba_id.to_owned(),
            app: app.map(str::to_owned),
            ..NumberRules::default()
        };
        (id.to_owned(), rules)
    });
    numbers.into()
}

fn limited(mps: u32) -> World {
    world(NumberRules {
        mps: Some(mps),
        ..NumberRules::default()
    })
}

/// One request without arrival jitter, received and handled at `now_us`.
fn ask(
    world: &mut World,
    method: Method,
    target: &str,
    token: &str,
    body: &[u8],
    now_us: u64,
) -> Reply {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let bearer = Some(token).filter(|token| !token.is_empty());
    world.handle(
        &Request {
            method,
            path,
            query,
            bearer,
            body,
            received_us: now_us,
        },
        now_us,
    )
}

fn text_to(to: &str) -> Vec<u8> {
    let body = json!({ "messaging_product": "whatsapp", "to": to, "type": "text",
                       "text": { "body": "hi" }, "biz_opaque_callback_data": to });
    body.to_string().into_bytes()
}

fn send(world: &mut World, to: &str, now_us: u64) -> Reply {
    ask(
        world,
        Method::Post,
        "/v24.0/111/messages",
        "token",
        &text_to(to),
        now_us,
    )
}

fn post(world: &mut World, target: &str, body: &[u8]) -> Reply {
    ask(world, Method::Post, target, "t", body, 0)
}

fn alter(world: &mut World, changes: Value, now_ms: u64) {
    let change = serde_json::from_value(changes).unwrap();
    world.change_numbers(&[change], now_ms * 1_000).unwrap();
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

/// 0 is a success.
fn code(reply: &Reply) -> i64 {
    json_of(reply)["error"]["code"].as_i64().unwrap_or(0)
}

fn scripted(faults: Value) -> World {
    let script = serde_json::from_value(json!({ "faults": faults })).unwrap();
    let mut world = world(NumberRules::default());
    world.set_script(script, 0);
    world
}

#[test]
fn a_success_has_the_documented_body() {
    let mut world = limited(80);
    let reply = send(&mut world, "+34 600 11 22 33", 7);
    let body = json_of(&reply);
    assert_eq!(reply.status, 200);
    assert_eq!(body["messaging_product"], "whatsapp");
    assert_eq!(
        body["contacts"],
        json!([{ "input": "+34 600 11 22 33", "wa_id": "34600112233" }])
    );
    let page = world.ledger(0, 10);
    let entry = &page.entries[0];
    assert_eq!(body["messages"][0]["id"], entry.wamid.as_str());
    assert_eq!(
        (entry.seq, entry.at_ms, entry.recipient.as_str()),
        (1, 0.007, "34600112233")
    );
    assert_eq!(entry.opaque.as_deref(), Some("+34 600 11 22 33"));
    assert!(entry.body.as_deref().unwrap().contains("\"text\""));
}

#[test]
fn a_user_id_is_answered_as_user_id_and_a_template_with_its_status() {
    let mut world = limited(80);
    let body = json!({ "messaging_product": "whatsapp", "recipient": "ES.9f3", "type": "template",
                       "template": { "name": "otp", "language": { "code": "es" } } });
    let path = "/v24.0/111/messages";
    let reply = post(&mut world, path, body.to_string().as_bytes());
    let answer = json_of(&reply);
    assert_eq!(
        answer["contacts"],
        json!([{ "input": "ES.9f3", "user_id": "ES.9f3" }])
    );
    assert_eq!(answer["messages"][0]["message_status"], "accepted");
}

#[test]
fn the_limit_is_exact_in_every_sliding_second() {
    let mut world = limited(80);
    // A try every millisecond for ten seconds, each to another recipient.
    let sent: Vec<u64> = (0..10_000_u64)
        .filter(|ms| code(&send(&mut world, &(1_000_000 + ms).to_string(), ms * 1_000)) == 0)
        .collect();
    assert_eq!(sent.len(), 800);
    assert!(
        sent.windows(81)
            .all(|window| window[80] - window[0] >= 1_000)
    );
    let stats = &world.stats(0).numbers["111"];
    assert_eq!((stats.received, stats.accepted), (10_000, 800));
    assert_eq!(stats.rejected, [(130429, 9_200)].into());
    assert_eq!(
        (stats.max_received_per_second, stats.max_accepted_per_second),
        (1_000, 80)
    );
}

#[test]
fn refused_sends_count_only_on_request() {
    let accepted = |count_rejected| {
        let rules = NumberRules {
            mps: Some(10),
            count_rejected,
            ..NumberRules::default()
        };
        let mut world = world(rules);
        (0..3_000_u64)
            .filter(|i| code(&send(&mut world, &i.to_string(), i * 1_000)) == 0)
            .count()
    };
    assert_eq!(accepted(false), 30);
    assert_eq!(accepted(true), 10);
}

#[test]
fn what_customers_send_counts_too() {
    let rules = NumberRules {
        mps: Some(80),
        inbound_mps: 30.0,
        ..NumberRules::default()
    };
    let mut world = world(rules);
    let start_us = 5 * SECOND_US;
    let sent = (0..2_000_u64)
        .filter(|ms| code(&send(&mut world, &ms.to_string(), start_us + ms * 1_000)) == 0)
        .count();
    assert!((98..=102).contains(&sent), "{sent}");
}

#[test]
fn a_pair_is_refused_without_charging_the_number() {
    let mut world = limited(50);
    let codes: Vec<i64> = (0..60)
        .map(|_| code(&send(&mut world, "34600112233", 0)))
        .collect();
    assert!(codes[..45].iter().all(|code| *code == 0));
    assert!(codes[45..].iter().all(|code| *code == 131056));
    // Five more fit into the second, to anybody else.
    let others = (0..10).filter(|i| code(&send(&mut world, &format!("4{i}"), 1)) == 0);
    assert_eq!(others.count(), 5);
    // After the burst one per 6 s, whichever way the number is written.
    assert_eq!(
        code(&send(&mut world, "34600112233", 6 * SECOND_US - 1)),
        131056
    );
    assert_eq!(code(&send(&mut world, "+34 600112233", 6 * SECOND_US)), 0);
    assert_eq!(
        code(&send(&mut world, "34600112233", 6 * SECOND_US + 1)),
        131056
    );
}

#[test]
fn unlimited_means_neither_limit() {
    let mut world = world(NumberRules {
        unlimited: true,
        ..NumberRules::default()
    });
    assert!((0..5_000).all(|_| code(&send(&mut world, "34600112233", 0)) == 0));
    assert_eq!(world.stats(0).numbers["111"].max_accepted_per_second, 5_000);
}

#[test]
fn levels_change_while_it_runs() {
    let mut world = world(NumberRules::default());
    let change = json!({ "phone_number_id": "111", "level": "HIGH" });
    alter(&mut world, change, 0);
    assert_eq!(world.rules_of("111").level, Level::High);
    let sent = (0..2_000)
        .filter(|i| code(&send(&mut world, &i.to_string(), 0)) == 0)
        .count();
    assert_eq!(sent, 1_000);
    let wrong = json!({ "phone_number_id": "111", "levle": "HIGH" });
    assert!(
        world
            .change_numbers(&[serde_json::from_value(wrong).unwrap()], 0)
            .is_err()
    );
}

#[test]
fn tokens_are_checked_before_anything_else() {
    let token = |token: &str, state, numbers: Option<&str>| Token {
        token: token.to_owned(),
        state,
        numbers: numbers.map(|number| vec![number.to_owned()]),
        expires_at: None,
        app_id: None,
    };
    let mut world = World::new(&Options {
        numbers: [("111".to_owned(), NumberRules::default())].into(),
        tokens: vec![
            token("good", TokenState::Valid, Some("111")),
            token("elsewhere", TokenState::Valid, Some("222")),
            token("old", TokenState::Expired, None),
        ],
        ..Options::default()
    });
    for (bearer, status, wanted, subcode) in [
        ("good", 200, 0, None),
        ("elsewhere", 400, 100, Some(33)),
        ("old", 401, 190, Some(463)),
        ("never seen", 401, 190, None),
        ("", 401, 190, None),
    ] {
        let path = "/v24.0/111/messages";
        let reply = ask(&mut world, Method::Post, path, bearer, &text_to("1"), 0);
        assert_eq!((reply.status, code(&reply)), (status, wanted), "{bearer}");
        assert_eq!(
            json_of(&reply)["error"]["error_subcode"].as_i64(),
            subcode,
            "{bearer}"
        );
    }
    world.set_tokens(vec![token("good", TokenState::Expired, None)]);
    let expired = ask(&mut world, Method::Get, "/v24.0/111", "good", b"", 0);
    assert_eq!((expired.status, code(&expired)), (401, 190));
    world.set_tokens(vec![token("good", TokenState::Valid, None)]);
    let valid = ask(&mut world, Method::Get, "/v24.0/111", "good", b"", 0);
    assert_eq!((valid.status, code(&valid)), (200, 0));
    let elsewhere = ask(&mut world, Method::Get, "/v24.0/999", "good", b"", 0);
    assert_eq!((elsewhere.status, code(&elsewhere)), (400, 100));
}

#[test]
fn an_app_with_a_secret_wants_the_proof() {
    let rules = NumberRules {
        app: Some("shop".to_owned()),
        ..NumberRules::default()
    };
    let mut world = World::new(&Options {
        numbers: [("111".to_owned(), rules)].into(),
        apps: [("shop".to_owned(), "Jefe".to_owned())].into(),
        ..Options::default()
    });
    let token = "what do ya want for nothing?";
    let right = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert!(proof::holds("Jefe", token, right));
    for (query, wanted) in [
        (String::new(), 100),
        ("?appsecret_proof=00".to_owned(), 100),
        (format!("?appsecret_proof={right}"), 0),
    ] {
        let target = format!("/v24.0/111/messages{query}");
        let reply = ask(&mut world, Method::Post, &target, token, &text_to("1"), 0);
        assert_eq!(code(&reply), wanted, "{query}");
    }
}

#[test]
fn unknown_numbers_and_paths_are_the_generic_errors() {
    let mut world = limited(80);
    let unknown = post(&mut world, "/v24.0/999/messages", &text_to("1"));
    assert_eq!((unknown.status, code(&unknown)), (400, 100));
    assert_eq!(json_of(&unknown)["error"]["error_subcode"], 33);
    for path in [
        "/111/messages",
        "/v24/111/messages",
        "/v24.0/111/massages",
        "/v24.0/abc/messages",
    ] {
        let reply = ask(&mut world, Method::Post, path, "t", &text_to("1"), 0);
        assert_eq!((reply.status, code(&reply)), (400, 2500), "{path}");
    }
    assert_eq!(world.stats(0).strays, 5);
}

#[test]
fn a_read_is_a_success_and_no_send() {
    let mut world = limited(0);
    let body = br#"{"messaging_product":"whatsapp","status":"read","message_id":"wamid.IN1"}"#;
    let reply = post(&mut world, "/v24.0/111/messages", body);
    assert_eq!(reply.body, br#"{"success":true}"#);
    let stats = &world.stats(0).numbers["111"];
    assert_eq!((stats.reads, stats.received, stats.accepted), (1, 0, 0));
}

#[test]
fn a_blocked_number_refuses_until_it_is_unblocked() {
    let mut world = world(NumberRules {
        blocked_code: Some(131031),
        ..NumberRules::default()
    });
    let refused = send(&mut world, "1", 0);
    assert_eq!((refused.status, code(&refused)), (403, 131031));
    let change = json!({ "phone_number_id": "*", "blocked_code": null });
    alter(&mut world, change, 0);
    assert_eq!(code(&send(&mut world, "1", 0)), 0);
}

#[test]
fn latency_counts_from_the_receipt_and_arrivals_spread() {
    let rules = NumberRules {
        latency_ms: 100,
        arrival_jitter_ms: 12,
        ..NumberRules::default()
    };
    let mut world = world(rules);
    let path = "/v24.0/111/messages";
    let arrivals: Vec<u64> = (0..1_000)
        .map(|_| world.arrival_us(Method::Post, path, 0))
        .collect();
    assert!(arrivals.iter().all(|arrival_us| *arrival_us <= 24_000));
    assert!(arrivals.iter().any(|arrival_us| *arrival_us < 1_000));
    assert!(arrivals.iter().any(|arrival_us| *arrival_us > 23_000));
    let body = text_to("1");
    let request = Request {
        method: Method::Post,
        path,
        query: "",
        bearer: Some("t"),
        body: &body,
        received_us: 0,
    };
    assert_eq!(world.handle(&request, 24_000).answer_at_us, 100_000);
}

#[test]
fn the_same_seed_gives_the_same_answers() {
    let run = |seed| {
        let mut world = World::new(&Options {
            seed,
            ..Options::default()
        });
        let mut bodies = vec![
            world
                .arrival_us(Method::Post, "/v24.0/111/messages", 0)
                .to_string()
                .into_bytes(),
        ];
        bodies.extend((0..100).map(|i| send(&mut world, "34600112233", i).body));
        bodies
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn faults_keep_the_ledger_honest() {
    // What the client sees, and whether the message is in the ledger.
    for (action, ending, status, in_ledger) in [
        (
            json!({ "kind": "error", "code": 131000 }),
            Ending::Answer,
            500,
            false,
        ),
        (
            json!({ "kind": "http", "status": 502, "body": "<html>" }),
            Ending::Answer,
            502,
            false,
        ),
        (
            json!({ "kind": "slow", "ms": 5 }),
            Ending::Answer,
            200,
            true,
        ),
        (
            json!({ "kind": "truncate", "keep_bytes": 10 }),
            Ending::Answer,
            200,
            true,
        ),
        (
            json!({ "kind": "truncate", "keep_bytes": 10, "close": true }),
            Ending::Cut { bytes: 10 },
            200,
            true,
        ),
        (
            json!({ "kind": "huge_body", "bytes": 100_000 }),
            Ending::Answer,
            200,
            true,
        ),
        (
            json!({ "kind": "trickle", "ms": 7 }),
            Ending::Trickle { over_ms: 7 },
            200,
            true,
        ),
        (json!({ "kind": "reset_before" }), Ending::Reset, 200, false),
        (json!({ "kind": "reset_after" }), Ending::Reset, 200, true),
        (json!({ "kind": "hang" }), Ending::Hang, 200, false),
        (
            json!({ "kind": "success_with_error", "code": 131026 }),
            Ending::Answer,
            200,
            false,
        ),
    ] {
        for accepted in [None, Some(true), Some(false)] {
            let mut world = scripted(json!([{ "action": action, "accepted": accepted }]));
            let reply = send(&mut world, "1", 0);
            assert_eq!((reply.ending, reply.status), (ending, status), "{action}");
            let entries = world.ledger(0, 10).entries.len();
            assert_eq!(
                entries == 1,
                accepted.unwrap_or(in_ledger),
                "{action} {accepted:?}"
            );
        }
    }
}

#[test]
fn faults_shape_the_answer() {
    let mut world = scripted(json!([
        { "match": { "recipient": "1" }, "action": { "kind": "slow", "ms": 5 }, "delay_ms": 2 },
        { "match": { "recipient": "2" }, "action": { "kind": "huge_body", "bytes": 100_000 } },
        { "match": { "recipient": "3" }, "action": { "kind": "truncate" } },
        { "match": { "recipient": "4" },
          "action": { "kind": "error", "code": 4, "status": 429, "subcode": 9, "details": "slow down" },
          "headers": { "retry-after": "7" } },
        { "match": { "template": "gone" }, "action": { "kind": "error", "code": 132001 } }
    ]));
    assert_eq!(send(&mut world, "1", 0).answer_at_us, 7_000);
    let huge = send(&mut world, "2", 0);
    assert_eq!(huge.body_bytes(), 100_000);
    assert!(json_of(&huge)["messages"][0]["id"].is_string());
    assert!(serde_json::from_slice::<Value>(&send(&mut world, "3", 0).body).is_err());
    let error = send(&mut world, "4", 0);
    assert_eq!((error.status, code(&error)), (429, 4));
    assert_eq!(
        json_of(&error)["error"]["error_data"]["details"],
        "slow down"
    );
    assert!(
        error
            .headers
            .contains(&("retry-after".into(), "7".to_owned()))
    );
    let body = json!({ "messaging_product": "whatsapp", "to": "5", "type": "template",
                       "template": { "name": "gone", "language": { "code": "es" } } });
    let path = "/v24.0/111/messages";
    let gone = post(&mut world, path, body.to_string().as_bytes());
    assert_eq!((gone.status, code(&gone)), (404, 132001));
    assert_eq!(world.stats(0).struck, [1, 1, 1, 1, 1]);
}

#[test]
fn a_reset_goes_back_to_the_options_and_keeps_ids_unique() {
    let mut world = limited(1);
    let first = json_of(&send(&mut world, "1", 0));
    world.set_rules(
        "111",
        NumberRules {
            blocked_code: Some(3),
            ..NumberRules::default()
        },
        0,
    );
    world.reset(1);
    assert_eq!(world.accepted(), 0);
    let second = json_of(&send(&mut world, "1", 1));
    assert!(second["messages"][0]["id"].is_string());
    assert_ne!(first["messages"], second["messages"]);
}

#[test]
fn usage_and_retry_headers_come_on_request() {
    let numbers = [(
        "111".to_owned(),
        NumberRules {
            mps: Some(2),
            ..NumberRules::default()
        },
    )];
    let mut world = World::new(&Options {
        numbers: numbers.into(),
        usage_headers: true,
        retry_after_s: Some(1),
        ..Options::default()
    });
    let header = |reply: &Reply, name: &str| {
        reply
            .headers
            .iter()
            .find(|header| header.0 == name)
            .map(|header| header.1.clone())
    };
    let first = send(&mut world, "1", 0);
    assert!(
        header(&first, "x-business-use-case-usage")
            .unwrap()
            .contains("\"call_count\":50,")
    );
    assert_eq!(header(&first, "retry-after"), None);
    send(&mut world, "2", 0);
    assert_eq!(
        header(&send(&mut world, "3", 0), "retry-after").as_deref(),
        Some("1")
    );
}

mod headers;
mod inbound;
mod pair;
mod reads;
mod standing;
mod token;
mod whose;
