//! What a simulator is set up with, in code or from a file.

use crate::limits::{PairMode, PairRate};
use crate::operations::Template;
use crate::script::Script;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

/// Everything a simulator starts with. In files, unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Setup")]
pub struct Options {
    /// Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The source of all chance: jitter, ratios, ids.
    pub seed: u64,
    /// The rules of numbers that are served without being listed.
    pub defaults: NumberRules,
    /// By phone number id.
    pub numbers: BTreeMap<String, NumberRules>,
    /// Whether numbers that are not listed are served. Default: if none is listed.
    pub any_number: Option<bool>,
    pub tokens: Vec<Token>,
    /// Whether tokens that are not listed are valid. Default: if none is listed.
    pub any_token: Option<bool>,
    /// App secrets by app name. A number whose app is named here is served only
    /// with the right `appsecret_proof`.
    pub apps: BTreeMap<String, String>,
    /// What `GET …/message_templates` lists.
    pub templates: Vec<Template>,
    pub script: Script,
    /// How many accepted messages the ledger holds; 0 keeps counters only.
    pub ledger_capacity: usize,
    /// Whether ledger entries hold the request's body.
    pub keep_bodies: bool,
    /// Whether answers carry `x-business-use-case-usage` with how full the number's
    /// second is.
    pub usage_headers: bool,
    /// A `retry-after` header for throttles, which Meta does not document.
    pub retry_after_s: Option<u64>,
    /// Concurrent streams offered to an HTTP/2 connection.
    pub http2_max_streams: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            defaults: NumberRules::default(),
            numbers: BTreeMap::new(),
            any_number: None,
            tokens: Vec::new(),
            any_token: None,
            apps: BTreeMap::new(),
            templates: Vec::new(),
            script: Script::default(),
            ledger_capacity: 10_000_000,
            keep_bodies: false,
            usage_headers: false,
            retry_after_s: None,
            http2_max_streams: 100,
        }
    }
}

/// One number's limits, latency and what a `GET` says about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumberRules {
    pub level: Level,
    /// Messages per second; left out, the level's: 80 or 1,000, and 20 in coexistence.
    pub mps: Option<u32>,
    /// Neither a throughput nor a pair limit: for benchmarks.
    pub unlimited: bool,
    /// Whether refused sends count towards the throughput limit too. Undocumented.
    pub count_rejected: bool,
    /// Messages per second from customers, which count towards the same limit.
    pub inbound_mps: f64,
    /// Messages to one recipient at once; 0 switches the pair limit off.
    pub pair_burst: u64,
    pub pair_interval_ms: u64,
    pub pair_mode: PairMode,
    /// From the receipt of a request to its answer.
    pub latency_ms: u64,
    /// Added to the latency: anything from 0 to this, evenly.
    pub latency_jitter_ms: u64,
    /// J: a request counts against the limits 0 to 2 J after its receipt, evenly,
    /// so that arrivals are spread over ± J.
    pub arrival_jitter_ms: u64,
    /// Refuses every send with this error code, and turns `health_status` to BLOCKED,
    /// at the number, its WABA or its app, as the code has it.
    pub blocked_code: Option<i64>,
    /// A `blocked_code` lifts itself so long after it was set; blocks set later do too.
    pub blocked_ms: Option<u64>,
    /// A throughput upgrade: for so long after this was set every send is refused with
    /// 131057, and then `level` is HIGH and this is gone.
    pub upgrade_ms: Option<u64>,
    /// AVAILABLE, LIMITED or BLOCKED: what `health_status` says instead of what follows
    /// from `blocked_code`. Nothing is refused for it.
    pub health: Option<String>,
    /// What the usage headers of this number's answers say, whether or not
    /// `usage_headers` is on.
    pub usage: Option<Usage>,
    /// Calls an hour to the account and its numbers, other than messages and media: 5,000 if left out, and none are
    /// refused if `unlimited`. Numbers of one account share it, an app each. Source: Meta docs, "Rate limits".
    pub calls_per_hour: Option<u32>,
    /// The app the number belongs to, for `appsecret_proof` and for changes to all of its
    /// numbers.
    pub app: Option<String>,
    pub waba_id: String,
    /// True with platform `CLOUD_API`: coexistence, fixed at 20 messages per second.
    pub is_on_biz_app: bool,
    pub platform_type: String,
    pub quality_rating: String,
    pub status: String,
    /// `whatsapp_business_manager_messaging_limit`: TIER_250, TIER_2K, TIER_10K, TIER_100K,
    /// TIER_UNLIMITED or UNTIERED. The numbers of a portfolio share it; it limits nothing here.
    pub messaging_limit: String,
    pub display_phone_number: String,
    pub verified_name: String,
}

