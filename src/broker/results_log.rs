//! `wa.results.log`: the results of all workers, read back to see how a request has ended that is delivered again.
//!
//! Read is from some time before the last entry: what RabbitMQ delivers again was in somebody's hands until it noticed that worker's
//! end, so its result is hardly older than that. A mark of our own shows the end; see [`super::lanes_log`].

use super::declare::{TopologyError, explain};
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

/// A result as it was published.
#[derive(Clone)]
pub struct Found {
    pub(super) routing_key: String,
    pub(super) body: Bytes,
    pub(super) timestamp_s: Option<u64>,
}

/// A lane and a request's id.
pub type Wanted = (String, String);

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
    let channel = session.lane_channel().await.map_err(named)?;
    let mut reader = read(&channel, AMQPValue::Timestamp(from_s))
        .await
        .map_err(named)?;
    let mut by_id: HashMap<&str, Vec<&Wanted>> = HashMap::new();
    for wanted in wanted {
        by_id.entry(&wanted.1).or_default().push(wanted);
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
    let lane = routing_key.split_once('.').map_or("", |(_, lane)| lane);
    if let Some(wanted) = wanted.iter().find(|wanted| wanted.0 == lane) {
        let result = Found {
            routing_key: routing_key.to_owned(),
            body: delivery.data.clone().into(),
            timestamp_s: *delivery.properties.timestamp(),
        };
        found.insert((*wanted).clone(), result);
    }
}

/// When the last result was written; now, if none was.
async fn last_timestamp_s(session: &Session) -> Result<u64, lapin::Error> {
    let channel = session.lane_channel().await?;
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
