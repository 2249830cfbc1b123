//! Of one request several copies: on the ladder, off it, and originals that come again.

use super::*;

/// A copy that was written twice comes off the ladder twice.
#[test]
fn the_second_of_two_copies_is_not_sent() {
    check(vec![
        (Comes("a1", stamped(copy_of(1))), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Settled("a1", true), "flowing"),
        (Comes("a1", stamped(copy_of(1))), "forget"),
        // Of another publication, for all one can see.
        (GetWith("b1", copy_of(1)), "waits"),
        (Next, "send b1, idle"),
        (Answer("b1", accepted()), "accepted #1"),
        (Settled("b1", true), "flowing"),
        (GetWith("b1", copy_of(1)), "waits"),
    ]);
}

/// A worker copied it onto the ladder, and ended before it could say so; so there may be two copies.
#[test]
fn of_two_copies_one_is_sent() {
    let later = || Inbound {
        not_before: not_before("2027-01-15T08:00:20Z"),
        ..again(1)
    };
    // The original comes again, and nothing is known: its second copy says so, and comes after the first.
    check(vec![
        (Comes("a1", later()), "asks"),
        (Evidence("a1", false), "stays"),
        (Next, "a1 delay 23 #0 ! ?, idle"),
        (Comes("b1", later()), "asks"),
        (CopyFound("b1"), "forget"),
    ]);
    // The first waits, is in flight, is being answered: the second is not needed.
    check(vec![
        (GetWith("a1", copy(0)), "waits"),
        (GetWith("a1", copy(1)), "forget"),
        (Next, "send a1, idle"),
        (GetWith("a1", copy(1)), "forget"),
        (Answer("a1", accepted()), "accepted #1"),
        (GetWith("a1", copy(1)), "forget"),
    ]);
    check(vec![
        (GetWith("b1", copy(1)), "asks"),
        (CopyFound("b1"), "forget"),
        (GetWith("c1", copy(1)), "asks"),
        (Evidence("c1", true), "repeat !"),
        (GetWith("d1", copy(1)), "asks"),
        (Evidence("d1", false), "stays"),
        (At(1.0), "flowing"),
        (Next, "send d1, idle"),
        (Answer("d1", accepted()), "accepted #1 !"),
    ]);
}

