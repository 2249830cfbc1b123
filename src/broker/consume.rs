//! A lane's subscription: a channel of its own, so that closing it gives back this lane's messages, in order, and no other's.

use super::declare::{TopologyError, explain};
use super::delivery::Delivery;
use super::session::Session;
use super::topology::lane_queue;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use std::sync::Arc;
use std::time::Duration;

/// Closing takes a round trip; a broker that does not answer is left to notice by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for a channel, its queue and its consumer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Subscription {
    channel: Channel,
    consumer: Consumer,
    /// The phone number id whose queue it is.
    lane: Option<Arc<str>>,
}

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// By the broker: queue deleted, consumer timeout. The channel must be closed and a new one opened; acknowledging on it could
    /// revive a consumer nobody reads (RabbitMQ 4.3).
    #[error("cancelled by the broker (queue deleted or moved, or the consumer timed out)")]
    Cancelled,
    #[error("{0}")]
    Failed(lapin::Error),
}

async fn in_time(
    session: &Session,
    queue: &str,
    opening: impl Future<Output = Result<Subscription, TopologyError>>,
) -> Result<Subscription, TopologyError> {
    match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(opened) => opened,
        Err(_) => {
            // Half open, its consumer could become the active one with nobody to read it: it must go with its connection.
            session.end("a consumer could not be opened in time");
            let object = queue.to_owned();
            Err(TopologyError::NoAnswer { object })
        }
    }
}

impl Subscription {
    /// Subscribes to a lane. `priority`: see [`crate::core::placement`].
    pub async fn lane(
        session: &Session,
        phone_number_id: &str,
        prefetch: u16,
        priority: i32,
    ) -> Result<Self, TopologyError> {
        let queue = lane_queue(phone_number_id);
        let opening = async {
            let channel = if session.declares() {
                session.channel_of_lane(phone_number_id).await?
            } else {
                let channel = session.lane_channel().await;
                channel.map_err(|error| explain(&queue, error))?
            };
            let subscription = Self::start(channel, &queue, prefetch, Some(priority)).await?;
            Ok(Self {
                lane: Some(phone_number_id.into()),
                ..subscription
            })
        };
        in_time(session, &queue, opening).await
    }

    /// Subscribes to a queue that all workers share.
    pub async fn shared(
        session: &Session,
        queue: &str,
        prefetch: u16,
    ) -> Result<Self, TopologyError> {
        let opening = async {
            let channel = session.lane_channel().await;
            let channel = channel.map_err(|error| explain(queue, error))?;
            Self::start(channel, queue, prefetch, None).await
        };
        in_time(session, queue, opening).await
    }

    async fn start(
        channel: Channel,
        queue: &str,
        prefetch: u16,
        priority: Option<i32>,
    ) -> Result<Self, TopologyError> {
        let mut arguments = FieldTable::default();
        if let Some(priority) = priority {
            arguments.insert("x-priority".into(), AMQPValue::LongInt(priority));
        }
        channel
            .basic_qos(prefetch, BasicQosOptions::default())
            .await
            .map_err(|error| explain(queue, error))?;
        let consumer = channel
            .basic_consume(
                queue.into(),
                "".into(),
                BasicConsumeOptions::default(),
                arguments,
            )
            .await;
        Ok(Self {
            consumer: consumer.map_err(|error| explain(queue, error))?,
            channel,
            lane: None,
        })
    }

    pub async fn next(&mut self) -> Result<Delivery, Ended> {
        match self.consumer.next().await {
            Some(Ok(delivery)) => {
                let channel = self.channel.status().clone();
                Ok(Delivery::new(delivery, channel, self.lane.as_ref()))
            }
            Some(Err(error)) => Err(Ended::Failed(error)),
            None => Err(Ended::Cancelled),
        }
    }

    pub fn is_open(&self) -> bool {
        self.channel.status().connected()
    }

    /// Closes the channel: everything unacknowledged returns to the head of the queue, in order. Never `basic.cancel`: the next
    /// worker would start at once while we still hold messages. True if RabbitMQ says that it is closed: it has every acknowledgement
    /// that was made on it then.
    pub async fn close(self) -> bool {
        let closing = self.channel.close(200, "OK".into());
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
        if closed.is_err() {
            tracing::warn!("the broker did not confirm a channel's end");
        }
        matches!(closed, Ok(Ok(())))
    }
}
