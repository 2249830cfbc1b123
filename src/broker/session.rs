//! One session with the broker, and how its end is noticed.

use super::connect::{PREPARE_TIMEOUT, SessionError};
use super::declare::{check_rights, check_used, declare_common, declare_lane, look_at_size_limit};
use super::link::Link;
use super::topology::{self, Topology};
use super::ways::{Track, Ways};
use crate::config::BrokerConfig;
use lapin::{Channel, Connection};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// Two connections with everything that hangs on them: one to publish, one to ask and to read logs. The lanes are consumed on
/// connections of their own ([`super::links`]), which end without it, but not the other way round.
pub struct Session {
    /// Counts up; a delivery of another epoch is void.
    pub epoch: u64,
    reading: Arc<Link>,
    publishing: Arc<Link>,
    pub(super) ways: Ways,
    declare: bool,
    confirm_timeout: Duration,
    ended: watch::Sender<Option<String>>,
}

impl Session {
    pub(super) async fn open(
        config: &BrokerConfig,
        topology: &Topology,
        epoch: u64,
    ) -> Result<Arc<Self>, SessionError> {
        let reading = Link::open(config, "reading".to_owned(), None).await?;
        let publishing = match Link::open(config, "publishing".to_owned(), None).await {
            Ok(publishing) => publishing,
            Err(error) => {
                reading.close().await;
                return Err(error);
            }
        };
        if let Err(error) = prepare(config, topology, publishing.connection()).await {
            tokio::join!(publishing.close(), reading.close());
            return Err(error);
        }
        let session = Arc::new(Self {
            epoch,
            reading,
            publishing,
            ways: Ways::new(),
            declare: config.declare,
            confirm_timeout: config.confirm_timeout,
            ended: watch::Sender::new(None),
        });
        tokio::spawn(watch_over(
            Arc::downgrade(&session),
            session.reading.clone(),
        ));
        tokio::spawn(watch_over(
            Arc::downgrade(&session),
            session.publishing.clone(),
        ));
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
                let channel = session.publishing.channel().await?;
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
        self.ended.borrow().is_some() || self.publishing.has_ended()
    }

    /// False while new sends would be unsafe: results could not be written (the broker blocks publishers), or the broker may believe us dead.
    pub fn may_send(&self) -> bool {
        !self.has_ended() && !self.is_blocked() && self.reading.is_heard()
    }

    /// The broker told us to publish nothing for now (memory or disk alarm).
    pub fn is_blocked(&self) -> bool {
        self.publishing.is_blocked()
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
        track.channel(self.publishing.connection()).await
    }

    /// After that a confirm is late.
    pub(super) fn confirm_timeout(&self) -> Duration {
        self.confirm_timeout
    }

    /// The publishing connection is open, as far as is known.
    pub(super) fn publishes(&self) -> bool {
        !self.publishing.has_ended()
    }

    pub(super) async fn writing_channel(&self) -> Result<Channel, lapin::Error> {
        self.publishing.channel().await
    }

    pub(super) async fn close(&self) {
        self.end("closed");
        // Side by side: one that hangs must not keep the other open.
        tokio::join!(self.publishing.close(), self.reading.close());
    }
}

/// A session ends with either of its connections.
async fn watch_over(session: Weak<Session>, link: Arc<Link>) {
    let end = link.ended().await;
    if let Some(session) = session.upgrade() {
        session.end(&end.reason);
    }
}

/// Declares or checks what the session is for.
async fn prepare(
    config: &BrokerConfig,
    topology: &Topology,
    publishing: &Connection,
) -> Result<(), SessionError> {
    let preparing = async {
        if config.declare {
            declare_common(publishing).await?;
            declare_lanes(publishing, topology).await;
        } else {
            check_used(publishing).await?;
        }
        check_rights(publishing, topology::written()).await?;
        Ok(())
    };
    tokio::time::timeout(PREPARE_TIMEOUT, preparing)
        .await
        .map_err(|_| SessionError::PrepareTimeout)?
}

/// Before anybody subscribes: a request for a lane without a queue would be answered as unroutable. A lane that cannot be
/// declared is that lane's trouble, which its consumer tells; the others flow.
async fn declare_lanes(connection: &Connection, topology: &Topology) {
    let mut channel = None;
    for lane in &topology.lanes {
        match declare_lane(connection, channel.take(), lane).await {
            Ok(open) => channel = Some(open),
            Err(error) => {
                tracing::debug!(lane = lane.lane, %error, "the lane cannot be declared");
            }
        }
    }
    if let Some(open) = channel {
        drop(open.close(200, "OK".into()).await);
    }
}
