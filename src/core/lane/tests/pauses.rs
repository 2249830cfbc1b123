//! When a lane sends nothing, and how it begins again.

use super::*;

#[test]
fn throttles_cool_the_lane_and_long_ones_send_it_away() {
    check(vec![
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
        (
            Answer("a1", throttled(Scope::App, 60)),
            "stays, app throttle 1 for 60",
        ),
        (Next, "idle"),
        (Answer("b1", accepted()), "accepted #1"),
        (Next, "idle"),
        (Settled("b1", true), "away"),
        (Next, "give back"),
        (Lost, "away"),
        (Order(held(Scope::App, Why::Throttle, 65)), "away"),
        (At(65.0), "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
    ]);
}

#[test]
fn a_short_throttle_of_others_is_sat_out_here() {
    check(vec![
        (Get("a1"), "waits"),
        (Order(held(Scope::Waba, Why::Throttle, 20)), "cooling"),
        (Next, "wait 20.000"),
        (Order(FREE), "cooling"),
        (At(20.0), "cooling"),
        (Next, "send a1, idle"),
        // And told to others, as it is not this lane's alone.
        (
            Answer("a1", throttled(Scope::Waba, 20)),
            "stays, waba throttle 1 for 20",
        ),
        (Next, "wait 40.000"),
    ]);
}

#[test]
fn a_block_sends_the_lane_away_and_one_request_decides() {
    check(vec![
        (Get("a1"), "waits"),
        (Get("b1"), "waits"),
        (Next, "send a1, send b1, idle"),
        (Answer("a1", blocked(false)), "stays, lane block 1"),
        // Of those in flight together, one is news.
        (Answer("b1", blocked(false)), "stays"),
        (Next, "give back"),
        (Lost, "away"),
        (Order(held(Scope::Lane, Why::Block, 60)), "away"),
        // Asked for before, and not wanted any more.
        (Rejoined, "away"),
        (At(60.0), "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        (Again("a1", 1), "waits"),
        (Again("b1", 1), "waits"),
        // From an empty bucket, and one alone.
        (Next, "wait 60.001"),
        (At(61.0), "probing"),
        (Next, "send a1, idle"),
        // Another one tries before that is believed.
        (Answer("a1", blocked(false)), "delay 5 #0 blamed"),
        (Settled("a1", true), "probing"),
        (Next, "send b1, idle"),
        (
            Answer("b1", blocked(false)),
            "delay 5 #0 blamed, lane block 1 again",
        ),
        (Settled("b1", true), "away"),
        (Lost, "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        (Get("c1"), "waits"),
        (At(62.0), "probing"),
        (Next, "send c1, idle"),
        (Answer("c1", accepted()), "accepted #1"),
        (Next, "idle"),
    ]);
}

#[test]
fn a_probe_also_waits_for_a_pause() {
    check(vec![
        (Order(held(Scope::Lane, Why::Block, 60)), "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        (Get("a1"), "waits"),
        (At(1.0), "probing"),
        (Next, "send a1, idle"),
        (
            Answer("a1", too_fast(Some(3))),
            "stays, lane throttle 1 for 3 again",
        ),
        (Order(held(Scope::Lane, Why::Throttle, 4)), "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        (Next, "wait 4.000"),
    ]);
}

#[test]
fn a_block_that_may_be_the_messages_fault_needs_a_second_person() {
    check(vec![
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", blocked(true)), "delay 2 #1"),
        (Get("a2"), "waits"),
        (Next, "send a2, idle"),
        (Answer("a2", blocked(true)), "delay 2 #1"),
        (Get("b1"), "waits"),
        (Next, "send b1, idle"),
        (Answer("b1", blocked(true)), "stays, lane block 1"),
        (Next, "idle"),
        (Settled("a1", true), "away"),
        (Settled("a2", true), "away"),
        (Next, "give back"),
        (Lost, "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        // Two persons have met it: the one that tries again need not pay.
        (Get("c1"), "waits"),
        (At(1.0), "probing"),
        (Next, "send c1, idle"),
        (
            Answer("c1", blocked(true)),
            "delay 5 #0 blamed, lane block 1 again",
        ),
    ]);
}

#[test]
fn what_was_said_of_an_old_token_does_not_block_the_new_one() {
    check(vec![
        (Get("a1"), "waits"),
        (Get("b1"), "waits"),
        (Next, "send a1, send b1, idle"),
        (Token, "flowing"),
        (Answer("a1", blocked(false)), "stays"),
        (Next, "send a1, idle"),
        (Answer("a1", blocked(false)), "stays, lane block 1"),
        (Answer("b1", blocked(false)), "stays"),
    ]);
}

#[test]
fn too_fast_lowers_the_rate_and_only_a_hint_pauses() {
    let slow = LaneConfig {
        pace: PaceConfig {
            limit_mps: 10.0,
            burst: Duration::ZERO,
            ..config().pace
        },
        ..config()
    };
    check_with(
        slow,
        vec![
            (Get("a1"), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", too_fast(None)), "stays"),
            // 8.5 in a second, from an empty bucket.
            (Next, "wait 0.118"),
            (At(0.2), "flowing"),
            (Next, "send a1, idle"),
            (Answer("a1", too_fast(Some(2))), "stays"),
            (Next, "wait 2.200"),
        ],
    );
}

#[test]
fn usage_near_its_end_slows_down_and_at_its_end_stops() {
    check(vec![
        (Get("a1"), "waits"),
        (Used(50, 0), "flowing"),
        (Next, "send a1, idle"),
        (Used(100, 0), "flowing"),
        (Get("b1"), "waits"),
        // A twentieth of 1,000.
        (Next, "wait 0.020"),
        (Used(100, 3), "away, waba throttle for 180"),
        (Used(100, 3), "away"),
    ]);
}

#[test]
fn no_pause_is_shortened() {
    check(vec![
        (Rejoined, "flowing"),
        (Get("a1"), "waits"),
        (At(1.0), "flowing"),
        (Next, "send a1, idle"),
        (Answer("a1", throttled(Scope::Lane, 20)), "stays"),
        (Limit(2), "rejoining"),
        (Next, "give back"),
        (Lost, "rejoining"),
        (Rejoined, "cooling"),
        (Next, "wait 21.000"),
        // Nor by an operator who stopped the lane in between.
        (Order(PAUSED), "paused"),
        (Order(FREE), "cooling"),
        (Next, "wait 21.000"),
    ]);
}

#[test]
fn paused_and_draining_lanes_finish_what_is_in_flight() {
    for (stop, state) in [(Order(PAUSED), "paused"), (Drain, "draining")] {
        check(vec![
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
        ]);
    }
    check(vec![
        (Drain, "draining"),
        (Order(FREE), "draining"),
        (Order(PAUSED), "draining"),
    ]);
}

#[test]
fn a_block_outlasts_a_pause() {
    check(vec![
        (Order(held(Scope::Token, Why::Block, 60)), "away"),
        (
            Order(Held {
                paused_since_ms: Some(WALL_MS),
                ..held(Scope::Token, Why::Block, 60)
            }),
            "paused",
        ),
        (Order(held(Scope::Token, Why::Block, 60)), "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
    ]);
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
        (Order(PAUSED), "paused"),
        (Order(FREE), "flowing"),
        (Next, "give back"),
    ];
    let wide = LaneConfig {
        max_in_flight: 100,
        ..config()
    };
    check_with(wide, story);
}

#[test]
fn messages_of_a_paused_template_wait_in_the_broker() {
    check(vec![
        (GetTemplate("a1", "sale"), "waits"),
        (GetTemplate("b1", "sale"), "waits"),
        (Next, "send a1, send b1, idle"),
        (
            Answer("a1", throttled(Scope::Template, 100)),
            "delay 110 #0, template throttle 1 for 100",
        ),
        (
            Answer("b1", throttled(Scope::Template, 100)),
            "delay 110 #0",
        ),
        (At(10.0), "flowing"),
        (GetTemplate("c1", "sale"), "waits"),
        (GetTemplate("d1", "order"), "waits"),
        (Get("e1"), "waits"),
        // With room for two more in flight.
        (Settled("a1", true), "flowing"),
        (Settled("b1", true), "flowing"),
        (Next, "c1 delay 90 #0, send d1, send e1, idle"),
        (At(100.0), "flowing"),
        (GetTemplate("f1", "sale"), "waits"),
        (Settled("c1", true), "flowing"),
        (Next, "send f1, idle"),
    ]);
}
