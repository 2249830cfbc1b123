//! The AMQP properties and headers of a request, and what becomes of each of them in what is published of it: one table,
//! of properties ([`PROPERTIES`]) and of headers ([`HEADERS`]). deploy/contract/README.md, "What becomes of properties and headers", is
//! this table.

use crate::contract::request::{
    CONFIRM, DEDUPE, EXPIRES_AT, FILE_NAME, MAX_HEADERS_BYTES, MEDIA, NODE, NOT_BEFORE, ON_UNKNOWN,
    TAG,
};
use crate::spans::Trace;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

pub mod described;
mod ours;
mod portable;
mod read;
mod size;

pub(super) use ours::{body_bytes, epitaph, history, incarnation, of_a_record, stamped, target};
pub(super) use read::{Headers, id, inbound, incarnation_of};
use size::table_bytes;

/// Our own headers on requests that went through the delay ladder.
const ATTEMPTS: &str = "wa-attempts";
const UNCHARGED: &str = "wa-uncharged";
const THROTTLES: &str = "wa-throttles";
pub(super) const HOPS: &str = "wa-hops";
const FIRST_SEEN_MS: &str = "wa-first-seen-ms";
const POSSIBLE_DUPLICATE: &str = "wa-possible-duplicate";
const SUSPECTED: &str = "wa-suspected";
const COPIED_MS: &str = "wa-copied-ms";
const BLAMED: &str = "wa-blamed";
const ARRIVED_MS: &str = "wa-arrived-ms";
const FOLLOWS: &str = "wa-follows";
const LAST_ERROR: &str = "wa-last-error";
/// The routing key that the caller of an operation published it with.
pub(super) const TARGET: &str = "wa-target";
/// See [`crate::core::request::message::Message::incarnation`]; 0 is none.
const INCARNATION: &str = "wa-incarnation";

/// On what was published without what its caller wrote, see [`plain`].
const LEFT_OUT: &str = "wa-headers-left-out";

/// The writer of a result, see [`crate::core::evidence::search::Stamp`].
const WRITER: &str = "wa-writer";

/// RabbitMQ's own, where it is set up to stamp what it is given (`message_interceptors.incoming.set_header_timestamp`).
const TAKEN_AT_MS: &str = "timestamp_in_ms";

/// Our own headers on requests in `wa.dead`.
const DEAD_REASON: &str = "wa-dead-reason";
const DEAD_CODE: &str = "wa-dead-code";
const PHONE_NUMBER_ID: &str = "wa-phone-number-id";
/// How large the body was, if it was too large to be kept.
const BODY_BYTES: &str = "wa-body-bytes";

/// Where properties stand that RabbitMQ would act on if we published them.
const USER_ID: &str = "wa-user-id";
const EXPIRATION: &str = "wa-expiration";

/// The content type of a result's body.
pub(super) const JSON: &str = "application/json";

/// The kinds of what is published of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Copy {
    /// The result, on `wa.results` and to `reply_to`.
    Result,
    /// The request for later, on the delay ladder.
    Delayed,
    /// The request that was given up, in `wa.dead`.
    Dead,
}

/// The fate of a property or header in one of the copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// As it came.
    Kept,
    Dropped,
    /// The copy has what we say, whatever it was.
    Set,
    /// The copy has it as this header.
    Moved(&'static str),
}

/// One line of the table.
struct Row<Field> {
    field: Field,
    result: Fate,
    delayed: Fate,
    dead: Fate,
}

impl<Field> Row<Field> {
    fn fate(&self, copy: Copy) -> Fate {
        match copy {
            Copy::Result => self.result,
            Copy::Delayed => self.delayed,
            Copy::Dead => self.dead,
        }
    }
}

const fn row<Field>(field: Field, [result, delayed, dead]: [Fate; 3]) -> Row<Field> {
    Row {
        field,
        result,
        delayed,
        dead,
    }
}

/// A property of AMQP 0-9-1's basic class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Property {
    ContentType,
    ContentEncoding,
    Headers,
    DeliveryMode,
    Priority,
    CorrelationId,
    ReplyTo,
    Expiration,
    MessageId,
    Timestamp,
    Type,
    UserId,
    AppId,
    ClusterId,
}

use Fate::{Dropped, Kept, Moved, Set};

