//! Clocks that are set, and clocks that differ: what lasts lasts as long.

use super::*;

const HOUR_MS: u64 = 3_600_000;

/// A moment of a worker whose wall clock is so many hours off since it started.
fn set(seconds: u64, hours: i64) -> Now {
    let now = at(seconds);
    Now {
        wall_ms: now.wall_ms.saturating_add_signed(hours * 3_600_000),
        ..now
    }
}

/// A moment of a worker that was started with a clock so many hours off.
fn off(seconds: u64, hours: i64) -> Now {
    let now = set(seconds, hours);
    Now {
        steady_ms: now.wall_ms,
        ..now
    }
}

fn throttle() -> Finding {
    finding(Scope::Lane, Why::Throttle, Some(4), Some(60))
}

fn is_held(holds: &Holds, now: Now) -> bool {
    holds.on(&place(1), now).hold.is_some()
}

#[test]
fn a_clock_that_is_set_ends_no_hold_and_prolongs_none() {
    for hours in [-1, 1] {
        let mut holds = holds("a", 1);
        holds.found(&place(1), &throttle(), &places(), at(0));
        assert!(is_held(&holds, set(59, hours)), "{hours}");
        assert!(!is_held(&holds, set(60, hours)), "{hours}");
        assert_eq!(holds.due(&places(), set(59, hours)), [], "{hours}");
        assert_eq!(holds.due(&places(), set(60, hours)).len(), 1, "{hours}");
        // Nor does the next question to the API come an hour late, or at once.
        holds.found(&place(1), &block(Scope::Waba), &places(), set(60, hours));
        assert_eq!(holds.due(&places(), set(119, hours)), [], "{hours}");
        assert_eq!(holds.due(&places(), set(120, hours)).len(), 1, "{hours}");
    }
}

#[test]
fn a_worker_with_another_clock_holds_for_as_long() {
    for hours in [-1, 1] {
        for began in [off(0, hours), set(0, hours)] {
            let mut here = holds("a", 1);
            let (_, record) = here
                .found(&place(1), &throttle(), &places(), began)
                .unwrap();
            let mut there = holds("b", 2);
            there
                .apply_record(record.unwrap(), Read::Live, at(1))
                .unwrap();
            assert!(is_held(&there, at(60)), "{hours}");
            assert!(!is_held(&there, at(61)), "{hours}");
        }
    }
}

#[test]
fn what_was_missed_has_been_going_on_since() {
    let mut here = holds("a", 1);
    let (_, record) = here
        .found(&place(1), &throttle(), &places(), at(0))
        .unwrap();
    let record = record.unwrap();
    // Of a clock ahead of ours the words seem new, and the hold lasts once more.
    for (ahead_hours, ends_s) in [(0, 60), (1, 90)] {
        let record = record
            .clone()
            .moved_to(record.at_ms + ahead_hours * HOUR_MS);
        let mut there = holds("b", 2);
        there.apply_record(record, Read::Missed, at(30)).unwrap();
        assert!(is_held(&there, at(ends_s - 1)), "{ahead_hours}");
        assert!(!is_held(&there, at(ends_s)), "{ahead_hours}");
    }
}

#[test]
fn a_record_is_moved_with_all_that_it_says() {
    let mut holds = holds("a", 1);
    let (_, record) = holds
        .found(&place(1), &throttle(), &places(), at(100))
        .unwrap();
    let record = record.unwrap();
    for at_ms in [0, 5_000, START_MS * 2] {
        let moved = record.clone().moved_to(at_ms);
        let News::Held(hold) = moved.news else {
            panic!("{moved:?}")
        };
        assert_eq!((moved.at_ms, hold.since_ms), (at_ms, at_ms));
        assert_eq!(hold.until_ms, at_ms + 60_000);
    }
    assert_eq!(
        set(7, -1).on_the_wall(START_MS + 7_000),
        START_MS + 7_000 - HOUR_MS
    );
    assert_eq!(set(7, 1).on_the_wall(START_MS), START_MS + HOUR_MS);
}
