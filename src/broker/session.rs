//! One session with the broker, and how its end is noticed.

use super::declare::{TopologyError, check_used, declare_common, declare_lane};
use super::topology::Topology;
use super::ways::{Track, Ways};
use crate::config::BrokerConfig;
use crate::core::awake::{self, Reading};
use futures_util::StreamExt;
use lapin::options::BasicQosOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind, Event};
use secrecy::ExposeSecret;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};

/// Longest wait for a connection to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait for the topology: thousands of lanes on a slow cluster take their time.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(180);

/// Why no session could be opened. The texts name what an operator must look at; the URL's password is never part of them.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("broker.url: cannot be read as an AMQP URL")]
    Url,
    #[error("{key}: cannot be read: {error}")]
    File {
        key: &'static str,
        error: std::io::Error,
    },
    #[error("cannot connect to the broker within broker.connect_timeout_ms")]
    ConnectTimeout,
    #[error("the broker did not declare or check its objects within {PREPARE_TIMEOUT:?}")]
    PrepareTimeout,
    #[error("cannot connect to the broker: {0}")]
    Connect(lapin::Error),
    #[error("{0}")]
    Topology(#[from] TopologyError),
    #[error("cannot open a channel: {0}")]
    Channel(lapin::Error),
}

/// Two connections with everything that hangs on them.
pub struct Session {
    /// Counts up; a delivery of another epoch is void.
    pub epoch: u64,
    lanes: Connection,
    publishing: Connection,
    pub(super) ways: Ways,
    declare: bool,
    confirm_timeout: Duration,
    heartbeat: Duration,
    opened: Instant,
    /// When the last answered probe on the lanes connection was *sent*.
    last_probe: Mutex<Reading>,
    /// To probe at once.
    to_probe: Notify,
    ended: watch::Sender<Option<String>>,
}

impl Session {
    pub(super) async fn open(
        config: &BrokerConfig,
        topology: &Topology,
        epoch: u64,
    ) -> Result<Arc<Self>, SessionError> {
        let timeout = config.connect_timeout;
        let connect = |role| async move {
            let connecting = connect(config, role);
            tokio::time::timeout(timeout, connecting)
                .await
                .map_err(|_| SessionError::ConnectTimeout)?
        };
        let lanes = connect("lanes").await?;
        let publishing = connect("publishing").await?;
        let prepare = async {
            if config.declare {
                declare_common(&publishing).await?;
                declare_lanes(&publishing, topology).await;
            } else {
                check_used(&publishing).await?;
            }
            Ok::<(), SessionError>(())
        };
        tokio::time::timeout(PREPARE_TIMEOUT, prepare)
            .await
            .map_err(|_| SessionError::PrepareTimeout)??;
        let opened = Instant::now();
        let session = Arc::new(Self {
            epoch,
            lanes,
            publishing,
            ways: Ways::new(),
            declare: config.declare,
            confirm_timeout: config.confirm_timeout,
            heartbeat: config.heartbeat,
            opened,
            last_probe: Mutex::new(read_clocks(opened)),
            to_probe: Notify::new(),
            ended: watch::Sender::new(None),
        });
        session.watch_over();
        Ok(session)
    }

