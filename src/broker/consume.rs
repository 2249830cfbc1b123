//! A lane's subscription: a channel of its own, so that closing it gives back this lane's messages, in order, and no other's.

use super::acknowledge::Acknowledger;
use super::connect::is_of_a_channel;
use super::declare::{TopologyError, explain};
use super::delivery::Delivery;
use super::links::{Links, Membership, NotSubscribed};
use super::session::Session;
use super::topology::LaneQueue;
use crate::contract::names::lane_queue;
use crate::core::connection::quarantine::Assignment;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use std::sync::Arc;
use std::time::Duration;

/// Closing takes a round trip; a broker that does not answer is left to notice by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for a channel, its queue and its consumer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Subscription {
    channel: Arc<Channel>,
    acknowledger: Arc<Acknowledger>,
    consumer: Consumer,
    /// The phone number id whose queue it is.
    lane: Option<Arc<str>>,
    membership: Membership,
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
    /// As those of all other lanes on it have.
    #[error("its connection ended")]
    WithItsConnection,
}

impl Links {
    /// Consumes a lane as it was assigned; [`NotSubscribed::Gone`] if that is no longer so. `priority`: see
    /// [`crate::core::fleet::placement`].
    pub async fn lane(
        self: &Arc<Self>,
        session: &Arc<Session>,
        lane: &str,
        assigned: Assignment,
        prefetch: u16,
        priority: i32,
    ) -> Result<Subscription, NotSubscribed> {
        let membership = self.join(session, lane, assigned).await?;
        let prefetch = assigned.at_most(prefetch);
        let (queue, declared) = (lane_queue(lane), self.to_declare(lane));
        let lane = Some(lane);
        Subscription::open(membership, &queue, lane, declared, prefetch, Some(priority)).await
    }

    /// Consumes a queue that all workers share.
    pub async fn shared(
        self: &Arc<Self>,
        session: &Arc<Session>,
        queue: &str,
        assigned: Assignment,
        prefetch: u16,
    ) -> Result<Subscription, NotSubscribed> {
        let membership = self.join(session, queue, assigned).await?;
        let prefetch = assigned.at_most(prefetch);
        Subscription::open(membership, queue, None, None, prefetch, None).await
    }
}

impl Subscription {
    /// `lane`: whose queue it is, if a lane's; `declared`: which is declared first.
    pub(super) async fn open(
        membership: Membership,
        queue: &str,
        lane: Option<&str>,
        declared: Option<&LaneQueue>,
        prefetch: u16,
        priority: Option<i32>,
    ) -> Result<Self, NotSubscribed> {
        let opening = async {
            let link = membership.link();
            let channel = match declared {
                Some(lane) => link.channel_of_lane(lane).await?,
                None => {
                    let channel = link.channel().await;
                    channel.map_err(|error| explain(queue, error))?
                }
            };
            Self::start(channel, queue, prefetch, priority).await
        };
        match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
            Ok(Ok((channel, consumer))) => {
                let (channel, metrics) = (Arc::new(channel), membership.metrics());
                Ok(Self {
                    acknowledger: Acknowledger::new(channel.clone(), prefetch, metrics),
                    channel,
                    consumer,
                    lane: lane.map(Arc::from),
                    membership,
                })
            }
            Ok(Err(_)) if membership.link().has_ended() => Err(NotSubscribed::Gone),
            Ok(Err(error)) => {
                membership.leave();
                Err(error.into())
            }
            Err(_) => {
                membership.link().end_for(membership.queue());
                let object = queue.to_owned();
                Err(TopologyError::NoAnswer { object }.into())
            }
        }
    }

    async fn start(
        channel: Channel,
        queue: &str,
        prefetch: u16,
        priority: Option<i32>,
    ) -> Result<(Channel, Consumer), TopologyError> {
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
        let consumer = consumer.map_err(|error| explain(queue, error))?;
        Ok((channel, consumer))
    }

    /// False while a send would be unsafe: RabbitMQ has given its deliveries to another, or may do so soon.
    pub fn may_send(&self) -> bool {
        self.channel.status().connected() && self.membership.link().is_heard()
    }

    /// The next delivery. The end of the connection is its consumer's end too, which the channel need not notice.
    pub async fn next(&mut self) -> Result<Delivery, Ended> {
        let next = tokio::select! {
            biased;
            _ = self.membership.link().ended() => return Err(Ended::WithItsConnection),
            next = self.consumer.next() => next,
        };
        match next {
            Some(Ok(delivery)) => {
                self.acknowledger.delivered(delivery.delivery_tag);
                let channel = self.channel.clone();
                let acknowledger = self.acknowledger.clone();
                let (lane, link) = (self.lane.as_ref(), self.membership.shared_link());
                Ok(Delivery::new(delivery, channel, acknowledger, lane, link))
            }
            Some(Err(error)) if is_of_a_channel(&error) && !self.membership.link().has_ended() => {
                Err(Ended::Failed(error))
            }
            Some(Err(_)) => Err(Ended::WithItsConnection),
            None => Err(Ended::Cancelled),
        }
    }

    /// Returns everything unacknowledged to the head of the queue, in order. The consumer stays: what no other consumer is
    /// entitled to comes again at once.
    pub async fn give_back(&self) -> Result<(), lapin::Error> {
        // Delivery tag 0: all that this channel holds.
        let everything = BasicNackOptions {
            multiple: true,
            requeue: true,
        };
        self.acknowledger.flush();
        self.acknowledger.given_back();
        self.channel.basic_nack(0, everything).await
    }

    /// Closes the channel: everything unacknowledged returns to the head of the queue, in order. Never `basic.cancel`: the next
    /// worker would start at once while we still hold messages. True if RabbitMQ says that it is closed: it has every acknowledgement
    /// that was made on it then. And what it had delivered meanwhile, which is void.
    pub async fn close(mut self) -> (bool, Vec<Delivery>) {
        self.acknowledger.flush();
        let channel = self.channel.clone();
        let mut unread = vec![];
        // Deliveries that still come must not gather in memory.
        let gathering = async {
            while let Ok(mut delivery) = self.next().await {
                delivery.turn_back();
                unread.push(delivery);
            }
            std::future::pending().await
        };
        let closing = async {
            tokio::select! {
                biased;
                closed = channel.close(200, "OK".into()) => closed,
                never = gathering => never,
            }
        };
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
        if closed.is_err() {
            tracing::warn!("the broker did not confirm a channel's end");
        }
        unread.extend(self.take_unread());
        self.membership.leave();
        (matches!(closed, Ok(Ok(()))), unread)
    }

    /// Takes what has come and was not asked for yet, without the bodies.
    pub fn take_unread(&mut self) -> Vec<Delivery> {
        let mut unread = vec![];
        while let Some(Ok(mut delivery)) = self.next().now_or_never() {
            delivery.turn_back();
            unread.push(delivery);
        }
        unread
    }
}
