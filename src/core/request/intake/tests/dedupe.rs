//! What may stand in header `dedupe`.

use super::*;

#[test]
fn it_is_a_whole_number_of_seconds_up_to_a_day() {
    let text = |text: &'static str| Header::Text(text.as_bytes());
    for (header, expected) in [
        (Header::Int(1), Some(1)),
        (Header::Int(86_400), Some(86_400)),
        (text("600"), Some(600)),
        (text("0600"), Some(600)),
        (Header::Int(0), None),
        (Header::Int(86_401), None),
        (Header::Int(-1), None),
        (Header::Int(i64::MAX), None),
        (text(""), None),
        (text("+5"), None),
        (text("1.5"), None),
        (text("99999999999999999999"), None),
        (text("true"), None),
        (Header::Text(&[0xff]), None),
        (Header::Bool(true), None),
        (Header::TimestampS(60), None),
        (Header::EmptyTable, None),
        (Header::Other, None),
    ] {
        let inbound = Inbound {
            dedupe: Some(header),
            ..sound()
        };
        match expected {
            Some(seconds) => {
                let message = take(TEXT, inbound).unwrap();
                assert_eq!(message.dedupe_s, Some(seconds));
                assert_eq!(message.history.arrived_ms, NOW.wall_ms);
            }
            None => {
                let fault = "/@amqp/headers/dedupe must be a whole number of seconds, 1 to 86400";
                check(TEXT, inbound, &[fault]);
            }
        }
    }
}

#[test]
fn when_it_came_is_told_by_its_first_delivery_and_only_of_what_says_it() {
    let fresh = take(TEXT, sound()).unwrap();
    assert_eq!((fresh.dedupe_s, fresh.history.arrived_ms), (None, 0));
    let again = Inbound {
        dedupe: Some(Header::Int(60)),
        history: History {
            arrived_ms: 7,
            ..History::default()
        },
        ..sound()
    };
    assert_eq!(take(TEXT, again).unwrap().history.arrived_ms, 7);
}
