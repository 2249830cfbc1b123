//! `wa.results.log`: the results of all workers, read back to see how a request has ended that is delivered again.
//!
//! Backwards, in steps, as far as [`Scan`] says. A mark of our own shows the end; see [`super::workers_log`]. All over a connection of
//! its own: what lanes are delivered must not wait behind what is read here. RabbitMQ could leave out other lanes' entries
//! (`x-stream-filter`), but takes as long for what it leaves out as for what it delivers: with few entries in each of the stream's chunks
//! it reads every chunk's head.

use super::connect::{SessionError, connect};
use super::declare::{TopologyError, explain};
use super::headers::Headers;
use super::workers_log::OFFSET;
use crate::config::BrokerConfig;
use crate::contract::names;
use crate::contract::words::Status;
use crate::core::evidence::search::{Entry, Scan, Told};
use bytes::Bytes;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use std::borrow::Cow;
use std::time::Duration;

/// Entries on their way to us, of which this many are acknowledged together. Each may have 64 KiB of its caller's headers: so a search holds
/// some 26 MB at most.
const PREFETCH: u16 = 400;
const ACKNOWLEDGED_TOGETHER: u64 = 100;

/// Longest wait for the next entry, while there are more.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The word before the lane in the routing key of a record which says that the copy of a request is on the ladder.
const COPIED: &str = "copied";

/// The routing key of such a record; a result's begins with its status.
pub(super) fn key_of_copies(lane: &str) -> String {
    format!("{COPIED}.{lane}")
}

/// The log's word on a request.
#[derive(Clone)]
pub enum Found {
    Result(FoundResult),
    /// The request's copy was written to the ladder.
    Copy,
}

/// A result as it was published.
#[derive(Clone)]
pub struct FoundResult {
    pub(super) routing_key: String,
    pub(super) body: Bytes,
    pub(super) timestamp_s: Option<u64>,
}

