//! An API in trouble, and who pays for it.

use super::*;

#[test]
fn what_does_not_reach_the_api_costs_nothing() {
    check(vec![
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", not_sent()), "stays"),
        (Next, "wait 0.050"),
        (At(29.0), "cooling"),
        (Next, "send a1, idle"),
        (Answer("a1", not_sent()), "stays"),
        (At(31.0), "cooling"),
        (Next, "send a1, idle"),
        // Long enough: the messages go back, and the API is asked from time to time.
        (Answer("a1", not_sent()), "stays, lane outage"),
        (Next, "give back"),
        (Lost, "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        (Again("a1", 1), "waits"),
        (At(32.0), "probing"),
        (Next, "send a1, idle"),
        (Answer("a1", not_sent()), "stays, lane outage again"),
    ]);
}

#[test]
fn an_outage_costs_few_attempts() {
    check(vec![
        (Get("a1"), "waits"),
        (Get("b1"), "waits"),
        (Get("c1"), "waits"),
        (Get("d1"), "waits"),
        (Next, "send a1, send b1, send c1, send d1, idle"),
        (Answer("a1", failing(Scope::App, false)), "delay 2 #1 !"),
        (Answer("b1", failing(Scope::Lane, false)), "delay 2 #1 !"),
        // The third in a row: it is the API, and none of this is charged.
        (
            Answer("c1", failing(Scope::App, false)),
            "delay 2 #0 !, app outage 1",
        ),
        (Answer("d1", failing(Scope::Lane, false)), "delay 2 #0 !"),
        (Settled("a1", true), "away"),
        (Settled("b1", true), "away"),
        (Settled("c1", true), "away"),
        (Settled("d1", true), "away"),
        (Next, "give back"),
        (Lost, "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        (Get("e1"), "waits"),
        (At(1.0), "probing"),
        (Next, "send e1, idle"),
        (
            Answer("e1", failing(Scope::Lane, false)),
            "delay 2 #0 !, lane outage 1 again",
        ),
    ]);
}

#[test]
fn a_request_alone_does_not_use_up_its_attempts_nor_go_on_for_ever() {
    let again = |hops, uncharged| History {
        hops,
        uncharged,
        ..History::default()
    };
    let mut story = vec![];
    for hops in 0..2 {
        story.extend([
            (GetWith("a1", again(hops, 0)), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", failing(Scope::Lane, false)), "delay 2 #1 !"),
            (Settled("a1", true), "flowing"),
        ]);
    }
    for (hops, uncharged, expected) in [
        (2, 0, "delay 2 #0 !, lane outage 1"),
        (3, 9, "delay 2 #0 !, lane outage 1 again"),
        (4, 10, "delay 2 #1 !, lane outage 1 again"),
    ] {
        story.extend([
            (GetWith("a1", again(hops, uncharged)), "waits"),
            (
                At(f64::from(hops)),
                if hops == 2 { "flowing" } else { "probing" },
            ),
            (Next, "send a1, idle"),
            (Answer("a1", failing(Scope::Lane, false)), expected),
            (Settled("a1", true), "away"),
            (Lost, "away"),
            (Order(FREE), "rejoining"),
            (Rejoined, "probing"),
        ]);
    }
    check(story);
}

#[test]
fn what_was_lifted_long_ago_says_nothing_about_now() {
    check(vec![
        (Order(held(Scope::App, Why::Outage, 2)), "away"),
        (Order(FREE), "rejoining"),
        (Rejoined, "probing"),
        (At(601.0), "probing"),
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", failing(Scope::App, false)), "delay 2 #1 !"),
    ]);
}

#[test]
fn failures_with_an_answer_between_them_are_no_outage() {
    let mut story = vec![];
    for (name, send, outcome, expected) in [
        ("a1", "send a1, idle", unknown(), "unknown #1 !"),
        ("b1", "send b1, idle", unknown(), "unknown #1 !"),
        ("c1", "send c1, idle", refused(), "rejected #1"),
        ("d1", "send d1, idle", unknown(), "unknown #1 !"),
        ("e1", "send e1, idle", unknown(), "unknown #1 !"),
        ("f1", "send f1, idle", accepted(), "accepted #1"),
        ("g1", "send g1, idle", unknown(), "unknown #1 !"),
        ("h1", "send h1, idle", unknown(), "unknown #1 !"),
    ] {
        story.extend([
            (Get(name), "waits"),
            (Next, send),
            (Answer(name, outcome), expected),
            (Settled(name, true), "flowing"),
        ]);
    }
    story.extend([
        (Get("i1"), "waits"),
        (Next, "send i1, idle"),
        (Answer("i1", unknown()), "unknown #1 !, lane outage 1"),
    ]);
    check(story);
}
