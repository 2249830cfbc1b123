use super::*;
use serde_json::json;

fn faults(body: &Value) -> Vec<String> {
    let mut faults = vec![];
    check(body, &mut faults);
    faults.iter().map(Fault::to_string).collect()
}

/// A body of the smallest shape in which a row applies, with `length` of what it bounds.
fn body(size: &Size, length: usize) -> (Value, String) {
    let measured = match size.max {
        // Two bytes each: characters are counted, not bytes.
        Max::Chars(_) => Value::from("é".repeat(length)),
        Max::Items(_) => Value::from(vec![0; length]),
    };
    let mut body = json!({});
    if let Some((at, values)) = size.when {
        put(&mut body, at, Value::from(values[0]));
    }
    let at = size.at.replace('*', "1");
    put(&mut body, size.at, measured);
    (body, at)
}

/// Sets a member, making objects on the way, and arrays of two for `*`: the second is the one that is measured.
fn put(body: &mut Value, at: &str, value: Value) {
    let (first, rest) = at[1..]
        .split_once('/')
        .map_or((&at[1..], None), |(first, rest)| (first, Some(rest)));
    let inner = match rest {
        None => value,
        Some(rest) => {
            let mut inner = match first {
                "*" => json!({}),
                _ => body.get(first).cloned().unwrap_or(json!({})),
            };
            put(&mut inner, &format!("/{rest}"), value);
            inner
        }
    };
    if first == "*" {
        *body = json!([{}, inner]);
    } else {
        body[first] = inner;
    }
}

#[test]
fn every_row_takes_its_limit_and_names_what_is_over_it() {
    for size in SIZES {
        let (limit, problem) = match size.max {
            Max::Chars(limit) => (limit, "is longer than the API takes, in characters"),
            Max::Items(limit) => (limit, "has more elements than the API takes"),
        };
        let (fits, _) = body(size, limit);
        assert_eq!(faults(&fits), [""; 0], "{}", size.at);
        let (over, at) = body(size, limit + 1);
        let length = limit + 1;
        let expected = format!("{at} {problem} (limit {limit}, length {length})");
        assert_eq!(faults(&over), [expected]);
    }
}

#[test]
fn a_text_is_too_long_only_if_it_is_by_every_count() {
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
    let accent = "e\u{301}";
    for character in ["x", "é", accent, "🇪🇸", "👍🏽", family, "\r\n"] {
        for (count, expected) in [(60, vec![]), (61, vec![61])] {
            let text = character.repeat(count);
            let mut faults = vec![];
            let body = json!({"interactive": {"header": {"text": text}}});
            check(&body, &mut faults);
            let lengths: Vec<usize> = faults.iter().filter_map(|fault| fault.length).collect();
            assert_eq!(lengths, expected, "{character:?}");
        }
    }
}

#[test]
fn a_row_for_one_kind_leaves_the_others_alone() {
    for size in SIZES.iter().filter(|size| size.when.is_some()) {
        let limit = match size.max {
            Max::Chars(limit) | Max::Items(limit) => limit,
        };
        let (mut over, _) = body(size, limit + 1);
        put(&mut over, KIND, Value::from("hologram"));
        assert_eq!(faults(&over), [""; 0], "{}", size.at);
    }
}

#[test]
fn what_is_of_another_shape_is_the_apis_to_refuse() {
    for body in [
        json!({"text": 7}),
        json!({"text": {"body": vec!["x"; 5000]}}),
        json!({"contacts": "x".repeat(5000)}),
        json!({"interactive": {"type": "button", "action": {"buttons": {"reply": 1}}}}),
        json!({}),
    ] {
        assert_eq!(faults(&body), [""; 0]);
    }
}

#[test]
fn of_a_text_that_is_far_too_long_code_points_are_told() {
    for (count, expected) in [(8_191, 8_191), (8_192, 16_384), (100_000, 200_000)] {
        let mut faults = vec![];
        check(&json!({"text": {"body": "🇪🇸".repeat(count)}}), &mut faults);
        let lengths: Vec<Option<usize>> = faults.iter().map(|fault| fault.length).collect();
        assert_eq!(lengths, [Some(expected)]);
    }
}

#[test]
fn no_limit_is_beyond_what_is_counted() {
    for size in SIZES {
        let (Max::Chars(limit) | Max::Items(limit)) = size.max;
        assert!(limit < COUNTED_MAX, "{}", size.at);
    }
}
