//! Every rule refuses, readably.

use super::*;
use crate::contract::words::{Class, Scope};

#[test]
fn numbers_out_of_range_name_the_key_the_range_and_the_unit() {
    check(
        "broker",
        "heartbeat_s = 3",
        "broker.heartbeat_s: 3 is not allowed; must be a whole number from 5 to 60 s",
    );
    check(
        "pacing",
        "utilization = 1.5",
        "pacing.utilization: 1.5 is not allowed; must be a number from 0.1 to 1.0",
    );
    check(
        "pacing",
        "utilization = nan",
        "pacing.utilization: NaN is not allowed; must be a number from 0.1 to 1.0",
    );
    check(
        "pacing",
        "bulk_every = -1",
        "pacing.bulk_every: -1 is not allowed; must be a whole number from 2 to 1000",
    );
    check(
        "intake",
        "max_body_bytes = 99999999999",
        "intake.max_body_bytes: 99999999999 is not allowed; must be a whole number from 1024 to 16777216 bytes",
    );
    // A whole number for a share.
    let low = load("[pacing]\nutilization = 0.1\nburst_ms = 100");
    assert_eq!(low.pacing.utilization, 0.1);
}

#[test]
fn wrong_types_are_refused_not_converted() {
    check(
        "broker",
        "heartbeat_s = \"10\"",
        "broker.heartbeat_s: \"10\" is not allowed; must be a whole number from 5 to 60 s",
    );
    check(
        "broker",
        "heartbeat_s = 10.0",
        "broker.heartbeat_s: 10 is not allowed; must be a whole number from 5 to 60 s",
    );
    check(
        "broker",
        "declare = 1",
        "broker.declare: 1 is not allowed; must be true or false",
    );
    check(
        "log",
        "level = [\"info\"]",
        "log.level: a list is not allowed; must be a filter such as info or info,whatsapp_dispatcher=debug",
    );
    check(
        "log",
        "format = {a = 1}",
        "log.format: a table is not allowed; must be \"text\" or \"json\"",
    );
    check(
        "intake",
        "schema = true",
        "intake.schema: true is not allowed; must be \"off\" or \"warn\" or \"strict\"",
    );
    assert_eq!(
        mistakes("broker = 5"),
        ["broker: must be a table, [broker]"]
    );
    assert_eq!(
        mistakes("accounts = 5"),
        ["accounts: must be tables, [[accounts]]"]
    );
    assert_eq!(
        mistakes("accounts = [5]"),
        ["accounts: must be tables, [[accounts]]"]
    );
    assert_eq!(
        mistakes(&account(
            "token_file = \"t\"\n[[accounts.numbers]]\nphone_number_id = 15"
        )),
        [
            "accounts[0].numbers[0].phone_number_id: 15 is not allowed; must be an id of digits, in quotes"
        ]
    );
}

#[test]
fn hosts_are_names_without_ports() {
    for value in ["", " ", "a b", "a:80", "a,,b", "[::1]"] {
        let found = mistakes(&format!("[admin]\nhosts = \"{value}\""));
        assert!(
            found.len() == 1 && found[0].starts_with("admin.hosts: "),
            "{found:?}"
        );
    }
    let hosts = load("[admin]\nhosts = \"Worker-1.internal, b\"")
        .admin
        .hosts;
    assert_eq!(*hosts, ["worker-1.internal", "b"].map(str::to_owned));
}

#[test]
fn texts_have_rules() {
    let refused = |section: &str, leaf: &str, values: &[&str]| {
        for value in values {
            let found = mistakes(&format!("[{section}]\n{leaf} = \"{value}\""));
            assert!(
                found.len() == 1 && found[0].starts_with(&format!("{section}.{leaf}: ")),
                "{value}: {found:?}"
            );
        }
    };
    refused("log", "format", &["xml", "", "Text"]);
    refused("log", "level", &["", "info,,=x=y", "a=noise"]);
    refused("admin", "listen", &["9464", "localhost:9464", "127.0.0.1"]);
    refused("worker", "id", &["", "a b", "a/b"]);
    refused(
        "tracing",
        "endpoint",
        &["127.0.0.1:4318", "https://u:p@a", "grpc://a", ""],
    );
    refused("redelivery", "policy", &["retry"]);
    refused(
        "graph",
        "version",
        &["26.0", "v26", "v26.x", "v.0", "v1234.0"],
    );
    refused("graph", "ca_file", &["", " "]);
    refused(
        "graph",
        "base_url",
        &[
            "graph.facebook.com",
            "ftp://a",
            "https://u:p@a",
            "https://a?b",
            "https://a#b",
            "https://",
        ],
    );
    refused(
        "broker",
        "url",
        &[
            "http://a/%2f",
            "amqp://a/",
            "amqp:a",
            "amqp:///%2f",
            "amqp://[::1]/%2f",
            "amqp://a/%2f?heartbeat=5",
            "amqp://a/%2f?frame_max=131071",
            "amqp://a:x/%2f",
        ],
    );
    assert_eq!(
        load("[graph]\nbase_url = \"https://proxy.example/meta/\"")
            .graph
            .base_url,
        "https://proxy.example/meta"
    );
    let tracing = load("[tracing]\nendpoint = \"http://collector.example:4318/\"").tracing;
    assert_eq!(tracing.endpoint.unwrap(), "http://collector.example:4318");
    for url in [
        "amqp://a",
        "amqps://u:p%40w@a.example:5671/v",
        "amqp://a/%2f?auth_mechanism=external",
        "amqp://a/%2f?frame_max=131072",
        "amqp://a/%2f?frame_max=0",
    ] {
        load(&format!("[broker]\nurl = \"{url}\""));
    }
}

