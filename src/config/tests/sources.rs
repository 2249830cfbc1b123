//! Files and the environment: who wins, and what is not ours.

use super::*;
use crate::core::lane::RedeliveryPolicy;

#[test]
fn unknown_keys_are_refused_with_what_was_meant() {
    check(
        "broker",
        "heartbeat = 5",
        "broker.heartbeat: not a known key; did you mean broker.heartbeat_s?",
    );
    check(
        "graph",
        "heartbeat_s = 5",
        "graph.heartbeat_s: not a known key; did you mean broker.heartbeat_s?",
    );
    check("log", "colour = true", "log.colour: not a known key");
    check(
        "brokers",
        "url = \"x\"",
        "brokers: not a known key; did you mean broker?",
    );
    assert_eq!(
        mistakes("heartbeat_s = 5"),
        ["heartbeat_s: not a known key; did you mean broker.heartbeat_s?"]
    );
    assert_eq!(
        mistakes(&account(
            "token = \"a\"\n[[accounts.numbers]]\nphone_number_id = \"1\"\nmsp = 5"
        )),
        ["accounts[0].numbers[0].msp: not a known key; did you mean accounts.numbers.mps?"]
    );
    check(
        "broker",
        "URL = 1",
        "broker.URL: not a known key; did you mean broker.url?",
    );
}

#[test]
fn unknown_variables_are_refused_with_what_was_meant() {
    for (name, hint) in [
        (
            "DISPATCHER_BROKER_URL",
            "; did you mean DISPATCHER_BROKER__URL?",
        ),
        (
            "DISPATCHER_BROKER__URLS",
            "; did you mean DISPATCHER_BROKER__URL?",
        ),
        (
            "DISPATCHER_broker__url",
            "; did you mean DISPATCHER_BROKER__URL?",
        ),
        ("DISPATCHER_FOO", ""),
    ] {
        let expected = format!("environment variable {name}: not a known key");
        let found = mistakes_with("", &[(name, TOKEN)]);
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{found:?}"
        );
        assert!(hint.is_empty() || found[0].ends_with(hint), "{found:?}");
    }
}

#[test]
fn lists_cannot_be_set_by_variables() {
    for name in [
        "DISPATCHER_ACCOUNTS__TOKEN",
        "DISPATCHER_ACCOUNTS__0__TOKEN",
        "DISPATCHER_OUTCOMES",
    ] {
        let line = format!("environment variable {name}: lists are set in files only");
        assert_eq!(mistakes_with("", &[(name, TOKEN)]), [line]);
    }
}

#[test]
fn variables_of_others_are_left_alone() {
    let others = [
        "PATH",
        "DISPATCHERS_FOO",
        "DISPATCHER_TEST_AMQP",
        "DISPATCHER_SERVICE_HOST",
        "DISPATCHER_SERVICE_PORT_HTTP",
        "DISPATCHER_PORT",
        "DISPATCHER_PORT_9464_TCP_ADDR",
        "DISPATCHER_ADMIN_PORT",
    ];
    assert_eq!(mistakes_with("", &others.map(|name| (name, "x"))), [""; 0]);
}

/// For each section a key, a value that is taken and one that is not.
const FROM_ENV: [(&str, &str, &str); 13] = [
    ("BROKER__HEARTBEAT_S", "20", "ten"),
    ("GRAPH__ALLOW_PLAIN_HTTP", "true", "yes"),
    ("ADMIN__LISTEN", "0.0.0.0:80", "80"),
    ("WORKER__ID", "7", "a b"),
    ("LOG__FORMAT", "json", "1"),
    ("TRACING__SAMPLE_RATIO", "0.5", "1.5"),
    ("INTAKE__MAX_BODY_BYTES", "2048", "2048.0"),
    ("PACING__UTILIZATION", "0.5", "NaN"),
    ("LANES__MAX_IN_FLIGHT", "7", "-7"),
    ("RETRY__MAX_ATTEMPTS", "7", ""),
    ("REDELIVERY__POLICY", "report", "true"),
    ("DRAIN__TIMEOUT_S", "99", "99s"),
    ("BROKER__URL", "amqp://b/v", "amqp://u:hunter2@/v"),
];

