use super::*;
use crate::contract::request::{Header, Inbound};
use crate::core::operation::IntakeConfig;
use crate::core::request::intake::intake;
use std::time::Duration;

const WALL_MS: u64 = 1_800_000_000_000;
const EXPIRES_AT: Header<'_> = Header::Text(b"2027-01-15T08:01:00Z");
const LEFT_MS: u64 = 60_000;

fn now(after_ms: u64) -> Now {
    Now {
        mono: Duration::from_millis(after_ms),
        wall_ms: WALL_MS + after_ms,
        steady_ms: WALL_MS + after_ms,
    }
}

fn message(more: &str) -> Message {
    let body = format!(r#"{{"to":"+34600112233","type":"text","text":{{"body":"123456"}}{more}}}"#);
    let inbound = Inbound {
        message_id: Some("a"),
        expires_at: Some(EXPIRES_AT),
        ..Inbound::default()
    };
    intake(body.into(), inbound, &IntakeConfig::OF_TESTS, now(0)).unwrap()
}

fn is_expired(decision: &Decision) -> bool {
    matches!(decision, Decision::Finish(report) if report.status == Status::Expired)
}

/// The API delivers for 30 s at least where it can be told how long: what would be over before that is not sent, nor kept for later.
#[test]
fn what_could_only_arrive_too_late_is_not_sent() {
    let retry = RetryPolicy {
        max_attempts: 5,
        max_age_s: 86_400,
        base_s: 2,
        max_delay_s: 3_600,
    };
    let direct = r#","category":"authentication""#;
    let cases = [
        (direct, LEFT_MS - 30_000),
        (r#","category":"utility""#, LEFT_MS - 30_000),
        (
            r#","category":"utility","ttl_seconds":null"#,
            LEFT_MS - 30_000,
        ),
        // Told by the caller, or not at all: what the API does then is none of ours.
        (r#","category":"utility","ttl_seconds":30"#, LEFT_MS - 1),
        (r#","category":"service""#, LEFT_MS - 1),
        ("", LEFT_MS - 1),
    ];
    for (more, last_ms) in cases {
        let message = message(more);
        for (after_ms, expected) in [(0, false), (last_ms, false), (last_ms + 1, true)] {
            let terms = Terms {
                lane: &LaneId::new("1"),
                retry: &retry,
                now: now(after_ms),
                jitter: 0.0,
            };
            let decision = terms.without_sending(&message);
            let is = decision.as_ref().is_some_and(is_expired);
            assert_eq!(is, expected, "{more} {after_ms}");
            // Before it is put onto the ladder as well.
            let later = terms.later(&message, 1, None);
            let is = is_expired(&later);
            assert_eq!(is, after_ms + 1_000 > last_ms, "later: {more} {after_ms}");
        }
    }
}

/// On the ladder for the log's sake only, it stays what others of its id wait for: as one that waits itself it would wait for itself.
#[test]
fn what_others_wait_for_stays_that() {
    let retry = RetryPolicy {
        max_attempts: 5,
        max_age_s: 86_400,
        base_s: 2,
        max_delay_s: 3_600,
    };
    let terms = Terms {
        lane: &LaneId::new("1"),
        retry: &retry,
        now: now(0),
        jitter: 0.0,
    };
    for (hops, follows, expected) in [(0, false, true), (1, false, false), (1, true, true)] {
        let mut message = message("");
        message.history.hops = hops;
        message.history.follows = follows;
        message.history.arrived_ms = WALL_MS;
        let Decision::Delay { message: later, .. } = terms.follow(&message) else {
            panic!("it waits");
        };
        assert_eq!(later.history.follows, expected, "{hops} {follows}");
    }
}
