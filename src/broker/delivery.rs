//! One delivery, settled once. The acker never leaves this file.

use super::publish::Confirmed;
use super::topology;
use crate::core::intake::{Header, Inbound, MAX_HEADERS_BYTES};
use crate::core::message::{History, Priority};
use crate::spans::{Arrival, End, Journey, Parent, Publishing, Spans, Trace};
use bytes::Bytes;
use lapin::options::BasicAckOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, BasicProperties, ChannelStatus};
use std::time::Duration;

/// Our own headers on requests that went through the delay ladder.
pub(super) const ATTEMPTS: &str = "wa-attempts";
pub(super) const UNCHARGED: &str = "wa-uncharged";
pub(super) const THROTTLES: &str = "wa-throttles";
pub(super) const HOPS: &str = "wa-hops";
pub(super) const FIRST_SEEN_MS: &str = "wa-first-seen-ms";
pub(super) const POSSIBLE_DUPLICATE: &str = "wa-possible-duplicate";
pub(super) const PAIR_RESERVED: &str = "wa-pair-reserved";
pub(super) const SUSPECTED: &str = "wa-suspected";
pub(super) const LAST_ERROR: &str = "wa-last-error";

/// How often an acknowledgement that waits to be written looks whether its channel is still there: one that is gone never writes it.
const ACK_LOOKS: Duration = Duration::from_millis(200);

/// Longest wait for that.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);

/// How settling went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    Acknowledged,
    /// The channel was gone: RabbitMQ will deliver it again.
    Void,
}

/// A request as RabbitMQ delivered it.
pub struct Delivery {
    acker: Acker,
    pub body: Bytes,
    pub redelivered: bool,
    pub(super) routing_key: String,
    pub(super) properties: BasicProperties,
    /// Of its channel.
    channel: ChannelStatus,
    delivery_tag: u64,
    /// If it is traced.
    journey: Option<Box<Journey>>,
    settled: bool,
}

impl Delivery {
    pub(super) fn new(delivery: lapin::message::Delivery, channel: ChannelStatus) -> Self {
        Self {
            delivery_tag: delivery.delivery_tag,
            acker: delivery.acker,
            body: delivery.data.into(),
            redelivered: delivery.redelivered,
            routing_key: delivery.routing_key.as_str().to_owned(),
            properties: delivery.properties,
            channel,
            journey: None,
            settled: false,
        }
    }

    /// Decides whether it is traced: as its caller did, else by chance, and that once, not again when it comes off the ladder. `queue`:
    /// where it comes from, without the number if it is a lane's.
    pub fn trace(&mut self, spans: &Spans, queue: &'static str) {
        let parent = self.text("traceparent").and_then(Parent::read);
        let is_traced = match &parent {
            Some(parent) => parent.is_sampled,
            None => spans.draws() && self.header(HOPS).is_none(),
        };
        if !is_traced {
            return;
        }
        let parent = parent.map(|parent| parent.with_state(self.text("tracestate")));
        let (lane, key) = (self.lane(), self.routing_key.as_str());
        let is_of_a_lane = queue == topology::LANE_PREFIX;
        let whole_queue = if is_of_a_lane {
            topology::lane_queue(lane)
        } else {
            queue.to_owned()
        };
        let arrival = Arrival {
            message_id: self.properties.message_id().as_ref().map(|id| id.as_str()),
            exchange: if lane == key {
                topology::SEND
            } else {
                topology::DELAY_OUT
            },
            routing_key: is_of_a_lane.then_some(key),
            queue: &whole_queue,
            name: queue.trim_end_matches('.'),
            delivery_tag: self.delivery_tag,
            redelivered: self.redelivered,
            phone_number_id: is_of_a_lane.then_some(lane),
            priority: Priority::of(*self.properties.priority()).as_str(),
            attempt: self.tally(ATTEMPTS) + 1,
        };
        self.journey = Some(spans.journey(parent.as_ref(), &arrival));
    }

