//! Reads a request's properties and headers, as intake needs them: without AMQP's types.

use super::size::table_bytes;
use super::{
    ARRIVED_MS, ATTEMPTS, BLAMED, COPIED_MS, Copy, FIRST_SEEN_MS, FOLLOWS, HOPS, INCARNATION,
    LAST_ERROR, POSSIBLE_DUPLICATE, SUSPECTED, TAKEN_AT_MS, THROTTLES, UNCHARGED, WRITER, fate,
};
use crate::contract::request::{
    CONFIRM, DEDUPE, EXPIRES_AT, FILE_NAME, Header, History, ID_HEADERS, Inbound, MEDIA, NODE,
    NOT_BEFORE, ON_UNKNOWN, TAG, TAGS_MAX,
};
use crate::core::evidence::search::Stamp;
use crate::core::hash::stable_hash;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

/// A request's headers, to be read by name.
#[derive(Clone, Copy)]
pub(in crate::broker) struct Headers<'a>(Option<&'a FieldTable>);

impl<'a> Headers<'a> {
    pub(in crate::broker) fn of(properties: &'a BasicProperties) -> Self {
        Self(properties.headers().as_ref())
    }

    /// A header that is null, as some clients send what is not set, counts as absent.
    fn get(self, name: &str) -> Option<Header<'a>> {
        let value = self.0?.inner().get(name)?;
        (*value != AMQPValue::Void).then(|| header(value))
    }

    /// The items of a header that may be a list.
    fn list(self, name: &str) -> Vec<Header<'a>> {
        let value = self.0.and_then(|headers| headers.inner().get(name));
        match value {
            None | Some(AMQPValue::Void) => vec![],
            Some(AMQPValue::FieldArray(items)) => items.as_slice().iter().map(header).collect(),
            Some(value) => vec![header(value)],
        }
    }

    /// Tags that an operator counts the request by.
    pub(in crate::broker) fn tags(self) -> impl Iterator<Item = &'a str> {
        let tags = self.list(TAG).into_iter().filter_map(Header::tag);
        tags.take(TAGS_MAX)
    }

    pub(in crate::broker) fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(in crate::broker) fn text(self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            Header::Text(bytes) => std::str::from_utf8(bytes).ok(),
            Header::Int(_)
            | Header::Bool(_)
            | Header::TimestampS(_)
            | Header::EmptyTable
            | Header::Other => None,
        }
    }

    fn int(self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Header::Int(value) => Some(value),
            Header::Text(_)
            | Header::Bool(_)
            | Header::TimestampS(_)
            | Header::EmptyTable
            | Header::Other => None,
        }
    }

    /// One of our own counts. Anybody who may publish can write such a header: it must not overflow where it is counted on.
    fn tally(self, name: &str) -> u32 {
        const PLAUSIBLE: u32 = 1_000_000;
        let count = self.int(name).and_then(|count| u32::try_from(count).ok());
        count.unwrap_or(0).min(PLAUSIBLE)
    }

    fn flag(self, name: &str) -> bool {
        self.get(name) == Some(Header::Bool(true))
    }

    /// Requests to the API that were made for it before.
    pub(in crate::broker) fn attempts(self) -> u32 {
        self.tally(ATTEMPTS)
    }

    /// RabbitMQ 4.3 counts every acquisition in a header of its own; before it, every return raised the delivery count.
    fn delivery_count(self) -> u64 {
        let acquired = self.int("x-acquired-count");
        let count = acquired.or_else(|| self.int("x-delivery-count"));
        count.and_then(|count| count.try_into().ok()).unwrap_or(0)
    }

    /// Returns what tells this publication of its id from others, finest first. Where only the second is known, its milliseconds are made of
    /// the body: what has the same id may go to many people within a second.
    fn incarnation(self, timestamp_s: Option<u64>, body: &[u8]) -> Option<u64> {
        let stamp = self.int(INCARNATION).or_else(|| self.int(TAKEN_AT_MS));
        let stamp = stamp.map(|stamp| u64::try_from(stamp).unwrap_or(0));
        let of_body = || stable_hash(body.iter().copied()) % 1000;
        let of_second = || {
            let second_ms = timestamp_s
                .filter(|second| *second > 0)?
                .checked_mul(1000)?;
            second_ms.checked_add(of_body())
        };
        stamp.or_else(of_second).filter(|stamp| *stamp > 0)
    }

    /// How often it has come off the ladder.
    pub(in crate::broker) fn hops(self) -> u32 {
        self.tally(HOPS)
    }

    /// Whether it was copied onto the ladder to wait for an earlier request of its id.
    pub(in crate::broker) fn follows(self) -> bool {
        self.flag(FOLLOWS)
    }

    /// Which publication of its id a result or a record is of; `None`: it does not say.
    pub(in crate::broker) fn is_of(self) -> Option<Option<u64>> {
        let stamp = u64::try_from(self.int(INCARNATION)?).ok();
        Some(stamp.filter(|stamp| *stamp > 0))
    }

    /// Returns the writer of a result or a record.
    pub(in crate::broker) fn stamp(self) -> Option<Stamp> {
        Stamp::read(self.text(WRITER)?)
    }

    fn history(self) -> History {
        let ms = |name| {
            self.int(name)
                .map_or(0, |ms| u64::try_from(ms).unwrap_or(0))
        };
        History {
            attempts: self.attempts(),
            uncharged: self.tally(UNCHARGED),
            throttles: self.tally(THROTTLES),
            hops: self.hops(),
            first_seen_ms: ms(FIRST_SEEN_MS),
            possible_duplicate: self.flag(POSSIBLE_DUPLICATE),
            suspected: self.flag(SUSPECTED),
            copied_ms: ms(COPIED_MS),
            blamed: self.flag(BLAMED),
            arrived_ms: ms(ARRIVED_MS),
            follows: self.flag(FOLLOWS),
            last_error: self.int(LAST_ERROR),
        }
    }

    /// Adds up the headers that a delayed copy would carry on.
    fn carried_bytes(self) -> usize {
        let is_carried = |name: &str| fate(Copy::Delayed, name) == super::Fate::Kept;
        self.0.map_or(0, |headers| table_bytes(headers, is_carried))
    }
}

