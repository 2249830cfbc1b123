//! Reads of what the API knows of numbers, tokens and templates.

use super::*;
use crate::operations::Template;

fn get(world: &mut World, target: &str, bearer: &str) -> Reply {
    ask(world, Method::Get, target, bearer, b"", 0)
}

fn token(name: &str, state: TokenState, numbers: &[&str]) -> Token {
    let numbers = numbers.iter().map(|number| (*number).to_owned()).collect();
    Token {
        token: name.to_owned(),
        state,
        numbers: Some(numbers).filter(|numbers: &Vec<String>| !numbers.is_empty()),
        expires_at: None,
        app_id: None,
    }
}

fn options() -> Options {
    Options {
        numbers: family("900", "901"),
        tokens: vec![
            token("all", TokenState::Valid, &[]),
            token("both", TokenState::Valid, &["113", "111"]),
            token("second", TokenState::Valid, &["113", "999"]),
            token("expired", TokenState::Expired, &[]),
            token("revoked", TokenState::Revoked, &[]),
        ],
        templates: vec![
            Template::new("900", "otp_v2", "APPROVED"),
            Template::new("901", "other", "PENDING"),
        ],
        ..Options::default()
    }
}

#[test]
fn what_is_said_of_a_number_changes_while_it_runs() {
    let mut world = world(NumberRules::default());
    let fields = "quality_rating,status,whatsapp_business_manager_messaging_limit";
    let target = format!("/v24.0/111?fields={fields},messaging_limit_tier");
    let told = |quality: &str, status: &str, limit: &str| {
        json!({ "quality_rating": quality, "status": status, "id": "111",
                "whatsapp_business_manager_messaging_limit": limit,
                "messaging_limit_tier": "TIER_UNLIMITED" })
    };
    let first = json_of(&get(&mut world, &target, "t"));
    assert_eq!(first, told("GREEN", "CONNECTED", "TIER_UNLIMITED"));
    let change = json!({ "phone_number_id": "111", "quality_rating": "RED",
                         "status": "FLAGGED", "messaging_limit": "TIER_2K" });
    alter(&mut world, change, 0);
    let second = json_of(&get(&mut world, &target, "t"));
    assert_eq!(second, told("RED", "FLAGGED", "TIER_2K"));
    assert_eq!(code(&send(&mut world, "1", 0)), 0, "only told");
}

#[test]
fn a_token_is_described() {
    let mut world = World::new(&options());
    let answer = get(&mut world, "/v24.0/debug_token?input_token=all", "both");
    let mut wanted = json!({ "data": {
        "app_id": "100000000000003", "type": "SYSTEM_USER", "application": "shop",
        "is_valid": true, "expires_at": 0, "data_access_expires_at": 0,
        "issued_at": 1_700_000_000,
        "scopes": ["whatsapp_business_management", "whatsapp_business_messaging"],
        "granular_scopes": [{ "scope": "whatsapp_business_management" },
                            { "scope": "whatsapp_business_messaging" }],
        "user_id": "100000000000004",
    } });
    assert_eq!((answer.status, json_of(&answer)), (200, wanted.clone()));
    let expires_at = 1_767_139_200_u64;
    world.set_tokens(vec![Token {
        expires_at: Some(expires_at),
        ..token("both", TokenState::Valid, &[])
    }]);
    // What is left out, numbers or expiry, stays.
    world.set_tokens(vec![token("both", TokenState::Valid, &[])]);
    let target = "/v24.0/debug_token?input_token=both";
    let answer = json_of(&get(&mut world, target, "all"));
    let data = &mut wanted["data"];
    data["expires_at"] = expires_at.into();
    data["issued_at"] = (expires_at - 60 * 86_400).into();
    for scope in [0, 1] {
        data["granular_scopes"][scope]["target_ids"] = json!(["900", "901"]);
    }
    assert_eq!(answer, wanted);
    world.set_tokens(vec![Token {
        expires_at: Some(0),
        ..token("both", TokenState::Valid, &[])
    }]);
    assert_eq!(
        json_of(&get(&mut world, target, "all"))["data"]["expires_at"],
        0
    );
}