    /// Anyone who finds the session broken says so; the first reason stands.
    pub fn end(&self, reason: &str) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(reason.to_owned());
            }
            first
        });
    }

    /// Waits for the session's end and returns its reason.
    pub async fn ended(&self) -> String {
        let mut ended = self.ended.subscribe();
        let reason = ended.wait_for(Option::is_some).await;
        reason
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or_default()
    }

    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// False while new sends would be unsafe: results could not be written (the broker blocks publishers), or the broker may believe us dead.
    /// RabbitMQ gives a silent connection's deliveries away after two to three heartbeats, so we stop at one and a half; also one that was
    /// suspended meanwhile, until it has asked.
    pub fn may_send(&self) -> bool {
        let asked = *self
            .last_probe
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let silent = awake::passed(asked, read_clocks(self.opened));
        let is_heard = silent < self.heartbeat.mul_f64(1.5);
        if !is_heard {
            self.to_probe.notify_one();
        }
        !self.has_ended() && !self.is_blocked() && is_heard
    }

    /// The broker told us to publish nothing for now (memory or disk alarm).
    pub fn is_blocked(&self) -> bool {
        self.publishing.status().blocked()
    }

    pub(super) fn declares(&self) -> bool {
        self.declare
    }

    pub(super) async fn lane_channel(&self) -> Result<Channel, lapin::Error> {
        self.lanes.create_channel().await
    }

    /// A channel of the lanes' connection, with the lane declared on it.
    pub(super) async fn channel_of_lane(&self, lane: &str) -> Result<Channel, TopologyError> {
        declare_lane(&self.lanes, None, lane).await
    }

    pub(super) async fn publishing_channel(
        &self,
        track: &Track,
    ) -> Result<Arc<Channel>, lapin::Error> {
        track.channel(&self.publishing).await
    }

    /// After that a confirm is late.
    pub(super) fn confirm_timeout(&self) -> Duration {
        self.confirm_timeout
    }

    /// The publishing connection is open, as far as is known.
    pub(super) fn publishes(&self) -> bool {
        self.publishing.status().connected()
    }

    pub(super) async fn reply_channel(&self) -> Result<Channel, lapin::Error> {
        self.publishing.create_channel().await
    }

    pub(super) async fn close(&self) {
        self.end("closed");
        // A connection that is already gone cannot be closed; that is what we want anyway. Side by side: one that hangs must
        // not keep the other open.
        let close = |connection| tokio::time::timeout(CLOSE_TIMEOUT, goodbye(connection));
        drop(tokio::join!(close(&self.publishing), close(&self.lanes)));
    }

    /// Whether the broker answers on that connection. One that is blocked is not read, and answers once it is.
    async fn ask(&self, role: Role, channel: &mut Option<Channel>) -> Result<bool, lapin::Error> {
        let sent = read_clocks(self.opened);
        let asking = async {
            let asked = match (channel.take(), role) {
                (Some(channel), _) => channel,
                (None, Role::Lanes) => self.lanes.create_channel().await?,
                (None, Role::Publishing) => self.publishing.create_channel().await?,
            };
            asked.basic_qos(1, BasicQosOptions::default()).await?;
            *channel = Some(asked);
            Ok::<(), lapin::Error>(())
        };
        tokio::pin!(asking);
        let patience = self.heartbeat.mul_f64(2.0);
        loop {
            match tokio::time::timeout(patience, &mut asking).await {
                Ok(answered) => {
                    answered?;
                    if role == Role::Lanes {
                        let last = self.last_probe.lock();
                        *last.unwrap_or_else(PoisonError::into_inner) = sent;
                    }
                    return Ok(true);
                }
                Err(_) if role == Role::Publishing && self.is_blocked() && !self.has_ended() => {}
                Err(_) => return Ok(false),
            }
        }
    }

    fn watch_over(self: &Arc<Self>) {
        for (role, connection) in [("lanes", &self.lanes), ("publishing", &self.publishing)] {
            let mut events = Box::pin(connection.events_listener());
            let session = Arc::downgrade(self);
            tokio::spawn(async move {
                while let Some(event) = events.next().await {
                    let Some(session) = session.upgrade() else {
                        return;
                    };
                    match event {
                        Event::ConnectionBlocked(reason) => tracing::warn!(
                            role,
                            reason,
                            "the broker blocks publishers: no new sends until it stops"
                        ),
                        Event::ConnectionUnblocked => {
                            tracing::info!(role, "the broker takes messages again")
                        }
                        // A channel's own end comes here too; whoever uses the channel sees it, and no other lane is touched.
                        Event::Error(error) if is_of_a_channel(&error) => {}
                        Event::Error(error) => session.end(&format!("{role} connection: {error}")),
                        // lapin may grow more; what ends a connection comes as an error.
                        Event::Connected | Event::SendFlow(_) | _ => {}
                    }
                }
            });
        }
        tokio::spawn(probe(Arc::downgrade(self), Role::Lanes));
        tokio::spawn(probe(Arc::downgrade(self), Role::Publishing));
    }
}

async fn goodbye(connection: &Connection) {
    drop(connection.close(200, "OK".into()).await);
}

/// Before anybody subscribes: a request for a lane without a queue would be answered as unroutable. A lane that cannot be
/// declared is that lane's trouble, which its consumer tells; the others flow.
async fn declare_lanes(connection: &Connection, topology: &Topology) {
    let mut channel = None;
    for phone_number_id in &topology.phone_number_ids {
        match declare_lane(connection, channel.take(), phone_number_id).await {
            Ok(open) => channel = Some(open),
            Err(error) => tracing::debug!(phone_number_id, %error, "the lane cannot be declared"),
        }
    }
    if let Some(open) = channel {
        drop(open.close(200, "OK".into()).await);
    }
}