    /// Its spans, if it is traced.
    pub fn journey(&mut self) -> Option<&mut Journey> {
        self.journey.as_deref_mut()
    }

    pub(super) fn publishing(&self, exchange: &str, routing_key: &str) -> Option<Publishing> {
        let journey = self.journey.as_ref()?;
        Some(journey.publishing(exchange, routing_key))
    }

    /// False once its channel is gone or going: sending it would race the worker that gets it next. A connection that hangs while it
    /// is closed leaves the acker as it is.
    pub fn is_valid(&self) -> bool {
        self.acker.usable() && self.channel.connected()
    }

    /// The request's id, if it has one.
    pub fn id(&self) -> String {
        let id = self.properties.message_id().as_ref();
        id.map_or(String::new(), |id| id.as_str().to_owned())
    }

    /// The phone number id it was published for.
    pub fn lane(&self) -> &str {
        crate::core::ladder::lane_of(&self.routing_key)
    }

    /// Acknowledges. Takes the proof that whatever must outlive the delivery is confirmed.
    pub async fn settle(mut self, _confirmed: Confirmed) -> Settled {
        self.settled = true;
        let acknowledging = self.acker.ack(BasicAckOptions::default());
        tokio::select! {
            biased;
            acknowledged = acknowledging => match acknowledged {
                Ok(true) => Settled::Acknowledged,
                Ok(false) | Err(_) => Settled::Void,
            },
            () = gone(&self.channel) => Settled::Void,
        }
    }

    /// RabbitMQ has (or gets) it again because its channel is closed.
    pub fn give_back(mut self) {
        self.settled = true;
        if let Some(journey) = &mut self.journey {
            let (status, error) = ("given_back", None);
            journey.ends(End { status, error });
        }
    }

    fn header(&self, name: &str) -> Option<&AMQPValue> {
        self.properties.headers().as_ref()?.inner().get(name)
    }

    fn number<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        self.header(name).and_then(int)?.try_into().ok()
    }

    /// One of our own counts. Anybody who may publish can write such a header: it must not overflow where it is counted on.
    fn tally(&self, name: &str) -> u32 {
        const PLAUSIBLE: u32 = 1_000_000;
        self.number(name).unwrap_or(0).min(PLAUSIBLE)
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.header(name), Some(AMQPValue::Boolean(true)))
    }

    /// RabbitMQ 4.3 counts every acquisition in a header of its own; before it, every return raised the delivery count.
    fn delivery_count(&self) -> u64 {
        self.number("x-acquired-count")
            .or_else(|| self.number("x-delivery-count"))
            .unwrap_or(0)
    }

    /// Why RabbitMQ took it out of its lane: `expired` for a caller's own AMQP `expiration`. `None` for what never was in one.
    pub fn dead_lettered(&self) -> Option<&str> {
        self.text("x-last-death-queue")
            .filter(|queue| queue.starts_with(topology::LANE_PREFIX))?;
        self.text("x-last-death-reason")
    }

    fn text(&self, name: &str) -> Option<&str> {
        match header(self.header(name)?) {
            Header::Text(bytes) => std::str::from_utf8(bytes).ok(),
            Header::Int(_) | Header::Bool(_) | Header::TimestampS(_) | Header::Other => None,
        }
    }

    /// What intake needs to know, without AMQP's types.
    pub fn inbound(&self) -> Inbound<'_> {
        let properties = &self.properties;
        Inbound {
            message_id: properties.message_id().as_ref().map(|id| id.as_str()),
            priority: *properties.priority(),
            timestamp_s: *properties.timestamp(),
            operation: properties.kind().as_ref().map(|kind| kind.as_str()),
            redelivered: self.redelivered,
            delivery_count: self.delivery_count(),
            headers_bytes: properties
                .headers()
                .as_ref()
                .map_or(0, |headers| table_bytes(headers, is_carried)),
            expires_at: self.header("expires-at").map(header),
            not_before: self.header("not-before").map(header),
            on_unknown: self.header("on-unknown").map(header),
            history: History {
                attempts: self.tally(ATTEMPTS),
                uncharged: self.tally(UNCHARGED),
                throttles: self.tally(THROTTLES),
                hops: self.tally(HOPS),
                first_seen_ms: self
                    .header(FIRST_SEEN_MS)
                    .and_then(int)
                    .and_then(|ms| u64::try_from(ms).ok())
                    .unwrap_or(0),
                possible_duplicate: self.flag(POSSIBLE_DUPLICATE),
                suspected: self.flag(SUSPECTED),
                pair_reserved: self.flag(PAIR_RESERVED),
                last_error: self.header(LAST_ERROR).and_then(int),
            },
        }
    }
}

