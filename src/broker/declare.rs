//! Declares the topology, or checks that it is there; and says what to do when RabbitMQ refuses.

use super::topology::{self, Argument, Arguments, ExchangeKind, LaneQueue, Object, Retention};
use crate::contract::names::{self, lane_queue};
use lapin::options::{
    BasicPublishOptions, BasicQosOptions, ExchangeBindOptions, ExchangeDeclareOptions,
    ExchangeUnbindOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ErrorKind};

/// No binding has this key, and no queue this name.
const NO_BINDING: &str = "whatsapp-dispatcher.none";

/// Twice the `max_message_size` of the configurations that ship.
const LARGE_BYTES: usize = 2 << 20;

/// Why an object cannot be used; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    #[error(
        "{object} exists with other arguments than this version declares (406): delete it once empty, or use broker.declare = false with definitions of your own. RabbitMQ says: {text}"
    )]
    Mismatch { object: String, text: String },
    #[error(
        "the broker's user may not use {object} (403): grant what deploy/docs/rabbitmq.md lists under \"Permissions\"; if workers may not declare, set broker.declare = false and import the output of `whatsapp-dispatcher definitions`. RabbitMQ says: {text}"
    )]
    Forbidden { object: String, text: String },
    #[error(
        "{object} does not exist (404): set broker.declare = true, or import the output of `whatsapp-dispatcher definitions`. RabbitMQ says: {text}"
    )]
    Missing { object: String, text: String },
    #[error("{object}: {error}")]
    Other { object: String, error: lapin::Error },
    #[error("{object}: RabbitMQ does not answer")]
    NoAnswer { object: String },
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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Declare,
    /// Passively: only look whether it is there.
    Check,
}

/// Declares or checks `objects` in their order. An error ends the channel.
pub async fn declare(
    channel: &Channel,
    objects: impl IntoIterator<Item = Object>,
    mode: Mode,
) -> Result<(), TopologyError> {
    for object in objects {
        let name = object.name().to_owned();
        let declared = one(channel, object, mode == Mode::Check).await;
        declared.map_err(|error| explain(&name, error))?;
    }
    Ok(())
}

