//! The settings, in types that hold no bad value. The keys' docs are in [`super::keys`].

use super::read::ConfigErrors;
use super::rules;
use crate::core::fleet::holds::ProbePeriods;
use crate::core::lane::pacing::{PaceConfig, Spacing};
use crate::core::lane::{LaneConfig, Redelivery, RedeliveryPolicy};
use crate::core::media::source::{Networks, Sources};
use crate::core::operation::IntakeConfig;
use crate::core::outcome::Override;
use crate::core::request::message::LaneId;
use crate::core::request::retry::RetryPolicy;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Most numbers of one worker: each takes a channel, and a connection has 2,047.
pub const MAX_NUMBERS: usize = 2_000;

/// Most numbers and accounts together, for the same reason.
pub(super) const MAX_LANES: usize = 2_040;

/// Operations of one account that are under way at once.
const OPERATIONS_IN_FLIGHT_MAX: usize = 8;

/// All settings. The keys' docs are in [`super::KEYS`].
#[derive(Clone, Debug)]
pub struct Config {
    pub broker: BrokerConfig,
    pub graph: GraphConfig,
    pub admin: AdminConfig,
    pub metrics: MetricsConfig,
    /// `worker.id`
    pub worker_id: String,
    pub log: LogConfig,
    pub tracing: TracingConfig,
    pub intake: IntakeConfig,
    pub pacing: PacingConfig,
    pub lanes: LanesConfig,
    pub operations: OperationsConfig,
    pub media: MediaConfig,
    pub retry: RetryConfig,
    /// `[redelivery]`
    pub redelivery: Redelivery,
    /// `drain.timeout_s`
    pub drain_timeout: Duration,
    /// `[[outcomes]]`, in the order of the file.
    pub outcomes: Vec<Override>,
    pub accounts: Vec<AccountConfig>,
}

/// `[broker]`
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    pub url: BrokerUrl,
    /// Whole seconds, 5 to 60.
    pub heartbeat: Duration,
    pub connect_timeout: Duration,
    pub confirm_timeout: Duration,
    pub reconnect_max: Duration,
    pub declare: bool,
    /// `broker.password_file`, read anew at every connect; else the password is that of `url`.
    pub password: Option<Secret>,
    pub ca_file: Option<PathBuf>,
    pub client_cert: Option<ClientCert>,
}

impl BrokerConfig {
    /// How long before RabbitMQ delivers a request again its result may have been written: it notices a silent worker after two to
    /// three heartbeats, and the last results take a while to be confirmed.
    pub fn lookback(&self) -> Duration {
        self.heartbeat * 4 + Duration::from_secs(20)
    }
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCert {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// `broker.url`; it may hold a password, so it is never printed.
#[derive(Clone)]
pub struct BrokerUrl(pub(super) SecretString);

impl BrokerUrl {
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
    pub fn is_tls(&self) -> bool {
        rules::is_tls_broker_url(self.expose())
    }
    /// True if the URL names a user, whose password comes from elsewhere.
    pub(super) fn is_without_password(&self) -> bool {
        rules::is_without_password(self.expose())
    }
    /// Host and port.
    pub fn server(&self) -> Option<(String, u16)> {
        rules::broker_server(self.expose())
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerUrl(***)")
    }
}

/// `[graph]`
#[derive(Clone, Debug)]
pub struct GraphConfig {
    /// Without a slash at its end.
    pub base_url: String,
    pub version: String,
    /// See [`Self::business_base_url`].
    pub(super) business_base_url: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
    pub pool_idle_timeout: Duration,
    pub max_response_bytes: usize,
    pub refresh: Duration,
    pub allow_plain_http: bool,
}

impl GraphConfig {
    /// Where the operations go that Meta's other host serves. A token that is for a double of the API never goes to Meta.
    pub fn business_base_url(&self) -> &str {
        match &self.business_base_url {
            Some(url) => url,
            None if self.base_url == "https://graph.facebook.com" => "https://api.facebook.com",
            None => &self.base_url,
        }
    }
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    /// Names that it is asked by, in lower case.
    pub hosts: Arc<[String]>,
    /// Lanes may be paused and resumed.
    pub actions: bool,
}

/// `[metrics]`
#[derive(Clone, Copy, Debug)]
pub struct MetricsConfig {
    pub max_lanes: usize,
    pub max_tags: usize,
    pub drain_target: Duration,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    /// Directives of an `EnvFilter`; they parse.
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// `[tracing]`
#[derive(Clone, Debug)]
pub struct TracingConfig {
    /// Without a slash at its end.
    pub endpoint: Option<String>,
    pub sample_ratio: f64,
}

/// `[pacing]`
#[derive(Clone, Debug)]
pub struct PacingConfig {
    pub utilization: f64,
    pub burst: Duration,
    pub bulk_every: u32,
    pub shadow_mps: Option<u32>,
    pub pair: Spacing,
    pub pairs_max: usize,
    pub pair_wait_max: Duration,
}

/// `[lanes]`
#[derive(Clone, Debug)]
pub struct LanesConfig {
    pub latency: Duration,
    pub max_in_flight: usize,
    pub buffer: Duration,
    pub halt_probe: Duration,
    pub halt_probe_max: Duration,
    /// Ids remembered per lane at most.
    pub dedupe_ids_max: usize,
    pub breaker_failures: usize,
}

/// `[operations]`: the budget of an account, for all but messages.
#[derive(Clone, Copy, Debug)]
pub struct OperationsConfig {
    /// Calls that the API allows an account in any hour.
    pub per_hour: u32,
    /// Share of them that is spent evenly.
    pub utilization: f64,
    /// Operations that may be done at once when none was for a while.
    pub burst: u32,
}

impl OperationsConfig {
    /// The same as a pace, per second.
    fn pace(&self) -> PaceConfig {
        let limit_mps = f64::from(self.per_hour) / 3_600.0;
        let rate_mps = limit_mps * self.utilization;
        PaceConfig {
            limit_mps,
            utilization: self.utilization,
            burst: Duration::from_secs_f64(f64::from(self.burst) / rate_mps),
        }
    }
}

/// `[media]`: files that requests name by link.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    pub sources: Sources,
    pub private_networks: Networks,
    pub ca_file: Option<PathBuf>,
    /// Longest that one file may be fetched, and again be sent.
    pub timeout: Duration,
}

/// `[retry]`
#[derive(Clone, Debug)]
pub struct RetryConfig {
    pub policy: RetryPolicy,
    pub quick_base: Duration,
    pub quick_max: Duration,
}

/// `[[accounts]]`
#[derive(Clone, Debug)]
pub struct AccountConfig {
    pub waba_id: String,
    pub token: Secret,
    pub app: String,
    /// As written here; another account of the same app may hold it: see [`Config::app_secret`].
    pub app_secret: Option<Secret>,
    pub numbers: Vec<NumberConfig>,
}

/// `[[accounts.numbers]]`
#[derive(Clone, Debug)]
pub struct NumberConfig {
    pub phone_number_id: LaneId,
    /// Messages per second; read from the API if absent.
    pub mps: Option<u32>,
}

/// A secret, or the file that holds it.
#[derive(Clone)]
pub enum Secret {
    File(PathBuf),
    Inline(SecretString),
}

impl Secret {
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Inline(_) => None,
        }
    }