/// The request's id, wherever it stands.
pub(in crate::broker) fn id(properties: &BasicProperties) -> Option<&str> {
    named(properties).id()
}

fn named(properties: &BasicProperties) -> Inbound<'_> {
    let headers = Headers::of(properties);
    let mut ids = ID_HEADERS.iter();
    Inbound {
        // The caller knows the body.
        body_bytes: 0,
        message_id: properties.message_id().as_ref().map(|id| id.as_str()),
        id_header: ids.find_map(|name| Some((*name, headers.get(name)?))),
        ..Inbound::default()
    }
}

/// See [`Inbound::incarnation`].
pub(in crate::broker) fn incarnation_of(properties: &BasicProperties, body: &[u8]) -> Option<u64> {
    Headers::of(properties).incarnation(*properties.timestamp(), body)
}

pub(in crate::broker) fn inbound(properties: &BasicProperties, redelivered: bool) -> Inbound<'_> {
    let headers = Headers::of(properties);
    let content_encoding = properties.content_encoding().as_ref();
    Inbound {
        priority: *properties.priority(),
        timestamp_s: *properties.timestamp(),
        operation: properties.kind().as_ref().map(|kind| kind.as_str()),
        reply_to: properties.reply_to().as_ref().map(|to| to.as_str()),
        content_encoding: content_encoding.map(|encoding| encoding.as_str()),
        compression: headers.get("compression"),
        redelivered,
        delivery_count: headers.delivery_count(),
        // The caller knows the body.
        incarnation: None,
        headers_bytes: headers.carried_bytes(),
        expires_at: headers.get(EXPIRES_AT),
        not_before: headers.get(NOT_BEFORE),
        on_unknown: headers.get(ON_UNKNOWN),
        node: headers.get(NODE),
        confirm: headers.get(CONFIRM),
        tags: headers.list(TAG),
        dedupe: headers.get(DEDUPE),
        media: headers.get(MEDIA),
        file_name: headers.get(FILE_NAME),
        content_type: properties.content_type().as_ref().map(|kind| kind.as_str()),
        history: headers.history(),
        ..named(properties)
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
        | AMQPValue::Void => Header::Other,
        AMQPValue::FieldTable(table) if table.inner().is_empty() => Header::EmptyTable,
        AMQPValue::FieldTable(_) => Header::Other,
    }
}
