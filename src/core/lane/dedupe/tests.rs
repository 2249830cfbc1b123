use super::*;
use crate::contract::request::{Header, History, Inbound};
use crate::contract::words::Status;
use crate::core::operation::IntakeConfig;
use crate::core::request::intake::intake;
use proptest::prelude::*;
use std::collections::BTreeMap;

const START_S: u32 = 1_800_000_000;
const DEDUPE_S: u32 = 100;

fn now(seconds: u32) -> Now {
    let wall_ms = u64::from(START_S + seconds) * 1000;
    Now {
        mono: Duration::from_secs(seconds.into()),
        wall_ms,
        steady_ms: wall_ms,
    }
}

fn message(id: &str, at: u32) -> Message {
    stamped(id, at, None)
}

/// `published_at`: its `timestamp`.
fn stamped(id: &str, at: u32, published_at: Option<u32>) -> Message {
    let body = r#"{"to":"+34600112233","type":"text","text":{"body":"hi"}}"#;
    let inbound = Inbound {
        message_id: Some(id),
        dedupe: Some(Header::Int(DEDUPE_S.into())),
        timestamp_s: published_at.map(|at| (START_S + at).into()),
        history: History::default(),
        ..Inbound::default()
    };
    intake(body.into(), inbound, &IntakeConfig::OF_TESTS, now(at)).unwrap()
}

fn note(id: &str, at: u32, word: Word) -> Note {
    Note {
        key: key(id),
        at_s: START_S + at,
        word,
    }
}

/// Remembers so many ids, and has read an empty log.
fn begun(ids_max: usize) -> Dedupe {
    let mut dedupe = Dedupe::new(ids_max, now(0));
    assert_eq!(look(&mut dedupe, "?", 0), Look::Unread);
    let read = dedupe.next_read().unwrap();
    assert_eq!((read.from_s, read.only), (START_S - DEDUPE_S, None));
    assert!(dedupe.recalled(read.number, Recalled::Whole));
    dedupe
}

/// All in parts of two. Whether those who wait for it may look again.
fn told(dedupe: &mut Dedupe, read: &Read, notes: Vec<Note>) -> bool {
    for part in notes.chunks(2) {
        assert!(!dedupe.recalled(read.number, Recalled::Notes(part.to_vec())));
    }
    dedupe.recalled(read.number, Recalled::Whole)
}

fn look(dedupe: &mut Dedupe, id: &str, at: u32) -> Look {
    dedupe.turn(now(at));
    dedupe.enter(id, 7);
    let look = dedupe.look(&message(id, at), 7);
    dedupe.leave(id, 7);
    look
}

fn ends(dedupe: &mut Dedupe, id: &str, at: u32) {
    dedupe.turn(now(at));
    dedupe.note(id, now(at).wall_ms, Word::Accepted);
}

fn is_ended(look: Look) -> bool {
    matches!(look, Look::Ended(_))
}

#[test]
fn nothing_is_remembered_until_somebody_asks() {
    let mut dedupe = Dedupe::new(10, now(0));
    ends(&mut dedupe, "a", 0);
    assert_eq!(dedupe.len(), 0);
    let mut dedupe = begun(10);
    ends(&mut dedupe, "a", 0);
    assert_eq!(dedupe.len(), 1);
}

#[test]
fn what_nobody_can_ask_for_any_more_is_forgotten() {
    let mut dedupe = begun(1_000);
    ends(&mut dedupe, "a", 0);
    ends(&mut dedupe, "b", DEDUPE_S + MARGIN_S);
    assert_eq!(dedupe.len(), 2);
    ends(&mut dedupe, "c", DEDUPE_S + MARGIN_S + 1);
    assert_eq!(dedupe.len(), 2);
    assert_eq!(look(&mut dedupe, "a", DEDUPE_S + MARGIN_S + 1), Look::Goes);
}

/// It may wait in RabbitMQ for hours, behind a backlog or a pause, before anybody takes it.
#[test]
fn a_look_back_begins_when_the_request_was_published() {
    let cases = [
        (None, Look::Goes),
        (
            Some(10),
            Look::Ended(Ended {
                at_s: START_S + 5,
                status: Status::Accepted,
            }),
        ),
        (
            Some(DEDUPE_S + 5),
            Look::Ended(Ended {
                at_s: START_S + 5,
                status: Status::Accepted,
            }),
        ),
        (Some(DEDUPE_S + 6), Look::Goes),
        // A clock that is ahead.
        (Some(DEDUPE_S * 2 + 30), Look::Goes),
    ];
    for (published_at, expected) in cases {
        let mut dedupe = begun(10);
        ends(&mut dedupe, "a", 5);
        let taken_at = DEDUPE_S * 2;
        dedupe.turn(now(taken_at));
        dedupe.enter("a", 7);
        let message = stamped("a", taken_at, published_at);
        assert_eq!(dedupe.look(&message, 7), expected, "{published_at:?}");
    }
}

