//! Headers of our own, as they are written.

use super::{
    ARRIVED_MS, ATTEMPTS, BLAMED, BODY_BYTES, COPIED_MS, DEAD_CODE, DEAD_REASON, FIRST_SEEN_MS,
    FOLLOWS, HOPS, INCARNATION, LAST_ERROR, PHONE_NUMBER_ID, POSSIBLE_DUPLICATE, SUSPECTED, TARGET,
    THROTTLES, UNCHARGED, WRITER,
};
use crate::contract::request::History;
use crate::core::evidence::search::Stamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

/// Writes a request's history, as the delay ladder carries it.
pub(in crate::broker) fn history(history: &History) -> Vec<(&'static str, AMQPValue)> {
    let History {
        attempts,
        uncharged,
        throttles,
        hops,
        first_seen_ms,
        possible_duplicate,
        suspected,
        copied_ms,
        blamed,
        arrived_ms,
        follows,
        last_error,
    } = *history;
    let count = |number: u32| AMQPValue::LongLongInt(number.into());
    let first_seen_ms = i64::try_from(first_seen_ms).unwrap_or(0);
    let mut headers = vec![
        (ATTEMPTS, count(attempts)),
        (UNCHARGED, count(uncharged)),
        (THROTTLES, count(throttles)),
        (HOPS, count(hops)),
        (FIRST_SEEN_MS, AMQPValue::LongLongInt(first_seen_ms)),
        (POSSIBLE_DUPLICATE, AMQPValue::Boolean(possible_duplicate)),
        (SUSPECTED, AMQPValue::Boolean(suspected)),
        (BLAMED, AMQPValue::Boolean(blamed)),
    ];
    let copied_ms = i64::try_from(copied_ms).ok().filter(|ms| *ms > 0);
    headers.extend(copied_ms.map(|ms| (COPIED_MS, AMQPValue::LongLongInt(ms))));
    let arrived_ms = i64::try_from(arrived_ms).ok().filter(|ms| *ms > 0);
    headers.extend(arrived_ms.map(|ms| (ARRIVED_MS, AMQPValue::LongLongInt(ms))));
    headers.extend(follows.then_some((FOLLOWS, AMQPValue::Boolean(true))));
    headers.extend(last_error.map(|code| (LAST_ERROR, AMQPValue::LongLongInt(code))));
    headers
}

/// Which publication of its id it is.
pub(in crate::broker) fn incarnation(incarnation: Option<u64>) -> (&'static str, AMQPValue) {
    let stamp = incarnation.and_then(|stamp| i64::try_from(stamp).ok());
    (INCARNATION, AMQPValue::LongLongInt(stamp.unwrap_or(0)))
}

/// Says what its caller published it for, where the lane does not say.
pub(in crate::broker) fn target(target: &str) -> (&'static str, AMQPValue) {
    (TARGET, AMQPValue::LongString(target.into()))
}

/// Names the writer of a result.
pub(super) fn writer(stamp: Stamp) -> (&'static str, AMQPValue) {
    (WRITER, AMQPValue::LongString(stamp.to_string().into()))
}

/// The same with who writes it, which is said anew whenever it is tried again.
pub(in crate::broker) fn stamped(properties: BasicProperties, stamp: Stamp) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    let (name, value) = writer(stamp);
    headers.insert(name.into(), value);
    properties.with_headers(headers)
}

/// Writes what a record says of a request that was copied onto the ladder: which one that is, and how often it had come off it before.
/// `follows`: see [`History::follows`].
pub(in crate::broker) fn of_a_record(hops: u32, of: Option<u64>, follows: bool) -> FieldTable {
    let mut headers = FieldTable::default();
    let hops = (HOPS, AMQPValue::LongLongInt(hops.into()));
    let follows = follows.then_some((FOLLOWS, AMQPValue::Boolean(true)));
    for (name, value) in [incarnation(of), hops].into_iter().chain(follows) {
        headers.insert(name.into(), value);
    }
    headers
}

/// Writes what an operator finds on a request in `wa.dead`: why it is there, Meta's code if there was one, and its lane. `flagged`: it may
/// have been sent, and whoever publishes it again should be told so by its result. `now_ms`: tells what is published again from there
/// from what was published before.
pub(in crate::broker) fn epitaph(
    reason: &str,
    code: Option<i64>,
    lane: &str,
    flagged: bool,
    now_ms: u64,
) -> Vec<(&'static str, AMQPValue)> {
    let mut headers = vec![
        incarnation(Some(now_ms)),
        (DEAD_REASON, AMQPValue::LongString(reason.into())),
        (PHONE_NUMBER_ID, AMQPValue::LongString(lane.into())),
    ];
    headers.extend(code.map(|code| (DEAD_CODE, AMQPValue::LongLongInt(code))));
    headers.extend(flagged.then_some((POSSIBLE_DUPLICATE, AMQPValue::Boolean(true))));
    headers
}

/// With the size of a body that was too large to be kept.
pub(in crate::broker) fn body_bytes(bytes: usize) -> (&'static str, AMQPValue) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    (BODY_BYTES, AMQPValue::LongLongInt(bytes))
}
