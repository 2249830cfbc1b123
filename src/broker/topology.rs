//! The exchanges and queues of the contract, declared idempotently at every session's start.
//!
//! A queue's arguments can never change once it exists, so only what must be an argument is one; limits that operators tune
//! (lengths, timeouts) are policies. `deploy/rabbitmq-definitions.json` says the same for `broker.declare = false`; a test compares them.

use crate::core::ladder;
use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

pub const SEND: &str = "wa.send";
pub const RESULTS: &str = "wa.results";
pub const RESULTS_LOG: &str = "wa.results.log";
pub const UNROUTED: &str = "wa.unrouted";
pub const DEAD: &str = "wa.dead";
pub const LANES_LOG: &str = "wa.lanes.log";
pub const EVENTS: &str = "wa.events";
/// Where a delayed request leaves the ladder.
pub const DELAY_OUT: &str = "wa.delay.out";

/// Meta keeps messages for 30 days at most, and so do we.
const DAYS_30_MS: i64 = 30 * 24 * 3600 * 1000;
/// High enough never to be met: RabbitMQ 4 would otherwise drop or dead-letter after 20 redeliveries.
const DELIVERY_LIMIT: i64 = 1_000_000;

pub fn lane_queue(phone_number_id: &str) -> String {
    format!("wa.lane.{phone_number_id}")
}

/// The exchange (and queue) of one rung.
pub fn rung(rung: u32) -> String {
    format!("wa.delay.{rung}")
}

/// Why the topology could not be declared; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    #[error(
        "{object} exists with other arguments than this version declares (406): delete it once empty, or use broker.declare = false with definitions of your own. RabbitMQ says: {text}"
    )]
    Mismatch { object: String, text: String },
    #[error(
        "the broker's user may not declare or bind {object} (403): grant `configure` on ^wa\\., or set broker.declare = false and import deploy/rabbitmq-definitions.json. RabbitMQ says: {text}"
    )]
    Forbidden { object: String, text: String },
    #[error(
        "{object} does not exist (404): declare it (broker.declare = true) or import deploy/rabbitmq-definitions.json. RabbitMQ says: {text}"
    )]
    Missing { object: String, text: String },
    #[error("{object}: {error}")]
    Other { object: String, error: lapin::Error },
}

/// Names the object and, where the broker's answer is a known one, what to do about it.
pub fn explain(object: &str, error: lapin::Error) -> TopologyError {
    let object = object.to_owned();
    let ErrorKind::ProtocolError(amqp) = error.kind() else {
        return TopologyError::Other { object, error };
    };
    let text = amqp.get_message().to_string();
    match amqp.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => {
            TopologyError::Mismatch { object, text }
        }
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
            TopologyError::Forbidden { object, text }
        }
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => TopologyError::Missing { object, text },
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => TopologyError::Forbidden { object, text },
        AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => TopologyError::Other { object, error },
    }
}