#[test]
fn tokens_that_are_not_listed_expire_too() {
    let mut world = world(NumberRules::default());
    world.set_tokens(vec![Token {
        expires_at: Some(7),
        ..token("*", TokenState::Valid, &[])
    }]);
    let target = "/v24.0/debug_token?input_token=t";
    let data = json_of(&get(&mut world, target, "t"))["data"].clone();
    assert_eq!(
        (&data["expires_at"], &data["issued_at"]),
        (&json!(7), &json!(0))
    );
    assert_eq!(data["application"], "Simulated");
    world.reset(0);
    assert_eq!(
        json_of(&get(&mut world, target, "t"))["data"]["expires_at"],
        0
    );
}

#[test]
fn a_token_that_is_not_accepted_is_told_with_200_and_a_wrong_question_is_not() {
    let mut world = World::new(&options());
    for (input, subcode) in [
        ("expired", Some(463)),
        ("revoked", Some(460)),
        ("never%20seen", None),
    ] {
        let target = format!("/v24.0/debug_token?input_token={input}");
        let answer = get(&mut world, &target, "all");
        let mut data = json_of(&answer)["data"].clone();
        assert!(data["error"]["message"].take().is_string(), "{input}");
        let mut error = json!({ "code": 190, "message": null });
        if let Some(subcode) = subcode {
            error["subcode"] = subcode.into();
        }
        let wanted = json!({ "error": error, "is_valid": false, "scopes": [] });
        assert_eq!((answer.status, data), (200, wanted), "{input}");
    }
    for (bearer, query, wanted) in [
        ("all", "", (400, 100)),
        ("all", "?input_token=", (400, 100)),
        ("", "?input_token=all", (401, 190)),
        ("never seen", "?input_token=all", (401, 190)),
        ("expired", "?input_token=expired", (401, 190)),
    ] {
        let target = format!("/v24.0/debug_token{query}");
        let answer = get(&mut world, &target, bearer);
        assert_eq!((answer.status, code(&answer)), wanted, "{bearer} {query}");
    }
    let posted = ask(
        &mut world,
        Method::Post,
        "/v24.0/debug_token",
        "all",
        b"",
        0,
    );
    assert_eq!(code(&posted), 2500);
}

#[test]
fn templates_are_those_of_a_waba_that_the_token_sees() {
    let mut world = World::new(&options());
    let templates = |waba: &str| format!("/v24.0/{waba}/message_templates?fields=name,status");
    let answer = json_of(&get(&mut world, &templates("900"), "all"));
    let row = json!([{ "name": "otp_v2", "status": "APPROVED", "id": "700000000000001" }]);
    assert_eq!(answer["data"], row);
    assert_eq!(answer["paging"]["next"], Value::Null);
    for (bearer, waba, wanted, subcode) in [
        ("second", "901", (200, 0), None),
        ("second", "900", (400, 100), Some(33)),
        ("all", "902", (400, 100), Some(33)),
        ("all", "111", (400, 100), Some(33)),
        ("never seen", "900", (401, 190), None),
        ("never seen", "902", (401, 190), None),
        ("expired", "900", (401, 190), Some(463)),
        ("", "900", (401, 190), None),
    ] {
        let answer = get(&mut world, &templates(waba), bearer);
        assert_eq!((answer.status, code(&answer)), wanted, "{bearer} {waba}");
        let error = &json_of(&answer)["error"];
        assert_eq!(error["error_subcode"].as_i64(), subcode, "{bearer} {waba}");
    }
    let row = |world: &mut World| json_of(&get(world, &templates("900"), "all"))["data"].clone();
    world.set_templates(vec![Template::new("900", "otp_v2", "PAUSED")]);
    assert_eq!(row(&mut world)[0]["status"], "PAUSED");
    world.reset(0);
    assert_eq!(row(&mut world)[0]["status"], "APPROVED");
}

#[test]
fn next_is_a_link_to_where_the_simulator_is() {
    let mut options = options();
    options.templates.push(Template::new("900", "b", "PAUSED"));
    let mut world = World::new(&options);
    let target = "/v24.0/900/message_templates?limit=1";
    let next = |world: &mut World| {
        let page = json_of(&get(world, target, "all"));
        page["paging"]["next"].as_str().unwrap().to_owned()
    };
    let link = "/v24.0/900/message_templates?access_token=all&limit=1&after=";
    assert!(next(&mut world).starts_with(&format!("https://graph.facebook.com{link}")));
    world.set_base_url("http://127.0.0.1:8090");
    world.reset(0);
    assert!(next(&mut world).starts_with(&format!("http://127.0.0.1:8090{link}")));
}