/// Until the channel is gone, or nothing more is to be expected of it.
async fn gone(channel: &ChannelStatus) {
    let until = tokio::time::Instant::now() + ACK_TIMEOUT;
    while channel.connected() && tokio::time::Instant::now() < until {
        tokio::time::sleep(ACK_LOOKS).await;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // Never acknowledges: an unsettled drop leaves the message with RabbitMQ. It is a bug all the same, unless its channel is gone.
        if !self.settled && self.is_valid() && !std::thread::panicking() {
            tracing::error!("a delivery was dropped unsettled; it returns when its channel closes");
        }
    }
}

/// So many headers that no more could be added: see [`MAX_HEADERS_BYTES`].
fn are_too_many(headers: &FieldTable) -> bool {
    table_bytes(headers, |_| true) > MAX_HEADERS_BYTES
}

fn bounded(headers: FieldTable) -> FieldTable {
    if are_too_many(&headers) {
        return FieldTable::default();
    }
    headers
}

/// What a request in `wa.dead` keeps: all headers; those of the contract if all leave no room for ours; none if those do not either.
pub(super) fn kept(properties: &BasicProperties) -> FieldTable {
    let all = properties.headers().clone().unwrap_or_default();
    if are_too_many(&all) {
        return bounded(carried(properties));
    }
    all
}

/// Of those wanted, encoded, rounded up.
fn table_bytes(table: &FieldTable, wanted: impl Fn(&str) -> bool) -> usize {
    let fields = table.inner().iter();
    let fields = fields.filter(|(name, _)| wanted(name.as_str()));
    let bytes = fields.map(|(name, value)| 1 + name.as_str().len() + value_bytes(value));
    bytes.sum()
}

