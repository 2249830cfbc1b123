//! Requests that say `dedupe`. The log of results is read from a minute before the story on: `dedupe` is a minute here.

use super::*;
use crate::core::lane::dedupe::{Note, Word, key};

pub(super) fn deduped(history: History) -> Inbound<'static> {
    Inbound {
        dedupe: Some(Header::Int(60)),
        history,
        ..Inbound::default()
    }
}

pub(super) fn new(name: &'static str) -> Do {
    Comes(name, deduped(History::default()))
}

/// It comes off the ladder, where it had waited for another.
pub(super) fn comes_back(name: &'static str) -> Do {
    let history = History {
        hops: 1,
        arrived_ms: WALL_MS,
        follows: true,
        ..History::default()
    };
    Comes(name, deduped(history))
}

pub(super) fn note(id: &str, ago_s: u32, word: Word) -> Note {
    Note {
        key: key(id),
        at_s: (WALL_MS / 1000) as u32 - ago_s,
        word,
    }
}

pub(super) fn read(notes: &[Note]) -> Do {
    Recalled(1, super::Recalled::Notes(notes.to_vec()))
}

/// The lane knows all, and that it is nothing; `a1` is in its hands.
fn begun() -> Vec<(Do, &'static str)> {
    vec![
        (new("a1"), "waits"),
        (Next, "read 1 from 60 s before, idle"),
        (read(&[]), "flowing"),
    ]
}

fn then(mut story: Vec<(Do, &'static str)>, more: Vec<(Do, &'static str)>) {
    story.extend(more);
    check(story);
}

fn sent() -> Vec<(Do, &'static str)> {
    let mut story = begun();
    story.push((Next, "send a1, idle"));
    story
}

#[test]
fn what_was_accepted_or_is_unknown_is_not_sent_again() {
    for (outcome, told, again) in [
        (accepted(), "accepted #1", "a1 duplicate, accepted, idle"),
        (unknown(), "unknown #1 !", "a1 duplicate, unknown, idle"),
    ] {
        then(
            sent(),
            vec![
                (Answer("a1", outcome), told),
                (Settled("a1", true), "flowing"),
                (At(59.0), "flowing"),
                (new("a1"), "waits"),
                (Next, again),
                (Settled("a1", true), "flowing"),
                // The answer to the second does not prolong it.
                (At(61.0), "flowing"),
                (new("a1"), "waits"),
                (Next, "send a1, idle"),
            ],
        );
    }
}

#[test]
fn what_was_rejected_is_another_requests_to_send() {
    then(
        sent(),
        vec![
            (Answer("a1", refused()), "rejected #1"),
            (Settled("a1", true), "flowing"),
            (new("a1"), "waits"),
            (Next, "send a1, idle"),
        ],
    );
}

#[test]
fn the_second_looks_again_while_the_first_is_under_way() {
    // In flight, to another person even: not in the same line.
    then(
        sent(),
        vec![
            (new("a1"), "waits"),
            (Next, "idle"),
            (Answer("a1", accepted()), "accepted #1"),
            // Its result is not confirmed yet.
            (Next, "a1 delay 1 #0, idle"),
            (SettledFirst("a1", true), "flowing"),
            (At(3.0), "flowing"),
            (comes_back("a1"), "waits"),
            (Next, "a1 duplicate, accepted, idle"),
        ],
    );
    // The first has failed: the second is sent.
    then(
        sent(),
        vec![
            (new("a1"), "waits"),
            (Answer("a1", refused()), "rejected #1"),
            (Next, "a1 delay 1 #0, idle"),
            (SettledFirst("a1", true), "flowing"),
            (Settled("a1", true), "flowing"),
            (comes_back("a1"), "waits"),
            (Next, "send a1, idle"),
            // And is what a third waits for, on the ladder as well.
            (Answer("a1", transient(true)), "delay 2 #1"),
            (Settled("a1", true), "flowing"),
            (new("a1"), "waits"),
            (Next, "a1 delay 1 #0, idle"),
        ],
    );
}

#[test]
fn the_second_looks_again_while_the_first_is_on_the_ladder() {
    let first = || History {
        hops: 1,
        attempts: 1,
        arrived_ms: WALL_MS,
        ..History::default()
    };
    then(
        sent(),
        vec![
            (Answer("a1", transient(true)), "delay 2 #1"),
            (Settled("a1", true), "flowing"),
            (new("a1"), "waits"),
            (Next, "a1 delay 1 #0, idle"),
            (Settled("a1", true), "flowing"),
            (At(20.0), "flowing"),
            (comes_back("a1"), "waits"),
            (Next, "a1 delay 10 #0, idle"),
            (Settled("a1", true), "flowing"),
            // Off the ladder the first does not wait for itself.
            (Comes("a1", deduped(first())), "waits"),
            (Next, "send a1, idle"),
            (Answer("a1", accepted()), "accepted #2"),
            (Settled("a1", true), "flowing"),
            (comes_back("a1"), "waits"),
            (Next, "a1 duplicate, accepted, idle"),
        ],
    );
}