#[test]
fn the_proof_is_that_of_the_numbers_app() {
    let mut options = options();
    options.apps = [("shop".to_owned(), "Jefe".to_owned())].into();
    let bearer = "what do ya want for nothing?";
    let right = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let listed = |numbers: &[&str]| vec![token(bearer, TokenState::Valid, numbers)];
    let mut world = World::new(&options);
    let debug = "debug_token?input_token=all&";
    // 112 is of no app: nobody can say whose proof would be meant.
    for (numbers, target, is_wanted) in [
        (&["111", "113"][..], debug, true),
        (&["111", "113"], "900/message_templates?", true),
        (&["111", "112", "113"], debug, false),
        (&["111", "112", "113"], "900/message_templates?", false),
        (&["111", "112", "113"], "901/message_templates?", true),
        (&["112"], debug, false),
        (&["999"], debug, false),
    ] {
        world.set_tokens(listed(numbers));
        for (given, is_right) in [("", false), ("00", false), (right, true)] {
            let target = match given {
                "" => format!("/v24.0/{target}"),
                given => format!("/v24.0/{target}appsecret_proof={given}"),
            };
            let wanted = if is_right || !is_wanted { 0 } else { 100 };
            let answer = get(&mut world, &target, bearer);
            assert_eq!(code(&answer), wanted, "{numbers:?} {target}");
        }
    }
}

#[test]
fn faults_strike_these_reads_too() {
    let mut world = World::new(&options());
    let script = json!({ "faults": [
        { "match": { "on": "any", "phone_number_id": "111" }, "action": { "kind": "hang" } },
        { "match": { "on": "templates", "times": 1 }, "action": { "kind": "error", "code": 80008 } },
        { "match": { "on": "token", "times": 1 },
          "action": { "kind": "http", "status": 502, "body": "<html>" } },
        { "match": { "on": "get", "token_prefix": "al" }, "action": { "kind": "slow", "ms": 5 } }
    ] });
    world.set_script(serde_json::from_value(script).unwrap(), 0);
    let templates = "/v24.0/900/message_templates";
    let limited = get(&mut world, templates, "all");
    assert_eq!((limited.status, code(&limited)), (400, 80008));
    assert_eq!(get(&mut world, templates, "all").answer_at_us, 5_000);
    let debug = "/v24.0/debug_token?input_token=all";
    assert_eq!(get(&mut world, debug, "all").status, 502);
    assert_eq!(get(&mut world, debug, "all").answer_at_us, 5_000);
    assert_eq!(get(&mut world, debug, "both").answer_at_us, 0);
    assert_eq!(world.stats(0).struck, [0, 1, 1, 2]);
}

#[test]
fn reads_are_counted_apart_from_sends_and_add_no_number() {
    let mut world = World::new(&Options::default());
    let waba_id = NumberRules::default().waba_id;
    let templates = format!("/v24.0/{waba_id}/message_templates");
    let listed = json_of(&get(&mut world, &templates, "t"));
    assert_eq!(listed, json!({ "data": [] }));
    for (target, bearer) in [
        (templates.as_str(), ""),
        ("/v24.0/debug_token?input_token=t", "t"),
        ("/v24.0/debug_token", "t"),
        ("/v24.0/900/message_templates", "t"),
    ] {
        world.enter(Method::Get, target);
        get(&mut world, target, bearer);
        assert_eq!(world.stats(0).in_flight.now, 1);
        world.leave(Method::Get, target);
    }
    let stats = world.stats(0);
    assert_eq!(stats.template_gets, [(waba_id, 2)].into());
    assert_eq!((stats.token_gets, stats.strays), (2, 1));
    assert!(stats.numbers.is_empty());
    assert!(world.numbers.is_empty());
    assert_eq!(world.accepted(), 0);
    world.reset(0);
    let stats = world.stats(0);
    assert_eq!((stats.template_gets.len(), stats.token_gets), (0, 0));
}
