//! Results that go straight to `reply_to` as well: as well as they can, on top of `wa.results`, where they stand already. A caller's
//! queue may be gone, full or stuck, and the default exchange forbidden, so replies have a connection of their own, a short time, and
//! a bound; a channel on which one was not confirmed is thrown away with it, and after some of them the connection.

use super::connect::connect;
use crate::config::BrokerConfig;
use crate::core::request::reply_to::ReplyTo;
use crate::metrics::Metrics;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

/// Longest wait for one to be confirmed, its connection and channel included.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most that are under way.
const PLACES: u32 = 64;

/// How long a queue that took none in time is sent none.
const SHUNNED: Duration = Duration::from_secs(30);

/// Most such queues that are remembered.
const SHUNNED_MAX: usize = 1_000;

/// After so many channels that were thrown away the connection is, too: a channel that waits for a stuck queue does not close.
const THROWN_MAX: usize = 100;

/// Between two attempts to connect.
const RECONNECT: Duration = Duration::from_secs(5);

pub(super) struct Replies {
    config: BrokerConfig,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    /// Held for moments, and while a connection is opened.
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    connection: Option<Connection>,
    /// Not before that.
    connects_at: Option<Instant>,
    idle: Vec<Channel>,
    thrown: usize,
    shunned: HashMap<String, Instant>,
}

/// How a reply went that was published.
enum Sent {
    /// RabbitMQ has said whether it has taken it.
    Answered {
        taken: bool,
    },
    Failed,
    Late,
}

impl Replies {
    pub(super) fn new(config: BrokerConfig, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            config,
            metrics,
            places: Arc::new(Semaphore::new(PLACES as usize)),
            line: Mutex::default(),
        })
    }

    /// Returns at once.
    pub(super) fn send(self: &Arc<Self>, to: &str, body: &[u8], properties: BasicProperties) {
        let (queue, counts) = match ReplyTo::parse(to) {
            Some(ReplyTo::Queue(queue)) => (queue.into_owned(), true),
            Some(ReplyTo::Direct(queue)) => (queue.to_owned(), false),
            // Intake has refused the request for it, or nobody asked.
            Some(ReplyTo::Ours) | None => return,
        };
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return self.undelivered(counts);
        };
        let (replies, body) = (self.clone(), body.to_vec());
        tokio::spawn(async move {
            if !replies.deliver(&queue, &body, properties).await {
                replies.undelivered(counts);
            }
            drop(place);
        });
    }

    /// Until none is under way.
    pub(super) async fn sent(&self) {
        drop(timeout(PATIENCE, self.places.acquire_many(PLACES)).await);
    }

    /// RabbitMQ says of direct replies on some versions that they were not routed when they were, and on others the reverse.
    fn undelivered(&self, counts: bool) {
        if counts {
            self.metrics.replies_undelivered.inc();
            tracing::debug!("a reply_to queue did not take a result; it stands on wa.results");
        }
    }

    async fn deliver(&self, queue: &str, body: &[u8], properties: BasicProperties) -> bool {
        let until = Instant::now() + PATIENCE;
        let opening = tokio::time::timeout_at(until, self.channel(queue));
        let Ok(Some(channel)) = opening.await else {
            return false;
        };
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let publishing = async {
            let sent = channel.basic_publish("".into(), queue.into(), options, body, properties);
            sent.await?.await
        };
        let sent = match tokio::time::timeout_at(until, publishing).await {
            Ok(Ok(confirmation)) => Sent::Answered {
                taken: confirmation == Confirmation::Ack(None),
            },
            Ok(Err(_)) => Sent::Failed,
            Err(_) => Sent::Late,
        };
        let mut line = self.line.lock().await;
        match sent {
            Sent::Answered { taken } => {
                line.idle.push(channel);
                return taken;
            }
            // By RabbitMQ, which has closed the channel.
            Sent::Failed => {}
            Sent::Late => line.throw(channel),
        }
        line.shun(queue);
        false
    }

    /// A channel that nobody uses.
    async fn channel(&self, queue: &str) -> Option<Channel> {
        let mut line = self.line.lock().await;
        let now = Instant::now();
        if line.shunned.get(queue).is_some_and(|until| *until > now) {
            return None;
        }
        while let Some(channel) = line.idle.pop() {
            if channel.status().connected() {
                return Some(channel);
            }
        }
        let is_open = |connection: &Connection| connection.status().connected();
        if !line.connection.as_ref().is_some_and(is_open) {
            if line.connects_at.is_some_and(|at| at > now) {
                return None;
            }
            line.connects_at = Some(now + RECONNECT);
            line.connection = connect(&self.config, "replies").await.ok();
            line.thrown = 0;
        }
        let channel = line.connection.as_ref()?.create_channel().await.ok()?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default());
        confirming.await.ok()?;
        Some(channel)
    }
}

impl Line {
    fn throw(&mut self, channel: Channel) {
        drop(channel);
        self.thrown += 1;
        if self.thrown >= THROWN_MAX {
            self.idle.clear();
            self.connection = None;
        }
    }

    fn shun(&mut self, queue: &str) {
        let now = Instant::now();
        if self.shunned.len() >= SHUNNED_MAX {
            self.shunned.retain(|_, until| *until > now);
        }
        if self.shunned.len() < SHUNNED_MAX {
            self.shunned.insert(queue.to_owned(), now + SHUNNED);
        }
    }
}
