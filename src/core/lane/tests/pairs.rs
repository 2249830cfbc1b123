//! One person's allowance.

use super::*;

const FEW: Spacing = Spacing {
    interval: Duration::from_secs(6),
    burst: 2,
};

#[test]
fn a_person_out_of_allowance_waits_alone() {
    check(
        LaneConfig {
            pair: FEW,
            ..config()
        },
        vec![
            (Get("a1"), "waits"),
            (Next, "send a1, idle"),
            (At(1.0), "flowing"),
            (Answer("a1", accepted()), "accepted #1"),
            (Get("a2"), "waits"),
            (Next, "send a2, idle"),
            (Answer("a2", accepted()), "accepted #1"),
            (Get("a3"), "waits"),
            (Get("b1"), "waits"),
            // Counted from the answers.
            (Next, "send b1, wait 7.000"),
            (At(7.0), "flowing"),
            (Next, "send a3, idle"),
        ],
    );
}

#[test]
fn a_long_wait_for_the_pair_takes_a_slot_and_leaves() {
    let impatient = LaneConfig {
        pair: FEW,
        pair_wait_max: Duration::ZERO,
        ..config()
    };
    let reserved = |hops| History {
        pair_reserved: true,
        hops,
        ..History::default()
    };
    check(
        impatient,
        vec![
            (Get("a1"), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", accepted()), "accepted #1"),
            (Get("a2"), "waits"),
            (Next, "send a2, idle"),
            (Answer("a2", accepted()), "accepted #1"),
            (Get("a3"), "waits"),
            (Get("a4"), "waits"),
            (Next, "a3 delay 7 #0 slot, a4 delay 13 #0 slot, idle"),
            (Settled("a1", true), "flowing"),
            (Settled("a2", true), "flowing"),
            (Settled("a3", true), "flowing"),
            (Settled("a4", true), "flowing"),
            // Both late: the first uses what the API allows, the second takes another slot.
            (At(6.5), "flowing"),
            (GetWith("a3", reserved(1)), "waits"),
            (GetWith("a4", reserved(1)), "waits"),
            (Next, "send a3, idle"),
            (Answer("a3", unknown()), "unknown #1 !"),
            (Next, "a4 delay 12 #0 slot, idle"),
        ],
    );
}

#[test]
fn a_refusal_by_the_pair_limit_doubles_the_wait_twice() {
    check(
        LaneConfig {
            pair: FEW,
            ..config()
        },
        vec![
            (Get("a1"), "waits"),
            (Get("a2"), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", throttled(Scope::Pair, 0)), "stays"),
            (Next, "wait 1.000"),
            (At(1.0), "flowing"),
            (Next, "send a1, idle"),
            (Answer("a1", throttled(Scope::Pair, 0)), "stays"),
            (Next, "wait 5.000"),
            (At(5.0), "flowing"),
            (Next, "send a1, idle"),
            (Answer("a1", throttled(Scope::Pair, 0)), "stays"),
            (At(21.0), "flowing"),
            (Next, "send a1, idle"),
            // 64 s: too long to hold it here.
            (Answer("a1", throttled(Scope::Pair, 0)), "stays"),
            (Next, "a1 delay 65 #0 slot, a2 delay 71 #0 slot, idle"),
        ],
    );
}

#[test]
fn a_reserved_slot_is_not_parked_with_the_other_class() {
    let history = History {
        pair_reserved: true,
        hops: 1,
        ..History::default()
    };
    check(
        LaneConfig {
            pair: Spacing { burst: 1, ..FEW },
            ..config()
        },
        vec![
            (Get("a1"), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", accepted()), "accepted #1"),
            (Get("a2"), "waits"),
            (Next, "wait 6.000"),
            (GetWith("A3", history), "waits"),
            (Next, "wait 6.000"),
            (At(6.0), "flowing"),
            (Next, "send A3, idle"),
        ],
    );
}

#[test]
fn a_long_line_leaves_so_that_others_find_room() {
    let slots = "a3 delay 7 #0 slot, a4 delay 13 #0 slot, a5 delay 19 #0 slot, a6 delay 25 #0 slot, a7 delay 31 #0 slot, \
        a8 delay 37 #0 slot, idle";
    let wide = LaneConfig {
        pair: FEW,
        max_in_flight: 20,
        ..config()
    };
    let mut story = vec![];
    for name in ["a1", "a2"] {
        let send = if name == "a1" {
            "send a1, idle"
        } else {
            "send a2, idle"
        };
        story.extend([
            (Get(name), "waits"),
            (Next, send),
            (Answer(name, accepted()), "accepted #1"),
        ]);
    }
    // Four fit into the wait that is sat out here, and a fifth that comes later: 6, 12, … 30 s.
    story.extend(["a3", "a4", "a5", "a6"].map(|name| (Get(name), "waits")));
    story.push((Next, "wait 6.000"));
    story.push((Get("a7"), "waits"));
    story.push((Next, "wait 6.000"));
    // One more, and the last would wait too long: all take their slots, in order.
    story.push((Get("a8"), "waits"));
    story.push((Next, slots));
    check(wide, story);
}