/// Looks whether all is there that a worker uses, where it may not declare. A log that it has no right on may be missing: it goes on
/// without. (Up to RabbitMQ 4.2.5 a look needs no right, from 4.2.7 and 4.3.1 on it needs one on the object.)
pub(super) async fn check_used(connection: &Connection) -> Result<(), TopologyError> {
    let mut kept = None;
    for object in topology::used() {
        let name = object.name().to_owned();
        let channel = match kept.take() {
            Some(channel) => channel,
            None => {
                let opened = connection.create_channel().await;
                opened.map_err(|error| explain(&name, error))?
            }
        };
        match declare(&channel, [object], Mode::Check).await {
            Ok(()) => kept = Some(channel),
            // The refusal has ended the channel.
            Err(TopologyError::Forbidden { .. }) if topology::is_log(&name) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(channel) = kept {
        drop(channel.close(200, "OK".into()).await);
    }
    Ok(())
}

/// Declares what all lanes need. Of exchanges that an earlier version declared it takes what is there.
pub(super) async fn declare_common(connection: &Connection) -> Result<(), TopologyError> {
    let open = || async {
        let channel = connection.create_channel().await;
        channel.map_err(|error| explain(names::SEND, error))
    };
    let mut channel = open().await?;
    let mut declared = declare(&channel, topology::common(), Mode::Declare).await;
    if let Err(TopologyError::Mismatch { .. }) = declared {
        channel = open().await?;
        declared = declare(&channel, topology::common_before(), Mode::Declare).await;
    }
    declared?;
    drop(channel.close(200, "OK".into()).await);
    Ok(())
}

/// Whether this user may publish to these exchanges. Taking away a binding that is not there needs the right to write to its
/// destination, and does nothing.
pub(super) async fn check_rights(
    connection: &Connection,
    exchanges: Vec<String>,
) -> Result<(), TopologyError> {
    let opened = connection.create_channel().await;
    let channel = opened.map_err(|error| explain(names::UNROUTED, error))?;
    for exchange in exchanges {
        let options = ExchangeUnbindOptions::default();
        let (from, none) = (names::UNROUTED.into(), FieldTable::default());
        let asked = channel.exchange_unbind(
            exchange.as_str().into(),
            from,
            NO_BINDING.into(),
            options,
            none,
        );
        asked.await.map_err(|error| explain(&exchange, error))?;
    }
    drop(channel.close(200, "OK".into()).await);
    Ok(())
}

/// Warns if RabbitMQ takes messages that are larger than any that a worker is meant to hold. AMQP has no word for its limit, so one such
/// message is published for nobody: above the limit it ends its channel.
pub(super) async fn look_at_size_limit(channel: Channel) -> Result<(), lapin::Error> {
    let (nobody, body) = (NO_BINDING.into(), vec![b' '; LARGE_BYTES]);
    let options = BasicPublishOptions::default();
    let publishing = channel.basic_publish(
        "".into(),
        nobody,
        options,
        &body,
        BasicProperties::default(),
    );
    drop(publishing.await?);
    // Answered only if the channel has outlived it.
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    tracing::warn!(
        size_bytes = LARGE_BYTES,
        "RabbitMQ takes messages of this size, and gives a worker as many at once as its lanes hold: set max_message_size as deploy/README.md says under \"Sizing\""
    );
    channel.close(200, "OK".into()).await
}

/// Declares a lane, with `kept` or a channel of its own, and returns the channel. Of a queue that an earlier version declared it takes
/// what is there.
pub(super) async fn declare_lane(
    connection: &Connection,
    kept: Option<Channel>,
    lane: &LaneQueue,
) -> Result<Channel, TopologyError> {
    let open = || async {
        let channel = connection.create_channel().await;
        channel.map_err(|error| explain(&lane_queue(&lane.lane), error))
    };
    let channel = match kept {
        Some(kept) => kept,
        None => open().await?,
    };
    let objects = lane.objects(Retention::Days30);
    match declare(&channel, objects, Mode::Declare).await {
        Ok(()) => return Ok(channel),
        Err(TopologyError::Mismatch { .. }) => {}
        Err(error) => return Err(error),
    }
    let channel = open().await?;
    let objects = lane.objects(Retention::Unlimited);
    declare(&channel, objects, Mode::Declare).await?;
    tracing::debug!(
        lane = lane.lane,
        "the lane's queue was declared without a limit of 30 days: deploy/docs/privacy.md, \"Retention\", has the policy"
    );
    Ok(channel)
}

async fn one(channel: &Channel, object: Object, passive: bool) -> Result<(), lapin::Error> {
    let none = FieldTable::default;
    match object {
        Object::Exchange {
            name,
            kind,
            arguments,
        } => {
            let options = ExchangeDeclareOptions {
                durable: true,
                passive,
                ..ExchangeDeclareOptions::default()
            };
            let kind = match kind {
                ExchangeKind::Direct => lapin::ExchangeKind::Direct,
                ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
                ExchangeKind::Topic => lapin::ExchangeKind::Topic,
            };
            let arguments = table(arguments);
            channel
                .exchange_declare(name.into(), kind, options, arguments)
                .await
        }
        Object::Queue { name, arguments } => {
            let options = QueueDeclareOptions {
                durable: true,
                passive,
                ..QueueDeclareOptions::default()
            };
            let declared = channel.queue_declare(name.into(), options, table(arguments));
            declared.await.map(drop)
        }
        Object::QueueBinding {
            queue,
            exchange,
            key,
        } => {
            let options = QueueBindOptions::default();
            let (queue, exchange, key) = (queue.into(), exchange.into(), key.into());
            channel
                .queue_bind(queue, exchange, key, options, none())
                .await
        }
        Object::ExchangeBinding {
            destination,
            source,
            key,
        } => {
            let options = ExchangeBindOptions::default();
            let (destination, source, key) = (destination.into(), source.into(), key.into());
            channel
                .exchange_bind(destination, source, key, options, none())
                .await
        }
    }
}

fn table(arguments: Arguments) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.into()),
            Argument::Int(int) => AMQPValue::LongLongInt(int),
            Argument::Flag(flag) => AMQPValue::Boolean(flag),
        };
        table.insert(name.into(), value);
    }
    table
}
