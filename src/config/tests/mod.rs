use super::*;
use crate::core::lane::RedeliveryPolicy;
use crate::core::operation::SchemaCheck;
use crate::core::outcome::Override;
use secrecy::ExposeSecret;
use std::time::Duration;

mod rules;
mod secrets;
mod sources;

const EXAMPLE: &str = include_str!("../../../deploy/config.toml");
const PASSWORD: &str = "hunter2";
const TOKEN: &str = "EAAGsecret";

fn try_load(toml: &[&str], env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let text = |toml: &&str| ("test.toml".to_owned(), Ok((*toml).to_owned()));
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let env = env.iter().map(own).collect();
    Config::from_texts(toml.iter().map(text).collect(), env, "host-1")
}

fn load(toml: &str) -> Config {
    match try_load(&[toml], &[]) {
        Ok(config) => config,
        Err(errors) => panic!("{errors}"),
    }
}

/// The mistakes of `toml` with `env`, one line each.
fn mistakes_with(toml: &str, env: &[(&str, &str)]) -> Vec<String> {
    try_load(&[toml], env).map_or_else(|errors| errors.0, |_| Vec::new())
}

fn mistakes(toml: &str) -> Vec<String> {
    mistakes_with(toml, &[])
}

/// `[section]\nline` makes exactly this mistake.
fn check(section: &str, line: &str, expected: &str) {
    assert_eq!(mistakes(&format!("[{section}]\n{line}")), [expected]);
}

fn account(rest: &str) -> String {
    format!("[[accounts]]\nwaba_id = \"1\"\n{rest}")
}

#[test]
fn nothing_set_means_the_defaults() {
    let config = load("");
    assert_eq!(config.broker.url.expose(), "amqp://127.0.0.1:5672/%2f");
    assert_eq!(config.broker.heartbeat, Duration::from_secs(10));
    assert_eq!(config.graph.request_timeout, Duration::from_millis(30_000));
    assert_eq!(config.admin.listen.port(), 9464);
    assert_eq!(config.worker_id, "host-1");
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.redelivery.policy, RedeliveryPolicy::Resend);
    assert_eq!(config.redelivery.max_deliveries, 20);
    assert_eq!(config.tracing.endpoint, None);
    assert_eq!(config.intake.schema, SchemaCheck::Warn);
    assert!(config.broker.declare && config.intake.check_sizes && !config.graph.allow_plain_http);
    let lane = config.lane(80);
    assert_eq!((lane.pace.limit_mps, lane.pace.utilization), (80.0, 0.953));
    assert_eq!((lane.pair.burst, lane.retry.max_age_s), (45, 86_400));
    assert!(config.require_numbers().is_err());
}

#[test]
fn each_word_of_a_schema_check_is_read() {
    for (word, expected) in [
        ("off", SchemaCheck::Off),
        ("warn", SchemaCheck::Warn),
        ("strict", SchemaCheck::Strict),
    ] {
        let config = load(&format!("[intake]\nschema = \"{word}\""));
        assert_eq!(config.intake.schema, expected);
        assert_eq!(SchemaCheck::of_word(expected.as_str()), Some(expected));
    }
}

#[test]
fn the_example_names_every_key_and_says_its_default() {
    let mut table = String::new();
    let mut lines: HashMap<String, Vec<&str>> = HashMap::new();
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if bare.starts_with('[') {
            table = bare.trim_matches(['[', ']']).to_owned();
        } else if !bare.starts_with(' ')
            && let Some((leaf, _)) = bare.split_once(" = ")
        {
            lines
                .entry(format!("{table}.{leaf}"))
                .or_default()
                .push(line);
        }
    }
    for key in KEYS {
        let found = lines.remove(key.name).unwrap_or_default();
        let (section, leaf) = key.split();
        let in_list = keys::LISTS.contains(&section);
        let hash = if in_list || key.default.is_none() {
            "#"
        } else {
            ""
        };
        let start = format!("{hash}{leaf} = {}", key.default_toml().unwrap_or_default());
        let fits = |line: &&str| {
            if key.default.is_some() {
                **line == start
            } else {
                line.starts_with(&start)
            }
        };
        assert!(
            found.iter().any(fits),
            "{}: {start:?} is not in {found:?}",
            key.name
        );
        if let Kind::Whole { min, max, .. } = key.kind {
            let bounds = format!("{min} to {max}");
            assert!(
                EXAMPLE.replace("\n# ", " ").contains(&bounds),
                "{}: {bounds}",
                key.name
            );
        }
    }
    assert!(lines.is_empty(), "not keys: {lines:?}");
}

#[test]
fn the_example_equals_the_defaults() {
    let (example, defaults) = (load(EXAMPLE), load(""));
    assert_eq!(format!("{example:?}"), format!("{defaults:?}"));
    assert_eq!(example.broker.url.expose(), defaults.broker.url.expose());
}

#[test]
fn the_optional_keys_of_the_example_are_sound_too() {
    let on = |line: &str| match line.strip_prefix('#') {
        // The inline secrets exclude the files beside them.
        Some(rest) if rest.starts_with("token =") || rest.starts_with("app_secret =") => {
            String::new()
        }
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.replace("\"amqp://", "\"amqps://user@"),
    };
    let config = load(&EXAMPLE.lines().map(on).collect::<Vec<_>>().join("\n"));
    assert_eq!(config.outcomes.len(), 4);
    assert_eq!(config.numbers().count(), 1);
    assert!(config.broker.client_cert.is_some());
    assert_eq!(
        config.check_files().len(),
        7,
        "none of the example's files exists"
    );
}

#[test]
fn keys_are_named_once_and_their_defaults_are_allowed() {
    for (index, key) in KEYS.iter().enumerate() {
        assert!(
            KEYS.iter()
                .skip(index + 1)
                .all(|other| other.name != key.name),
            "{}",
            key.name
        );
        assert!(!key.doc.is_empty() && !key.allowed().is_empty());
        if let Kind::Whole { unit, .. } = key.kind {
            let expected = match unit {
                Unit::Milliseconds => "_ms",
                Unit::Seconds => "_s",
                Unit::Bytes => "_bytes",
                Unit::Count => "",
            };
            assert!(
                key.name.ends_with(expected),
                "{} in {}",
                key.name,
                unit.as_str()
            );
        }
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let toml = "oops = 1\n[broker]\nheartbeat_s = 0\nurll = 1\n[retry]\nquick_base_ms = 2000\n[[accounts]]\n[[outcomes]]";
    let broken = "[log]\nlevel = ";
    let env = [("DISPATCHER_LOG__FORMAT", "xml"), ("DISPATCHER_X", "1")];
    let errors = match try_load(&[toml, broken], &env) {
        Ok(config) => panic!("{config:?}"),
        Err(errors) => errors,
    };
    let text = errors.to_string();
    assert_eq!(text.lines().count(), errors.0.len());
    for start in [
        "test.toml: TOML parse error at line 2, column ",
        "environment variable DISPATCHER_X: ",
        "broker.heartbeat_s: ",
        "broker.urll: ",
        "log.format (from DISPATCHER_LOG__FORMAT): ",
        "outcomes[0].code: ",
        "outcomes[0].class: ",
        "accounts[0].waba_id: ",
        "accounts[0]: token_file",
        "oops: ",
        "retry.quick_base_ms: ",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(start)),
            "{start} is not in\n{text}"
        );
    }
    assert_eq!(errors.0.len(), 11, "{text}");
}
