use super::ours::writer;
use super::*;
use crate::contract::request::{History, Inbound};
use crate::core::evidence::search::Stamp;
use lapin::types::AMQPValue::LongString;

mod read;

const COPIES: [Copy; 3] = [Copy::Result, Copy::Delayed, Copy::Dead];

/// Every property, each with a value of its own.
fn full() -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("identity".into())
        .with_headers(FieldTable::default())
        .with_delivery_mode(1)
        .with_priority(7)
        .with_correlation_id("correlation".into())
        .with_reply_to("answers".into())
        .with_expiration("60000".into())
        .with_message_id("id".into())
        .with_timestamp(1_700_000_000)
        .with_type("message".into())
        .with_user_id("shop".into())
        .with_app_id("crm".into())
        .with_cluster_id("cluster".into())
}

fn only(name: &str, value: AMQPValue) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(name.into(), value);
    BasicProperties::default().with_headers(headers)
}

fn text(value: &str) -> AMQPValue {
    LongString(value.into())
}

fn header(properties: &BasicProperties, name: &str) -> Option<AMQPValue> {
    let headers = properties.headers().as_ref()?;
    headers.inner().get(name).cloned()
}

/// A property's name as AMQP spells it.
fn name(property: Property) -> String {
    let mut name = String::new();
    for letter in format!("{property:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// A header that this row is about.
fn sample(row: Name) -> String {
    match row {
        Is(name) => name.to_owned(),
        BeginsWith(prefix) => prefix.to_owned(),
        Other => "internal".to_owned(),
    }
}

#[test]
fn every_property_that_there_is_has_one_row() {
    // lapin's struct says which there are, in order: "AMQPProperties { content_type: None, … }".
    let all = format!("{:?}", BasicProperties::default()).replace("kind:", "type:");
    let fields = all.split([' ', '{', ',', '}']);
    let there_are: Vec<&str> = fields.filter_map(|word| word.strip_suffix(':')).collect();
    let rows: Vec<String> = PROPERTIES.iter().map(|row| name(row.field)).collect();
    assert_eq!(rows, there_are);
    assert_eq!(full().bitmask().count_ones() as usize, PROPERTIES.len());
}

#[test]
fn every_property_becomes_what_its_row_says() {
    for copy in COPIES {
        let copied = copied(&full(), copy, []);
        assert_eq!(*copied.delivery_mode(), Some(2));
        assert_eq!(copied.message_id(), full().message_id());
        for row in &PROPERTIES {
            let (fate, property) = (row.fate(copy), row.field);
            let told = format!("{property:?} in {copy:?}");
            let alone = |from| property.copy(from, BasicProperties::default());
            match fate {
                Kept => assert_eq!(alone(&copied), alone(&full()), "{told}"),
                Dropped => assert_eq!(alone(&copied), BasicProperties::default(), "{told}"),
                Moved(name) => {
                    assert_eq!(alone(&copied), BasicProperties::default(), "{told}");
                    let value = property.text(&full()).map(text);
                    assert_eq!(header(&copied, name), value, "{told}");
                }
                Set => {}
            }
        }
    }
}

#[test]
fn every_header_becomes_what_its_row_says() {
    for row in &HEADERS {
        let name = sample(row.field);
        let first = HEADERS.iter().find(|row| row.field.matches(&name)).unwrap();
        assert_eq!(
            first.field, row.field,
            "an earlier row stands before {name}"
        );
        for copy in COPIES {
            let copied = copied(&only(&name, text("v")), copy, []);
            let kept = (row.fate(copy) == Kept).then(|| text("v"));
            assert_eq!(header(&copied, &name), kept, "{name} in {copy:?}");
        }
    }
}

const STAMP: Stamp = Stamp {
    run: 1,
    at_ms: 2,
    settled_ms: 3,
};

#[test]
fn who_writes_a_result_is_said_beside_its_other_headers() {
    let result = stamped(only("x-a", text("v")), STAMP);
    assert_eq!(header(&result, "x-a"), Some(text("v")));
    assert_eq!(Headers::of(&result).stamp(), Some(STAMP));
    assert_eq!(Headers::of(&only(WRITER, text("forged"))).stamp(), None);
}

#[test]
fn every_header_of_ours_has_a_row_of_its_own() {
    let has_been = History {
        last_error: Some(131_016),
        copied_ms: 1,
        arrived_ms: 8,
        follows: true,
        ..History::default()
    };
    let written = [
        (Copy::Delayed, history(&has_been)),
        (
            Copy::Dead,
            epitaph("exhausted", Some(131_016), "111", true, 7),
        ),
        (Copy::Dead, vec![body_bytes(10_000_000)]),
        (Copy::Delayed, vec![incarnation(Some(7)), target("111")]),
        (Copy::Result, vec![incarnation(None), writer(STAMP)]),
    ];
    for (copy, headers) in written {
        for (name, value) in headers {
            let is_ours = |row: &&Row<Name>| row.field == Is(name);
            let row = HEADERS.iter().find(is_ours).expect(name);
            let fate = row.fate(copy);
            // A doubt is kept, whoever had it.
            assert!(fate == Set || name == POSSIBLE_DUPLICATE, "{name}");
            let copied = copied(&only(name, text("forged")), copy, [(name, value.clone())]);
            assert_eq!(header(&copied, name), Some(value));
        }
    }
    let set = |copy| HEADERS.iter().filter(move |row| row.fate(copy) == Set);
    // And which publication it is, and what it is for.
    assert_eq!(set(Copy::Delayed).count(), history(&has_been).len() + 2);
    assert_eq!(set(Copy::Dead).count(), 5);
    assert_eq!(set(Copy::Result).count(), 2);
    // What a property has moved to survives the next copy.
    for row in &PROPERTIES {
        for fate in COPIES.map(|copy| row.fate(copy)) {
            if let Moved(name) = fate {
                assert_eq!(super::fate(Copy::Delayed, name), Kept);
                assert_eq!(super::fate(Copy::Dead, name), Kept);
            }
        }
    }
}

/// What intake makes of it is its business; here counts that each copy has the id that the request had.
#[test]
fn an_id_that_came_as_a_header_is_the_copies_own() {
    let long = "x".repeat(300);
    let with = |name: &str, value: AMQPValue| only(name, value);
    let bytes = AMQPValue::ByteArray(b"id-1".to_vec().into());
    for (from, expected) in [
        (with("x-message-id", text("id-1")), Some("id-1")),
        (with("message-id", text("id-1")), Some("id-1")),
        (with("x-message-id", bytes), Some("id-1")),
        (
            with("message-id", text("id-1")).with_message_id("".into()),
            Some("id-1"),
        ),
        (
            with("message-id", text("other")).with_message_id("id-1".into()),
            Some("id-1"),
        ),
        (with("message-id", AMQPValue::Void), None),
        (with("message-id", AMQPValue::LongInt(7)), None),
        (with("message-id", text("")), None),
        // Too long for AMQP: the copy has the header.
        (with("x-message-id", text(&long)), None),
    ] {
        for copy in COPIES {
            let copied = copied(&from, copy, []);
            let id = copied.message_id().as_ref().map(ShortString::as_str);
            assert_eq!(id, expected, "{from:?}");
        }
    }
}

#[test]
fn a_header_that_is_null_is_absent_and_an_empty_table_is_told() {
    let empty = AMQPValue::FieldTable(FieldTable::default());
    for name in [
        "expires-at",
        "not-before",
        "on-unknown",
        "x-message-id",
        "message-id",
    ] {
        let read = |value: AMQPValue| {
            let properties = only(name, value);
            let inbound = inbound(&properties, false);
            let id = inbound.id_header.map(|(_, header)| header);
            let header = id.or(inbound.expires_at).or(inbound.not_before);
            format!("{:?}", header.or(inbound.on_unknown))
        };
        assert_eq!(read(AMQPValue::Void), "None");
        assert_eq!(read(empty.clone()), "Some(EmptyTable)");
        assert_eq!(read(AMQPValue::Timestamp(7)), "Some(TimestampS(7))");
        assert_eq!(
            read(AMQPValue::ByteArray(b"v".to_vec().into())),
            "Some(Text([118]))"
        );
    }
}

#[test]
fn a_history_survives_the_ladder() {
    let before = History {
        attempts: 3,
        uncharged: 2,
        throttles: 1,
        hops: 7,
        first_seen_ms: 1_800_000_000_000,
        possible_duplicate: true,
        suspected: true,
        copied_ms: 9,
        blamed: true,
        arrived_ms: 8,
        follows: true,
        last_error: Some(-5),
    };
    let copy = copied(&full(), Copy::Delayed, history(&before));
    assert_eq!(inbound(&copy, false).history, before);
    // In `wa.dead` it starts afresh, but for the doubt.
    let dead = copied(&copy, Copy::Dead, []);
    let fresh = History {
        possible_duplicate: true,
        last_error: Some(-5),
        ..History::default()
    };
    assert_eq!(inbound(&dead, false).history, fresh);
}

#[test]
fn headers_that_leave_no_room_stay_behind() {
    let large = |name: &str, bytes: usize| (name.into(), text(&"x".repeat(bytes)));
    let cases = [
        // Not named by the contract, and too large: only `wa.dead` would have it, and leaves it behind.
        (
            vec![large("internal", 70_000), large("x-own", 10)],
            [1, 1, 1],
        ),
        (vec![large("x-own", 70_000)], [0, 0, 0]),
        (
            vec![large("internal", 60_000), large("x-own", 10)],
            [1, 1, 2],
        ),
    ];
    for (headers, expected) in cases {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(name, value);
        }
        let from = BasicProperties::default().with_headers(table);
        let count = |copy| {
            let copied = copied(&from, copy, []);
            copied.headers().as_ref().unwrap().inner().len()
        };
        assert_eq!(COPIES.map(count), expected);
    }
}

#[test]
fn a_plain_copy_has_nothing_of_its_callers_but_what_it_must() {
    let copy = copied(&full(), Copy::Delayed, history(&History::default()));
    let plain = plain(&copy, true);
    for property in PROPERTIES.map(|row| row.field) {
        let is_set =
            property.copy(&plain, BasicProperties::default()) != BasicProperties::default();
        let must = [
            Property::ContentType,
            Property::Headers,
            Property::DeliveryMode,
            Property::Priority,
            Property::MessageId,
            Property::Timestamp,
            Property::Type,
        ];
        assert_eq!(is_set, must.contains(&property), "{property:?}");
    }
    let headers = plain.headers().clone().unwrap();
    let named = ["expires-at", "not-before", "on-unknown"];
    for name in headers.inner().keys().map(ShortString::as_str) {
        assert!(name.starts_with("wa-") || named.contains(&name), "{name}");
    }
    let inbound = inbound(&plain, false);
    assert!(inbound.history.possible_duplicate);
}

/// The table as the contract shows it: one line for all that share their fates, in the order of the first of them.
fn shown() -> String {
    let properties = PROPERTIES
        .iter()
        .filter(|row| row.field != Property::Headers);
    let properties = properties.map(|row| (name(row.field), COPIES.map(|copy| row.fate(copy))));
    let headers = HEADERS.iter().map(|row| {
        let name = match row.field {
            Is(name) => name.to_owned(),
            BeginsWith(prefix) => format!("{prefix}…"),
            Other => "all other headers".to_owned(),
        };
        (name, COPIES.map(|copy| row.fate(copy)))
    });
    let mut lines: Vec<(Vec<String>, [Fate; 3])> = vec![];
    for (name, fates) in properties.chain(headers) {
        let name = match name.contains(' ') {
            true => name,
            false => format!("`{name}`"),
        };
        match lines.iter_mut().find(|(_, known)| *known == fates) {
            Some((names, _)) => names.push(name),
            None => lines.push((vec![name], fates)),
        }
    }
    let word = |fate| match fate {
        Kept => "kept".to_owned(),
        Dropped => "–".to_owned(),
        Set => "set".to_owned(),
        Moved(name) => format!("as `{name}`"),
    };
    let mut table =
        "| property or header | result | ladder | `wa.dead` |\n|---|---|---|---|\n".to_owned();
    for (names, fates) in lines {
        let [result, delayed, dead] = fates.map(word);
        table += &format!("| {} | {result} | {delayed} | {dead} |\n", names.join(", "));
    }
    table
}

#[test]
fn the_contract_shows_this_table() {
    let contract = include_str!("../../../deploy/contract/README.md");
    assert!(
        contract.contains(&shown()),
        "deploy/contract/README.md lacks:\n{}",
        shown()
    );
}

#[test]
fn publications_of_a_second_are_told_apart_by_their_bodies() {
    let dated = BasicProperties::default().with_timestamp(1_790_000_000);
    let of = |properties: &BasicProperties, body: &str| incarnation_of(properties, body.as_bytes());
    let (one, other) = (of(&dated, "to one"), of(&dated, "to another"));
    assert_ne!(one, other);
    assert_eq!(of(&dated, "to one"), one);
    for stamp in [one, other] {
        assert_eq!(stamp.unwrap() / 1000, 1_790_000_000);
    }
    // What says more, as a copy on the ladder does, is taken at its word.
    let named = only(INCARNATION, AMQPValue::LongLongInt(7)).with_timestamp(1_790_000_000);
    assert_eq!(of(&named, "to one"), Some(7));
    assert_eq!(of(&BasicProperties::default(), "to one"), None);
    assert_eq!(of(&dated.with_timestamp(0), "to one"), None);
    let endless = BasicProperties::default().with_timestamp(u64::MAX);
    assert_eq!(of(&endless, "to one"), None);
}