#[test]
fn the_environment_wins_in_every_section() {
    let names = FROM_ENV.map(|(name, good, _)| (format!("DISPATCHER_{name}"), good));
    let env: Vec<(&str, &str)> = names
        .iter()
        .map(|(name, good)| (name.as_str(), *good))
        .collect();
    let file = "[broker]\nheartbeat_s = 30\ndeclare = false\n[lanes]\nmax_in_flight = 5";
    let config = match try_load(&[file], &env) {
        Ok(config) => config,
        Err(errors) => panic!("{errors}"),
    };
    assert_eq!(
        (config.broker.heartbeat.as_secs(), config.broker.declare),
        (20, false)
    );
    assert_eq!(config.broker.url.expose(), "amqp://b/v");
    assert!(config.graph.allow_plain_http);
    assert_eq!(
        (config.admin.listen.port(), config.worker_id.as_str()),
        (80, "7")
    );
    assert_eq!(
        (config.log.format, config.intake.max_body_bytes),
        (LogFormat::Json, 2048)
    );
    assert_eq!(
        (config.pacing.utilization, config.lanes.max_in_flight),
        (0.5, 7)
    );
    assert_eq!(
        (config.retry.policy.max_attempts, config.redelivery.policy),
        (7, RedeliveryPolicy::Report)
    );
    assert_eq!(config.drain_timeout.as_secs(), 99);
    assert_eq!(config.tracing.sample_ratio, 0.5);
}

#[test]
fn wrong_variables_are_named_by_key_and_variable() {
    for (name, _, bad) in FROM_ENV {
        let variable = format!("DISPATCHER_{name}");
        let key = name.replace("__", ".").to_lowercase();
        let found = mistakes_with("", &[(&variable, bad)]);
        let expected = format!("{key} (from {variable}): ");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{found:?}"
        );
        assert!(!found[0].contains(PASSWORD), "{found:?}");
    }
}

#[test]
fn every_key_outside_the_lists_has_a_variable() {
    for key in KEYS {
        let Some(name) = key.env_name() else {
            assert!(key.name.starts_with("accounts") || key.name.starts_with("outcomes"));
            continue;
        };
        // A value that no key takes shows that the variable reached it.
        let found = mistakes_with("", &[(&name, "")]);
        let at = format!("{} (from {name}): ", key.name);
        assert!(
            found.iter().any(|line| line.starts_with(&at)),
            "{name}: {found:?}"
        );
    }
}

#[test]
fn later_files_win_key_by_key_and_lists_as_a_whole() {
    let number = |id: &str| {
        account(&format!(
            "token = \"a\"\n[[accounts.numbers]]\nphone_number_id = \"{id}\""
        ))
    };
    let first = format!(
        "[broker]\nheartbeat_s = 20\ndeclare = false\n{}",
        number("1")
    );
    let second = format!("[broker]\nheartbeat_s = 30\n{}", number("2"));
    let config = match try_load(&[&first, &second], &[]) {
        Ok(config) => config,
        Err(errors) => panic!("{errors}"),
    };
    assert_eq!(
        (config.broker.heartbeat.as_secs(), config.broker.declare),
        (30, false)
    );
    let ids: Vec<&str> = config
        .numbers()
        .map(|(_, n)| n.phone_number_id.as_str())
        .collect();
    assert_eq!(ids, ["2"]);
}

#[test]
fn missing_files_are_mistakes() {
    let missing = PathBuf::from("/nonexistent/a.toml");
    let found = Config::load(&[missing], HashMap::new(), "host-1").map_err(|errors| errors.0);
    let line = "/nonexistent/a.toml: No such file or directory (os error 2)";
    assert_eq!(found.err(), Some(vec![line.to_owned()]));
}