#[test]
fn plain_http_only_to_this_machine() {
    let base = |url: &str, more: &str| format!("[graph]\nbase_url = \"{url}\"\n{more}");
    for url in [
        "http://localhost:8080",
        "http://127.9.9.9",
        "http://[::1]:80/",
    ] {
        load(&base(url, ""));
    }
    for url in [
        "http://graph",
        "http://10.0.0.1",
        "http://localhost.example",
        "http://127.0.0.1.example",
    ] {
        assert_eq!(
            mistakes(&base(url, "")),
            [
                "graph.base_url: http:// would send tokens in the clear; use https://, or set graph.allow_plain_http = true"
            ]
        );
        load(&base(url, "allow_plain_http = true"));
    }
}

#[test]
fn keys_are_checked_against_their_relatives() {
    let drain = "drain.timeout_s: 60 s is too short; must be more than graph.request_timeout_ms + \
                 broker.confirm_timeout_ms = 60000 ms, or a send in flight could not end in time";
    check("drain", "timeout_s = 60", drain);
    check(
        "graph",
        "connect_timeout_ms = 30000",
        "graph.connect_timeout_ms: must be less than graph.request_timeout_ms, or nobody could tell a connection that failed from an \
         answer that was lost",
    );
    check(
        "retry",
        "quick_base_ms = 1001",
        "retry.quick_base_ms: must not be more than retry.quick_max_ms",
    );
    check(
        "retry",
        "base_s = 3600\nmax_delay_s = 60",
        "retry.base_s: must not be more than retry.max_delay_s",
    );
    check(
        "retry",
        "max_age_s = 60",
        "retry.max_delay_s: must not be more than retry.max_age_s",
    );
    check(
        "lanes",
        "halt_probe_s = 7200",
        "lanes.halt_probe_s: must not be more than lanes.halt_probe_max_s",
    );
    // A key that is wrong by itself brings no second line about its relatives.
    assert_eq!(mistakes("[drain]\ntimeout_s = 0").len(), 1);
}

#[test]
fn broker_files_need_tls_and_each_other() {
    check(
        "broker",
        "ca_file = \"a\"",
        "broker.ca_file: needs an amqps:// address in broker.url",
    );
    let tls = "url = \"amqps://a/%2f\"";
    check(
        "broker",
        &format!("{tls}\nclient_cert_file = \"a\""),
        "broker: client_cert_file and client_key_file need each other",
    );
    check(
        "broker",
        "client_cert_file = \"a\"\nclient_key_file = \"b\"",
        "broker.client_cert_file: needs an amqps:// address in broker.url",
    );
    for url in [
        "amqp://a/%2f",
        "amqp://user:word@a/%2f",
        "amqp://:word@a/%2f",
    ] {
        check(
            "broker",
            &format!("url = \"{url}\"\npassword_file = \"a\""),
            "broker.password_file: needs a user and no password in broker.url",
        );
    }
    let config = load("[broker]\nurl = \"amqp://user@a/%2f\"\npassword_file = \"a\"");
    assert!(config.broker.password.is_some());
    let config = load(&format!(
        "[broker]\n{tls}\nclient_cert_file = \"a\"\nclient_key_file = \"b\""
    ));
    assert!(config.broker.url.is_tls() && config.broker.client_cert.is_some());
}

