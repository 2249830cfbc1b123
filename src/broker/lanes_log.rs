//! `wa.lanes.log`: what the workers tell each other of lanes, read from its beginning and then followed.
//!
//! A stream has no end to read up to. So a mark of our own is written and read back: what stands before it has been read then
//! (a millisecond when idle).

use super::declare::{Mode, TopologyError, declare, explain};
use super::session::Session;
use super::topology;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Consumer};
use std::time::Duration;

/// Records on their way to us; a stream wants such a bound.
const PREFETCH: u16 = 256;

/// Longest wait for one record to be confirmed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

const OFFSET: &str = "x-stream-offset";

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{0}")]
    Topology(#[from] TopologyError),
    #[error("wa.lanes.log: a record was not confirmed")]
    NotConfirmed,
    #[error("wa.lanes.log: its reader ended: {0}")]
    Ended(String),
}

/// Reads. lapin closes its channel with it.
pub struct Tail {
    consumer: Consumer,
}

/// Writes.
pub struct Pen {
    channel: Channel,
}

/// A record, with its place in the log.
pub struct Entry {
    pub offset: u64,
    pub body: Vec<u8>,
}

/// Opens the log behind the record `after`, or at its beginning.
pub async fn open(session: &Session, after: Option<u64>) -> Result<(Tail, Pen), LogError> {
    let named = |error| explain(topology::LANES_LOG, error);
    let channel = session.lane_channel().await.map_err(named)?;
    if session.declares() {
        declare(&channel, topology::lanes_log(), Mode::Declare).await?;
    }
    let qos = channel.basic_qos(PREFETCH, BasicQosOptions::default());
    qos.await.map_err(named)?;
    let from = match after {
        Some(offset) => {
            AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX).saturating_add(1))
        }
        None => AMQPValue::LongString("first".into()),
    };
    let mut arguments = FieldTable::default();
    arguments.insert(OFFSET.into(), from);
    let (queue, options) = (topology::LANES_LOG.into(), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(queue, "".into(), options, arguments);
    let consumer = consumer.await.map_err(named)?;
    let writing = session.reply_channel().await.map_err(named)?;
    let confirming = writing.confirm_select(ConfirmSelectOptions::default());
    confirming.await.map_err(named)?;
    Ok((Tail { consumer }, Pen { channel: writing }))
}

impl Tail {
    pub async fn next(&mut self) -> Result<Entry, LogError> {
        let delivery = match self.consumer.next().await {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => return Err(LogError::Ended(error.to_string())),
            None => return Err(LogError::Ended("cancelled by the broker".to_owned())),
        };
        // A stream counts acknowledgements as room for more records; nothing is lost without one.
        drop(delivery.ack(BasicAckOptions::default()).await);
        let headers = delivery.properties.headers().as_ref();
        let offset = headers.and_then(|headers| headers.inner().get(OFFSET));
        let offset = match offset {
            Some(AMQPValue::LongLongInt(offset)) => u64::try_from(*offset).unwrap_or(0),
            Some(_) | None => 0,
        };
        Ok(Entry {
            offset,
            body: delivery.data,
        })
    }

    /// Until the log says `mark`, what it says before goes to `heard`.
    pub async fn read_up_to(
        &mut self,
        mark: &[u8],
        mut heard: impl FnMut(Entry),
    ) -> Result<(), LogError> {
        loop {
            let entry = self.next().await?;
            if entry.body == mark {
                return Ok(());
            }
            heard(entry);
        }
    }
}

impl Pen {
    pub async fn write(&self, body: &[u8]) -> Result<(), LogError> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(2);
        let writing = async {
            let exchange = topology::LANES_LOG.into();
            let sent = self
                .channel
                .basic_publish(exchange, "".into(), options, body, properties);
            sent.await?.await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, writing).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(()),
            Ok(Err(error)) => Err(explain(topology::LANES_LOG, error).into()),
            Ok(Ok(_)) | Err(_) => Err(LogError::NotConfirmed),
        }
    }
}
