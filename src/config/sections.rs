//! From the merged tree to the typed settings, a function per table.

use super::read::{Problems, Section};
use super::rules;
use super::settings::{
    AccountConfig, AdminConfig, BrokerConfig, BrokerUrl, ClientCert, Config, GraphConfig,
    LanesConfig, LogConfig, LogFormat, MediaConfig, MetricsConfig, NumberConfig, OperationsConfig,
    PacingConfig, RetryConfig, Secret, TracingConfig,
};
use crate::contract::words::{Class, Scope};
use crate::core::lane::pacing::Spacing;
use crate::core::lane::{Redelivery, RedeliveryPolicy};
use crate::core::media::source::{Networks, Sources};
use crate::core::operation::{IntakeConfig, SchemaCheck};
use crate::core::outcome::Override;
use crate::core::request::message::LaneId;
use crate::core::request::retry::RetryPolicy;
use ::config::{Map, Value};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

pub(super) fn config(
    tree: Map<String, Value>,
    default_worker_id: &str,
    problems: &mut Problems,
) -> Config {
    let mut root = Section::root(tree, problems);
    let media = root.section("media", media);
    let config = Config {
        broker: root.section("broker", broker),
        graph: root.section("graph", graph),
        admin: root.section("admin", admin),
        metrics: root.section("metrics", metrics),
        worker_id: root.section("worker", |s| worker_id(s, default_worker_id)),
        log: root.section("log", log),
        tracing: root.section("tracing", tracing),
        intake: root.section("intake", |s| intake(s, media.sources.clone())),
        pacing: root.section("pacing", pacing),
        lanes: root.section("lanes", lanes),
        operations: root.section("operations", operations),
        media,
        retry: root.section("retry", retry),
        redelivery: root.section("redelivery", redelivery),
        drain_timeout: root.section("drain", |s| s.duration("timeout_s")),
        outcomes: root
            .items("outcomes", outcome)
            .into_iter()
            .flatten()
            .collect(),
        accounts: root.items("accounts", account),
    };
    root.refuse_rest();
    config
}

fn broker(s: &mut Section<'_>) -> BrokerConfig {
    BrokerConfig {
        url: BrokerUrl(s.text("url").into()),
        heartbeat: s.duration("heartbeat_s"),
        connect_timeout: s.duration("connect_timeout_ms"),
        confirm_timeout: s.duration("confirm_timeout_ms"),
        reconnect_max: s.duration("reconnect_max_ms"),
        declare: s.flag("declare"),
        password: s.file("password_file").map(Secret::File),
        ca_file: s.file("ca_file"),
        client_cert: client_cert(s),
    }
}

fn client_cert(s: &mut Section<'_>) -> Option<ClientCert> {
    if s.has("client_cert_file") != s.has("client_key_file") {
        let line = "client_cert_file and client_key_file need each other";
        s.problems.add(format!("broker: {line}"));
    }
    let cert_file = s.file("client_cert_file");
    let key_file = s.file("client_key_file");
    Some(ClientCert {
        cert_file: cert_file?,
        key_file: key_file?,
    })
}

fn without_slash(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

fn graph(s: &mut Section<'_>) -> GraphConfig {
    GraphConfig {
        base_url: without_slash(&s.text("base_url")),
        version: s.text("version"),
        business_base_url: s
            .maybe_text("business_base_url")
            .as_deref()
            .map(without_slash),
        ca_file: s.file("ca_file"),
        connect_timeout: s.duration("connect_timeout_ms"),
        request_timeout: s.duration("request_timeout_ms"),
        pool_idle_timeout: s.duration("pool_idle_timeout_ms"),
        max_response_bytes: s.whole("max_response_bytes"),
        refresh: s.duration("refresh_s"),
        allow_plain_http: s.flag("allow_plain_http"),
    }
}

fn admin(s: &mut Section<'_>) -> AdminConfig {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    AdminConfig {
        listen: s.text("listen").parse().unwrap_or(nowhere),
        hosts: hosts(&s.maybe_text("hosts").unwrap_or_default()),
        actions: s.flag("actions"),
    }
}

fn hosts(list: &str) -> Arc<[String]> {
    let hosts = list.split(',').map(|host| host.trim().to_ascii_lowercase());
    hosts.filter(|host| !host.is_empty()).collect()
}

fn metrics(s: &mut Section<'_>) -> MetricsConfig {
    MetricsConfig {
        max_lanes: s.whole("max_lanes"),
        max_tags: s.whole("max_tags"),
        drain_target: s.duration("drain_target_s"),
    }
}

fn worker_id(s: &mut Section<'_>, default: &str) -> String {
    let given = s.has("id");
    let id = s.maybe_text("id");
    if !given && !rules::is_worker_id(default) {
        let line = "worker.id: is required, since the host name does not serve as one";
        s.problems.add(line.to_owned());
    }
    id.unwrap_or_else(|| default.to_owned())
}

fn log(s: &mut Section<'_>) -> LogConfig {
    let json = s.text("format") == "json";
    LogConfig {
        format: if json {
            LogFormat::Json
        } else {
            LogFormat::Text
        },
        level: s.text("level"),
    }
}

fn tracing(s: &mut Section<'_>) -> TracingConfig {
    let endpoint = s.maybe_text("endpoint");
    TracingConfig {
        endpoint: endpoint.map(|url| url.trim_end_matches('/').to_owned()),
        sample_ratio: s.share("sample_ratio"),
    }
}