/// One row per property.
const PROPERTIES: [Row<Property>; 14] = [
    row(Property::ContentType, [Set, Kept, Kept]),
    row(Property::ContentEncoding, [Dropped, Kept, Kept]),
    // Header by header, see `HEADERS`.
    row(Property::Headers, [Set, Set, Set]),
    row(Property::DeliveryMode, [Set, Set, Set]),
    row(Property::Priority, [Dropped, Kept, Kept]),
    row(Property::CorrelationId, [Kept, Kept, Kept]),
    row(Property::ReplyTo, [Dropped, Kept, Kept]),
    // RabbitMQ would end the copy after this time, on the ladder or in `wa.dead`.
    row(
        Property::Expiration,
        [Dropped, Moved(EXPIRATION), Moved(EXPIRATION)],
    ),
    // The request's id, which may have come as a header.
    row(Property::MessageId, [Set, Set, Set]),
    row(Property::Timestamp, [Set, Kept, Kept]),
    // The name of the operation, of its result.
    row(Property::Type, [Set, Kept, Kept]),
    // RabbitMQ takes nobody's but the publisher's own, and closes the channel else.
    row(Property::UserId, [Dropped, Moved(USER_ID), Moved(USER_ID)]),
    row(Property::AppId, [Dropped, Kept, Kept]),
    row(Property::ClusterId, [Dropped, Kept, Kept]),
];

/// Which headers a row is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    Is(&'static str),
    BeginsWith(&'static str),
    Other,
}

impl Name {
    fn matches(self, name: &str) -> bool {
        match self {
            Self::Is(known) => known == name,
            Self::BeginsWith(prefix) => name.starts_with(prefix),
            Self::Other => true,
        }
    }
}

use Name::{BeginsWith, Is, Other};

/// The first row that matches a header counts. A delayed copy has what the contract names and nothing else.
const HEADERS: [Row<Name>; 50] = [
    row(Is("x-message-id"), [Kept, Kept, Kept]),
    row(Is("message-id"), [Dropped, Kept, Kept]),
    // Speaks of a body that is not to be read.
    row(Is("compression"), [Dropped, Dropped, Kept]),
    row(Is(EXPIRES_AT), [Dropped, Kept, Kept]),
    row(Is(NOT_BEFORE), [Dropped, Kept, Kept]),
    row(Is(ON_UNKNOWN), [Dropped, Kept, Kept]),
    row(Is(TAG), [Kept, Kept, Kept]),
    row(Is(DEDUPE), [Dropped, Kept, Kept]),
    row(Is(MEDIA), [Dropped, Kept, Kept]),
    row(Is(FILE_NAME), [Dropped, Kept, Kept]),
    row(Is(NODE), [Kept, Kept, Kept]),
    row(Is(CONFIRM), [Dropped, Kept, Kept]),
    // A traced request has that of our own publish, see `traced`.
    row(Is("traceparent"), [Kept, Kept, Kept]),
    row(Is("tracestate"), [Kept, Kept, Kept]),
    // RabbitMQ's own `x-*` headers are not the caller's.
    row(BeginsWith("x-death"), [Dropped, Dropped, Kept]),
    row(BeginsWith("x-first-death-"), [Dropped, Dropped, Kept]),
    row(BeginsWith("x-last-death-"), [Dropped, Dropped, Kept]),
    row(BeginsWith("x-delivery-count"), [Dropped, Dropped, Kept]),
    row(BeginsWith("x-acquired-count"), [Dropped, Dropped, Kept]),
    row(BeginsWith("x-stream-"), [Dropped, Dropped, Kept]),
    row(BeginsWith("x-opt-"), [Dropped, Dropped, Kept]),
    row(BeginsWith("x-delay"), [Dropped, Dropped, Kept]),
    row(BeginsWith("x-"), [Kept, Kept, Kept]),
    row(Is(TAKEN_AT_MS), [Dropped, Dropped, Kept]),
    // RabbitMQ would route each copy to the keys that they name as well.
    row(Is("CC"), [Dropped, Dropped, Dropped]),
    row(Is("BCC"), [Dropped, Dropped, Dropped]),
    // A request published again from `wa.dead` starts afresh. Whether it may have reached the person stays with it.
    row(Is(ATTEMPTS), [Dropped, Set, Dropped]),
    row(Is(UNCHARGED), [Dropped, Set, Dropped]),
    row(Is(THROTTLES), [Dropped, Set, Dropped]),
    row(Is(HOPS), [Dropped, Set, Dropped]),
    row(Is(FIRST_SEEN_MS), [Dropped, Set, Dropped]),
    row(Is(SUSPECTED), [Dropped, Set, Dropped]),
    row(Is(BLAMED), [Dropped, Set, Dropped]),
    row(Is(COPIED_MS), [Dropped, Set, Dropped]),
    row(Is(ARRIVED_MS), [Dropped, Set, Dropped]),
    row(Is(FOLLOWS), [Dropped, Set, Dropped]),
    row(Is(TARGET), [Dropped, Set, Dropped]),
    row(Is(INCARNATION), [Set, Set, Set]),
    row(Is(WRITER), [Set, Dropped, Dropped]),
    row(Is(POSSIBLE_DUPLICATE), [Dropped, Set, Kept]),
    row(Is(LAST_ERROR), [Dropped, Set, Kept]),
    row(Is(DEAD_REASON), [Dropped, Dropped, Set]),
    row(Is(DEAD_CODE), [Dropped, Dropped, Set]),
    row(Is(PHONE_NUMBER_ID), [Dropped, Dropped, Set]),
    row(Is(BODY_BYTES), [Dropped, Dropped, Set]),
    row(Is(LEFT_OUT), [Kept, Kept, Kept]),
    // From an earlier copy, which has the property no more.
    row(Is(USER_ID), [Dropped, Kept, Kept]),
    row(Is(EXPIRATION), [Dropped, Kept, Kept]),
    row(BeginsWith("wa-"), [Dropped, Dropped, Kept]),
    row(Other, [Dropped, Dropped, Kept]),
];

