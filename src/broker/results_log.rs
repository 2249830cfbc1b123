//! `wa.results.log`: the results of all workers, read back to see how a request has ended that is delivered again.
//!
//! Read is from some time before the last entry: what RabbitMQ delivers again was in somebody's hands until it noticed that worker's
//! end, so its result is hardly older than that. A mark of our own shows the end; see [`super::lanes_log`].

use super::declare::{TopologyError, explain};
use super::headers::Headers;
use super::session::Session;
use super::topology;
use bytes::Bytes;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Consumer};
use std::collections::HashMap;
use std::time::Duration;

/// Results on their way to us. Source: measured, 3 times as fast as 100.
const PREFETCH: u16 = 2_000;

/// What the log says of a request.
#[derive(Clone)]
pub enum Found {
    Result(FoundResult),
    /// Its copy was written to the ladder.
    Copy,
}

/// A result as it was published.
#[derive(Clone)]
pub struct FoundResult {
    pub(super) routing_key: String,
    pub(super) body: Bytes,
    pub(super) timestamp_s: Option<u64>,
}

/// What precedes the lane in the routing key of a record that says of a request that its copy is on the ladder.
const COPIED: &str = "copied";

/// The routing key of such a record; a result's begins with its status.
pub(super) fn key_of_copies(lane: &str) -> String {
    format!("{COPIED}.{lane}")
}

/// Whose result is looked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Wanted {
    /// A phone number id.
    pub lane: String,
    pub id: String,
    /// The result of an earlier publication of the same id is another's.
    pub incarnation: Option<u64>,
    /// How often it has come off the ladder: a copy that was made before that is itself.
    pub hops: u32,
}

/// Looks for the results of these, in what was written since `lookback` before the last one. Its channels close when they are
/// dropped, also by a caller who waits no longer.
pub async fn find(
    session: &Session,
    wanted: &[Wanted],
    lookback: Duration,
    found: &mut HashMap<Wanted, Found>,
) -> Result<(), TopologyError> {
    let named = |error| explain(topology::RESULTS_LOG, error);
    let last_s = last_timestamp_s(session).await.map_err(named)?;
    let from_s = last_s.saturating_sub(lookback.as_secs());
    let mark = format!("mark-{}-{}", session.epoch, fastrand::u64(..));
    write_mark(session, &mark, last_s).await.map_err(named)?;
    let channel = session.reading_channel().await.map_err(named)?;
    let mut reader = read(&channel, AMQPValue::Timestamp(from_s))
        .await
        .map_err(named)?;
    let mut by_id: HashMap<&str, Vec<&Wanted>> = HashMap::new();
    for wanted in wanted {
        by_id.entry(&wanted.id).or_default().push(wanted);
    }
    while let Some(delivery) = reader.next().await {
        let delivery = delivery.map_err(named)?;
        drop(delivery.ack(BasicAckOptions::default()).await);
        let Some(id) = delivery
            .properties
            .message_id()
            .as_ref()
            .map(|id| id.as_str())
        else {
            continue;
        };
        if id == mark {
            break;
        }
        if let Some(wanted) = by_id.get(id) {
            note(wanted, &delivery, found);
        }
    }
    Ok(())
}

fn note(wanted: &[&Wanted], delivery: &Delivery, found: &mut HashMap<Wanted, Found>) {
    let routing_key = delivery.routing_key.as_str();
    let (status, lane) = routing_key.split_once('.').unwrap_or_default();
    let headers = Headers::of(&delivery.properties);
    let copied = (status == COPIED).then(|| headers.hops());
    let incarnation = headers.is_of();
    // Those of an earlier version of this program do not say.
    let is_its = |wanted: &&&Wanted| {
        let is_of_it = copied.is_none_or(|hops| hops >= wanted.hops);
        let is_same = incarnation.is_none_or(|its| its == wanted.incarnation);
        wanted.lane == lane && is_same && is_of_it
    };
    for wanted in wanted.iter().filter(is_its) {
        let wanted = (*wanted).clone();
        if copied.is_some() {
            found.entry(wanted).or_insert(Found::Copy);
            continue;
        }
        let result = FoundResult {
            routing_key: routing_key.to_owned(),
            body: delivery.data.clone().into(),
            timestamp_s: *delivery.properties.timestamp(),
        };
        found.insert(wanted, Found::Result(result));
    }
}

/// When the last result was written; now, if none was.
async fn last_timestamp_s(session: &Session) -> Result<u64, lapin::Error> {
    let channel = session.reading_channel().await?;
    let now_s = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let mut reader = read(&channel, AMQPValue::LongString("last".into())).await?;
    // An empty log has no last entry to wait for.
    let first = tokio::time::timeout(Duration::from_millis(200), reader.next()).await;
    let Ok(Some(first)) = first else {
        return Ok(now_s);
    };
    Ok(first?.properties.timestamp().unwrap_or(now_s).min(now_s))
}

async fn read(channel: &Channel, from: AMQPValue) -> Result<Consumer, lapin::Error> {
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), from);
    let (queue, options) = (topology::RESULTS_LOG.into(), BasicConsumeOptions::default());
    channel
        .basic_consume(queue, "".into(), options, arguments)
        .await
}

/// With the time of the last result: the next search begins there, too.
async fn write_mark(session: &Session, mark: &str, last_s: u64) -> Result<(), lapin::Error> {
    let channel = session.reply_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default()
        .with_message_id(mark.into())
        .with_timestamp(last_s);
    let exchange = topology::RESULTS_LOG.into();
    let sent = channel.basic_publish(exchange, "".into(), options, b"", properties);
    sent.await?.await?;
    Ok(())
}
