//! A connection: for consumers and their acknowledgements, for questions, or to publish on. It proves again and again that RabbitMQ hears
//! it, and when it ends it says so.

use super::connect::{SessionError, connect, is_forced, is_of_a_channel};
use super::declare::{TopologyError, declare_lane};
use super::topology::LaneQueue;
use super::unsettled::{Connected, Unsettled, Writer};
use crate::clock::wall_ms;
use crate::config::BrokerConfig;
use crate::core::connection::awake::{self, Reading};
use futures_util::{Stream, StreamExt};
use lapin::options::BasicQosOptions;
use lapin::{Channel, Connection, Event};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Longest wait for a connection to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait for an answer that shows whether RabbitMQ is well.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How often RabbitMQ is asked whether it answers, or twice per heartbeat. What is acknowledged counts as settled only then, and the more of
/// that there is, the more of the log of results has to be read.
const PROBES: Duration = Duration::from_secs(1);

/// Why a connection is over.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) reason: String,
    /// The queue whose consumer stayed half open, if that is why.
    pub(super) culprit: Option<Arc<str>>,
    /// No delivery's doing: an operator's word, RabbitMQ that shuts down (AMQP's 320), or the error of a channel.
    pub(super) is_forced: bool,
}

pub(super) struct Link {
    connection: Connection,
    /// The connection's purpose, as log lines and RabbitMQ's list of connections name it.
    role: String,
    heartbeat: Duration,
    opened: Instant,
    /// When the last answered probe was *sent*.
    last_probe: Mutex<Reading>,
    /// To probe at once.
    to_probe: Notify,
    /// If requests come on it.
    settling: Option<Connected>,
    ended: watch::Sender<Option<End>>,
}

impl Link {
    pub(super) async fn open(
        config: &BrokerConfig,
        role: String,
        writer: Option<&Arc<Writer>>,
    ) -> Result<Arc<Self>, SessionError> {
        let connection = connect(config, &role).await?;
        let opened = Instant::now();
        let link = Arc::new(Self {
            connection,
            role,
            heartbeat: config.heartbeat,
            opened,
            last_probe: Mutex::new(read_clocks(opened)),
            to_probe: Notify::new(),
            settling: writer.map(Writer::connected),
            ended: watch::Sender::new(None),
        });
        let events = Box::pin(link.connection.events_listener());
        tokio::spawn(listen(events, Arc::downgrade(&link)));
        tokio::spawn(probe(Arc::downgrade(&link)));
        Ok(link)
    }

    /// Anyone who finds it broken says so; the first reason stands.
    fn end(&self, end: End) {
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            if is_first {
                *ended = Some(end);
            }
            is_first
        });
    }

    fn end_because(&self, error: &lapin::Error) {
        self.end(End {
            reason: format!("{} connection: {error}", self.role),
            culprit: None,
            is_forced: is_forced(error) || is_of_a_channel(error),
        });
    }

    /// A consumer of this queue stayed half open: RabbitMQ could make it the active one with nobody to read it, so it must go
    /// with its connection.
    pub(super) fn end_for(&self, queue: &str) {
        self.end(End {
            reason: format!(
                "{} connection: a consumer could not be opened in time",
                self.role
            ),
            culprit: Some(queue.into()),
            is_forced: false,
        });
    }

    /// Waits for the end.
    pub(super) async fn ended(&self) -> End {
        let mut ended = self.ended.subscribe();
        let end = ended.wait_for(Option::is_some).await;
        match end.ok().and_then(|end| end.clone()) {
            Some(end) => end,
            // The link owns the sender itself: there is always an end before there is none to tell it.
            None => std::future::pending().await,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some() || !self.connection.status().connected()
    }

    /// False once RabbitMQ may believe this connection dead: it gives a silent one's deliveries away after two to three heartbeats,
    /// so we stop at one and a half; also one that was suspended meanwhile, until it has asked.
    pub(super) fn is_heard(&self) -> bool {
        let last = self.last_probe.lock();
        let asked = *last.unwrap_or_else(PoisonError::into_inner);
        let silent = awake::passed(asked, read_clocks(self.opened));
        let is_heard = silent < self.heartbeat.mul_f64(1.5);
        if !is_heard {
            self.to_probe.notify_one();
        }
        is_heard && !self.has_ended()
    }

    /// True while RabbitMQ takes nothing that is published (memory or disk alarm).
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Waits for two heartbeats; and for as long as the connection is blocked, which is not read then, and is answered later.
    async fn patient<T>(&self, asking: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(asking);
        let patience = self.heartbeat.mul_f64(2.0);
        loop {
            match tokio::time::timeout(patience, &mut asking).await {
                Ok(answer) => return Some(answer),
                Err(_) if self.is_blocked() && !self.has_ended() => {}
                Err(_) => return None,
            }
        }
    }

    /// A request that came on it is about to end.
    pub(super) fn ends(&self) -> Option<Unsettled> {
        self.settling.as_ref().map(Connected::ends)
    }

    /// Asks now whether RabbitMQ answers.
    pub(super) async fn answers(&self) -> bool {
        let asking = async { ask(&self.channel().await?).await };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, asking).await;
        matches!(answer, Ok(Ok(()))) && !self.has_ended()
    }

    pub(super) async fn channel(&self) -> Result<Channel, lapin::Error> {
        self.connection.create_channel().await
    }

    /// A channel with the lane declared on it.
    pub(super) async fn channel_of_lane(&self, lane: &LaneQueue) -> Result<Channel, TopologyError> {
        declare_lane(&self.connection, None, lane).await
    }

    pub(super) async fn close(&self) {
        self.end(End {
            reason: "closed".to_owned(),
            culprit: None,
            is_forced: true,
        });
        // One that is already gone cannot be closed; that is what we want anyway.
        let closing = self.connection.close(200, "OK".into());
        drop(tokio::time::timeout(CLOSE_TIMEOUT, closing).await);
    }
}