/// Why a search ended before it had read enough.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    #[error("{0}")]
    Connect(#[from] SessionError),
    #[error("{0}")]
    Topology(#[from] TopologyError),
    #[error("its reader ended")]
    Ended,
}

/// Looks for what the scan wants, backwards from the end, until it has seen enough. The connection ends with it, also if the caller
/// waits no longer.
pub async fn find(config: &BrokerConfig, scan: &mut Scan<Found>) -> Result<(), Unread> {
    let connection = connect(config, "evidence").await?;
    let found = search(&connection, scan).await;
    drop(connection.close(200, "OK".into()).await);
    found
}

async fn search(connection: &Connection, scan: &mut Scan<Found>) -> Result<(), Unread> {
    let channel = connection.create_channel().await.map_err(named)?;
    let mut known_from = read_end(&channel, scan).await?;
    while let Some(from) = scan.next_step(known_from) {
        let offset = AMQPValue::LongLongInt(i64::try_from(from).unwrap_or(i64::MAX));
        // And nothing behind it.
        let mut entries = Entries::open(&channel, offset, known_from - from).await?;
        let (mut first, mut is_over) = (known_from, false);
        while !is_over {
            let entry = entries.next().await?;
            let offset = offset_of(&entry);
            first = first.min(offset);
            if offset < known_from {
                note(scan, &entry, offset);
            }
            is_over = offset + 1 >= known_from;
        }
        // Older entries are gone. The first that comes need not be the one that was asked for: RabbitMQ has records of its own in between.
        if first >= known_from {
            break;
        }
        known_from = first;
    }
    Ok(())
}

/// From the last entries on, which may be few, to a mark of our own. Returns where they begin.
async fn read_end(channel: &Channel, scan: &mut Scan<Found>) -> Result<u64, Unread> {
    let mark = format!("mark-{:x}", fastrand::u64(..));
    // Opened before the mark is written, else it might begin behind it.
    let last = AMQPValue::LongString("last".into());
    let mut entries = Entries::open(channel, last, u64::MAX).await?;
    write_mark(channel, &mark).await.map_err(named)?;
    let mut first = None;
    loop {
        let entry = entries.next().await?;
        let offset = offset_of(&entry);
        let first = *first.get_or_insert(offset);
        let id = entry.properties.message_id().as_ref();
        if id.is_some_and(|id| id.as_str() == mark) {
            return Ok(first);
        }
        note(scan, &entry, offset);
    }
}

fn named(error: lapin::Error) -> TopologyError {
    explain(names::RESULTS_LOG, error)
}

/// Says which entries to acknowledge, so that so many come and no more, few at a time.
struct Credit {
    /// Entries that may be acknowledged: RabbitMQ sends one more for each, beyond what it may send ahead.
    most: u64,
    acknowledged: u64,
    read: u64,
}

impl Credit {
    fn new(count: u64) -> Self {
        Self {
            most: count.saturating_sub(PREFETCH.into()),
            acknowledged: 0,
            read: 0,
        }
    }

    /// One more was read. True: it is to be acknowledged with those before it.
    fn read(&mut self) -> bool {
        self.read += 1;
        let is_full = self.read - self.acknowledged == ACKNOWLEDGED_TOGETHER;
        let is_due = self.read == self.most || self.read < self.most && is_full;
        if is_due {
            self.acknowledged = self.read;
        }
        is_due
    }
}

/// Streams what stands in the log from a place on, as much as was asked for. Ends with its channel.
struct Entries {
    consumer: Consumer,
    credit: Credit,
}

impl Entries {
    async fn open(channel: &Channel, from: AMQPValue, count: u64) -> Result<Self, Unread> {
        let ahead = u16::try_from(count).unwrap_or(PREFETCH).min(PREFETCH);
        let qos = channel.basic_qos(ahead, BasicQosOptions::default());
        qos.await.map_err(named)?;
        let mut arguments = FieldTable::default();
        arguments.insert(OFFSET.into(), from);
        let (queue, options) = (names::RESULTS_LOG.into(), BasicConsumeOptions::default());
        let consuming = channel.basic_consume(queue, "".into(), options, arguments);
        Ok(Self {
            consumer: consuming.await.map_err(named)?,
            credit: Credit::new(count),
        })
    }

    async fn next(&mut self) -> Result<Delivery, Unread> {
        let next = self.consumer.next().await.ok_or(Unread::Ended)?;
        let entry = next.map_err(named)?;
        if self.credit.read() {
            let together = BasicAckOptions { multiple: true };
            entry.ack(together).await.map_err(named)?;
        }
        Ok(entry)
    }
}

fn note(scan: &mut Scan<Found>, delivery: &Delivery, offset: u64) {
    let Some(id) = delivery.properties.message_id().as_ref() else {
        return;
    };
    let routing_key = delivery.routing_key.as_str();
    let (status, target) = routing_key.split_once('.').unwrap_or_default();
    // Only operations' results have a type: the same id may be a message's of the same number.
    let is_operation = delivery.properties.kind().is_some();
    let lane = match is_operation {
        true => Cow::Owned(names::account_lane(target)),
        false => Cow::Borrowed(target),
    };
    let headers = Headers::of(&delivery.properties);
    let told = if status == COPIED {
        Told::Copied(headers.hops())
    } else {
        Told::Ended
    };
    let entry = Entry {
        offset,
        lane: &lane,
        id: id.as_str(),
        incarnation: headers.is_of(),
        told,
        stamp: headers.stamp(),
    };
    scan.note(&entry, || match told {
        Told::Copied(_) => Found::Copy,
        Told::Ended => Found::Result(FoundResult {
            routing_key: routing_key.to_owned(),
            body: delivery.data.clone().into(),
            timestamp_s: *delivery.properties.timestamp(),
        }),
    });
}

fn offset_of(delivery: &Delivery) -> u64 {
    let headers = delivery.properties.headers().as_ref();
    let offset = headers.and_then(|headers| headers.inner().get(OFFSET));
    match offset {
        Some(AMQPValue::LongLongInt(offset)) => u64::try_from(*offset).unwrap_or(0),
        Some(_) | None => 0,
    }
}

async fn write_mark(channel: &Channel, mark: &str) -> Result<(), lapin::Error> {
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default().with_message_id(mark.into());
    let exchange = names::RESULTS_LOG.into();
    let sent = channel.basic_publish(exchange, "".into(), options, b"", properties);
    sent.await?.await?;
    Ok(())
}

/// An entry as it is read forwards.
pub struct Replayed {
    /// `None`: a copy of the request is on the ladder.
    pub status: Option<Status>,
    entry: Delivery,
}

impl Replayed {
    /// `None`: nobody has to know.
    fn of(entry: Delivery) -> Option<Self> {
        let (word, _) = entry.routing_key.as_str().split_once('.')?;
        let status = Status::of_word(word);
        let properties = &entry.properties;
        // A copy that only waits for another is not what others wait for.
        let is_away = word == COPIED && !Headers::of(properties).follows();
        // Only operations have a type, and they do not say `dedupe`.
        let is_operation = properties.kind().is_some();
        let is_told = (status.is_some() || is_away) && !is_operation;
        is_told.then_some(Self { status, entry })
    }

    pub fn lane(&self) -> &str {
        let key = self.entry.routing_key.as_str();
        key.split_once('.').map_or("", |(_, lane)| lane)
    }

    pub fn id(&self) -> &str {
        id_of(&self.entry)
    }

    /// When it was published, by its writer's clock.
    pub fn at_s(&self) -> u64 {
        self.entry.properties.timestamp().unwrap_or(0)
    }

    /// The result, to be published again.
    pub fn result(&self) -> FoundResult {
        FoundResult {
            routing_key: self.entry.routing_key.as_str().to_owned(),
            body: self.entry.data.clone().into(),
            timestamp_s: Some(self.at_s()),
        }
    }
}

fn id_of(entry: &Delivery) -> &str {
    let id = entry.properties.message_id().as_ref();
    id.map_or("", |id| id.as_str())
}

impl FoundResult {
    /// Status and time.
    pub fn ended(&self) -> Option<(Status, u64)> {
        let (status, _) = self.routing_key.split_once('.')?;
        Some((Status::of_word(status)?, self.timestamp_s.unwrap_or(0)))
    }
}

/// The log, read forwards.
pub struct Replay {
    connection: Connection,
    entries: Entries,
    mark: String,
}

impl Replay {
    /// From a moment on, by RabbitMQ's clock, up to the end as of now.
    pub async fn open(config: &BrokerConfig, from_s: u64) -> Result<Self, Unread> {
        let connection = connect(config, "dedupe").await?;
        let channel = connection.create_channel().await.map_err(named)?;
        let mark = format!("mark-{:x}", fastrand::u64(..));
        // Opened before the mark is written, else it might begin behind it.
        let entries = Entries::open(&channel, AMQPValue::Timestamp(from_s), u64::MAX).await?;
        write_mark(&channel, &mark).await.map_err(named)?;
        Ok(Self {
            connection,
            entries,
            mark,
        })
    }

    /// Returns the next entry that tells something. `None`: that was all.
    pub async fn next(&mut self) -> Result<Option<Replayed>, Unread> {
        loop {
            let next = tokio::time::timeout(SILENCE_MAX, self.entries.next()).await;
            let entry = next.map_err(|_| Unread::Ended)??;
            if id_of(&entry) == self.mark {
                return Ok(None);
            }
            if let Some(replayed) = Replayed::of(entry) {
                return Ok(Some(replayed));
            }
        }
    }

    pub async fn close(self) {
        drop(self.connection.close(200, "OK".into()).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However many are asked for: so many come and no more, at most [`PREFETCH`] of them unread, and reading never stands still.
        #[test]
        fn as_many_come_as_are_asked_for_few_at_a_time(count in 1_u64..9_000) {
            let ahead = u64::from(PREFETCH).min(count);
            let mut credit = Credit::new(count);
            for read in 0..count {
                let sent = ahead + credit.acknowledged;
                prop_assert!(sent > read && sent - read <= u64::from(PREFETCH) && sent <= count);
                credit.read();
            }
            prop_assert_eq!(ahead + credit.acknowledged, count);
        }
    }
}
