//! Relations that must hold between keys, each sound by itself.

use super::read::Problems;
use super::rules;
use super::settings::{AccountConfig, Config, MAX_LANES, MAX_NUMBERS, Secret};
use secrecy::ExposeSecret;
use std::collections::{HashMap, HashSet};

pub(super) fn check(config: &Config, problems: &mut Problems) {
    pace(config, problems);
    operations(config, problems);
    times(config, problems);
    transport(config, problems);
    outcomes(config, problems);
    accounts(config, problems);
    app_secrets(&config.accounts, problems);
}

/// Checks the pacer's promise: at most 1 + limit × utilization × (1 s + burst) sends in any second, which must stay within the limit.
fn pace(config: &Config, problems: &mut Problems) {
    let pacing = &config.pacing;
    problems.relation(
        &["pacing.utilization", "pacing.burst_ms"],
        pacing.utilization * (1.0 + pacing.burst.as_secs_f64()) < 1.0,
        "pacing.utilization × (1 + pacing.burst_ms / 1000) must be below 1, or a second could hold more than the number's limit",
    );
}

/// Checks that an hour of operations leaves the tenth of the budget that the worker's own reads may take.
fn operations(config: &Config, problems: &mut Problems) {
    let operations = &config.operations;
    let per_hour = f64::from(operations.per_hour);
    problems.relation(
        &["operations.burst", "operations.utilization", "operations.per_hour"],
        per_hour * operations.utilization + f64::from(operations.burst) <= per_hour * 0.9,
        "operations.per_hour × operations.utilization + operations.burst must be at most 0.9 × operations.per_hour: the rest is for what the dispatcher reads itself",
    );
}

fn times(config: &Config, problems: &mut Problems) {
    let Config {
        broker,
        graph,
        lanes,
        retry,
        ..
    } = config;
    let longest_send = graph.request_timeout + broker.confirm_timeout;
    problems.relation(
        &["drain.timeout_s", "graph.request_timeout_ms", "broker.confirm_timeout_ms"],
        config.drain_timeout > longest_send,
        &format!(
            "{} s is too short; must be more than graph.request_timeout_ms + broker.confirm_timeout_ms = {} ms, \
             or a send in flight could not end in time",
            config.drain_timeout.as_secs(),
            longest_send.as_millis()
        ),
    );
    problems.relation(
        &["graph.connect_timeout_ms", "graph.request_timeout_ms"],
        graph.connect_timeout < graph.request_timeout,
        "must be less than graph.request_timeout_ms, or nobody could tell a connection that failed from an answer that was lost",
    );
    let mut ordered = |low: &str, high: &str, holds: bool| {
        problems.relation(
            &[low, high],
            holds,
            &format!("must not be more than {high}"),
        );
    };
    let p = &retry.policy;
    ordered(
        "retry.quick_base_ms",
        "retry.quick_max_ms",
        retry.quick_base <= retry.quick_max,
    );
    ordered(
        "retry.base_s",
        "retry.max_delay_s",
        p.base_s <= p.max_delay_s,
    );
    ordered(
        "retry.max_delay_s",
        "retry.max_age_s",
        u64::from(p.max_delay_s) <= p.max_age_s,
    );
    ordered(
        "lanes.halt_probe_s",
        "lanes.halt_probe_max_s",
        lanes.halt_probe <= lanes.halt_probe_max,
    );
}

fn transport(config: &Config, problems: &mut Problems) {
    let Config { broker, graph, .. } = config;
    let tls = broker.url.is_tls();
    let needs_tls = "needs an amqps:// address in broker.url";
    problems.relation(
        &["broker.password_file", "broker.url"],
        broker.password.is_none() || broker.url.is_without_password(),
        "needs a user and no password in broker.url",
    );
    let ca_ok = tls || broker.ca_file.is_none();
    problems.relation(&["broker.ca_file", "broker.url"], ca_ok, needs_tls);
    let cert_ok = tls || broker.client_cert.is_none();
    problems.relation(
        &["broker.client_cert_file", "broker.url"],
        cert_ok,
        needs_tls,
    );

    let in_the_clear = "http:// would send tokens in the clear; use https://, or set graph.allow_plain_http = true";
    let mut is_private = |key, url: &str| {
        let is_ok = graph.allow_plain_http || rules::is_https_or_loopback(url);
        problems.relation(&[key, "graph.allow_plain_http"], is_ok, in_the_clear);
    };
    is_private("graph.base_url", &graph.base_url);
    if let Some(url) = &graph.business_base_url {
        is_private("graph.business_base_url", url);
    }
}

fn outcomes(config: &Config, problems: &mut Problems) {
    let mut seen = HashSet::new();
    for rule in &config.outcomes {
        if !seen.insert((rule.code, rule.subcode)) {
            let subcode = rule
                .subcode
                .map_or(String::new(), |n| format!(", subcode {n}"));
            problems.add(format!(
                "outcomes: code {}{subcode} stands twice",
                rule.code
            ));
        }
    }
}

fn accounts(config: &Config, problems: &mut Problems) {
    let wabas = config
        .accounts
        .iter()
        .map(|account| account.waba_id.as_str());
    for waba_id in twice(wabas) {
        let line = format!("accounts: waba_id {waba_id} stands twice; put its numbers under one");
        problems.add(line);
    }
    let numbers = config
        .numbers()
        .map(|(_, number)| number.phone_number_id.as_str());
    for id in twice(numbers) {
        problems.add(format!("accounts: phone_number_id {id} stands twice"));
    }
    let count = config.numbers().count();
    if count > MAX_NUMBERS {
        let line = format!("accounts: {count} numbers; one worker serves {MAX_NUMBERS} at most");
        problems.add(line);
    }
    let lanes = count + config.accounts.len();
    if count <= MAX_NUMBERS && lanes > MAX_LANES {
        let line = format!(
            "accounts: {lanes} numbers and accounts; one worker serves {MAX_LANES} at most"
        );
        problems.add(line);
    }
}

/// Every non-empty word that stands more than once, in the order of its second appearance.
fn twice<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let (mut seen, mut told) = (HashSet::new(), HashSet::new());
    words
        .filter(|word| !word.is_empty() && !seen.insert(*word) && told.insert(*word))
        .collect()
}

/// An app has one secret: two accounts of it must not disagree.
fn app_secrets(accounts: &[AccountConfig], problems: &mut Problems) {
    let mut first: HashMap<&str, &Secret> = HashMap::new();
    for (index, account) in accounts.iter().enumerate() {
        let Some(secret) = &account.app_secret else {
            continue;
        };
        if !same(first.entry(&account.app).or_insert(secret), secret) {
            problems.add(format!(
                "accounts[{index}]: app {:?} has another app_secret in an account above",
                account.app
            ));
        }
    }
}

fn same(one: &Secret, other: &Secret) -> bool {
    match (one, other) {
        (Secret::File(one), Secret::File(other)) => one == other,
        (Secret::Inline(one), Secret::Inline(other)) => {
            one.expose_secret() == other.expose_secret()
        }
        (Secret::File(_), Secret::Inline(_)) | (Secret::Inline(_), Secret::File(_)) => false,
    }
}
