//! Bodies that were published over AMQP 1.0 as a value instead of as data, which is the default of some clients. RabbitMQ delivers
//! them over AMQP 0-9-1 as they were encoded, and says so in `type`. Source: measured with RabbitMQ 4.0.5 and 4.3.6.

use std::ops::Range;

/// `type` of such a body, whatever the caller had said.
pub(super) const TYPE: &str = "amqp-1.0";

/// Where the JSON stands in the encoded body, if that is one string or binary and nothing else. Source: AMQP 1.0, part 1.6 (encodings)
/// and 3.2.8 (amqp-value).
pub(super) fn unwrap(body: &[u8]) -> Option<Range<usize>> {
    // The section's descriptor, as a small or as a full number.
    let at = match body {
        [0, 0x53, 0x77, ..] => 3,
        [0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x77, ..] => 10,
        _ => return None,
    };
    let (start, length) = match *body.get(at..)? {
        // Binary and string of at most 255 bytes, and longer ones.
        [0xa0 | 0xa1, length, ..] => (at + 2, usize::from(length)),
        [0xb0 | 0xb1, a, b, c, d, ..] => {
            let length = u32::from_be_bytes([a, b, c, d]);
            (at + 5, usize::try_from(length).ok()?)
        }
        _ => return None,
    };
    (start.checked_add(length)? == body.len()).then_some(start..body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(parts: &[&[u8]]) -> Option<Vec<u8>> {
        let body = parts.concat();
        unwrap(&body).map(|range| body[range].to_vec())
    }

    const VALUE: &[u8] = &[0, 0x53, 0x77];
    const LONG_VALUE: &[u8] = &[0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x77];

    #[test]
    fn one_string_or_binary_is_the_json() {
        for descriptor in [VALUE, LONG_VALUE] {
            for code in [0xa0, 0xa1] {
                let short = [descriptor, &[code, 2], b"{}"];
                assert_eq!(unwrapped(&short).as_deref(), Some(&b"{}"[..]));
            }
            for code in [0xb0, 0xb1] {
                let long = vec![b'x'; 70_000];
                let header: &[u8] = &[code, 0, 1, 0x11, 0x70];
                assert_eq!(unwrapped(&[descriptor, header, &long]), Some(long));
            }
        }
    }

    #[test]
    fn all_else_is_not() {
        let cases: [&[&[u8]]; 14] = [
            &[],
            &[b"{}"],
            &[VALUE],
            // Cut off, or with something behind it.
            &[VALUE, &[0xa1]],
            &[VALUE, &[0xa1, 3], b"{}"],
            &[VALUE, &[0xa1, 1], b"{}"],
            &[VALUE, &[0xb1, 0, 0, 0]],
            &[VALUE, &[0xb1, 0xff, 0xff, 0xff, 0xff], b"{}"],
            &[VALUE, &[0xa1, 2], b"{}", &[0, 0x53, 0x78, 0xc1, 1, 0]],
            // Null, true, an empty list, an empty map; a sequence; data.
            &[VALUE, &[0x40]],
            &[VALUE, &[0x41]],
            &[VALUE, &[0x45]],
            &[&[0, 0x53, 0x76, 0xa1, 2], b"{}"],
            &[&[0, 0x53, 0x75, 0xa0, 2], b"{}"],
        ];
        for parts in cases {
            assert_eq!(unwrapped(parts), None, "{parts:?}");
        }
    }
}
