//! One person's allowance.

use super::*;

const FEW: Spacing = Spacing {
    interval: Duration::from_secs(6),
    burst: 2,
};

/// Ten of one person and class wait here at most.
fn wide() -> LaneConfig {
    LaneConfig {
        max_in_flight: 40,
        buffer: Duration::from_millis(40),
        pair: Spacing {
            interval: Duration::ZERO,
            burst: 1,
        },
        ..config()
    }
}

fn off_the_ladder() -> History {
    History {
        hops: 1,
        ..History::default()
    }
}

#[test]
fn a_person_out_of_allowance_waits_alone() {
    check_with(
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
fn a_long_wait_for_the_pair_leaves() {
    let impatient = LaneConfig {
        pair: FEW,
        pair_wait_max: Duration::ZERO,
        ..config()
    };
    check_with(
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
            (Next, "a3 delay 7 #0, a4 delay 13 #0, idle"),
            (Settled("a1", true), "flowing"),
            (Settled("a2", true), "flowing"),
            (Settled("a3", true), "flowing"),
            (Settled("a4", true), "flowing"),
            // Both late: the first uses what the API allows, the second leaves again.
            (At(6.5), "flowing"),
            (GetWith("a3", off_the_ladder()), "waits"),
            (GetWith("a4", off_the_ladder()), "waits"),
            (Next, "send a3, idle"),
            (Answer("a3", unknown()), "unknown #1 !"),
            (Next, "a4 delay 6 #0, idle"),
        ],
    );
}

#[test]
fn a_refusal_by_the_pair_limit_doubles_the_wait_twice() {
    check_with(
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
            (Next, "a1 delay 65 #0, a2 delay 71 #0, idle"),
        ],
    );
}

#[test]
fn a_long_line_leaves_so_that_others_find_room() {
    let wide = LaneConfig {
        pair: FEW,
        ..wide()
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
    // One more, and the last would wait too long: all leave, in order.
    story.push((Get("a8"), "waits"));
    let all = "a3 delay 7 #0, a4 delay 13 #0, a5 delay 19 #0, a6 delay 25 #0, a7 delay 31 #0, a8 delay 37 #0, idle";
    story.push((Next, all));
    // And so does what comes later, behind them.
    story.push((Get("a9"), "delay 43 #0"));
    check_with(wide, story);
}

#[test]
fn what_has_no_room_leaves_and_keeps_its_order() {
    let names = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10"];
    let mut story: Vec<(Do, &str)> = names.map(|name| (Get(name), "waits")).into();
    // 250 ms each as long as nothing is known of the API, and ten are before them.
    story.extend([
        (Get("a11"), "delay 3 #0"),
        (Get("a12"), "delay 5 #0"),
        // One-time passwords to the same person have a line of their own, and others are not concerned.
        (Get("A13"), "waits"),
        (Get("b1"), "waits"),
        (Next, "send A13, send b1, idle"),
        (Answer("A13", accepted()), "accepted #1"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Next, "send a2, idle"),
        (Answer("a2", accepted()), "accepted #1"),
        // There is room again; but it must not overtake those that left.
        (Get("a14"), "delay 5 #0"),
        (Settled("a11", true), "flowing"),
        (At(4.0), "flowing"),
        (GetWith("a11", off_the_ladder()), "waits"),
        (GetWith("a12", off_the_ladder()), "waits"),
        (Get("a15"), "delay 3 #0"),
        (GetWith("a14", off_the_ladder()), "waits"),
        (GetWith("a15", off_the_ladder()), "waits"),
        // All are back: the line is as long as it may be.
        (Get("a16"), "delay 4 #0"),
    ]);
    check_with(wide(), story);
}

/// As many of one person as there is room for what comes off the ladder.
fn full() -> Vec<(Do, &'static str)> {
    let retry = || History {
        attempts: 1,
        ..off_the_ladder()
    };
    let mut story: Vec<(Do, &str)> = vec![];
    story.extend([(); 10].map(|()| (Get("a1"), "waits")));
    story.extend([(Get("a2"), "delay 3 #0"), (Get("a3"), "delay 5 #0")]);
    story.extend([(); 10].map(|()| (GetWith("a4", retry()), "waits")));
    story.push((At(3.0), "flowing"));
    story
}

#[test]
fn whoever_leaves_again_takes_those_behind_along() {
    let mut story = full();
    story.extend([
        (GetWith("a2", off_the_ladder()), "delay 6 #0"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        // There is room, but not for what would overtake.
        (GetWith("a3", off_the_ladder()), "delay 6 #0"),
        (Get("a5"), "delay 6 #0"),
        (GetWith("a2", off_the_ladder()), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (GetWith("a3", off_the_ladder()), "waits"),
    ]);
    check_with(wide(), story);
}

#[test]
fn what_does_not_come_back_holds_nobody_for_long() {
    let mut story: Vec<(Do, &str)> = vec![];
    story.extend([(); 10].map(|()| (Get("a1"), "waits")));
    story.extend([
        (Get("a2"), "delay 3 #0"),
        (Get("a3"), "delay 5 #0"),
        // The second is here, so the first is not to come.
        (GetWith("a3", off_the_ladder()), "waits"),
        (GetWith("a2", off_the_ladder()), "waits"),
    ]);
    check_with(wide(), story);
}

#[test]
fn few_wait_for_their_pair_limits_here() {
    let slow = LaneConfig {
        pair: Spacing { burst: 1, ..FEW },
        ..config()
    };
    let firsts = ["a1", "b1", "c1", "d1", "e1"];
    let mut story: Vec<(Do, &str)> = vec![];
    for name in firsts {
        let send = format!("send {name}, idle").leak();
        story.extend([
            (Get(name), "waits"),
            (Next, &*send),
            (Answer(name, accepted()), "accepted #1"),
            (Settled(name, true), "flowing"),
        ]);
    }
    for name in ["a2", "b2", "c2", "d2"] {
        story.extend([(Get(name), "waits"), (Next, "wait 6.000")]);
    }
    // Half of what is held ready are such already.
    story.extend([(Get("e2"), "waits"), (Next, "e2 delay 7 #0, wait 6.000")]);
    check_with(slow, story);
}