impl Default for NumberRules {
    fn default() -> Self {
        Self {
            level: Level::Standard,
            mps: None,
            unlimited: false,
            count_rejected: false,
            inbound_mps: 0.0,
            pair_burst: 45,
            pair_interval_ms: 6_000,
            pair_mode: PairMode::Gcra,
            latency_ms: 0,
            latency_jitter_ms: 0,
            arrival_jitter_ms: 0,
            blocked_code: None,
            blocked_ms: None,
            upgrade_ms: None,
            health: None,
            usage: None,
            calls_per_hour: None,
            app: None,
            waba_id: "100000000000001".to_owned(),
            is_on_biz_app: false,
            platform_type: "CLOUD_API".to_owned(),
            quality_rating: "GREEN".to_owned(),
            status: "CONNECTED".to_owned(),
            messaging_limit: "TIER_UNLIMITED".to_owned(),
            display_phone_number: "+1 555-0100".to_owned(),
            verified_name: "Simulated".to_owned(),
        }
    }
}

impl NumberRules {
    /// Messages per second; `None` is without limit.
    pub fn limit_mps(&self) -> Option<u64> {
        if self.unlimited {
            return None;
        }
        let by_level = match self.level {
            Level::Standard if self.is_on_biz_app => 20,
            Level::High if self.is_on_biz_app => 20,
            Level::Standard => 80,
            Level::High => 1_000,
            Level::NotApplicable => 0,
        };
        Some(u64::from(self.mps.unwrap_or(by_level)))
    }

    /// Calls an hour to its account; `None` is without limit.
    pub(crate) fn hourly_calls(&self) -> Option<u32> {
        match self.calls_per_hour {
            None if self.unlimited => None,
            None => Some(5_000),
            limit => limit,
        }
    }

    pub(crate) fn pair_rate(&self) -> Option<PairRate> {
        if self.unlimited || self.pair_burst == 0 {
            return None;
        }
        let interval_us = self.pair_interval_ms * 1_000;
        Some(PairRate {
            burst: self.pair_burst,
            interval_us,
            mode: self.pair_mode,
        })
    }

    /// These rules with some changed, by the names they have in files.
    pub fn changed(&self, changes: &Map<String, Value>) -> Result<Self, String> {
        let mut merged = match serde_json::to_value(self) {
            Ok(Value::Object(merged)) => merged,
            Ok(_) => Map::new(),
            Err(error) => return Err(error.to_string()),
        };
        merged.extend(changes.clone());
        serde_json::from_value(Value::Object(merged)).map_err(|error| error.to_string())
    }
}

/// What Meta says of how much of its call limits is used. It limits nothing here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// `call_count` of `x-business-use-case-usage`; left out, that header is absent or
    /// as `usage_headers` has it.
    pub business_percent: Option<u32>,
    /// Its `estimated_time_to_regain_access`.
    pub regain_minutes: u32,
    /// `call_count` of `x-app-usage`; left out, there is no such header.
    pub app_percent: Option<u32>,
}

/// `throughput.level` of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    Standard,
    High,
    /// Not registered.
    NotApplicable,
}

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::High => "HIGH",
            Self::NotApplicable => "NOT_APPLICABLE",
        }
    }
}

/// An access token, how it stands, and for which numbers it is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// `*` stands for every token that is not listed.
    pub token: String,
    #[serde(default)]
    pub state: TokenState,
    /// Phone number ids; none means all.
    #[serde(default)]
    pub numbers: Option<Vec<String>>,
    /// What `/debug_token` says, in Unix seconds; 0 or none: never. Time refuses no token
    /// here, `state` does.
    #[serde(default)]
    pub expires_at: Option<u64>,
    /// The Meta app that `/debug_token` says it is of.
    #[serde(default)]
    pub app_id: Option<String>,
}

/// How a token stands; all but valid ones are refused with 190 and HTTP 401.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    #[default]
    Valid,
    /// Subcode 463.
    Expired,
    /// Subcode 460.
    Revoked,
    /// Never was a token.
    Unknown,
}

/// One number's rules as changes to the defaults, as files write them:
/// `{"phone_number_id": "111", "mps": 40}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberChange {
    pub phone_number_id: String,
    #[serde(flatten)]
    pub changes: Map<String, Value>,
}

