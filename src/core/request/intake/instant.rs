//! Moments, however a client writes them into a header: the one reader of all of them.

use crate::contract::request::Header;
use jiff::civil::date;
use jiff::fmt::temporal::Pieces;

/// 9999-12-31T23:59:59.999Z, the last moment that RFC 3339 can write, which some clients mean by "never". AMQP timestamps are in
/// seconds; one in milliseconds lies beyond it, if it means a moment after January 1978.
const LAST_MS: u64 = 253_402_300_799_999;

const NO_TIME: &str = "must be an RFC 3339 time such as 2026-11-24T09:30:00Z";
const NO_OFFSET: &str =
    "says no offset from UTC: end it with Z or with one such as +01:00, as RFC 3339 does";
const OUT_OF_RANGE: &str = "lies before the year 1970 or after the year 9999";
const NO_SECONDS: &str = "lies after the year 9999: an AMQP timestamp counts seconds, and this one seems to count something smaller";
const NUMBER: &str = "is a bare number, which does not say what it counts: give an RFC 3339 time such as 2026-11-24T09:30:00Z, or an AMQP timestamp";
const EMPTY_TABLE: &str = "arrived as an empty table, as which some clients send a Date: give its text (in JavaScript toISOString())";

/// In milliseconds since 1970; else what is wrong with it.
pub(super) fn read(header: Header<'_>) -> Result<u64, &'static str> {
    match header {
        Header::Text(text) => std::str::from_utf8(text)
            .map_err(|_| NO_TIME)
            .and_then(read_text),
        Header::TimestampS(seconds) => of_timestamp(seconds).ok_or(NO_SECONDS),
        Header::Int(_) => Err(NUMBER),
        Header::EmptyTable => Err(EMPTY_TABLE),
        Header::Bool(_) | Header::Other => Err(NO_TIME),
    }
}

/// An AMQP timestamp in milliseconds since 1970, if it can be one.
pub(super) fn of_timestamp(seconds: u64) -> Option<u64> {
    let ms = seconds.checked_mul(1000)?;
    (ms <= LAST_MS).then_some(ms)
}

fn read_text(text: &str) -> Result<u64, &'static str> {
    let text = at_most_nanoseconds(text);
    let pieces = Pieces::parse(&text).map_err(|_| NO_TIME)?;
    let time = pieces.time().ok_or(NO_TIME)?;
    let offset = pieces.to_numeric_offset().ok_or(NO_OFFSET)?;
    // Not by jiff's own timestamp, which ends a day before the year 9999 does.
    let local = date(1970, 1, 1)
        .at(0, 0, 0, 0)
        .duration_until(pieces.date().to_datetime(time));
    let ms = local.as_millis() - i128::from(offset.seconds()) * 1000;
    let ms = u64::try_from(ms).ok().filter(|ms| *ms <= LAST_MS);
    ms.ok_or(OUT_OF_RANGE)
}

/// RFC 3339 allows any number of digits after the seconds; jiff reads nine.
fn at_most_nanoseconds(text: &str) -> String {
    let Some(point) = text.find(['.', ',']) else {
        return text.to_owned();
    };
    let (whole, fraction) = text.split_at(point + 1);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    format!(
        "{whole}{}{}",
        &fraction[..digits.min(9)],
        &fraction[digits..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<u64, &'static str> {
        read(Header::Text(text.as_bytes()))
    }

    #[test]
    fn every_form_of_rfc_3339_is_the_same_moment() {
        const AT_MS: u64 = 1_795_512_600_000;
        for (written, ms) in [
            ("2026-11-24T09:30:00Z", 0),
            ("2026-11-24t09:30:00z", 0),
            ("2026-11-24 09:30:00Z", 0),
            ("2026-11-24T09:30:00+00:00", 0),
            ("2026-11-24T09:30:00-00:00", 0),
            ("2026-11-24T10:30:00+01:00", 0),
            ("2026-11-23T21:30:00-12:00", 0),
            ("2026-11-24T15:15:00+05:45", 0),
            ("2026-11-24T09:30:00.5Z", 500),
            ("2026-11-24T09:30:00.25Z", 250),
            ("2026-11-24T09:30:00.123456Z", 123),
            ("2026-11-24T09:30:00.123456789Z", 123),
            ("2026-11-24T09:30:00.1234567891Z", 123),
            ("2026-11-24T10:30:00.123000000000000000000000000+01:00", 123),
            // Java leaves out seconds that are zero, and names the zone.
            ("2026-11-24T09:30Z", 0),
            ("2026-11-24T10:30:00+01:00[Europe/Madrid]", 0),
        ] {
            assert_eq!(text(written), Ok(AT_MS + ms), "{written}");
        }
        // A leap second is the second before it.
        assert_eq!(text("2016-12-31T23:59:60Z"), text("2016-12-31T23:59:59Z"));
    }

    #[test]
    fn never_is_the_last_moment_there_is() {
        for (never, ms) in [
            ("9999-12-31T23:59:59.9999999Z", 999),
            ("9999-12-31T23:59:59.999999999999Z", 999),
            ("9999-12-31T23:59:59Z", 0),
            ("9999-12-31T23:59:59.999+00:00", 999),
        ] {
            assert_eq!(text(never), Ok(LAST_MS - 999 + ms), "{never}");
        }
        assert_eq!(text("1970-01-01T00:00:00Z"), Ok(0));
        // The zero times of .NET and Go, and what lies just outside.
        for outside in [
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999Z",
            "1970-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59.9999999-01:00",
        ] {
            assert_eq!(text(outside), Err(OUT_OF_RANGE), "{outside}");
        }
    }

    #[test]
    fn what_is_no_moment_is_told_what_to_do() {
        for (written, told) in [
            ("2026-11-24T09:30:00", NO_OFFSET),
            ("2026-11-24 09:30:00.123", NO_OFFSET),
            ("2026-11-24T09:30:00[Europe/Madrid]", NO_OFFSET),
            ("2026-11-24", NO_TIME),
            ("Tue, 24 Nov 2026 09:30:00 GMT", NO_TIME),
            ("1795512600", NO_TIME),
            ("tomorrow", NO_TIME),
            ("2026-11-24T09:30:00.Z", NO_TIME),
            ("2026-13-24T09:30:00Z", NO_TIME),
            ("", NO_TIME),
            (".", NO_TIME),
        ] {
            assert_eq!(text(written), Err(told), "{written}");
        }
        for (header, told) in [
            (Header::Text(b"\xff"), NO_TIME),
            (Header::Int(1_795_512_600), NUMBER),
            (Header::Bool(true), NO_TIME),
            (Header::EmptyTable, EMPTY_TABLE),
            (Header::Other, NO_TIME),
        ] {
            assert_eq!(read(header), Err(told), "{header:?}");
        }
    }

    #[test]
    fn an_amqp_timestamp_counts_seconds() {
        for (value, expected) in [
            (0, Ok(0)),
            (1_795_512_600, Ok(1_795_512_600_000)),
            (LAST_MS / 1000, Ok(LAST_MS - 999)),
            (LAST_MS / 1000 + 1, Err(NO_SECONDS)),
            // In milliseconds, microseconds, nanoseconds.
            (1_795_512_600_000, Err(NO_SECONDS)),
            (1_795_512_600_000_000, Err(NO_SECONDS)),
            (1_795_512_600_000_000_000, Err(NO_SECONDS)),
            (u64::MAX, Err(NO_SECONDS)),
        ] {
            assert_eq!(read(Header::TimestampS(value)), expected, "{value}");
        }
    }
}
