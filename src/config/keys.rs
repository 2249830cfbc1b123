//! Every key, declared once: its name, default, bounds and meaning. The reader, the list of known keys, the
//! suggestions, the reference page and the test that holds `deploy/config.toml` to the truth all use this table.

use super::rules;
use crate::contract::words::{Class, Scope};
use crate::core::operation::SchemaCheck;

/// The prefix of our environment variables.
pub(super) const PREFIX: &str = "DISPATCHER_";
/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As in TOML, with dots. Keys of lists (`accounts`, `accounts.numbers`, `outcomes`) stand without an index.
    pub name: &'static str,
    /// As the environment would say it. `None`: optional, or required (the doc says which).
    pub default: Option<&'static str>,
    pub kind: Kind,
    /// The key's meaning, in a line.
    pub doc: &'static str,
}

/// The values that a key may have.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Flag,
    Whole {
        min: u64,
        max: u64,
        unit: Unit,
    },
    Share {
        min: f64,
        max: f64,
    },
    OneOf(&'static [&'static str]),
    Text {
        /// Completes "must be …".
        allowed: &'static str,
        accepts: fn(&str) -> bool,
    },
    /// As `Text`, but the value is never shown.
    Secret {
        allowed: &'static str,
        accepts: fn(&str) -> bool,
    },
}

/// The unit that a number counts; for times it also ends the key's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    Seconds,
    Bytes,
    Count,
}

impl Unit {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::Count => "",
        }
    }
}

impl Key {
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret { .. })
    }

    /// The table the key stands in, and the key's name there.
    pub fn split(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').unwrap_or(("", self.name))
    }

    /// The variable that overrides it. Lists have none.
    pub fn env_name(&self) -> Option<String> {
        let (section, leaf) = self.split();
        let in_list = LISTS.contains(&section);
        (!in_list).then(|| {
            format!(
                "{}{}__{}",
                PREFIX,
                section.to_uppercase(),
                leaf.to_uppercase()
            )
        })
    }

    /// Returns what the value may be, in words: completes "must be …".
    pub fn allowed(&self) -> String {
        match self.kind {
            Kind::Flag => "true or false".to_owned(),
            Kind::Whole { min, max, unit } => {
                let unit = unit.as_str();
                let space = if unit.is_empty() { "" } else { " " };
                format!("a whole number from {min} to {max}{space}{unit}")
            }
            Kind::Share { min, max } => format!("a number from {min:?} to {max:?}"),
            Kind::OneOf(words) => words
                .iter()
                .map(|word| format!("\"{word}\""))
                .collect::<Vec<_>>()
                .join(" or "),
            Kind::Text { allowed, .. } | Kind::Secret { allowed, .. } => allowed.to_owned(),
        }
    }

    /// The default as TOML spells it.
    pub fn default_toml(&self) -> Option<String> {
        self.default.map(|default| match self.kind {
            Kind::Flag | Kind::Whole { .. } | Kind::Share { .. } => default.to_owned(),
            Kind::OneOf(_) | Kind::Text { .. } | Kind::Secret { .. } => format!("\"{default}\""),
        })
    }
}

/// Tables that repeat (`[[…]]`).
pub(super) const LISTS: [&str; 3] = ["accounts", "accounts.numbers", "outcomes"];

const TEXT: Kind = Kind::Text {
    allowed: "text that is not empty",
    accepts: rules::is_not_empty,
};
const FILE: Kind = Kind::Text {
    allowed: "the path of a file",
    accepts: rules::is_not_empty,
};
const DIGITS: Kind = Kind::Text {
    allowed: "an id of digits, in quotes",
    accepts: rules::is_digits,
};
const TOKEN: Kind = Kind::Secret {
    allowed: "printable text without spaces",
    accepts: rules::is_token,
};

const fn ms(min: u64, max: u64) -> Kind {
    whole(min, max, Unit::Milliseconds)
}
const fn seconds(min: u64, max: u64) -> Kind {
    whole(min, max, Unit::Seconds)
}
const fn bytes(min: u64, max: u64) -> Kind {
    whole(min, max, Unit::Bytes)
}
const fn count(min: u64, max: u64) -> Kind {
    whole(min, max, Unit::Count)
}
const fn whole(min: u64, max: u64, unit: Unit) -> Kind {
    Kind::Whole { min, max, unit }
}