#[test]
fn without_the_header_each_is_sent_and_counts_for_those_that_have_it() {
    check(vec![
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Settled("a1", true), "flowing"),
        (Get("a1"), "waits"),
        (Next, "send a1, idle"),
        (Answer("a1", accepted()), "accepted #1"),
        (Settled("a1", true), "flowing"),
        // Nobody has asked before: the log has it.
        (new("a1"), "waits"),
        (Next, "read 1 from 60 s before, idle"),
        (read(&[note("a1", 0, Word::Accepted)]), "flowing"),
        (Next, "a1 duplicate, accepted, idle"),
        (Get("b1"), "waits"),
        (Next, "send b1, idle"),
        (new("b1"), "waits"),
        (Answer("b1", accepted()), "accepted #1"),
        (SettledFirst("b1", true), "flowing"),
        (Next, "b1 duplicate, accepted, idle"),
    ]);
}

#[test]
fn what_is_not_known_is_read_once_for_all_and_holds_up_nobody_else() {
    check(vec![
        (new("a1"), "waits"),
        (new("b1"), "waits"),
        (Get("c1"), "waits"),
        (Next, "read 1 from 60 s before, send c1, idle"),
        (
            read(&[
                note("a1", 10, Word::Accepted),
                note("b1", 50, Word::Away),
                note("b1", 40, Word::Over),
            ]),
            "flowing",
        ),
        (Next, "a1 duplicate, accepted, send b1, idle"),
        // From now on all is known.
        (new("d1"), "waits"),
        (Next, "send d1, idle"),
    ]);
    // It is on the ladder, put there by the worker before.
    check(vec![
        (new("a1"), "waits"),
        (Next, "read 1 from 60 s before, idle"),
        (read(&[note("a1", 10, Word::Away)]), "flowing"),
        (Next, "a1 delay 1 #0, idle"),
    ]);
}

#[test]
fn what_another_worker_may_have_ended_is_read_before_anything_is_sent() {
    let ended = || {
        let mut story = sent();
        story.extend(vec![
            (Answer("a1", accepted()), "accepted #1"),
            (Settled("a1", true), "flowing"),
            (At(10.0), "flowing"),
            (Next, "idle"),
            (Lost, "flowing"),
            (Rejoined, "flowing"),
            (Takes(vec![]), "flowing"),
            (At(20.0), "flowing"),
            (new("a1"), "waits"),
            (new("b1"), "waits"),
            // From when the lane was lost: what was before is known, and says enough.
            (
                Next,
                "a1 duplicate, accepted, read 2 from -10 s before, idle",
            ),
        ]);
        story
    };
    let at = |ago: i64| (WALL_MS as i64 / 1000 - ago) as u32;
    let others = Note {
        key: key("b1"),
        at_s: at(-15),
        word: Word::Accepted,
    };
    let read = super::Recalled::Notes(vec![others]);
    then(
        ended(),
        vec![
            (Recalled(2, read), "flowing"),
            (Next, "b1 duplicate, accepted, idle"),
        ],
    );
    // An answer to what was asked before the lane was lost says nothing.
    then(
        begun(),
        vec![
            (Next, "send a1, idle"),
            (Lost, "flowing"),
            (Rejoined, "flowing"),
            (new("b1"), "waits"),
            (Next, "read 2 from 0 s before, idle"),
            (Lost, "flowing"),
            (Rejoined, "flowing"),
            (new("b1"), "waits"),
            (Next, "read 3 from 0 s before, idle"),
            (Recalled(2, super::Recalled::Notes(vec![])), "flowing"),
            (Next, "idle"),
        ],
    );
}

/// This worker stood still, and takes what had come before it learns that its lane was another's.
#[test]
fn what_was_ended_while_this_worker_stood_still_is_read() {
    then(
        sent(),
        vec![
            (At(10.0), "flowing"),
            (Next, "idle"),
            (At(40.0), "flowing"),
            (Get("c1"), "waits"),
            (Lost, "flowing"),
            (Rejoined, "flowing"),
            (new("b1"), "waits"),
            (Next, "read 2 from -10 s before, idle"),
        ],
    );
}

