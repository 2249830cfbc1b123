//! Whose turn it is, and how requests end.

use super::*;

#[test]
fn high_goes_first_and_bulk_gets_every_third_turn() {
    let wide = LaneConfig {
        max_in_flight: 20,
        ..config()
    };
    let mut story: Vec<(Do, &str)> = ["a1", "b1", "c1"].map(|name| (Get(name), "waits")).into();
    story.extend(["D1", "E1", "F1", "G1", "H1"].map(|name| (Get(name), "waits")));
    let turns = "send D1, send E1, send a1, send F1, send G1, send b1, send H1, send c1, idle";
    story.push((Next, turns));
    check_with(wide, story);
}

#[test]
fn one_person_has_one_in_flight_and_keeps_the_order() {
    check(vec![
        (Get("a1"), "waits"),
        (Get("a2"), "waits"),
        (Get("A3"), "waits"),
        (Get("b1"), "waits"),
        (Next, "send A3, send b1, idle"),
        (Answer("A3", accepted()), "accepted #1"),
        (Next, "send a1, idle"),
        // What stays keeps its place.
        (Answer("a1", throttled(Scope::Lane, 2)), "stays"),
        (Next, "wait 2.000"),
        (At(2.0), "cooling"),
        (Next, "send a1, idle"),
        (Answer("a1", refused()), "rejected #1"),
        (Settled("A3", true), "flowing"),
        (Next, "send a2, idle"),
    ]);
}

#[test]
fn receipts_wait_for_nobody() {
    check(vec![
        (Get("r1"), "waits"),
        (Get("r2"), "waits"),
        (Next, "send r1, send r2, idle"),
        // Harmless to repeat: no doubt, whatever became of the first.
        (Answer("r1", unknown()), "delay 2 #1"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Answer("r2", transient(false)), "abandon"),
        (Again("r2", 1), "waits"),
    ]);
}

#[test]
fn in_flight_is_bounded_until_settled() {
    let narrow = LaneConfig {
        max_in_flight: 1,
        ..config()
    };
    check_with(
        narrow,
        vec![
            (Get("a1"), "waits"),
            (Get("b1"), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", accepted()), "accepted #1"),
            (Next, "idle"),
            (Settled("a1", true), "flowing"),
            (Next, "send b1, idle"),
        ],
    );
}

#[test]
fn attempts_and_age_end_a_request() {
    let tried = |attempts| History {
        attempts,
        hops: attempts,
        first_seen_ms: WALL_MS,
        ..History::default()
    };
    check(vec![
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", transient(true)), "delay 2 #1"),
        (GetWith("b1", tried(1)), "waits"),
        (Next, "send b1, idle"),
        (Answer("b1", transient(false)), "bury failed #2 !"),
        (At(3_600.5), "flowing"),
        (GetWith("c1", tried(1)), "bury failed #1"),
    ]);
}

#[test]
fn doubt_follows_the_outcome_and_the_policy() {
    check(vec![
        (Get("a1"), "waits"),
        (Get("b1"), "waits"),
        (Get("c1"), "waits"),
        (Next, "send a1, send b1, send c1, idle"),
        (Answer("a1", unknown()), "unknown #1 !"),
        (Answer("b1", transient(false)), "delay 2 #1 !"),
        (Answer("c1", transient(true)), "delay 2 #1"),
    ]);
}

#[test]
fn deadlines_and_schedules_need_no_send() {
    let history = History::default();
    check(vec![
        (
            GetTimed("a1", "expires-at", "2027-01-15T07:59:59Z"),
            "expired #0",
        ),
        (
            GetTimed("b1", "not-before", "2027-01-15T08:01:00Z"),
            "delay 60 #0",
        ),
        (
            GetTimed("c1", "expires-at", "2027-01-15T08:00:09Z"),
            "waits",
        ),
        // While it waits for its turn.
        (Order(PAUSED), "paused"),
        (At(9.0), "paused"),
        (Order(FREE), "flowing"),
        (Next, "c1 expired #0, idle"),
        // A retry that would come too late is not made.
        (
            GetTimed("d1", "expires-at", "2027-01-15T08:00:11Z"),
            "waits",
        ),
        (Next, "send d1, idle"),
        (Answer("d1", transient(true)), "expired #1"),
        (GetWith("e1", history), "waits"),
    ]);
}

#[test]
fn a_late_answer_ends_no_pause() {
    check(vec![
        (Get("a1"), "waits"),
        (Get("b1"), "waits"),
        (Next, "send a1, send b1, idle"),
        (Answer("a1", throttled(Scope::Lane, 20)), "stays"),
        (Order(held(Scope::Lane, Why::Block, 60)), "away"),
        (Lost, "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        (Again("a1", 1), "waits"),
        (At(5.0), "probing"),
        (Next, "wait 20.000"),
        (Answer("b1", accepted()), "accepted #1"),
        (Next, "wait 20.000"),
    ]);
}
