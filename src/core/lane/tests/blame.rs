//! Requests that alone meet what stops others too.

use super::*;

fn again(attempts: u32) -> History {
    History {
        blamed: true,
        attempts,
        hops: 1 + attempts,
        ..History::default()
    }
}

fn token_blocked() -> Outcome {
    failed(Effect::Blocked {
        scope: Scope::Token,
        remedy: "none",
        is_penalty: false,
        second_recipient: false,
    })
}

const WELL: Held = Held {
    is_said_to_be_well: true,
    ..FREE
};

/// Held since `name` was refused, and back to try, with whatever waits.
fn back(name: &'static str, after: Held) -> Vec<(Do, &'static str)> {
    vec![
        (Get(name), "waits"),
        (Next, ""),
        (Answer(name, token_blocked()), "stays, token block 1"),
        (Lost, "away"),
        (Order(held(Scope::Token, Why::Block, 60)), "away"),
        (Order(after), "rejoining"),
        (Rejoined, "probing"),
    ]
}

/// Two lines of a story may say whatever they want.
fn tell(mut first: Vec<(Do, &'static str)>, rest: Vec<(Do, &'static str)>) {
    first[1].1 = "send a1, idle";
    first.extend(rest);
    check(first);
}

#[test]
fn another_one_tries_and_the_first_is_charged_from_then_on() {
    tell(
        back("a1", FREE),
        vec![
            (Again("a1", 1), "waits"),
            (Get("b1"), "waits"),
            (At(1.0), "probing"),
            (Next, "send a1, idle"),
            (Answer("a1", token_blocked()), "delay 5 #0 blamed"),
            (Next, "idle"),
            (Settled("a1", true), "probing"),
            (Next, "send b1, idle"),
            (Answer("b1", accepted()), "accepted #1"),
            (Settled("b1", true), "flowing"),
            // Off the ladder, and refused alone: its attempts are spent, and nobody waits.
            (GetWith("a1", again(0)), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", token_blocked()), "delay 2 #1 blamed"),
            (Settled("a1", true), "flowing"),
            (GetWith("a1", again(1)), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", token_blocked()), "bury failed #2"),
            (Settled("a1", true), "flowing"),
            (Get("b2"), "waits"),
            (Next, "send b2, idle"),
            (Answer("b2", accepted()), "accepted #1"),
            (Settled("b2", true), "flowing"),
            // What was one request's own fault may be another's.
            (Get("c1"), "waits"),
            (Next, "send c1, idle"),
            (Answer("c1", token_blocked()), "delay 2 #1"),
            (Settled("c1", true), "flowing"),
            // Until a second person meets it, and nothing has passed in between.
            (Get("d1"), "waits"),
            (Next, "send d1, idle"),
            (Answer("d1", token_blocked()), "stays, token block 1"),
        ],
    );
}

#[test]
fn what_two_meet_that_try_holds_again() {
    tell(
        back("a1", FREE),
        vec![
            (Again("a1", 1), "waits"),
            (Get("b1"), "waits"),
            (Get("c1"), "waits"),
            (At(1.0), "probing"),
            (Next, "send a1, idle"),
            (Answer("a1", token_blocked()), "delay 5 #0 blamed"),
            (Settled("a1", true), "probing"),
            (Next, "send b1, idle"),
            // Away once both are out of the way: next time others try.
            (
                Answer("b1", token_blocked()),
                "delay 5 #0 blamed, token block 1 again",
            ),
            (Settled("b1", true), "away"),
            (Next, "give back"),
            (Lost, "away"),
            (Order(FREE), "rejoining"),
            (Rejoined, "probing"),
            (Again("c1", 1), "waits"),
            (At(2.0), "probing"),
            (Next, "send c1, idle"),
            (Answer("c1", accepted()), "accepted #1"),
        ],
    );
}

#[test]
fn one_that_is_alone_goes_on_trying_and_holds_its_lane_only() {
    let refused_alone = |says_well, charged: &'static str| {
        let end = if says_well { WELL } else { FREE };
        tell(
            back("a1", end),
            vec![
                (Again("a1", 1), "waits"),
                (At(1.0), "probing"),
                (Next, "send a1, idle"),
                (
                    Answer("a1", token_blocked()),
                    "delay 5 #0 blamed, token block 1 again",
                ),
                (Settled("a1", true), "away"),
                (Next, "give back"),
                (Lost, "away"),
                (Order(held(Scope::Token, Why::Block, 60)), "away"),
                (Order(end), "rejoining"),
                (Rejoined, "probing"),
                (GetWith("a1", again(0)), "waits"),
                (At(2.0), "probing"),
                (Next, "send a1, idle"),
                (Answer("a1", token_blocked()), charged),
            ],
        );
    };
    // Where the API may not be asked, or is not yet known to be well, nothing speaks against the request.
    refused_alone(false, "delay 5 #0 blamed, lane block 1 again");
    refused_alone(true, "delay 2 #1 blamed, lane block 1 again");
}

#[test]
fn a_receipt_that_is_refused_again_is_no_second_person() {
    check(vec![
        (Get("r1"), "waits"),
        (Next, "send r1, idle"),
        (Answer("r1", blocked(true)), "delay 2 #1"),
        (Settled("r1", true), "flowing"),
        (
            GetWith(
                "r1",
                History {
                    attempts: 1,
                    hops: 1,
                    ..History::default()
                },
            ),
            "waits",
        ),
        (Next, "send r1, idle"),
        (Answer("r1", blocked(true)), "bury failed #2"),
    ]);
}

#[test]
fn a_pause_for_many_that_one_request_meets_alone_holds_nobody_for_long() {
    let pause = || throttled(Scope::App, 60);
    check(vec![
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", pause()), "stays, app throttle 1 for 60"),
        (Lost, "away"),
        (Order(held(Scope::App, Why::Throttle, 60)), "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        (Again("a1", 1), "waits"),
        (At(61.0), "probing"),
        (Next, "send a1, idle"),
        (
            Answer("a1", pause()),
            "delay 5 #0 blamed, app throttle 1 for 60 again",
        ),
        (Settled("a1", true), "away"),
        (Next, "give back"),
        (Lost, "away"),
        (Order(held(Scope::App, Why::Throttle, 60)), "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        (Get("b1"), "waits"),
        (At(122.0), "probing"),
        (Next, "send b1, idle"),
        (Answer("b1", accepted()), "accepted #1"),
        (Settled("b1", true), "flowing"),
        (GetWith("a1", again(0)), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", pause()), "delay 2 #1 blamed"),
        (Next, "idle"),
    ]);
}