    /// The secret itself, without the white space around it; reads the file now.
    pub fn read(&self) -> io::Result<SecretString> {
        let path = match self {
            Self::Inline(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        // Not straight into a `SecretString`: that may move the text, and leave a copy behind.
        let text = Zeroizing::new(std::fs::read_to_string(path)?);
        let trimmed = text.trim();
        if rules::is_token(trimmed) {
            Ok(trimmed.into())
        } else {
            let reason = "must hold one line of printable text without spaces";
            Err(io::Error::new(io::ErrorKind::InvalidData, reason))
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(_) => f.write_str("Inline(***)"),
        }
    }
}

impl Config {
    /// Checks what `run` needs beyond sound keys: something to serve.
    pub fn require_numbers(&self) -> Result<(), ConfigErrors> {
        if self.numbers().next().is_some() {
            return Ok(());
        }
        let line = "accounts: at least one [[accounts]] with one [[accounts.numbers]] is required";
        Err(ConfigErrors(vec![line.to_owned()]))
    }

    /// Every number with its account.
    pub fn numbers(&self) -> impl Iterator<Item = (&AccountConfig, &NumberConfig)> {
        let pairs = |account| move |number| (account, number);
        self.accounts
            .iter()
            .flat_map(move |account| account.numbers.iter().map(pairs(account)))
    }

    pub fn phone_number_ids(&self) -> Vec<String> {
        let ids = self.numbers().map(|(_, number)| &number.phone_number_id);
        ids.map(|id| id.as_str().to_owned()).collect()
    }

    /// The secret of a Meta app, whichever of its accounts holds it.
    pub fn app_secret(&self, app: &str) -> Option<&Secret> {
        self.accounts
            .iter()
            .filter(|account| account.app == app)
            .find_map(|account| account.app_secret.as_ref())
    }

    /// The bounds of a lane whose number may send `limit_mps`.
    pub fn lane(&self, limit_mps: u32) -> LaneConfig {
        LaneConfig {
            pace: PaceConfig {
                limit_mps: limit_mps.into(),
                utilization: self.pacing.utilization,
                burst: self.pacing.burst,
            },
            shadow_mps: self.pacing.shadow_mps,
            pair: self.pacing.pair,
            pairs_max: self.pacing.pairs_max,
            pair_wait_max: self.pacing.pair_wait_max,
            latency: self.lanes.latency,
            max_in_flight: self.lanes.max_in_flight,
            dedupe_ids_max: self.lanes.dedupe_ids_max,
            buffer: self.lanes.buffer,
            bulk_every: self.pacing.bulk_every,
            retry: self.retry.policy,
            redelivery: self.redelivery,
            breaker_failures: self.lanes.breaker_failures,
        }
    }

    /// The bounds of an account's lane: of its operations, none of which is anybody's message.
    pub fn account_lane(&self) -> LaneConfig {
        LaneConfig {
            pace: self.operations.pace(),
            shadow_mps: None,
            pair: Spacing {
                interval: Duration::ZERO,
                burst: 1,
            },
            max_in_flight: OPERATIONS_IN_FLIGHT_MAX,
            // As many as may be under way: a budget of so many an hour says nothing of that.
            latency: Duration::from_secs(3600),
            // A refund that was made twice is mended by no flag.
            redelivery: Redelivery {
                policy: RedeliveryPolicy::Report,
                ..self.redelivery
            },
            ..self.lane(1)
        }
    }

    /// How soon a block is looked at, and how seldom at last.
    pub fn probe_periods(&self) -> ProbePeriods {
        ProbePeriods {
            first: self.lanes.halt_probe,
            longest: self.lanes.halt_probe_max,
        }
    }
}
