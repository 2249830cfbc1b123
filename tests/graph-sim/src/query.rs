//! Query strings: their parameters, and the names of fields in them.

/// The value of a query parameter, decoded.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| decoded(value))
}

/// The names in `a,b{c,d},e.limit(2)`: a, b, e.
pub(crate) fn names(fields: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    let at_top = move |c: char| {
        match c {
            '{' | '(' => depth += 1,
            '}' | ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    fields
        .split(at_top)
        .map(|field| field.split(['{', '.', '(']).next().unwrap_or(field).trim())
        .filter(|field| !field.is_empty())
}

/// The arguments of a field: of `a.start(1).end(2),b` those of a are start, 1 and end, 2.
pub(crate) fn arguments(fields: &str, name: &str) -> Vec<(String, String)> {
    let Some(at) = fields.find(&format!("{name}.")) else {
        return vec![];
    };
    let mut rest = &fields[at + name.len()..];
    let mut found = vec![];
    while let Some((argument, (value, after))) = rest
        .strip_prefix('.')
        .and_then(|rest| rest.split_once('('))
        .and_then(|(argument, rest)| Some((argument, rest.split_once(')')?)))
    {
        found.push((argument.to_owned(), value.to_owned()));
        rest = after;
    }
    found
}

/// Percent-encoding of all but what never needs it.
pub(crate) fn encoded(text: &str) -> String {
    let mut into = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte));
            }
            _ => into.push_str(&format!("%{byte:02X}")),
        }
    }
    into
}

/// Percent-decoding; what is not a valid escape stays as it is.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match rest {
            [b'%', high, low, ..] => {
                let digit = |c: &u8| char::from(*c).to_digit(16);
                digit(high)
                    .zip(digit(low))
                    .and_then(|(h, l)| u8::try_from(h << 4 | l).ok())
            }
            _ => None,
        };
        match escape {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_arguments_stand_behind_it() {
        let fields = "id,analytics.start(1).end(2),name";
        let pairs = arguments(fields, "analytics");
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(pairs, [("start", "1"), ("end", "2")]);
        assert_eq!(arguments(fields, "name"), []);
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_kept() {
        assert_eq!(decoded("a%2Cb+c%zz%2"), "a,b c%zz%2");
        let odd = "EAA|b c+d&e=ñ";
        assert_eq!(encoded("EAA|b c"), "EAA%7Cb%20c");
        assert_eq!(decoded(&encoded(odd)), odd);
    }
}
