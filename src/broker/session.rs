//! One session with the broker, and how its end is noticed.

use super::connect::{PREPARE_TIMEOUT, SessionError, connect, is_of_a_channel};
use super::declare::{check_rights, check_used, declare_common, declare_lane, look_at_size_limit};
use super::link::Link;
use super::topology::{self, Topology};
use super::ways::{Track, Ways};
use crate::config::BrokerConfig;
use futures_util::StreamExt;
use lapin::options::BasicQosOptions;
use lapin::{Channel, Connection, Event};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Longest wait for a connection to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Two connections with everything that hangs on them: one to publish, one to ask and to read logs. The lanes are consumed on
/// connections of their own ([`super::links`]), which end without it, but not the other way round.
pub struct Session {
    /// Counts up; a delivery of another epoch is void.
    pub epoch: u64,
    reading: Arc<Link>,
    publishing: Connection,
    pub(super) ways: Ways,
    declare: bool,
    confirm_timeout: Duration,
    heartbeat: Duration,
    ended: watch::Sender<Option<String>>,
}

impl Session {
    pub(super) async fn open(
        config: &BrokerConfig,
        topology: &Topology,
        epoch: u64,
    ) -> Result<Arc<Self>, SessionError> {
        let reading = Link::open(config, "reading".to_owned(), None).await?;
        let opened = Self::beside(&reading, config, topology, epoch).await;
        if opened.is_err() {
            reading.close().await;
        }
        opened
    }

    async fn beside(
        reading: &Arc<Link>,
        config: &BrokerConfig,
        topology: &Topology,
        epoch: u64,
    ) -> Result<Arc<Self>, SessionError> {
        let publishing = connect(config, "publishing").await?;
        let prepare = async {
            if config.declare {
                declare_common(&publishing).await?;
                declare_lanes(&publishing, topology).await;
            } else {
                check_used(&publishing).await?;
            }
            check_rights(&publishing, topology::written()).await?;
            Ok::<(), SessionError>(())
        };
        tokio::time::timeout(PREPARE_TIMEOUT, prepare)
            .await
            .map_err(|_| SessionError::PrepareTimeout)??;
        let session = Arc::new(Self {
            epoch,
            reading: reading.clone(),
            publishing,
            ways: Ways::new(),
            declare: config.declare,
            confirm_timeout: config.confirm_timeout,
            heartbeat: config.heartbeat,
            ended: watch::Sender::new(None),
        });
        session.watch_over();
        if epoch == 1 {
            session.look_at_size_limit();
        }
        Ok(session)
    }

    /// Beside what the session is for: nothing depends on it.
    fn look_at_size_limit(self: &Arc<Self>) {
        let session = self.clone();
        tokio::spawn(async move {
            let looked = async {
                let channel = session.publishing.create_channel().await?;
                look_at_size_limit(channel).await
            };
            // A RabbitMQ in alarm would not read it for hours.
            match tokio::time::timeout(PREPARE_TIMEOUT, looked).await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => {
                    tracing::debug!(%reason, "RabbitMQ takes no message that is too large")
                }
                Err(_) => tracing::debug!("RabbitMQ does not say which messages are too large"),
            }
        });
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
    pub fn may_send(&self) -> bool {
        !self.has_ended() && !self.is_blocked() && self.reading.is_heard()
    }

    /// The broker told us to publish nothing for now (memory or disk alarm).
    pub fn is_blocked(&self) -> bool {
        self.publishing.status().blocked()
    }

    pub(super) fn declares(&self) -> bool {
        self.declare
    }

    pub(super) async fn reading_channel(&self) -> Result<Channel, lapin::Error> {
        self.reading.channel().await
    }

    /// Asks RabbitMQ now whether it is well.
    pub(super) async fn answers(&self) -> bool {
        self.reading.answers().await && !self.has_ended()
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
        let publishing = tokio::time::timeout(CLOSE_TIMEOUT, goodbye(&self.publishing));
        drop(tokio::join!(publishing, self.reading.close()));
    }

    /// Whether the broker answers where we publish. A connection that is blocked is not read, and answers once it is.
    async fn ask_publishing(&self, channel: &mut Option<Channel>) -> Result<bool, lapin::Error> {
        let asking = async {
            let asked = match channel.take() {
                Some(channel) => channel,
                None => self.publishing.create_channel().await?,
            };
            asked.basic_qos(1, BasicQosOptions::default()).await?;
            *channel = Some(asked);
            Ok::<(), lapin::Error>(())
        };
        tokio::pin!(asking);
        let patience = self.heartbeat.mul_f64(2.0);
        loop {
            match tokio::time::timeout(patience, &mut asking).await {
                Ok(answered) => return answered.map(|()| true),
                Err(_) if self.is_blocked() && !self.has_ended() => {}
                Err(_) => return Ok(false),
            }
        }
    }

    fn watch_over(self: &Arc<Self>) {
        let (session, reading) = (Arc::downgrade(self), self.reading.clone());
        tokio::spawn(async move {
            let end = reading.ended().await;
            if let Some(session) = session.upgrade() {
                session.end(&end.reason);
            }
        });
        let mut events = Box::pin(self.publishing.events_listener());
        let session = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let Some(session) = session.upgrade() else {
                    return;
                };
                match event {
                    Event::ConnectionBlocked(reason) => tracing::warn!(
                        role = "publishing",
                        reason,
                        "the broker blocks publishers: no new sends until it stops"
                    ),
                    Event::ConnectionUnblocked => {
                        tracing::info!(role = "publishing", "the broker takes messages again")
                    }
                    // A channel's own end comes here too; whoever uses the channel sees it.
                    Event::Error(error) if is_of_a_channel(&error) => {}
                    Event::Error(error) => session.end(&format!("publishing connection: {error}")),
                    // lapin may grow more; what ends a connection comes as an error.
                    Event::Connected | Event::SendFlow(_) | _ => {}
                }
            }
        });
        tokio::spawn(probe(Arc::downgrade(self)));
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

/// Asks something harmless on the publishing connection every half heartbeat. No other sign tells a connection that is silently gone from
/// a queue that does not confirm.
async fn probe(session: std::sync::Weak<Session>) {
    let mut channel = None;
    loop {
        let Some(alive) = session.upgrade() else {
            return;
        };
        if alive.has_ended() {
            return;
        }
        match alive.ask_publishing(&mut channel).await {
            Ok(true) => {}
            Ok(false) => alive.end("publishing connection: no answer for two heartbeats"),
            Err(error) => alive.end(&format!("publishing connection: {error}")),
        }
        // The session is held meanwhile: its end must not wait for this.
        tokio::select! {
            () = tokio::time::sleep(alive.heartbeat / 2) => {}
            _ = alive.ended() => {}
        }
    }
}