/// Looks up what the table makes of a header in this copy.
fn fate(copy: Copy, name: &str) -> Fate {
    let row = HEADERS.iter().find(|row| row.field.matches(name));
    row.map_or(Dropped, |row| row.fate(copy))
}

/// A copy of the request's properties as the table says, with `ours` among its headers. Persistent, and with the request's id if AMQP
/// can carry it. Whatever else is [`Fate::Set`] is the publisher's to add.
pub(super) fn copied(
    from: &BasicProperties,
    copy: Copy,
    ours: impl IntoIterator<Item = (&'static str, AMQPValue)>,
) -> BasicProperties {
    const SHORT_STRING_BYTES: usize = 255;
    let mut to = BasicProperties::default().with_delivery_mode(2);
    if let Some(id) = id(from).filter(|id| id.len() <= SHORT_STRING_BYTES) {
        to = to.with_message_id(id.into());
    }
    let mut headers = copied_headers(from, copy);
    for row in &PROPERTIES {
        match row.fate(copy) {
            Kept => to = row.field.copy(from, to),
            Moved(name) => {
                if let Some(text) = row.field.text(from) {
                    headers.insert(name.into(), AMQPValue::LongString(text.into()));
                }
            }
            Dropped | Set => {}
        }
    }
    for (name, value) in ours {
        headers.insert(name.into(), value);
    }
    to.with_headers(headers)
}

/// Headers that leave no room for ours are left behind: in `wa.dead` first those that the contract does not name, then all. A
/// request may have more of them than it may carry on, see [`MAX_HEADERS_BYTES`].
fn copied_headers(from: &BasicProperties, copy: Copy) -> FieldTable {
    let Some(headers) = from.headers() else {
        return FieldTable::default();
    };
    let kept = |copy| select(headers, |name| fate(copy, name) == Kept);
    let fits = |headers: &FieldTable| table_bytes(headers, |_| true) <= MAX_HEADERS_BYTES;
    let whole = kept(copy);
    if fits(&whole) {
        return whole;
    }
    let named = Some(kept(Copy::Delayed)).filter(|named| copy == Copy::Dead && fits(named));
    named.unwrap_or_default()
}

/// Reduces the properties of a publish that ends the connection it is made on: to what is ours and what the contract names, and
/// that the rest was left out. `is_for_later`: it may be on the ladder all the same, and then be there twice.
pub(super) fn plain(from: &BasicProperties, is_for_later: bool) -> BasicProperties {
    const NAMED: [&str; 3] = [EXPIRES_AT, NOT_BEFORE, ON_UNKNOWN];
    let is_ours = |name: &str| {
        let copies = [Copy::Result, Copy::Delayed, Copy::Dead];
        copies.into_iter().any(|copy| fate(copy, name) == Set)
    };
    let is_kept = |name: &str| NAMED.contains(&name) || is_ours(name);
    let headers = from.headers().as_ref();
    let mut headers = headers.map_or_else(FieldTable::default, |all| select(all, is_kept));
    headers.insert(LEFT_OUT.into(), AMQPValue::Boolean(true));
    if is_for_later {
        headers.insert(POSSIBLE_DUPLICATE.into(), AMQPValue::Boolean(true));
    }
    let mut to = BasicProperties::default().with_delivery_mode(2);
    if Property::ContentType.text(from) == Some(JSON) {
        to = to.with_content_type(JSON.into());
    }
    for property in [
        Property::MessageId,
        Property::Priority,
        Property::Timestamp,
        Property::Type,
    ] {
        to = property.copy(from, to);
    }
    to.with_headers(headers)
}

/// The one place where the caller's values go into what we publish.
fn select(headers: &FieldTable, wanted: impl Fn(&str) -> bool) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers.inner() {
        if wanted(name.as_str()) {
            table.insert(name.clone(), portable::portable(value));
        }
    }
    table
}