fn arguments(pairs: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert((*key).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// The lanes of this worker; everything else is the same everywhere.
#[derive(Clone, Debug)]
pub struct Topology {
    pub phone_number_ids: Vec<String>,
}

impl Topology {
    pub async fn declare(&self, connection: &Connection) -> Result<(), TopologyError> {
        let channel = connection
            .create_channel()
            .await
            .map_err(|error| explain("a channel", error))?;
        let declare = Declare { channel: &channel };
        declare.shared().await?;
        declare.ladder().await?;
        for phone_number_id in &self.phone_number_ids {
            declare.lane(phone_number_id).await?;
        }
        drop(channel.close(200, "OK".into()).await);
        Ok(())
    }
}

/// Declares one lane again, in case somebody deleted it.
pub(super) async fn declare_lane(
    channel: &Channel,
    phone_number_id: &str,
) -> Result<(), TopologyError> {
    Declare { channel }.lane(phone_number_id).await
}

struct Declare<'a> {
    channel: &'a Channel,
}

impl Declare<'_> {
    async fn shared(&self) -> Result<(), TopologyError> {
        self.exchange(UNROUTED, ExchangeKind::Fanout, &[]).await?;
        self.exchange(
            SEND,
            ExchangeKind::Direct,
            &[("alternate-exchange", text(UNROUTED))],
        )
        .await?;
        self.exchange(
            DELAY_OUT,
            ExchangeKind::Topic,
            &[("alternate-exchange", text(UNROUTED))],
        )
        .await?;
        self.exchange(RESULTS, ExchangeKind::Topic, &[]).await?;
        self.exchange(DEAD, ExchangeKind::Fanout, &[]).await?;
        self.exchange(EVENTS, ExchangeKind::Topic, &[]).await?;

        let quorum = ("x-queue-type", text("quorum"));
        let limit = ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT));
        self.queue(UNROUTED, &[quorum.clone(), limit]).await?;
        self.bind(UNROUTED, UNROUTED, "").await?;
        self.queue(
            DEAD,
            &[
                quorum,
                ("x-message-ttl", AMQPValue::LongLongInt(DAYS_30_MS)),
            ],
        )
        .await?;
        self.bind(DEAD, DEAD, "").await?;
        self.stream(RESULTS_LOG, "7D", 4_000_000_000, 100_000_000)
            .await?;
        self.bind(RESULTS_LOG, RESULTS, "#").await?;
        self.stream(LANES_LOG, "30D", 64_000_000, 4_000_000).await
    }

    /// See [`crate::core::ladder`].
    async fn ladder(&self) -> Result<(), TopologyError> {
        for number in 0..ladder::RUNGS {
            let (name, below) = (
                rung(number),
                if number == 0 {
                    DELAY_OUT.to_owned()
                } else {
                    rung(number - 1)
                },
            );
            self.exchange(&name, ExchangeKind::Topic, &[]).await?;
            self.queue(
                &name,
                &[
                    ("x-queue-type", text("quorum")),
                    ("x-message-ttl", AMQPValue::LongLongInt(1000 << number)),
                    ("x-dead-letter-exchange", text(&below)),
                    ("x-dead-letter-strategy", text("at-least-once")),
                    // What at-least-once dead-lettering demands.
                    ("x-overflow", text("reject-publish")),
                ],
            )
            .await?;
            self.bind(&name, &name, &ladder::pattern(number, true))
                .await?;
            let (source, destination) = (
                ShortString::from(name.as_str()),
                ShortString::from(below.as_str()),
            );
            let pass_on = ladder::pattern(number, false);
            self.channel
                .exchange_bind(
                    destination,
                    source,
                    pass_on.into(),
                    ExchangeBindOptions::default(),
                    FieldTable::default(),
                )
                .await
                .map_err(|error| explain(&name, error))?;
        }
        Ok(())
    }

    async fn lane(&self, phone_number_id: &str) -> Result<(), TopologyError> {
        let queue = lane_queue(phone_number_id);
        self.queue(
            &queue,
            &[
                ("x-queue-type", text("quorum")),
                ("x-single-active-consumer", AMQPValue::Boolean(true)),
                ("x-dead-letter-exchange", text(DEAD)),
                ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
            ],
        )
        .await?;
        self.bind(&queue, SEND, phone_number_id).await?;
        self.bind(&queue, DELAY_OUT, &format!("#.{phone_number_id}"))
            .await
    }

    async fn exchange(
        &self,
        name: &str,
        kind: ExchangeKind,
        pairs: &[(&str, AMQPValue)],
    ) -> Result<(), TopologyError> {
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        self.channel
            .exchange_declare(name.into(), kind, options, arguments(pairs))
            .await
            .map_err(|error| explain(name, error))
    }

    async fn queue(&self, name: &str, pairs: &[(&str, AMQPValue)]) -> Result<(), TopologyError> {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let declared = self
            .channel
            .queue_declare(name.into(), options, arguments(pairs))
            .await;
        declared.map(drop).map_err(|error| explain(name, error))
    }

    async fn stream(
        &self,
        name: &str,
        max_age: &str,
        max_bytes: i64,
        segment_bytes: i64,
    ) -> Result<(), TopologyError> {
        self.queue(
            name,
            &[
                ("x-queue-type", text("stream")),
                ("x-max-age", text(max_age)),
                ("x-max-length-bytes", AMQPValue::LongLongInt(max_bytes)),
                // Retention drops whole segments only.
                (
                    "x-stream-max-segment-size-bytes",
                    AMQPValue::LongLongInt(segment_bytes),
                ),
            ],
        )
        .await
    }

    async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<(), TopologyError> {
        let options = QueueBindOptions::default();
        let bound = self
            .channel
            .queue_bind(
                queue.into(),
                exchange.into(),
                key.into(),
                options,
                FieldTable::default(),
            )
            .await;
        bound.map_err(|error| explain(queue, error))
    }
}