fn intake(s: &mut Section<'_>, sources: Sources) -> IntakeConfig {
    IntakeConfig {
        max_body_bytes: s.whole("max_body_bytes"),
        check_sizes: s.flag("check_sizes"),
        user_ids_in_to: s.flag("user_ids_in_to"),
        // Another word was recorded as a mistake.
        schema: SchemaCheck::of_word(&s.text("schema")).unwrap_or(SchemaCheck::Off),
        sources,
    }
}

fn pacing(s: &mut Section<'_>) -> PacingConfig {
    PacingConfig {
        utilization: s.share("utilization"),
        burst: s.duration("burst_ms"),
        bulk_every: s.whole("bulk_every"),
        shadow_mps: s.maybe_whole("shadow_mps"),
        pair: Spacing {
            interval: s.duration("pair_interval_ms"),
            burst: s.whole("pair_burst"),
        },
        pairs_max: s.whole("pairs_max"),
        pair_wait_max: s.duration("pair_wait_max_s"),
    }
}

fn lanes(s: &mut Section<'_>) -> LanesConfig {
    LanesConfig {
        latency: s.duration("latency_ms"),
        max_in_flight: s.whole("max_in_flight"),
        buffer: s.duration("buffer_ms"),
        halt_probe: s.duration("halt_probe_s"),
        halt_probe_max: s.duration("halt_probe_max_s"),
        breaker_failures: s.whole("breaker_failures"),
        dedupe_ids_max: s.whole("dedupe_ids_max"),
    }
}

fn operations(s: &mut Section<'_>) -> OperationsConfig {
    OperationsConfig {
        per_hour: s.whole("per_hour"),
        utilization: s.share("utilization"),
        burst: s.whole("burst"),
    }
}

fn media(s: &mut Section<'_>) -> MediaConfig {
    let (sources, networks) = (s.maybe_text("sources"), s.maybe_text("private_networks"));
    MediaConfig {
        // An item that is none was recorded as a mistake.
        sources: Sources::parse(items(sources.as_deref())).unwrap_or_default(),
        private_networks: Networks::parse(items(networks.as_deref())).unwrap_or_default(),
        ca_file: s.file("ca_file"),
        timeout: s.duration("timeout_ms"),
    }
}

/// The items of a list that is written with commas.
fn items(list: Option<&str>) -> impl Iterator<Item = &str> {
    let items = list.unwrap_or_default().split(',').map(str::trim);
    items.filter(|item| !item.is_empty())
}

fn retry(s: &mut Section<'_>) -> RetryConfig {
    RetryConfig {
        policy: RetryPolicy {
            max_attempts: s.whole("max_attempts"),
            max_age_s: s.whole("max_age_s"),
            base_s: s.whole("base_s"),
            max_delay_s: s.whole("max_delay_s"),
        },
        quick_base: s.duration("quick_base_ms"),
        quick_max: s.duration("quick_max_ms"),
    }
}

fn redelivery(s: &mut Section<'_>) -> Redelivery {
    Redelivery {
        policy: if s.text("policy") == "report" {
            RedeliveryPolicy::Report
        } else {
            RedeliveryPolicy::Resend
        },
        max_deliveries: s.whole("max_deliveries"),
    }
}

/// `None` only where a mistake was recorded.
fn outcome(s: &mut Section<'_>) -> Option<Override> {
    s.require("code");
    s.require("class");
    let code = s.maybe_whole("code");
    let class = Class::of_word(&s.text("class"));
    let subcode = s.maybe_whole("subcode");
    let scope = s.maybe_text("scope").and_then(|word| Scope::of_word(&word));
    let (max_retries, min_delay_s) = (s.maybe_whole("max_retries"), s.maybe_whole("min_delay_s"));
    let (proves_unsent, pause_s) = (s.maybe_flag("proves_unsent"), s.maybe_whole("pause_s"));
    let then_invalid = s.maybe_flag("then_invalid");
    let retry_not_before_s = s.maybe_whole("retry_not_before_s");
    let second_recipient = s.maybe_flag("second_recipient");
    let rule = Override {
        code: code?,
        subcode,
        class: class?,
        scope,
        max_retries,
        min_delay_s,
        pause_s,
        proves_unsent,
        then_invalid,
        retry_not_before_s,
        second_recipient,
    };
    if let Some(fault) = rule.fault() {
        let at = s.at("");
        s.problems.add(format!("{at}: {fault}"));
    }
    Some(rule)
}

fn account(s: &mut Section<'_>) -> AccountConfig {
    s.require("waba_id");
    if !s.has("token") && !s.has("token_file") {
        let at = s.at("");
        s.problems
            .add(format!("{at}: token_file (or token) is required"));
    }
    let nothing = || Secret::File(PathBuf::new());
    AccountConfig {
        waba_id: s.text("waba_id"),
        token: secret(s, "token", "token_file").unwrap_or_else(nothing),
        app: s.text("app"),
        app_secret: secret(s, "app_secret", "app_secret_file"),
        numbers: s.items("numbers", number),
    }
}

fn secret(s: &mut Section<'_>, inline: &str, file: &str) -> Option<Secret> {
    if s.has(inline) && s.has(file) {
        let at = s.at("");
        let line = format!("{at}: {inline} and {file} are both set; only one may be");
        s.problems.add(line);
    }
    let inline = s.maybe_text(inline).map(|text| Secret::Inline(text.into()));
    let file = s.file(file).map(Secret::File);
    file.or(inline)
}

fn number(s: &mut Section<'_>) -> NumberConfig {
    s.require("phone_number_id");
    NumberConfig {
        phone_number_id: LaneId::new(&s.text("phone_number_id")),
        mps: s.maybe_whole("mps"),
    }
}
