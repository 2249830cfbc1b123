//! When a lane sends nothing, and how it begins again.

use super::*;

#[test]
fn throttles_cool_the_lane_and_long_ones_send_it_away() {
    check(
        config(),
        vec![
            (Get("a1"), "waits"),
            (Get("b1"), "waits"),
            (Next, "send a1, send b1, idle"),
            (Answer("a1", throttled(Scope::Lane, 5)), "stays"),
            (Next, "wait 5.000"),
            // The longer pause holds.
            (At(1.0), "cooling"),
            (Answer("b1", throttled(Scope::Lane, 1)), "stays"),
            (Next, "wait 5.000"),
            (At(5.0), "cooling"),
            (Next, "send b1, send a1, idle"),
            (Answer("a1", throttled(Scope::App, 60)), "stays"),
            (Next, "idle"),
            (Answer("b1", accepted()), "accepted #1"),
            (Next, "idle"),
            (Settled("b1", true), "away"),
            (Next, "give back"),
            (Lost, "away"),
            (At(65.0), "away"),
            (Rejoined, "probing"),
        ],
    );
}

#[test]
fn a_block_sends_the_lane_away_and_a_probe_decides() {
    check(
        config(),
        vec![
            (Get("a1"), "waits"),
            (Get("b1"), "waits"),
            (Next, "send a1, send b1, idle"),
            (Answer("a1", blocked(false)), "stays"),
            // Of those in flight together, one counts.
            (Answer("b1", blocked(false)), "stays"),
            (Next, "give back"),
            (Lost, "away"),
            // Asked for before, and not wanted any more.
            (Rejoined, "away"),
            (At(60.0), "away"),
            (Rejoined, "probing"),
            (Again("a1", 1), "waits"),
            (Again("b1", 1), "waits"),
            // From an empty bucket, and one alone.
            (Next, "wait 60.001"),
            (At(61.0), "probing"),
            (Next, "send a1, idle"),
            (Answer("a1", blocked(false)), "stays"),
            (Lost, "away"),
            // Twice as long, up to the most.
            (At(160.9), "away"),
            (Rejoined, "away"),
            (At(161.0), "away"),
            (Rejoined, "probing"),
            (Again("b1", 2), "waits"),
            (At(162.0), "probing"),
            (Next, "send b1, idle"),
            (Answer("b1", accepted()), "accepted #1"),
            (Next, "idle"),
        ],
    );
}

#[test]
fn a_block_that_may_be_the_messages_fault_needs_a_second_person() {
    check(
        config(),
        vec![
            (Get("a1"), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", blocked(true)), "delay 2 #1"),
            (Get("a2"), "waits"),
            (Next, "send a2, idle"),
            (Answer("a2", blocked(true)), "delay 2 #1"),
            (Get("b1"), "waits"),
            (Next, "send b1, idle"),
            (Answer("b1", blocked(true)), "stays"),
            (Next, "idle"),
            (Settled("a1", true), "away"),
            (Settled("a2", true), "away"),
            (Next, "give back"),
        ],
    );
}

#[test]
fn what_does_not_reach_the_api_costs_nothing() {
    check(
        config(),
        vec![
            (Get("a1"), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", not_sent()), "stays"),
            (Next, "wait 0.050"),
            (At(29.0), "cooling"),
            (Next, "send a1, idle"),
            (Answer("a1", not_sent()), "stays"),
            (At(31.0), "cooling"),
            (Next, "send a1, idle"),
            // Long enough: the messages go back, and the lane looks again soon.
            (Answer("a1", not_sent()), "stays"),
            (Next, "give back"),
            (Lost, "away"),
            (At(33.0), "away"),
            (Rejoined, "probing"),
        ],
    );
}

#[test]
fn no_pause_is_shortened() {
    check(
        LaneConfig {
            halt_probe: Duration::from_secs(1),
            ..config()
        },
        vec![
            (Get("a1"), "waits"),
            (Get("b1"), "waits"),
            (Get("c1"), "waits"),
            (Next, "send a1, send b1, send c1, idle"),
            (Answer("a1", throttled(Scope::Lane, 20)), "stays"),
            (Answer("b1", blocked(false)), "stays"),
            (Answer("c1", throttled(Scope::Lane, 25)), "stays"),
            (Next, "give back"),
            (Lost, "away"),
            (At(24.9), "away"),
            (Rejoined, "away"),
            (At(25.0), "away"),
            (Rejoined, "probing"),
        ],
    );
    check(
        config(),
        vec![
            (Rejoined, "flowing"),
            (Get("a1"), "waits"),
            (Next, "wait 0.001"),
            (At(1.0), "flowing"),
            (Next, "send a1, idle"),
            (Answer("a1", throttled(Scope::Lane, 20)), "stays"),
            (Limit(2), "rejoining"),
            (Next, "give back"),
            (Lost, "rejoining"),
            (Rejoined, "cooling"),
            (Next, "wait 21.000"),
        ],
    );
}

#[test]
fn paused_and_draining_lanes_finish_what_is_in_flight() {
    for (stop, state) in [(Pause, "paused"), (Drain, "draining")] {
        check(
            config(),
            vec![
                (Get("a1"), "waits"),
                (Next, "send a1, idle"),
                (Get("b1"), "waits"),
                (stop, state),
                (Next, "idle"),
                (Answer("a1", accepted()), "accepted #1"),
                (Next, "idle"),
                (Settled("a1", true), state),
                (Next, "give back"),
                (Lost, state),
            ],
        );
    }
    check(
        config(),
        vec![
            (Drain, "draining"),
            (Resume, "draining"),
            (Pause, "draining"),
        ],
    );
}

#[test]
fn a_new_limit_needs_a_new_channel() {
    let story = vec![
        (Rejoined, "flowing"),
        (Limit(2), "rejoining"),
        (Next, "give back"),
        (Lost, "rejoining"),
        (Rejoined, "flowing"),
        // The same prefetch: nothing to do.
        (Limit(2), "flowing"),
        // A pause in between does not make it forget.
        (Limit(1_000), "rejoining"),
        (Pause, "paused"),
        (Resume, "flowing"),
        (Next, "give back"),
    ];
    let wide = LaneConfig {
        max_in_flight: 100,
        ..config()
    };
    check(wide, story);
}
