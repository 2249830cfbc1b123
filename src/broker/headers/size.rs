//! How large headers are on the wire, rounded up.

use lapin::types::{AMQPValue, FieldTable};

/// Adds up the headers that are wanted, in bytes.
pub(super) fn table_bytes(table: &FieldTable, wanted: impl Fn(&str) -> bool) -> usize {
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