#[test]
fn while_the_log_cannot_be_read_nothing_that_needs_it_is_sent() {
    let waits = |how: super::Recalled| {
        check(vec![
            (new("a1"), "waits"),
            (Next, "read 1 from 60 s before, idle"),
            (Recalled(1, how), "flowing"),
            (Next, "a1 delay 1 #0, idle"),
            (new("b1"), "waits"),
            (Get("c1"), "waits"),
            (Next, "b1 delay 1 #0, send c1, idle"),
        ]);
    };
    waits(super::Recalled::Failed);
    waits(super::Recalled::Late);
    // It is tried again, and what takes long ends.
    check(vec![
        (new("a1"), "waits"),
        (Next, "read 1 from 60 s before, idle"),
        (Recalled(1, super::Recalled::Failed), "flowing"),
        (Next, "a1 delay 1 #0, idle"),
        (Settled("a1", true), "flowing"),
        (At(6.0), "flowing"),
        (comes_back("a1"), "waits"),
        (Next, "read 2 from 60 s before, idle"),
        (Recalled(2, super::Recalled::Late), "flowing"),
        (Next, "a1 delay 3 #0, idle"),
        (Settled("a1", true), "flowing"),
        (Recalled(2, super::Recalled::Notes(vec![])), "flowing"),
        (comes_back("a1"), "waits"),
        (Next, "send a1, idle"),
    ]);
}

#[test]
fn its_time_may_end_while_it_waits() {
    let timed = Inbound {
        expires_at: Some(Header::Text(b"2027-01-15T08:00:05Z")),
        ..deduped(History::default())
    };
    check(vec![
        (Comes("a1", timed.clone()), "waits"),
        (Next, "read 1 from 60 s before, idle"),
        (At(6.0), "flowing"),
        (Recalled(1, super::Recalled::Failed), "flowing"),
        (Next, "a1 expired #0, idle"),
    ]);
    check(vec![
        (Comes("a1", timed), "waits"),
        (Next, "read 1 from 60 s before, idle"),
        (At(4.5), "flowing"),
        (Recalled(1, super::Recalled::Failed), "flowing"),
        (Next, "a1 expired #0, idle"),
    ]);
}

#[test]
fn what_waits_for_the_log_goes_back_unsent_with_its_lane() {
    check(vec![
        (new("a1"), "waits"),
        (Next, "read 1 from 60 s before, idle"),
        (Lost, "flowing"),
        (Rejoined, "flowing"),
        (
            Comes(
                "a1",
                Inbound {
                    redelivered: true,
                    delivery_count: 1,
                    ..deduped(History::default())
                },
            ),
            "waits",
        ),
        (Next, "read 2 from 60 s before, idle"),
    ]);
}

/// Both are to be sent at the same time: the first that is due is.
#[test]
fn of_two_for_later_one_is_sent() {
    let later = |history: History| Inbound {
        not_before: not_before("2027-01-15T08:00:20Z"),
        ..deduped(history)
    };
    let due = |follows: bool| History {
        hops: 1,
        arrived_ms: WALL_MS,
        first_seen_ms: WALL_MS + 20_000,
        follows,
        ..History::default()
    };
    then(
        sent(),
        vec![
            (Comes("b1", later(History::default())), "delay 20 #0"),
            (Settled("b1", true), "flowing"),
            (Comes("b1", later(History::default())), "delay 20 #0"),
            (Settled("b1", true), "flowing"),
            // Nor one that is to be sent at once.
            (new("b1"), "waits"),
            (Next, "b1 delay 1 #0, idle"),
            (Settled("b1", true), "flowing"),
            (At(20.0), "flowing"),
            (Comes("b1", later(due(true))), "waits"),
            (Next, "b1 delay 10 #0, idle"),
            (Settled("b1", true), "flowing"),
            (Comes("b1", later(due(false))), "waits"),
            (Next, "send b1, idle"),
        ],
    );
}

/// What another worker had ended was not in the log yet as that was read; one that comes again is looked up.
#[test]
fn what_is_found_of_one_that_comes_again_counts_for_others_of_its_id() {
    then(
        begun(),
        vec![
            (Next, "send a1, idle"),
            (Again("b1", 1), "asks"),
            (Heard("b1", Status::Accepted, 0), "flowing"),
            (Evidence("b1", true), "repeat"),
            (Settled("b1", true), "flowing"),
            (new("b1"), "waits"),
            (Next, "b1 duplicate, accepted, idle"),
        ],
    );
}

/// The result could not be published: RabbitMQ delivers the first again, and until then the second waits.
#[test]
fn an_end_that_is_not_confirmed_is_awaited() {
    then(
        sent(),
        vec![
            (Answer("a1", accepted()), "accepted #1"),
            (Settled("a1", false), "flowing"),
            (new("a1"), "waits"),
            (Next, "a1 delay 1 #0, idle"),
        ],
    );
}
