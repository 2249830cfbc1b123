//! `wa.lanes.log` and `wa.tenures.log`: what the workers tell each other of lanes, read from the beginning and then followed. Pauses and
//! holds, which must be known for as long as they last, stand in the one; who took and left which lane, which is much more and soon of no
//! use, in the other.
//!
//! A stream has no end to read up to. So a mark of our own is written and read back: what stands before it has been read then
//! (a millisecond when idle).

use super::connect::SessionError;
use super::declare::{Mode, TopologyError, declare, explain};
use super::session::Session;
use super::topology;
use crate::contract::names;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Consumer};
use std::time::Duration;

/// Records on their way to us; a stream wants such a bound.
const PREFETCH: u16 = 1_024;

/// Records that are acknowledged together while there are more.
const ACKNOWLEDGED_TOGETHER: u16 = 256;

/// Longest wait for RabbitMQ to take or confirm any record, while some are to be confirmed.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a stream is read from; of an entry, its place.
pub(super) const OFFSET: &str = "x-stream-offset";

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Log {
    /// Pauses, blocks, throttles, outages.
    Holds,
    /// The log of tenures: who took or left which lane.
    Tenures,
}

impl Log {
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => names::LANES_LOG,
            Self::Tenures => names::TENURES_LOG,
        }
    }

    fn objects(self) -> [topology::Object; 3] {
        match self {
            Self::Holds => topology::lanes_log(),
            Self::Tenures => topology::tenures_log(),
        }
    }
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{0}")]
    Connect(#[from] SessionError),
    #[error("{0}")]
    Topology(#[from] TopologyError),
    #[error("a record was not confirmed")]
    NotConfirmed,
    #[error("its reader ended: {0}")]
    Ended(String),
    #[error("nothing was read for {0:?}")]
    Stalled(Duration),
    #[error("it was not read within {0:?}")]
    Late(Duration),
    #[error("it was made anew")]
    Anew,
}

impl LogError {
    /// The broker's user may not use it: waiting does not mend that.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Topology(TopologyError::Forbidden { .. }))
    }
}

/// Reads. lapin closes its channel with it.
pub struct Tail {
    consumer: Consumer,
    unacknowledged: u16,
    last: Option<Delivery>,
}

/// Writes.
pub struct Pen {
    name: &'static str,
    channel: Channel,
}

/// A record, with its place in the log.
pub struct Entry {
    pub offset: u64,
    pub body: Vec<u8>,
}

/// Opens a log behind the record `after`, or at its beginning.
pub async fn open(
    session: &Session,
    log: Log,
    after: Option<u64>,
) -> Result<(Tail, Pen), LogError> {
    let named = |error| explain(log.name(), error);
    let reading = session.reading_channel().await.map_err(named)?;
    if session.declares() {
        declare(&reading, log.objects(), Mode::Declare).await?;
    }
    let writing = session.writing_channel().await.map_err(named)?;
    open_on((&reading, writing), log.name(), after).await
}

/// Opens the stream of that name, behind the exchange of the same, on these channels: to read, and to write.
pub(super) async fn open_on(
    (channel, writing): (&Channel, Channel),
    name: &'static str,
    after: Option<u64>,
) -> Result<(Tail, Pen), LogError> {
    let named = |error| explain(name, error);
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
    let (queue, options) = (name.into(), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(queue, "".into(), options, arguments);
    let consumer = consumer.await.map_err(named)?;
    let confirming = writing.confirm_select(ConfirmSelectOptions::default());
    confirming.await.map_err(named)?;
    let tail = Tail {
        consumer,
        unacknowledged: 0,
        last: None,
    };
    let channel = writing;
    Ok((tail, Pen { name, channel }))
}

impl Tail {
    /// The next record, whenever it comes.
    pub async fn next(&mut self) -> Result<Entry, LogError> {
        let delivery = match self.consumer.next().now_or_never() {
            Some(delivery) => delivery,
            None => {
                self.acknowledge().await;
                self.consumer.next().await
            }
        };
        let mut delivery = match delivery {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => return Err(LogError::Ended(error.to_string())),
            None => return Err(LogError::Ended("cancelled by the broker".to_owned())),
        };
        let headers = delivery.properties.headers().as_ref();
        let offset = headers.and_then(|headers| headers.inner().get(OFFSET));
        let offset = match offset {
            Some(AMQPValue::LongLongInt(offset)) => u64::try_from(*offset).unwrap_or(0),
            Some(_) | None => 0,
        };
        let body = std::mem::take(&mut delivery.data);
        self.last = Some(delivery);
        self.unacknowledged += 1;
        if self.unacknowledged >= ACKNOWLEDGED_TOGETHER {
            self.acknowledge().await;
        }
        Ok(Entry { offset, body })
    }

    /// A stream counts acknowledgements as room for more records, and RabbitMQ ends a channel that withholds one for long; no record is
    /// lost without one.
    async fn acknowledge(&mut self) {
        self.unacknowledged = 0;
        if let Some(last) = self.last.take() {
            drop(last.ack(BasicAckOptions { multiple: true }).await);
        }
    }
}

impl Pen {
    /// Publishes one record. What it returns ends once the record is confirmed; records reach the log in the order of these calls.
    pub async fn write(
        &self,
        body: &[u8],
    ) -> Result<impl Future<Output = Result<(), LogError>> + use<>, LogError> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(2);
        let name = self.name;
        let publishing =
            self.channel
                .basic_publish(name.into(), "".into(), options, body, properties);
        let confirming = match tokio::time::timeout(WRITE_TIMEOUT, publishing).await {
            Ok(Ok(confirming)) => confirming,
            Ok(Err(error)) => return Err(explain(name, error).into()),
            Err(_) => return Err(LogError::NotConfirmed),
        };
        Ok(async move {
            match confirming.await {
                Ok(Confirmation::Ack(None)) => Ok(()),
                Ok(_) => Err(LogError::NotConfirmed),
                Err(error) => Err(explain(name, error).into()),
            }
        })
    }
}
