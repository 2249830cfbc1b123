//! Requests that say `dedupe` and are answered by an earlier result.

use super::duplicates::{comes_back, deduped, new, note, read};
use super::*;
use crate::core::lane::dedupe::Word;

/// An answer has to be read from the log first: however many wait for one, others are sent, and not all that the lane may have in hand
/// waits for it.
#[test]
fn those_that_are_being_answered_take_no_sends_place_and_are_bounded() {
    let ids = ["a1", "b1", "c1", "d1", "e1"];
    let notes = ids.map(|id| note(id, 5, Word::Accepted));
    let mut story = vec![
        (new("a1"), "waits"),
        (Next, "read 1 from 60 s before, idle"),
        (read(&notes), "flowing"),
    ];
    story.extend(ids[1..].iter().map(|id| (new(id), "waits")));
    story.extend(vec![
        (
            Next,
            "a1 duplicate, accepted, b1 duplicate, accepted, c1 duplicate, accepted, d1 duplicate, accepted, e1 delay 1 #0, idle",
        ),
        (Settled("e1", true), "flowing"),
        (Get("f1"), "waits"),
        (Get("g1"), "waits"),
        (Next, "send f1, send g1, idle"),
        // One is answered: the next may be.
        (Settled("a1", true), "flowing"),
        (comes_back("e1"), "waits"),
        (Next, "e1 duplicate, accepted, idle"),
    ]);
    check(story);
}

/// One that was tried is on the ladder as what others of its id wait for. It comes back beside another, which waits for it: if it waited for
/// that one as well, both would for ever.
#[test]
fn what_others_wait_for_does_not_wait_for_them() {
    let tried = History {
        hops: 1,
        attempts: 1,
        arrived_ms: WALL_MS,
        ..History::default()
    };
    check(vec![
        (new("a1"), "waits"),
        (Next, "read 1 from 60 s before, idle"),
        (Comes("a1", deduped(tried)), "waits"),
        (read(&[note("a1", 5, Word::Away)]), "flowing"),
        (Next, "a1 delay 1 #0, send a1, idle"),
    ]);
}
