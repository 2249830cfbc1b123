//! RabbitMQ as a caller uses it: confirmed publishes, and readers.

use anyhow::{Context, Result, bail};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer,
    PublisherConfirm,
};
use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, SystemTime};

/// A blocked connection confirms nothing, ever: nothing is awaited without an end.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn patient<T>(what: &str, doing: impl Future<Output = lapin::Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, doing).await {
        Ok(done) => done.with_context(|| format!("AMQP: {what}")),
        Err(_) => bail!("AMQP: {what}: no answer within {} s", PATIENCE.as_secs()),
    }
}

pub async fn connect(url: &str) -> Result<Connection> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    // The URL holds a password: it stays out of the message.
    patient("connect", connecting).await
}

pub async fn channel(connection: &Connection) -> Result<Channel> {
    patient("channel", connection.create_channel()).await
}

/// A channel whose publishes are confirmed.
pub async fn confirming(connection: &Connection) -> Result<Channel> {
    let channel = channel(connection).await?;
    let select = channel.confirm_select(ConfirmSelectOptions::default());
    patient("confirm.select", select).await?;
    Ok(channel)
}

/// What survives a restart of RabbitMQ, with this id.
pub fn persistent(id: &str) -> BasicProperties {
    BasicProperties::default()
        .with_message_id(id.into())
        .with_delivery_mode(2)
}

/// Seconds since 1970, as a `timestamp` counts.
pub fn now_s() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed();
    since.unwrap_or_default().as_secs()
}

/// Writes it; whether it was taken, the confirm says ([`taken`]).
pub async fn publish(
    channel: &Channel,
    (exchange, key): (&str, &str),
    body: &[u8],
    properties: BasicProperties,
) -> Result<PublisherConfirm> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let publishing = channel.basic_publish(exchange.into(), key.into(), options, body, properties);
    patient("publish", publishing).await
}

pub fn taken(confirmation: &Confirmation) -> Result<()> {
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => bail!("a publish was returned: no queue takes it"),
        Confirmation::Nack(_) | Confirmation::NotRequested => bail!("RabbitMQ refused a publish"),
    }
}

/// Publishes of which so many may await their confirm at once.
pub struct Window {
    size: usize,
    unconfirmed: VecDeque<PublisherConfirm>,
}

impl Window {
    pub fn of(size: usize) -> Self {
        Self {
            size,
            unconfirmed: VecDeque::new(),
        }
    }

    pub async fn push(&mut self, confirm: PublisherConfirm) -> Result<()> {
        self.unconfirmed.push_back(confirm);
        self.down_to(self.size.saturating_sub(1)).await
    }

    /// Awaits what is not confirmed yet.
    pub async fn flush(&mut self) -> Result<()> {
        self.down_to(0).await
    }

    async fn down_to(&mut self, count: usize) -> Result<()> {
        while self.unconfirmed.len() > count {
            if let Some(confirm) = self.unconfirmed.pop_front() {
                taken(&patient("confirm", confirm).await?)?;
            }
        }
        Ok(())
    }
}

/// A queue of this connection alone; returns its name.
pub async fn own_queue(channel: &Channel) -> Result<String> {
    let options = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let declaring = channel.queue_declare("".into(), options, FieldTable::default());
    let queue = patient("declare a queue", declaring).await?;
    Ok(queue.name().to_string())
}

pub async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<()> {
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    let binding = channel.queue_bind(queue.into(), exchange.into(), key.into(), options, none);
    let what = format!("bind to {exchange} (has a worker run on this virtual host?)");
    patient(&what, binding).await
}

/// `is_acked`: each delivery waits for an acknowledgement.
pub async fn consume(channel: &Channel, queue: &str, is_acked: bool) -> Result<Consumer> {
    let options = BasicConsumeOptions {
        no_ack: !is_acked,
        ..BasicConsumeOptions::default()
    };
    let consuming = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    patient("consume", consuming).await
}

/// All results from now on.
pub async fn results(connection: &Connection) -> Result<Consumer> {
    let channel = channel(connection).await?;
    let queue = own_queue(&channel).await?;
    bind(&channel, &queue, "wa.results", "#").await?;
    consume(&channel, &queue, false).await
}