#[test]
fn the_first_of_two_copies_may_be_late_or_gone() {
    // The first comes later than it should.
    check(vec![
        (GetWith("a1", copy(1)), "asks"),
        (GetWith("a1", copy(0)), "waits"),
        (EvidenceFirst("a1", false), "forget"),
        (Next, "send a1, idle"),
    ]);
    // One that comes again, and its own copy, both in doubt: the later of them stays, whatever is found of the earlier.
    let marked = |hops| History { hops, ..copy(1) };
    check(vec![
        (GetWith("a1", marked(1)), "asks"),
        (GetWith("a1", marked(2)), "asks"),
        (EvidenceFirst("a1", false), "forget"),
        (Evidence("a1", false), "stays"),
        (Next, "send a1, idle"),
    ]);
    // The first is RabbitMQ's again, which may be this one.
    check(vec![
        (GetWith("a1", copy(0)), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (GetWith("a1", copy(1)), "asks"),
    ]);
}

/// The other way round: the original is let through in doubt, and then the copy comes off the ladder.
#[test]
fn the_copy_of_what_was_in_doubt_asks_first() {
    check(vec![
        (Again("a1", 1), "asks"),
        (Evidence("a1", false), "stays"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1 !"),
        (Settled("a1", true), "flowing"),
        (GetWith("a1", copy_of(1)), "asks"),
        (Evidence("a1", true), "repeat"),
    ]);
    // While the original is in the lane's hands.
    check(vec![
        (Again("a1", 1), "asks"),
        (Evidence("a1", false), "stays"),
        (GetWith("a1", copy_of(1)), "in place of 0, asks"),
        (Next, "idle"),
        (EvidenceFirst("a1", false), "stays"),
        (Next, "send a1, idle"),
    ]);
    // The copy has come first.
    let again_stamped = Inbound {
        incarnation: Some(1),
        ..again(1)
    };
    check(vec![
        (Comes("a1", stamped(copy_of(1))), "waits"),
        (Comes("a1", again_stamped), "forget"),
        (GetWith("b1", copy_of(1)), "waits"),
        // It may be another publication's.
        (Again("b1", 1), "asks"),
    ]);
}

/// What was let go because of another has not ended: the other may be the broker's again.
#[test]
fn a_copy_that_was_let_go_does_not_answer_for_the_next() {
    let copy = |copied_ms| History {
        hops: 1,
        copied_ms,
        ..History::default()
    };
    check(vec![
        (GetWith("a1", copy(0)), "waits"),
        (GetWith("a1", copy(1)), "forget"),
        (Settled("a1", true), "flowing"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (GetWith("a1", copy(1)), "asks"),
    ]);
}

/// The log may tell the next worker that the original was copied, and then it lets go of that. So it must not be the one that is kept,
/// whatever it is doing when its copy comes.
#[test]
fn of_an_original_and_its_copy_the_copy_stays() {
    let second = || History {
        copied_ms: 1,
        ..copy_of(1)
    };
    let doubted = || {
        vec![
            (Again("a1", 1), "asks"),
            (Evidence("a1", false), "stays"),
            (Get("a2"), "waits"),
        ]
    };
    // It waits. What RabbitMQ gets back then is the copy: the original was acknowledged.
    let mut waits = doubted();
    waits.extend([
        (GetWith("a1", copy_of(1)), "in place of 0, asks"),
        (Settled("a1", true), "flowing"),
        // In its place: what came behind the original is behind the copy.
        (Next, "idle"),
        (EvidenceFirst("a1", false), "stays"),
        (Next, "send a1, idle"),
        (Answer("a1", transient(true)), "delay 5 #1 ! ?"),
    ]);
    check(waits);
    // It has ended meanwhile.
    let mut ended = doubted();
    ended.extend([
        (GetWith("a1", copy_of(1)), "in place of 0, asks"),
        (EvidenceFirst("a1", true), "repeat !"),
        (Next, "send a2, idle"),
    ]);
    check(ended);
    // It is in flight: what comes of that is the copy's.
    let mut flies = doubted();
    flies.extend([
        (Next, "send a1, idle"),
        (GetWith("a1", copy_of(1)), "in place of 0"),
        (GetWith("a1", second()), "forget"),
        (Answer("a1", not_sent()), "stays"),
        (At(1.0), "cooling"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1 !"),
    ]);
    check(flies);
    // Its result, or a copy more, may not be RabbitMQ's yet, and may never be.
    let mut ends = doubted();
    ends.extend([
        (Next, "send a1, idle"),
        (Answer("a1", transient(true)), "delay 5 #1 ! ?"),
        (GetWith("a1", copy_of(1)), "asks"),
    ]);
    check(ends);
}

/// The original was let through in doubt, so its second copy says that there may be two, and the first does not.
#[test]
fn the_first_of_two_copies_is_known_whenever_and_as_often_as_it_comes() {
    let marked = || History {
        copied_ms: 1,
        ..copy_of(1)
    };
    check(vec![
        (Comes("a1", stamped(marked())), "asks"),
        // Before, it would wait, or leave for want of room and come again.
        (Comes("a1", stamped(copy_of(1))), "forget"),
        (EvidenceFirst("a1", false), "stays"),
        (Comes("a1", stamped(copy_of(1))), "forget"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1 !"),
        (SettledFirst("a1", true), "flowing"),
        // It was turned away meanwhile, and what ended had not.
        (Comes("a1", stamped(copy_of(3))), "forget"),
        // The lane was given back in between.
        (Left, "flowing"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Comes("a1", stamped(copy_of(2))), "forget"),
        (Get("a1"), "waits"),
    ]);
    // The original was let through here, and both of its copies are not sure.
    check(vec![
        (Comes("a1", named_again(1)), "asks"),
        (Evidence("a1", false), "stays"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Comes("a1", stamped(copy_of(1))), "asks"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (Comes("a1", stamped(copy_of(1))), "asks"),
        (Comes("a1", stamped(copy_of(2))), "asks"),
    ]);
}

/// By another worker, which wrote the copy, and cannot know of the result here.
#[test]
fn a_copy_that_was_sent_since_its_request_ended_is_told() {
    let flagged = || History {
        possible_duplicate: true,
        ..copy_of(1)
    };
    let story = |evidence, told| {
        vec![
            (Comes("a1", stamped(History::default())), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", accepted()), "accepted #1"),
            (Settled("a1", true), "flowing"),
            (Comes("a1", stamped(flagged())), "asks"),
            (Evidence("a1", evidence), told),
        ]
    };
    check(story(true, "repeat !"));
    // Too long ago.
    check(story(false, "unknown #0 !"));
}

/// With nothing that tells the two apart. What is known of the first, and of its copies, is not known of the second.
#[test]
fn an_id_that_is_published_again_begins_anew() {
    let first_ended = || {
        vec![
            (GetWith("a1", copy_of(1)), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", accepted()), "accepted #1"),
            (Settled("a1", true), "flowing"),
        ]
    };
    // A delivery that ends its connection is not seen before it comes again.
    let mut unseen = first_ended();
    unseen.extend([
        (
            GetTimed("a1", "not-before", "2027-01-15T08:00:20Z"),
            "delay 20 #0",
        ),
        (Settled("a1", true), "flowing"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        // Before, it was acknowledged, and had no result.
        (Comes("a1", again_with(copy_of(1))), "asks"),
    ]);
    check(unseen);
    let mut doubted = vec![
        (Again("a1", 1), "asks"),
        (Evidence("a1", false), "stays"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1 !"),
        (Settled("a1", true), "flowing"),
    ];
    doubted.extend([
        (
            GetTimed("a1", "not-before", "2027-01-15T08:00:20Z"),
            "delay 20 #0",
        ),
        (Settled("a1", true), "flowing"),
        (GetWith("a1", copy_of(1)), "waits"),
    ]);
    check(doubted);
}

fn again_with(history: History) -> Inbound<'static> {
    Inbound {
        history,
        ..again(1)
    }
}

fn named_again(delivery_count: u64) -> Inbound<'static> {
    Inbound {
        incarnation: Some(1),
        ..again(delivery_count)
    }
}

/// Both were given back unsent.
#[test]
fn of_an_original_and_its_copy_that_come_again_the_copy_stays() {
    let again = |hops| Inbound {
        redelivered: true,
        delivery_count: 1,
        ..stamped(History {
            hops,
            ..History::default()
        })
    };
    let first = || {
        vec![
            (Comes("a1", stamped(copy_of(1))), "waits"),
            (Lost, "flowing"),
            (Rejoined, "flowing"),
            (Takes(vec![("a1", 0)]), "flowing"),
        ]
    };
    let mut original_first = first();
    original_first.extend([
        (Comes("a1", again(0)), "waits"),
        (Comes("a1", again(1)), "in place of 1"),
        (At(1.0), "flowing"),
        (Next, "send a1, idle"),
    ]);
    check(original_first);
    let mut copy_first = first();
    copy_first.extend([
        (Comes("a1", again(1)), "waits"),
        (Comes("a1", again(0)), "forget"),
        (At(1.0), "flowing"),
        (Next, "send a1, idle"),
    ]);
    check(copy_first);
}

fn copy_of(hops: u32) -> History {
    History {
        hops,
        ..History::default()
    }
}

/// Since `copied_ms` there may be another one; 0: there is none.
fn copy(copied_ms: u64) -> History {
    History {
        copied_ms,
        possible_duplicate: copied_ms > 0,
        ..copy_of(1)
    }
}
