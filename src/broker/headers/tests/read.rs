//! Properties and headers that are read.

use super::*;

/// What intake is told of a property or a header, and nothing else.
const READ: [&str; 35] = [
    "content_type",
    "media",
    "file-name",
    "message_id",
    "x-message-id",
    "message-id",
    "content_encoding",
    "compression",
    "priority",
    "timestamp",
    "type",
    "reply_to",
    "expires-at",
    "not-before",
    "on-unknown",
    "tag",
    "dedupe",
    ATTEMPTS,
    UNCHARGED,
    THROTTLES,
    HOPS,
    FIRST_SEEN_MS,
    SUSPECTED,
    BLAMED,
    COPIED_MS,
    ARRIVED_MS,
    FOLLOWS,
    POSSIBLE_DUPLICATE,
    LAST_ERROR,
    INCARNATION,
    NODE,
    CONFIRM,
    TAKEN_AT_MS,
    "x-delivery-count",
    "x-acquired-count",
];

#[test]
fn what_is_read_is_known() {
    let told = |properties: &BasicProperties| {
        let inbound = inbound(properties, false);
        format!(
            "{:?}",
            Inbound {
                headers_bytes: 0,
                incarnation: incarnation_of(properties, b""),
                ..inbound
            }
        )
    };
    let nothing = told(&BasicProperties::default());
    let mut read = vec![];
    for row in &PROPERTIES {
        let alone = row.field.copy(&full(), BasicProperties::default());
        read.extend((told(&alone) != nothing).then(|| name(row.field)));
    }
    let values = [text("v"), AMQPValue::LongInt(7), AMQPValue::Boolean(true)];
    for row in &HEADERS {
        let name = sample(row.field);
        let changes = |value: &AMQPValue| told(&only(&name, value.clone())) != nothing;
        read.extend(values.iter().any(changes).then(|| name.clone()));
    }
    read.sort();
    let mut known = READ;
    known.sort_unstable();
    assert_eq!(read, known);
}