/// Headers that carry on this trace, in place of the caller's.
pub(super) fn traced(headers: Option<&FieldTable>, trace: Trace) -> FieldTable {
    let is_kept = |name: &str| name != "traceparent" && name != "tracestate";
    let mut table = headers.map_or_else(FieldTable::default, |headers| select(headers, is_kept));
    let text = |text: String| AMQPValue::LongString(text.into());
    table.insert("traceparent".into(), text(trace.parent));
    if let Some(state) = trace.state {
        table.insert("tracestate".into(), text(state));
    }
    table
}

impl Property {
    /// Sets it as it is in `from`.
    fn copy(self, from: &BasicProperties, to: BasicProperties) -> BasicProperties {
        type To = BasicProperties;
        match self {
            Self::ContentType => put(from.content_type(), to, To::with_content_type),
            Self::ContentEncoding => put(from.content_encoding(), to, To::with_content_encoding),
            Self::Headers => put(from.headers(), to, To::with_headers),
            Self::DeliveryMode => put(from.delivery_mode(), to, To::with_delivery_mode),
            Self::Priority => put(from.priority(), to, To::with_priority),
            Self::CorrelationId => put(from.correlation_id(), to, To::with_correlation_id),
            Self::ReplyTo => put(from.reply_to(), to, To::with_reply_to),
            Self::Expiration => put(from.expiration(), to, To::with_expiration),
            Self::MessageId => put(from.message_id(), to, To::with_message_id),
            Self::Timestamp => put(from.timestamp(), to, To::with_timestamp),
            Self::Type => put(from.kind(), to, To::with_type),
            Self::UserId => put(from.user_id(), to, To::with_user_id),
            Self::AppId => put(from.app_id(), to, To::with_app_id),
            Self::ClusterId => put(from.cluster_id(), to, To::with_cluster_id),
        }
    }

    /// `None` also for those that are not text.
    fn text(self, from: &BasicProperties) -> Option<&str> {
        let text = match self {
            Self::ContentType => from.content_type(),
            Self::ContentEncoding => from.content_encoding(),
            Self::CorrelationId => from.correlation_id(),
            Self::ReplyTo => from.reply_to(),
            Self::Expiration => from.expiration(),
            Self::MessageId => from.message_id(),
            Self::Type => from.kind(),
            Self::UserId => from.user_id(),
            Self::AppId => from.app_id(),
            Self::ClusterId => from.cluster_id(),
            Self::Headers | Self::DeliveryMode | Self::Priority | Self::Timestamp => return None,
        };
        text.as_ref().map(ShortString::as_str)
    }
}

fn put<T: Clone>(
    value: &Option<T>,
    to: BasicProperties,
    with: impl Fn(BasicProperties, T) -> BasicProperties,
) -> BasicProperties {
    match value {
        Some(value) => with(to, value.clone()),
        None => to,
    }
}

#[cfg(test)]
mod tests;