/// Whether an error that lapin told of is the connection's end. Where RabbitMQ and the client close a channel at the same time, the
/// error is the channel's and lapin 4.12.3 ends the connection for it all the same (`findings/lapin-crossing-close.sh`).
fn ends(error: &lapin::Error, is_connected: bool) -> bool {
    !is_connected || !is_of_a_channel(error)
}

async fn listen(mut events: impl Stream<Item = Event> + Unpin, link: Weak<Link>) {
    while let Some(event) = events.next().await {
        let Some(link) = link.upgrade() else {
            return;
        };
        match event {
            // RabbitMQ says so to connections that have published.
            Event::ConnectionBlocked(reason) => tracing::warn!(
                role = link.role,
                reason,
                "the broker blocks publishers: no new sends until it stops"
            ),
            Event::ConnectionUnblocked => {
                tracing::info!(role = link.role, "the broker takes messages again")
            }
            Event::Error(error) if ends(&error, link.connection.status().connected()) => {
                link.end_because(&error);
            }
            // A channel's own end comes here too; whoever uses the channel sees it, and no other lane is touched.
            Event::Error(_) => {}
            // lapin may grow more; what ends a connection comes as an error.
            Event::Connected | Event::SendFlow(_) | _ => {}
        }
    }
}

fn read_clocks(opened: Instant) -> Reading {
    Reading {
        mono: opened.elapsed(),
        wall_ms: wall_ms(),
    }
}

/// Something harmless that RabbitMQ must answer.
async fn ask(channel: &Channel) -> Result<(), lapin::Error> {
    channel.basic_qos(1, BasicQosOptions::default()).await
}

/// Proves again and again that RabbitMQ hears us.
async fn probe(link: Weak<Link>) {
    let mut channel = None;
    loop {
        let Some(alive) = link.upgrade() else {
            return;
        };
        if alive.has_ended() {
            // Nobody may have said so: then lanes would wait for ever for its end to be judged.
            return alive.end(End {
                reason: format!("{} connection: it is not open any more", alive.role),
                culprit: None,
                is_forced: false,
            });
        }
        let sent = read_clocks(alive.opened);
        let proof = alive.settling.as_ref().map(Connected::to_prove);
        let asking = async {
            let channel = match channel.take() {
                Some(channel) => channel,
                None => alive.channel().await?,
            };
            ask(&channel).await?;
            Ok::<Channel, lapin::Error>(channel)
        };
        match alive.patient(asking).await {
            Some(Ok(asked)) => {
                channel = Some(asked);
                let last = alive.last_probe.lock();
                *last.unwrap_or_else(PoisonError::into_inner) = sent;
                if let Some((settling, proof)) = alive.settling.as_ref().zip(proof) {
                    settling.proven(proof);
                }
            }
            Some(Err(error)) => alive.end_because(&error),
            None => alive.end(End {
                reason: format!("{} connection: no answer for two heartbeats", alive.role),
                culprit: None,
                is_forced: false,
            }),
        }
        // The connection is held meanwhile: its end must not wait for this.
        tokio::select! {
            () = tokio::time::sleep(PROBES.min(alive.heartbeat / 2)) => {}
            () = alive.to_probe.notified() => {}
            _ = alive.ended() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::{ChannelState, ErrorKind};

    #[test]
    fn what_closed_a_channel_ends_its_connection_only_if_that_is_gone_as_well() {
        let of_a_channel: lapin::Error =
            ErrorKind::InvalidChannelState(ChannelState::Closed, "closing").into();
        let of_the_connection: lapin::Error = ErrorKind::MissingHeartbeatError.into();
        assert!(!ends(&of_a_channel, true));
        assert!(ends(&of_a_channel, false));
        assert!(ends(&of_the_connection, true));
        assert!(ends(&of_the_connection, false));
    }
}