const fn key(name: &'static str, default: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        default: Some(default),
        kind,
        doc,
    }
}
/// A key without a default.
const fn bare(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        default: None,
        kind,
        doc,
    }
}

/// All keys, in the order of `deploy/config.toml`.
#[rustfmt::skip] // A table: one line per key.
pub const KEYS: &[Key] = &[
    key("broker.url", "amqp://127.0.0.1:5672/%2f", Kind::Secret { allowed: rules::BROKER_URL, accepts: rules::is_broker_url },
        "RabbitMQ, with user, password and virtual host (%2f is \"/\")"),
    key("broker.heartbeat_s", "10", seconds(5, 60), "AMQP heartbeat; sending stops after 1.5 × this without a sign of life"),
    key("broker.connect_timeout_ms", "10000", ms(100, 300_000), "Longest wait for a connection, TLS and login included"),
    key("broker.confirm_timeout_ms", "30000", ms(100, 300_000), "A publish that RabbitMQ has not confirmed by then is late; a lane whose results are late sends nothing until they are confirmed"),
    key("broker.reconnect_max_ms", "5000", ms(100, 600_000), "Longest pause between two attempts to connect"),
    key("broker.declare", "true", Kind::Flag, "Declare exchanges and queues at start; false: only check that they exist"),
    bare("broker.password_file", FILE, "Optional: file with the password of the user in broker.url, read anew at every connect"),
    bare("broker.ca_file", FILE, "Optional: trust these CAs (PEM) besides the system's; amqps only"),
    bare("broker.client_cert_file", FILE, "Optional: client certificate chain (PEM); amqps only"),
    bare("broker.client_key_file", FILE, "Optional: key of the client certificate (PEM); amqps only"),

    key("graph.base_url", "https://graph.facebook.com", Kind::Text { allowed: rules::BASE_URL, accepts: rules::is_base_url },
        "Where the Cloud API is"),
    key("graph.version", "v26.0", Kind::Text { allowed: "a version such as v26.0", accepts: rules::is_graph_version },
        "Version of the Graph API"),
    bare("graph.business_base_url", Kind::Text { allowed: rules::BASE_URL, accepts: rules::is_base_url },
        "Optional: where template_archive and template_unarchive go; https://api.facebook.com if graph.base_url is Meta's, else graph.base_url"),
    bare("graph.ca_file", FILE, "Optional: trust these CAs (PEM) instead of the system's"),
    key("graph.connect_timeout_ms", "5000", ms(100, 60_000), "Longest wait for a connection to the API, TLS included"),
    key("graph.request_timeout_ms", "30000", ms(100, 300_000), "Longest wait for a whole answer; after it the outcome is unknown"),
    key("graph.pool_idle_timeout_ms", "4000", ms(100, 600_000), "How long an idle connection is kept: less than anything on the way keeps it, or requests are lost on it"),
    key("graph.max_response_bytes", "65536", bytes(1_024, 16_777_216), "Longest answer that is read"),
    key("graph.refresh_s", "300", seconds(60, 86_400), "How often the state of numbers, tokens and templates is read from the API, and the limits of numbers without mps"),
    key("graph.allow_plain_http", "false", Kind::Flag, "Allow http:// to other machines: tokens and messages then travel in the clear"),

    key("admin.listen", "127.0.0.1:9464", Kind::Text { allowed: "an address and port such as 127.0.0.1:9464", accepts: rules::is_socket_address },
        "Where the page, health, metrics and lanes are served"),
    bare("admin.hosts", Kind::Text { allowed: "host names without ports, separated by commas", accepts: rules::is_host_list },
        "Optional: names that the admin port is asked by, separated by commas; IP addresses and localhost always do"),
    key("admin.actions", "false", Kind::Flag, "Lanes may be paused and resumed on the admin port; false: it only shows them"),

    key("metrics.max_lanes", "1000", count(1, 2_000), "Numbers with metrics of their own, in the order of the config; those beyond share the label \"other\""),
    key("metrics.max_tags", "100", count(0, 2_000), "Tags with metrics of their own, in the order in which a worker meets them; those beyond share the label \"other\""),
    key("metrics.drain_target_s", "3600", seconds(10, 86_400), "Within this a backlog should be gone: for the scaling signal and an alert; changes no pace"),

    bare("worker.id", Kind::Text { allowed: "1 to 128 letters, digits, dots, hyphens or underscores", accepts: rules::is_worker_id },
        "Optional: this worker's name, stable over restarts and unique; the host name unless set"),

    key("log.format", "text", Kind::OneOf(&["text", "json"]), "How a log line looks"),
    key("log.level", "info", Kind::Text { allowed: "a filter such as info or info,whatsapp_dispatcher=debug", accepts: rules::is_log_filter },
        "What is logged: a level, or levels per module"),

    bare("tracing.endpoint", Kind::Text { allowed: rules::COLLECTOR_URL, accepts: rules::is_base_url },
        "Optional: an OpenTelemetry collector (OTLP over HTTP) that gets spans, under /v1/traces; none are made unless set"),
    key("tracing.sample_ratio", "0.01", Kind::Share { min: 0.0, max: 1.0 }, "Share of messages that are traced, of those that come without a traceparent"),

    key("intake.max_body_bytes", "262144", bytes(1_024, 16_777_216), "Longest request body; longer ones are rejected"),
    key("intake.check_sizes", "true", Kind::Flag, "Check Meta's documented lengths before sending"),
    key("intake.user_ids_in_to", "false", Kind::Flag, "Send requests with a business-scoped user id in `to`; else they are rejected, as it belongs into `recipient`"),
    key("intake.schema", "warn", Kind::OneOf(&SchemaCheck::WORDS), "What becomes of a body that is not as Meta documents its type: nobody looks; it is sent and its result says so; it is rejected"),

    key("pacing.utilization", "0.953", Kind::Share { min: 0.1, max: 1.0 }, "Share of a number's limit that is used"),
    key("pacing.burst_ms", "5", ms(0, 100), "How much lateness may be caught up at once"),
    key("pacing.bulk_every", "10", count(2, 1_000), "One send in this many is bulk while high-priority requests wait"),
    bare("pacing.shadow_mps", count(1, 100_000), "Optional: a rate to try out; counts the sends that it would have had wait, and delays none"),
    key("pacing.pair_interval_ms", "6000", ms(0, 600_000), "Spacing of messages to one person, once the burst is used; 0: no pair limit"),
    key("pacing.pair_burst", "45", count(1, 1_000), "Messages to one person that may go without spacing"),
    key("pacing.pairs_max", "100000", count(1_000, 10_000_000), "Most recipients per number whose pair limit is remembered"),
    key("pacing.pair_wait_max_s", "30", seconds(0, 600), "Longest wait for the pair limit in the lane; longer ones wait in RabbitMQ"),

    key("lanes.latency_ms", "1000", ms(10, 60_000), "API latency that requests in flight are sized for: rate × latency"),
    key("lanes.max_in_flight", "2000", count(1, 20_000), "Most requests in flight per lane, whatever its rate"),
    key("lanes.buffer_ms", "500", ms(0, 10_000), "Messages held ready ahead of those in flight: rate × this"),
    key("lanes.halt_probe_s", "60", seconds(1, 86_400), "The API is asked after this whether a block is over, then after twice as long, …"),
    key("lanes.halt_probe_max_s", "900", seconds(1, 86_400), "… and after this at the latest"),
    key("lanes.dedupe_ids_max", "1000000", count(1_000, 100_000_000), "Most request ids per number that are remembered for `dedupe`; beyond that each is looked for in wa.results.log"),
    key("lanes.breaker_failures", "5", count(2, 1_000), "Requests in a row that an API in trouble may fail before the lane stops"),

    key("operations.per_hour", "5000", count(1, 1_000_000), "Calls that the API allows one account in any hour; 200 for an account without a registered number"),
    key("operations.utilization", "0.8", Kind::Share { min: 0.1, max: 0.9 }, "Share of them that its operations are spread over"),
    key("operations.burst", "400", count(1, 100_000), "Operations that may be done at once when none was for a while"),

    bare("media.sources", Kind::Text { allowed: "hosts such as cdn.example.com, *.example.com or *, with a port if it is not 443, separated by commas", accepts: rules::is_source_list },
        "Optional: hosts that files may be fetched from, for header `media` and operations that name a file by link; none unless set"),
    bare("media.private_networks", Kind::Text { allowed: "networks such as 10.1.0.0/16, separated by commas", accepts: rules::is_network_list },
        "Optional: networks that are not public, and that those hosts may be in all the same"),
    bare("media.ca_file", FILE, "Optional: PEM file of certificate authorities that those hosts are trusted by, beside the system's"),
    key("media.timeout_ms", "60000", ms(1_000, 600_000), "Longest that a file may take from its source, and again to the API"),

    key("retry.max_attempts", "5", count(1, 100), "Requests to the API per message, the first included"),
    key("retry.max_age_s", "86400", seconds(1, 2_592_000), "Age at which a message is given up, from its first try"),
    key("retry.base_s", "2", seconds(1, 3_600), "Upper edge of the first delay; doubles per attempt"),
    key("retry.max_delay_s", "3600", seconds(1, 2_592_000), "Upper edge of any delay, unless the API asks for longer"),
    key("retry.quick_base_ms", "50", ms(1, 10_000), "First pause of a lane that nothing was sent for (connection refused); doubles"),
    key("retry.quick_max_ms", "1000", ms(1, 60_000), "Longest of those pauses; after 30 s of them the lane gives its messages back"),

    key("redelivery.policy", "resend", Kind::OneOf(&["resend", "report"]),
        "A redelivered request of which nothing shows whether it was sent: send and flag it, or end it as unknown"),

    key("redelivery.max_deliveries", "20", count(2, 1_000_000),
        "A request handed out so often, and nothing explains why, comes again apart from others; if that repeats, it goes to wa.dead"),

    key("drain.timeout_s", "70", seconds(1, 3_600), "Longest orderly shutdown"),

    bare("outcomes.code", count(0, 4_294_967_295), "Required: the API's error code"),
    bare("outcomes.subcode", count(0, 4_294_967_295), "Optional: only with this error_subcode"),
    bare("outcomes.class", Kind::OneOf(&Class::WORDS), "Required: how the code is treated"),
    bare("outcomes.scope", Kind::OneOf(&Scope::WORDS), "Optional: how far it reaches"),
    bare("outcomes.max_retries", count(0, 100), "Optional, class transient: retries at most, within retry.max_attempts"),
    bare("outcomes.min_delay_s", seconds(0, 2_592_000), "Optional, class transient: shortest delay before a retry"),
    bare("outcomes.proves_unsent", Kind::Flag, "Optional, class transient: the code proves that nothing was sent"),
    bare("outcomes.then_invalid", Kind::Flag, "Optional, class transient: out of retries it is rejected as invalid, not failed"),
    bare("outcomes.pause_s", seconds(0, 86_400), "Optional, class throttled: how long nobody in scope sends"),
    bare("outcomes.retry_not_before_s", seconds(0, 31_536_000), "Optional, class policy: told in the result, when a new request may succeed"),
    bare("outcomes.second_recipient", Kind::Flag, "Optional, class blocked: believe it only once a second recipient met it too"),

    bare("accounts.waba_id", DIGITS, "Required: the WhatsApp Business Account"),
    bare("accounts.token_file", FILE, "This or token is required: file with the access token, read again when it changes"),
    bare("accounts.token", TOKEN, "The access token itself; for development"),
    key("accounts.app", "default", TEXT, "Name of the Meta app the token belongs to; blocks and limits of an app reach its accounts"),
    bare("accounts.app_secret_file", FILE, "Optional: file with the app's secret; requests then carry appsecret_proof"),
    bare("accounts.app_secret", TOKEN, "Optional: the app's secret itself; for development"),
    bare("accounts.numbers.phone_number_id", DIGITS, "Required: the number's id (not the phone number)"),
    bare("accounts.numbers.mps", count(1, 100_000), "Optional: the number's limit in messages per second; read from the API unless set"),
];