/// Of what does not fit the log is asked, id by id, and all else as before.
#[test]
fn what_was_forgotten_too_soon_is_searched_for() {
    let mut dedupe = begun(2);
    for (at, id) in ["a", "b", "c"].into_iter().enumerate() {
        ends(&mut dedupe, id, at as u32);
    }
    assert_eq!(dedupe.len(), 2);
    assert!(is_ended(look(&mut dedupe, "c", 10)));
    for id in ["a", "new"] {
        dedupe.turn(now(10));
        dedupe.enter(id, 1);
        assert_eq!(dedupe.look(&message(id, 10), 1), Look::Unread);
    }
    let read = dedupe.next_read().unwrap();
    let both = BTreeSet::from([key("a"), key("new")]);
    assert_eq!(read.only.as_deref(), Some(&both));
    assert_eq!(read.from_s, START_S + 10 - DEDUPE_S);
    let found = vec![note("a", 0, Word::Accepted)];
    assert!(told(&mut dedupe, &read, found));
    assert!(is_ended(dedupe.look(&message("a", 10), 1)));
    // It may have to wait for its turn, and is asked again then.
    for _ in 0..2 {
        assert_eq!(dedupe.look(&message("new", 10), 1), Look::Goes);
    }
    // A later delivery of it asks anew.
    dedupe.leave("new", 1);
    assert_eq!(look(&mut dedupe, "new", 10), Look::Unread);
}

#[test]
fn the_first_in_hand_leads_and_the_next_once_that_has_gone() {
    let mut dedupe = begun(10);
    for ticket in [1, 2, 3] {
        dedupe.enter("a", ticket);
    }
    let message = message("a", 0);
    let looks = |dedupe: &mut Dedupe| [2, 3, 1].map(|ticket| dedupe.look(&message, ticket));
    assert_eq!(
        looks(&mut dedupe),
        [Look::Follows, Look::Follows, Look::Goes]
    );
    dedupe.leave("a", 2);
    assert_eq!(dedupe.look(&message, 3), Look::Follows);
    dedupe.leave("a", 1);
    assert_eq!(dedupe.look(&message, 3), Look::Goes);
    // What is in flight as the lane is lost is so still.
    dedupe.lost([("a", 3)].into_iter());
    assert_eq!(dedupe.look(&message, 4), Look::Follows);
    dedupe.lost([].into_iter());
    dedupe.enter("a", 4);
    assert_eq!(dedupe.look(&message, 4), Look::Unread);
}

#[test]
fn what_ends_while_the_log_is_read_counts_after_what_was_read() {
    let mut dedupe = Dedupe::new(10, now(0));
    assert_eq!(look(&mut dedupe, "a", 0), Look::Unread);
    let read = dedupe.next_read().unwrap();
    dedupe.turn(now(1));
    dedupe.note("a", now(1).wall_ms, Word::Over);
    let notes = vec![note("a", 0, Word::Away)];
    assert!(told(&mut dedupe, &read, notes));
    assert_eq!(look(&mut dedupe, "a", 1), Look::Goes);
}

/// A read of a day hands over millions, and a lane must not hold more of them than it remembers.
#[test]
fn however_much_is_read_no_more_is_held_than_fits_and_it_is_the_newest() {
    const IDS_MAX: usize = 1_000;
    const IDS: u32 = 50_000;
    let mut dedupe = Dedupe::new(IDS_MAX, now(DEDUPE_S));
    assert_eq!(look(&mut dedupe, "?", DEDUPE_S), Look::Unread);
    let read = dedupe.next_read().unwrap();
    let id = |n: u32| format!("id-{n}");
    for n in 0..IDS {
        let at = n * DEDUPE_S / IDS;
        let notes = [Word::Away, Word::Accepted].map(|word| note(&id(n), at, word));
        assert!(!dedupe.recalled(read.number, Recalled::Notes(notes.to_vec())));
        // And others end meanwhile.
        ends(&mut dedupe, &format!("own-{n}"), DEDUPE_S + at);
        let heard = dedupe.reading.as_ref().map_or(0, |r| r.heard.len());
        assert!(dedupe.len() <= IDS_MAX && dedupe.ids.entries() <= 2 * IDS_MAX && heard <= IDS_MAX);
    }
    assert!(dedupe.recalled(read.number, Recalled::Whole));
    let newest = format!("own-{}", IDS - 1);
    assert!(is_ended(look(&mut dedupe, &newest, 2 * DEDUPE_S)));
    // Nothing that was forgotten is let through.
    for unknown in ["id-0", "own-0", "new"] {
        let look = look(&mut dedupe, unknown, 2 * DEDUPE_S);
        assert_eq!(look, Look::Unread, "{unknown}");
    }
}

