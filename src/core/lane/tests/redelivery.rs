//! What comes again, and what is known of it.

use super::*;

#[test]
fn what_comes_again_is_known() {
    check(vec![
        (Get("a1"), "waits"),
        (Get("b1"), "waits"),
        (Get("c1"), "waits"),
        (Get("d1"), "waits"),
        (Get("e1"), "waits"),
        (Next, "send a1, send b1, send c1, send d1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Settled("a1", true), "flowing"),
        (Answer("b1", accepted()), "accepted #1"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        // Confirmed; decided and not confirmed; in flight; never sent.
        (Again("a1", 1), "forget"),
        (Again("b1", 1), "accepted #1"),
        (Again("c1", 1), "is 2 in flight"),
        (Again("e1", 1), "waits"),
        // Answered before it came again: RabbitMQ has it, and nobody knows what became of it.
        (Answer("d1", transient(true)), "abandon"),
        (Again("d1", 1), "asks"),
        (Answer("c1", accepted()), "accepted #1"),
    ]);
}

/// RabbitMQ took it back before the result was confirmed: the next to have it has the say, and if that is this worker again, it
/// says the same.
#[test]
fn what_was_decided_and_not_confirmed_is_decided_the_same_again() {
    let story = |count, then| {
        vec![
            (Get("a1"), "waits"),
            (Next, "send a1, idle"),
            (Lost, "flowing"),
            (Rejoined, "flowing"),
            (Answer("a1", unknown()), "unknown #1 !"),
            (Settled("a1", false), "flowing"),
            (Again("a1", count), then),
        ]
    };
    check(story(1, "unknown #1 !"));
    // Another had it in between.
    check(story(2, "asks"));
}

#[test]
fn only_what_nobody_else_can_have_sent_is_beyond_doubt() {
    let report = LaneConfig {
        redelivery: redelivery(RedeliveryPolicy::Report),
        ..config()
    };
    let story = || {
        vec![
            (Get("a1"), "waits"),
            (Get("b1"), "waits"),
            (Lost, "flowing"),
            (Rejoined, "flowing"),
            (Again("a1", 1), "waits"),
        ]
    };
    // Another worker may have had it meanwhile: its count says so.
    let mut resent = story();
    resent.push((Again("b1", 2), "asks"));
    resent.push((Evidence("b1", false), "stays"));
    resent.push((At(1.0), "flowing"));
    resent.push((Next, "send a1, send b1, idle"));
    resent.push((Answer("a1", accepted()), "accepted #1"));
    resent.push((Answer("b1", accepted()), "accepted #1 !"));
    check(resent);
    let mut reported = story();
    reported.push((Again("b1", 2), "asks"));
    reported.push((Evidence("b1", false), "unknown #0 !"));
    reported.push((Again("c1", 1), "asks"));
    reported.push((Evidence("c1", true), "repeat"));
    check_with(report, reported);
}

#[test]
fn what_is_asked_about_holds_its_line_and_no_other() {
    check(vec![
        (Again("a1", 1), "asks"),
        (Get("a2"), "waits"),
        (Get("b1"), "waits"),
        (Next, "send b1, idle"),
        (Evidence("a1", true), "repeat"),
        (Next, "send a2, idle"),
        // Asked about once, and not any more.
        (Evidence("a1", true), "stays"),
        (Again("c1", 1), "asks"),
        (Get("c2"), "waits"),
        (Evidence("c1", false), "stays"),
        (Next, "send c1, idle"),
        (Answer("c1", accepted()), "accepted #1 !"),
    ]);
}

#[test]
fn a_doubt_is_not_forgotten_with_the_channel() {
    check(vec![
        (Again("a1", 1), "asks"),
        (Lost, "flowing"),
        // Its answer comes too late.
        (Evidence("a1", true), "stays"),
        (Again("a1", 2), "asks"),
    ]);
}

#[test]
fn what_the_worker_before_gave_back_in_order_is_not_in_doubt() {
    check(vec![
        (Takes(vec![("a1", 0), ("b1", 0)]), "flowing"),
        (Again("a1", 1), "waits"),
        // Somebody had it in between.
        (Again("b1", 2), "asks"),
        (Again("c1", 1), "asks"),
        (At(1.0), "flowing"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
    ]);
}

#[test]
fn what_the_worker_before_was_handed_as_it_left_is_not_in_doubt_once_that_is_told() {
    check(vec![
        (Takes(vec![]), "flowing"),
        (Again("a1", 1), "asks"),
        (Again("b1", 2), "asks"),
        (Inherits("a1", 0), "flowing"),
        (Inherits("b1", 0), "flowing"),
        (Evidence("a1", false), "stays"),
        // Somebody had it in between.
        (Evidence("b1", false), "stays"),
        (At(1.0), "flowing"),
        (Next, "send a1, send b1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Answer("b1", accepted()), "accepted #1 !"),
    ]);
}

#[test]
fn what_was_being_buried_is_buried_again() {
    let tired = History {
        attempts: 1,
        ..History::default()
    };
    check(vec![
        (GetWith("a1", tired), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", transient(true)), "bury failed #2"),
        (Lost, "flowing"),
        (Again("a1", 1), "bury failed #2"),
    ]);
}

/// The policy says what becomes of requests that say nothing.
#[test]
fn a_request_that_asks_for_a_report_is_not_sent_again_whatever_the_policy() {
    check(vec![
        (Rejoined, "flowing"),
        (AgainSaying("a1", "report"), "asks"),
        (AgainSaying("b1", "resend"), "asks"),
        (Again("c1", 1), "asks"),
        (AgainSaying("d1", "report"), "asks"),
        (Evidence("a1", false), "unknown #0 !"),
        (Evidence("b1", false), "stays"),
        (Evidence("c1", false), "stays"),
        (Evidence("d1", true), "repeat"),
        (At(1.0), "flowing"),
        (Next, "send b1, send c1, idle"),
    ]);
    // And a request may not ask for more than the policy allows.
    let report = LaneConfig {
        redelivery: redelivery(RedeliveryPolicy::Report),
        ..config()
    };
    check_with(
        report,
        vec![
            (AgainSaying("b1", "resend"), "asks"),
            (Evidence("b1", false), "unknown #0 !"),
        ],
    );
}

#[test]
fn a_grown_prefetch_is_remembered_whole() {
    let wide = LaneConfig {
        max_in_flight: 100,
        redelivery: redelivery(RedeliveryPolicy::Report),
        ..config()
    };
    let slow = LaneConfig {
        pace: PaceConfig {
            limit_mps: 1.0,
            ..wide.pace
        },
        ..wide
    };
    // A person each.
    let name = |n: u32| char::from_u32(0x4e00 + n).unwrap_or_default().to_string();
    let names: Vec<&str> = (0..100).map(|n| &*name(n).leak()).collect();
    let mut story = vec![(Limit(100), "rejoining"), (Rejoined, "flowing")];
    story.extend(names.iter().map(|name| (Get(name), "waits")));
    story.push((Limit(1), "rejoining"));
    story.push((Next, "give back"));
    story.push((Lost, "rejoining"));
    story.push((Rejoined, "flowing"));
    // Beyond doubt, although the limit fell before they were given back.
    story.extend(names.iter().map(|name| (Again(name, 1), "waits")));
    check_with(slow, story);
}

/// Adopted, it goes by the count of the delivery that it is settled with.
#[test]
fn what_comes_again_while_it_is_in_flight_may_have_been_with_another() {
    let story = |count, end| {
        vec![
            (Get("a1"), "waits"),
            (Next, "send a1, idle"),
            (Lost, "flowing"),
            (Rejoined, "flowing"),
            (Again("a1", count), "is 0 in flight"),
            (Answer("a1", accepted()), end),
        ]
    };
    check(story(1, "accepted #1"));
    check(story(2, "accepted #1 !"));
}

/// The id is published again: what was known of the first does not answer for the second.
#[test]
fn what_is_published_again_is_a_new_request() {
    check(vec![
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Settled("a1", true), "flowing"),
        (Get("a1"), "waits"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Again("a1", 1), "waits"),
        (At(1.0), "flowing"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Settled("a1", true), "flowing"),
        (Again("a1", 2), "forget"),
    ]);
}

/// RabbitMQ counts a delivery more, and it is this lane that had it.
#[test]
fn what_was_given_back_and_came_again_is_as_sure_as_before() {
    check(vec![
        (Get("a1"), "waits"),
        (Get("b1"), "waits"),
        (Get("c1"), "waits"),
        // Another worker had b1 in between, and c1 is with it.
        (CameAgain(&[("a1", 1), ("b1", 2)]), "a1 1, b1 0, c1 0"),
        (Left, "flowing"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Again("a1", 2), "waits"),
        (Again("b1", 3), "asks"),
        (Again("c1", 2), "asks"),
    ]);
}

/// It was on its way when the lane was left, so it comes again before it ever came; what ended has all been acknowledged by then.
#[test]
fn what_comes_again_after_an_orderly_end_is_not_what_ended() {
    check(vec![
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Settled("a1", true), "flowing"),
        (Left, "flowing"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Again("a1", 1), "asks"),
    ]);
}

/// Both are here at once, and nothing tells them apart: each ends once.
#[test]
fn two_publications_of_one_id_end_once_each() {
    check(vec![
        (Get("r1"), "waits"),
        (Get("r1"), "waits"),
        (Next, "send r1, send r1, idle"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Again("r1", 1), "is 0 in flight"),
        (Again("r1", 1), "is 1 in flight"),
    ]);
    check(vec![
        (Get("a1"), "waits"),
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (SettledFirst("a1", true), "flowing"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        // The first is acknowledged, and only the second comes again.
        (Again("a1", 1), "waits"),
    ]);
}

/// Its session was lost while it was in flight, and its result is on its way when it comes again.
#[test]
fn what_is_being_settled_for_a_lost_session_answers_for_what_comes_again() {
    check(vec![
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Lost, "flowing"),
        (Answer("a1", accepted()), "accepted #1"),
        (Rejoined, "flowing"),
        (Again("a1", 1), "accepted #1"),
    ]);
}

/// The first is being answered still, by a delivery that is well.
#[test]
fn what_is_being_settled_does_not_answer_for_what_comes_again() {
    check(vec![
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Again("a1", 3), "asks"),
    ]);
}

/// Another worker had the first when this one still awaited its answer.
#[test]
fn what_is_published_again_is_not_what_is_in_flight() {
    check(vec![
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Get("a1"), "waits"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Again("a1", 1), "waits"),
        (Answer("a1", accepted()), "accepted #1"),
    ]);
}

/// As often as that, it may be what the workers die of; unless a worker gave it back in order.
#[test]
fn what_comes_over_and_over_is_set_apart() {
    check(vec![
        (Again("a1", 19), "asks"),
        (Evidence("a1", false), "stays"),
        (Again("b1", 20), "asks"),
        (Evidence("b1", false), "delay 6 #0 ! ?"),
        (Again("c1", 20), "asks"),
        (Evidence("c1", true), "repeat"),
        (Get("d1"), "waits"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Again("d1", 1), "waits"),
    ]);
}

/// Each probe of a long outage takes all that the lane holds, and gives it back.
#[test]
fn what_was_given_back_in_order_makes_no_suspect() {
    check(vec![
        (Takes(vec![("a1", 24)]), "flowing"),
        (Again("a1", 44), "asks"),
        (Evidence("a1", false), "stays"),
        (Again("b1", 44), "asks"),
        (Evidence("b1", false), "delay 6 #0 ! ?"),
        (Again("c1", 44), "asks"),
        (Evidence("c1", false), "delay 8 #0 ! ?"),
        (Lost, "flowing"),
        // This worker held it for one delivery more.
        (Again("a1", 64), "asks"),
        (Evidence("a1", false), "stays"),
        (Lost, "flowing"),
        (Again("a1", 85), "asks"),
        (Evidence("a1", false), "delay 10 #0 ! ?"),
    ]);
}