/// The options as a file writes them: numbers as changes to the defaults.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    pub listen: Option<SocketAddr>,
    pub seed: Option<u64>,
    pub defaults: NumberRules,
    pub numbers: Vec<NumberChange>,
    pub any_number: Option<bool>,
    pub tokens: Vec<Token>,
    pub any_token: Option<bool>,
    pub apps: BTreeMap<String, String>,
    pub templates: Vec<Template>,
    pub script: Script,
    pub ledger_capacity: Option<usize>,
    pub keep_bodies: bool,
    pub usage_headers: bool,
    pub retry_after_s: Option<u64>,
    pub http2_max_streams: Option<u32>,
}

impl TryFrom<Setup> for Options {
    type Error = String;

    fn try_from(setup: Setup) -> Result<Self, String> {
        let mut numbers = BTreeMap::new();
        for number in setup.numbers {
            let rules = setup
                .defaults
                .changed(&number.changes)
                .map_err(|error| format!("number {}: {error}", number.phone_number_id))?;
            numbers.insert(number.phone_number_id, rules);
        }
        let otherwise = Self::default();
        Ok(Self {
            listen: setup.listen.unwrap_or(otherwise.listen),
            seed: setup.seed.unwrap_or(otherwise.seed),
            defaults: setup.defaults,
            numbers,
            any_number: setup.any_number,
            tokens: setup.tokens,
            any_token: setup.any_token,
            apps: setup.apps,
            templates: setup.templates,
            script: setup.script,
            ledger_capacity: setup.ledger_capacity.unwrap_or(otherwise.ledger_capacity),
            keep_bodies: setup.keep_bodies,
            usage_headers: setup.usage_headers,
            retry_after_s: setup.retry_after_s,
            http2_max_streams: setup
                .http2_max_streams
                .unwrap_or(otherwise.http2_max_streams),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_limit_follows_level_coexistence_and_override() {
        let limit = |changes: Value| {
            let changes = changes.as_object().cloned().unwrap();
            NumberRules::default()
                .changed(&changes)
                .unwrap()
                .limit_mps()
        };
        assert_eq!(limit(json!({})), Some(80));
        assert_eq!(limit(json!({ "level": "HIGH" })), Some(1_000));
        assert_eq!(limit(json!({ "is_on_biz_app": true })), Some(20));
        assert_eq!(limit(json!({ "level": "HIGH", "mps": 40 })), Some(40));
        assert_eq!(limit(json!({ "unlimited": true })), None);
    }

    #[test]
    fn a_file_gives_numbers_the_defaults_and_its_changes() {
        let options: Options = toml::from_str(
            r#"
            seed = 9
            [defaults]
            latency_ms = 20
            [[numbers]]
            phone_number_id = "111"
            mps = 40
            usage = { business_percent = 95, regain_minutes = 5 }
            blocked_code = 131048
            blocked_ms = 60000
            messaging_limit = "TIER_2K"
            [[tokens]]
            token = "secret"
            numbers = ["111"]
            expires_at = 1767139200
            [[templates]]
            waba_id = "900"
            name = "otp_v2"
            [[script.faults]]
            match = { recipient = "+34600112233", times = 1 }
            action = { kind = "reset_after" }
            "#,
        )
        .unwrap();
        let rules = &options.numbers["111"];
        assert_eq!((rules.latency_ms, rules.limit_mps()), (20, Some(40)));
        let usage = Usage {
            business_percent: Some(95),
            regain_minutes: 5,
            app_percent: None,
        };
        assert_eq!((rules.usage, rules.blocked_ms), (Some(usage), Some(60_000)));
        assert_eq!((options.seed, options.script.faults.len()), (9, 1));
        assert_eq!(rules.messaging_limit, "TIER_2K");
        assert_eq!(options.tokens[0].expires_at, Some(1_767_139_200));
        let template = Template::new("900", "otp_v2", "APPROVED");
        assert_eq!(options.templates, [template]);
    }

    #[test]
    fn misspelt_keys_are_refused() {
        for file in [
            r#"{"sede":1}"#,
            r#"{"numbers":[{"phone_number_id":"1","msp":4}]}"#,
            r#"{"templates":[{"waba_id":"1","name":"a","state":"PAUSED"}]}"#,
        ] {
            assert!(serde_json::from_str::<Options>(file).is_err(), "{file}");
        }
    }
}