fn value_bytes(value: &AMQPValue) -> usize {
    const TYPE_AND_LENGTH: usize = 5;
    const LONGEST_NUMBER: usize = 9;
    match value {
        AMQPValue::LongString(text) => TYPE_AND_LENGTH + text.as_bytes().len(),
        AMQPValue::ShortString(text) => TYPE_AND_LENGTH + text.as_str().len(),
        AMQPValue::ByteArray(bytes) => TYPE_AND_LENGTH + bytes.as_slice().len(),
        AMQPValue::FieldTable(table) => TYPE_AND_LENGTH + table_bytes(table, |_| true),
        AMQPValue::FieldArray(array) => {
            TYPE_AND_LENGTH + array.as_slice().iter().map(value_bytes).sum::<usize>()
        }
        AMQPValue::Boolean(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::ShortShortInt(_)
        | AMQPValue::ShortShortUInt(_)
        | AMQPValue::ShortInt(_)
        | AMQPValue::ShortUInt(_)
        | AMQPValue::LongInt(_)
        | AMQPValue::LongUInt(_)
        | AMQPValue::LongLongInt(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::Void => LONGEST_NUMBER,
    }
}

fn int(value: &AMQPValue) -> Option<i64> {
    match header(value) {
        Header::Int(value) => Some(value),
        Header::Text(_) | Header::Bool(_) | Header::TimestampS(_) | Header::Other => None,
    }
}

fn header(value: &AMQPValue) -> Header<'_> {
    match value {
        AMQPValue::LongString(text) => Header::Text(text.as_bytes()),
        AMQPValue::ShortString(text) => Header::Text(text.as_str().as_bytes()),
        AMQPValue::ByteArray(bytes) => Header::Text(bytes.as_slice()),
        AMQPValue::Boolean(value) => Header::Bool(*value),
        AMQPValue::Timestamp(seconds) => Header::TimestampS(*seconds),
        AMQPValue::ShortShortInt(value) => Header::Int((*value).into()),
        AMQPValue::ShortShortUInt(value) => Header::Int((*value).into()),
        AMQPValue::ShortInt(value) => Header::Int((*value).into()),
        AMQPValue::ShortUInt(value) => Header::Int((*value).into()),
        AMQPValue::LongInt(value) => Header::Int((*value).into()),
        AMQPValue::LongUInt(value) => Header::Int((*value).into()),
        AMQPValue::LongLongInt(value) => Header::Int(*value),
        AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::Void => Header::Other,
    }
}

/// What a request has been through, as the delay ladder carries it.
pub(super) fn history(history: &History) -> Vec<(&'static str, AMQPValue)> {
    let int = |number: u32| AMQPValue::LongLongInt(number.into());
    let first_seen_ms = i64::try_from(history.first_seen_ms).unwrap_or(0);
    let mut headers = vec![
        (ATTEMPTS, int(history.attempts)),
        (UNCHARGED, int(history.uncharged)),
        (THROTTLES, int(history.throttles)),
        (HOPS, int(history.hops)),
        (FIRST_SEEN_MS, AMQPValue::LongLongInt(first_seen_ms)),
        (
            POSSIBLE_DUPLICATE,
            AMQPValue::Boolean(history.possible_duplicate),
        ),
        (SUSPECTED, AMQPValue::Boolean(history.suspected)),
        (PAIR_RESERVED, AMQPValue::Boolean(history.pair_reserved)),
    ];
    headers.extend(
        history
            .last_error
            .map(|code| (LAST_ERROR, AMQPValue::LongLongInt(code))),
    );
    headers
}

/// Headers that carry on this trace, in place of the caller's.
pub(super) fn traced(headers: Option<&FieldTable>, trace: Trace) -> FieldTable {
    let is_kept = |name: &str| name != "traceparent" && name != "tracestate";
    let mut table = headers.map_or_else(FieldTable::default, |headers| pick(headers, is_kept));
    let text = |text: String| AMQPValue::LongString(text.into());
    table.insert("traceparent".into(), text(trace.parent));
    if let Some(state) = trace.state {
        table.insert("tracestate".into(), text(state));
    }
    table
}

/// What a result echoes: the caller's `x-*` headers and trace context. RabbitMQ's own `x-*` headers are not the caller's.
pub(super) fn echoed(properties: &BasicProperties) -> FieldTable {
    bounded(select(properties, |name| {
        matches!(name, "traceparent" | "tracestate") || is_callers(name)
    }))
}

/// What a delayed copy keeps: everything the contract names and nothing else. A producer's `CC` would route the copy again.
pub(super) fn carried(properties: &BasicProperties) -> FieldTable {
    select(properties, is_carried)
}

fn is_carried(name: &str) -> bool {
    matches!(
        name,
        "traceparent" | "tracestate" | "expires-at" | "not-before" | "on-unknown"
    ) || is_callers(name)
}

fn is_callers(name: &str) -> bool {
    const BROKERS: [&str; 8] = [
        "x-death",
        "x-first-death-",
        "x-last-death-",
        "x-delivery-count",
        "x-acquired-count",
        "x-stream-",
        "x-opt-",
        "x-delay",
    ];
    name.starts_with("x-") && !BROKERS.iter().any(|prefix| name.starts_with(prefix))
}

fn select(properties: &BasicProperties, wanted: impl Fn(&str) -> bool) -> FieldTable {
    let headers = properties.headers().as_ref();
    headers.map_or_else(FieldTable::default, |headers| pick(headers, wanted))
}

fn pick(headers: &FieldTable, wanted: impl Fn(&str) -> bool) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers.inner() {
        if wanted(name.as_str()) {
            table.insert(name.clone(), value.clone());
        }
    }
    table
}