#[test]
fn accounts_have_rules() {
    let check = |toml: String, expected: &str| assert_eq!(mistakes(&toml), [expected]);
    check(
        account(""),
        "accounts[0]: token_file (or token) is required",
    );
    check(
        account("token = \"a\"\ntoken_file = \"b\""),
        "accounts[0]: token and token_file are both set; only one may be",
    );
    check(
        "[[accounts]]\ntoken = \"a\"".to_owned(),
        "accounts[0].waba_id: is required",
    );
    let with = |rest: &str| account(&format!("token = \"a\"\n{rest}"));
    check(
        with("app_secret = \"a\"\napp_secret_file = \"b\""),
        "accounts[0]: app_secret and app_secret_file are both set; only one may be",
    );
    check(
        with("[[accounts.numbers]]"),
        "accounts[0].numbers[0].phone_number_id: is required",
    );
    check(
        with("[[accounts.numbers]]\nphone_number_id = \"1\"\nmps = 0"),
        "accounts[0].numbers[0].mps: 0 is not allowed; must be a whole number from 1 to 100000",
    );
    check(
        with(
            "[[accounts.numbers]]\nphone_number_id = \"15\"\n[[accounts.numbers]]\nphone_number_id = \"15\"",
        ),
        "accounts: phone_number_id 15 stands twice",
    );
    check(
        [with(""), with("")].concat(),
        "accounts: waba_id 1 stands twice; put its numbers under one",
    );
    let number = |id: usize| format!("[[accounts.numbers]]\nphone_number_id = \"{id}\"\n");
    let numbers = |count| with(&(0..count).map(number).collect::<String>());
    check(
        numbers(2_001),
        "accounts: 2001 numbers; one worker serves 2000 at most",
    );
    let config = load(&numbers(2_000));
    assert!(config.require_numbers().is_ok());
    assert!(load(&with("")).require_numbers().is_err());
}

#[test]
fn an_app_has_one_secret_for_all_its_accounts() {
    let toml = |second: &str| {
        format!(
            "[[accounts]]\nwaba_id = \"1\"\ntoken = \"a\"\n\
             [[accounts]]\nwaba_id = \"2\"\ntoken = \"a\"\napp_secret = \"one\"\n\
             [[accounts]]\nwaba_id = \"3\"\ntoken = \"a\"\napp_secret = \"{second}\"\n\
             [[accounts]]\nwaba_id = \"4\"\ntoken = \"a\"\napp = \"other\"\napp_secret = \"two\""
        )
    };
    let config = load(&toml("one"));
    let secret = |app| config.app_secret(app).and_then(|secret| secret.read().ok());
    assert_eq!(
        secret("default").map(|s| s.expose_secret().to_owned()),
        Some("one".to_owned())
    );
    assert!(secret("third").is_none());
    let found = mistakes(&toml("two"));
    assert_eq!(
        found,
        ["accounts[2]: app \"default\" has another app_secret in an account above"]
    );
}

#[test]
fn outcomes_have_rules() {
    let rule = |rest: &str| format!("[[outcomes]]\n{rest}\n");
    let check = |toml: String, expected: &str| assert_eq!(mistakes(&toml), [expected]);
    check(rule("class = \"policy\""), "outcomes[0].code: is required");
    check(rule("code = 4"), "outcomes[0].class: is required");
    check(
        rule("code = 4\nclass = \"transient\"\npause_s = 5"),
        "outcomes[0]: pause_s needs class throttled",
    );
    check(
        rule("code = 4\nclass = \"policy\"\nscope = \"world\""),
        "outcomes[0].scope: \"world\" is not allowed; must be \"message\" or \"pair\" or \"lane\" or \"waba\" or \"token\" or \"app\" or \"template\"",
    );
    let once = rule("code = 4\nclass = \"policy\"\nsubcode = 7");
    check(once.repeat(2), "outcomes: code 4, subcode 7 stands twice");
    let config = load(&rule(
        "code = 4\nclass = \"throttled\"\nscope = \"app\"\npause_s = 5",
    ));
    let expected = Override {
        scope: Some(Scope::App),
        pause_s: Some(5),
        ..Override::new(4, Class::Throttled)
    };
    assert_eq!(config.outcomes, [expected]);
}

#[test]
fn a_host_name_that_is_no_worker_id_must_be_replaced() {
    let load = |env: HashMap<String, String>| Config::load(&[], env, "a host");
    let found = load(HashMap::new()).map_err(|errors| errors.to_string());
    let line = "worker.id: is required, since the host name does not serve as one";
    assert_eq!(found.err().as_deref(), Some(line));
    let env = HashMap::from([("DISPATCHER_WORKER__ID".to_owned(), "w1".to_owned())]);
    assert_eq!(
        load(env).map(|config| config.worker_id),
        Ok("w1".to_owned())
    );
}