/// AMQP closes a channel for a soft error, such as 403, 404 or 406, and the connection for a hard one. What else was on its way on that
/// channel only hears that it is gone.
pub(super) fn is_of_a_channel(error: &lapin::Error) -> bool {
    let kind = error.kind();
    if let ErrorKind::ProtocolError(error) = kind {
        return matches!(error.kind(), AMQPErrorKind::Soft(_));
    }
    matches!(
        kind,
        ErrorKind::InvalidChannel(_) | ErrorKind::InvalidChannelState(..)
    )
}

/// The exchange is missing.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else {
        return false;
    };
    *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
}

fn read_clocks(opened: Instant) -> Reading {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    let wall_ms = wall.unwrap_or_default().as_millis();
    Reading {
        mono: opened.elapsed(),
        wall_ms: u64::try_from(wall_ms).unwrap_or(u64::MAX),
    }
}

/// One of the session's connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Lanes,
    Publishing,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Lanes => "lanes",
            Self::Publishing => "publishing",
        }
    }
}

/// Asks something harmless every half heartbeat: the proof that the broker hears us. No other sign tells a connection that is silently
/// gone from a queue that does not confirm.
async fn probe(session: std::sync::Weak<Session>, role: Role) {
    let mut channel = None;
    loop {
        let Some(alive) = session.upgrade() else {
            return;
        };
        if alive.has_ended() {
            return;
        }
        let name = role.as_str();
        match alive.ask(role, &mut channel).await {
            Ok(true) => {}
            Ok(false) => alive.end(&format!("{name} connection: no answer for two heartbeats")),
            Err(error) => alive.end(&format!("{name} connection: {error}")),
        }
        // The session is held meanwhile: its end must not wait for this.
        tokio::select! {
            () = tokio::time::sleep(alive.heartbeat / 2) => {}
            () = alive.to_probe.notified(), if role == Role::Lanes => {}
            _ = alive.ended() => {}
        }
    }
}

pub(super) async fn connect(config: &BrokerConfig, role: &str) -> Result<Connection, SessionError> {
    let read = |key, path: Option<&std::path::PathBuf>| match path {
        Some(path) => std::fs::read(path)
            .map(Some)
            .map_err(|error| SessionError::File { key, error }),
        None => Ok(None),
    };
    let ca = read("broker.ca_file", config.ca_file.as_ref())?;
    let ca = ca.map(|ca| String::from_utf8_lossy(&ca).into_owned());
    // lapin would go on with the system's authorities alone and say nothing.
    if ca
        .as_ref()
        .is_some_and(|ca| !ca.contains("-----BEGIN CERTIFICATE-----"))
    {
        let key = "broker.ca_file";
        let error =
            std::io::Error::new(std::io::ErrorKind::InvalidData, "holds no PEM certificate");
        return Err(SessionError::File { key, error });
    }
    let client = config.client_cert.as_ref();
    let certificate = read(
        "broker.client_cert_file",
        client.map(|client| &client.cert_file),
    )?;
    let key = read(
        "broker.client_key_file",
        client.map(|client| &client.key_file),
    )?;
    let tls = OwnedTLSConfig {
        identity: certificate
            .zip(key)
            .map(|(pem, key)| OwnedIdentity::PKCS8 { pem, key }),
        cert_chain: ca,
    };
    let mut uri: lapin::uri::AMQPUri =
        config.url.expose().parse().map_err(|_| SessionError::Url)?;
    if let Some(password) = &config.password {
        let key = "broker.password_file";
        let password = password.read();
        let password = password.map_err(|error| SessionError::File { key, error })?;
        uri.authority.userinfo.password = password.expose_secret().into();
    }
    uri.query.heartbeat = Some(u16::try_from(config.heartbeat.as_secs()).unwrap_or(u16::MAX));
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("whatsapp-dispatcher {role}").into());
    let runtime = lapin::runtime::default_runtime().map_err(SessionError::Connect)?;
    Connection::connect_uri_with_config(uri, properties, tls, runtime)
        .await
        .map_err(SessionError::Connect)
}
