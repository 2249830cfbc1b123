//! Header values that every queue type of RabbitMQ's and every protocol can carry. RabbitMQ takes more over AMQP 0-9-1 than it can
//! write into a stream or hand to other protocols: then it closes the publisher's connection, at each attempt.

use lapin::types::{AMQPValue, DecimalValue, FieldTable};

/// A timestamp that is still one when it is counted in milliseconds.
const TIMESTAMP_MAX_S: u64 = i64::MAX as u64 / 1000;

/// By white list, at any depth; what is not in it becomes text.
pub(super) fn portable(value: &AMQPValue) -> AMQPValue {
    match value {
        AMQPValue::Boolean(_)
        | AMQPValue::ShortShortInt(_)
        | AMQPValue::ShortShortUInt(_)
        | AMQPValue::ShortInt(_)
        | AMQPValue::ShortUInt(_)
        | AMQPValue::LongInt(_)
        | AMQPValue::LongUInt(_)
        | AMQPValue::LongLongInt(_)
        | AMQPValue::LongString(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => value.clone(),
        AMQPValue::Float(number) if number.is_finite() => value.clone(),
        AMQPValue::Double(number) if number.is_finite() => value.clone(),
        AMQPValue::Timestamp(seconds) if *seconds <= TIMESTAMP_MAX_S => value.clone(),
        AMQPValue::Float(number) => text(number.to_string()),
        AMQPValue::Double(number) => text(number.to_string()),
        AMQPValue::Timestamp(seconds) => text(seconds.to_string()),
        AMQPValue::DecimalValue(number) => text(decimal(*number)),
        // RabbitMQ knows no such type in a table.
        AMQPValue::ShortString(string) => text(string.to_string()),
        AMQPValue::FieldArray(values) => {
            let values = values.as_slice().iter().map(portable);
            AMQPValue::FieldArray(values.collect::<Vec<_>>().into())
        }
        AMQPValue::FieldTable(table) => {
            let mut values = FieldTable::default();
            for (name, value) in table.inner() {
                values.insert(name.clone(), portable(value));
            }
            AMQPValue::FieldTable(values)
        }
    }
}

fn text(text: String) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// As its writer would have written it: 1999 with a scale of 2 is 19.99.
fn decimal(number: DecimalValue) -> String {
    let (digits, scale) = (number.value.to_string(), usize::from(number.scale));
    if scale == 0 {
        return digits;
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    format!("{whole}.{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_queue_can_carry_stays_as_it_is() {
        for value in [
            AMQPValue::Boolean(true),
            AMQPValue::ShortShortInt(-1),
            AMQPValue::ShortShortUInt(1),
            AMQPValue::ShortInt(-1),
            AMQPValue::ShortUInt(1),
            AMQPValue::LongInt(-7),
            AMQPValue::LongUInt(7),
            AMQPValue::LongLongInt(i64::MIN),
            AMQPValue::Float(0.5),
            AMQPValue::Double(0.5),
            AMQPValue::LongString("é".into()),
            AMQPValue::ByteArray(vec![0, 255].into()),
            AMQPValue::Timestamp(1_800_000_000),
            AMQPValue::Void,
        ] {
            assert_eq!(portable(&value), value);
        }
    }

    fn decimal_of(value: u32, scale: u8) -> AMQPValue {
        AMQPValue::DecimalValue(DecimalValue { scale, value })
    }

    #[test]
    fn all_else_becomes_text() {
        for (value, expected) in [
            (decimal_of(1999, 2), "19.99"),
            (decimal_of(5, 3), "0.005"),
            (decimal_of(7, 0), "7"),
            (decimal_of(0, 1), "0.0"),
            (AMQPValue::Float(f32::NAN), "NaN"),
            (AMQPValue::Double(f64::NEG_INFINITY), "-inf"),
            (AMQPValue::Timestamp(u64::MAX), "18446744073709551615"),
            (AMQPValue::ShortString("short".into()), "short"),
        ] {
            assert_eq!(portable(&value), text(expected.to_owned()));
        }
    }

    #[test]
    fn at_any_depth() {
        let nested = |innermost: AMQPValue| {
            let mut table = FieldTable::default();
            table.insert(
                "prices".into(),
                AMQPValue::FieldArray(vec![AMQPValue::LongInt(1), innermost].into()),
            );
            AMQPValue::FieldArray(vec![AMQPValue::FieldTable(table)].into())
        };
        let carried = nested(text("1.5".to_owned()));
        assert_eq!(portable(&nested(decimal_of(15, 1))), carried);
        assert_eq!(portable(&carried), carried);
    }
}