/// The answer stands for as long as one of the id is here, and what has ended since may not have room any more.
#[test]
fn what_ends_after_an_id_was_searched_for_is_in_its_answer() {
    let mut dedupe = begun(1);
    ends(&mut dedupe, "x", 0);
    ends(&mut dedupe, "y", 1);
    dedupe.enter("a", 1);
    dedupe.enter("a", 2);
    assert_eq!(dedupe.look(&message("a", 1), 1), Look::Unread);
    let read = dedupe.next_read().unwrap();
    assert!(told(&mut dedupe, &read, vec![]));
    assert_eq!(dedupe.look(&message("a", 1), 1), Look::Goes);
    ends(&mut dedupe, "a", 2);
    dedupe.leave("a", 1);
    ends(&mut dedupe, "z", 3);
    assert!(is_ended(dedupe.look(&message("a", 3), 2)));
}

/// A part says nothing of what it does not name.
#[test]
fn nobody_relies_on_what_was_read_in_part() {
    let mut dedupe = Dedupe::new(10, now(0));
    assert_eq!(look(&mut dedupe, "a", 0), Look::Unread);
    let read = dedupe.next_read().unwrap();
    let notes = vec![note("b", 0, Word::Accepted)];
    assert!(!dedupe.recalled(read.number, Recalled::Notes(notes)));
    assert_eq!(look(&mut dedupe, "a", 0), Look::Unread);
    assert!(is_ended(look(&mut dedupe, "b", 0)));
    assert!(dedupe.recalled(read.number, Recalled::Failed));
    assert_eq!(look(&mut dedupe, "a", 0), Look::Follows);
    assert!(!dedupe.recalled(read.number, Recalled::Whole), "it is over");
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Ends(u8, Word),
    Asks(u8),
    Passes(u8),
    /// Another worker has the lane, and ends that; this one learns of it so much later.
    Elsewhere(u8, Word, u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    let word = || {
        prop_oneof![
            Just(Word::Accepted),
            Just(Word::Unknown),
            Just(Word::Over),
            Just(Word::Away)
        ]
    };
    prop_oneof![
        (0_u8..6, word()).prop_map(|(id, word)| Happens::Ends(id, word)),
        (0_u8..6).prop_map(Happens::Asks),
        (0_u8..90).prop_map(Happens::Passes),
        (0_u8..6, word(), 0_u8..90)
            .prop_map(|(id, word, later)| Happens::Elsewhere(id, word, later)),
    ]
}

proptest! {
    /// However little fits, and whoever had the lane meanwhile: it knows exactly what the whole log says, and never lets through what it
    /// has not looked for.
    #[test]
    fn it_knows_what_the_log_says(
        ids_max in 1_usize..6,
        story in proptest::collection::vec(happens(), 1..60),
    ) {
        let mut dedupe = Dedupe::new(ids_max, now(0));
        let (mut at, mut log, mut whole) = (0, vec![], BTreeMap::<u64, Known>::new());
        for happens in story {
            if !matches!(happens, Happens::Elsewhere(..)) {
                dedupe.hold(now(at));
            }
            match happens {
                Happens::Passes(seconds) => at += u32::from(seconds),
                Happens::Ends(id, word) | Happens::Elsewhere(id, word, _) => {
                    let id = id.to_string();
                    let note = note(&id, at, word);
                    log.push(note);
                    whole.entry(note.key).or_default().apply(&note);
                    if let Happens::Elsewhere(_, _, later) = happens {
                        at += u32::from(later);
                        dedupe.turn(now(at));
                        dedupe.lost([].into_iter());
                    } else {
                        dedupe.note(&id, now(at).wall_ms, word);
                    }
                }
                Happens::Asks(id) => {
                    let id = id.to_string();
                    let message = message(&id, at);
                    dedupe.enter(&id, 1);
                    let mut look = dedupe.look(&message, 1);
                    let mut reads = 0;
                    while look == Look::Unread {
                        let read = dedupe.next_read().unwrap();
                        let is_read = |note: &&Note| {
                            let is_wanted = read.only.as_ref().is_none_or(|only| only.contains(&note.key));
                            note.at_s >= read.from_s && is_wanted
                        };
                        let notes = log.iter().filter(is_read).copied().collect();
                        prop_assert!(told(&mut dedupe, &read, notes));
                        look = dedupe.look(&message, 1);
                        reads += 1;
                        prop_assert!(reads <= 2);
                    }
                    dedupe.leave(&id, 1);
                    let known = whole.get(&key(&id)).copied().unwrap_or_default();
                    let expected = known.look(START_S + at - DEDUPE_S, false);
                    // Of several ends any answers.
                    if !is_ended(look) || !is_ended(expected) {
                        prop_assert_eq!(look, expected);
                    }
                }
            }
            prop_assert!(dedupe.len() <= ids_max);
        }
    }
}
