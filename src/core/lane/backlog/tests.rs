//! What the lane's stories cannot see: what is remembered of people, and for how long.

use super::*;
use crate::contract::request::Inbound;
use crate::core::operation::IntakeConfig;
use crate::core::request::intake::intake;

const PAIR: Spacing = Spacing {
    interval: Duration::from_secs(6),
    burst: 2,
};

fn at(seconds: u64) -> Now {
    Now {
        mono: Duration::from_secs(seconds),
        wall_ms: 1_800_000_000_000 + seconds * 1_000,
        steady_ms: 1_800_000_000_000 + seconds * 1_000,
    }
}

fn message(person: u64) -> Message {
    let body = format!(r#"{{"to":"{}"}}"#, 49_000 + person);
    let inbound = Inbound {
        message_id: Some("r-1"),
        ..Inbound::default()
    };
    intake(body.into(), inbound, &IntakeConfig::OF_TESTS, at(0)).unwrap()
}

fn key(message: &Message) -> Key {
    message
        .recipient
        .clone()
        .map_or(Key::Nobody(0), Key::Person)
}

/// Sends one message to the person, and gets its answer as many seconds later.
fn write_to(backlog: &mut Backlog, person: u64, sent_at: u64, took: u64) {
    let message = message(person);
    let key = key(&message);
    backlog.push(message, person, false, at(sent_at));
    assert!(backlog.pick() == Some((key.clone(), Priority::Bulk)));
    backlog.take_to_send(&key, Priority::Bulk).unwrap();
    backlog.count_pair(&key, at(sent_at + took));
    backlog.answered(&key, true, at(sent_at + took));
}

/// How many people are remembered after each of these seconds, one person written to in each, answered after `took`.
fn check(took: u64, seconds: u64, most: usize) -> Backlog {
    let mut backlog = Backlog::new(PAIR, 1_000, 3);
    for now in 0..seconds {
        write_to(&mut backlog, now, now, took);
        for _ in 0..2 {
            backlog.forget_some(at(now + took));
        }
        let people = backlog.people();
        assert!(
            people <= most,
            "{people} people are remembered after {now} s"
        );
    }
    backlog
}

#[test]
fn people_are_forgotten_once_they_owe_nothing() {
    // 6 s of debt each, one person a second.
    let mut backlog = check(0, 200, 8);
    // Long answers too: their debt begins after others of theirs would have ended.
    check(20, 200, 8);
    for _ in 0..20 {
        backlog.forget_some(at(300));
    }
    assert_eq!((backlog.people(), backlog.len()), (0, 0));
}

#[test]
fn whoever_waits_or_owes_is_not_forgotten() {
    let mut backlog = Backlog::new(PAIR, 1_000, 3);
    write_to(&mut backlog, 1, 0, 0);
    backlog.push(message(2), 7, false, at(0));
    for _ in 0..20 {
        backlog.forget_some(at(5));
    }
    assert_eq!((backlog.people(), backlog.len()), (1, 1));
    // Debts are owed by the number, whatever becomes of its deliveries.
    assert_eq!(backlog.clear().count(), 1);
    assert_eq!((backlog.people(), backlog.len()), (1, 0));
    backlog.forget_some(at(6));
    assert_eq!(backlog.people(), 0);
}

#[test]
fn no_more_people_are_remembered_than_allowed() {
    let patient = Spacing {
        interval: Duration::from_secs(1_000),
        ..PAIR
    };
    let mut backlog = Backlog::new(patient, 50, 3);
    for person in 0..500 {
        write_to(&mut backlog, person, person, 0);
        backlog.forget_some(at(person));
        assert!(backlog.people() <= 51, "{}", backlog.people());
    }
    // Whoever was written to last is among them.
    let last = key(&message(499));
    assert!(backlog.pair_not_before(&last) > Duration::ZERO);
}

#[test]
fn what_waits_is_given_back_in_the_order_it_came() {
    let mut backlog = Backlog::new(PAIR, 1_000, 3);
    for ticket in 0..50 {
        let mut message = message(ticket % 7);
        message.delivery_count = ticket;
        backlog.push(message, ticket, false, at(0));
    }
    let order: Vec<u64> = backlog
        .clear()
        .map(|message| message.delivery_count)
        .collect();
    assert!(order.is_sorted() && order.len() == 50, "{order:?}");
    assert!(backlog.pick().is_none() && backlog.next_unpark().is_none());
}

/// Those of most lines are another worker's by now, and come back to it.
#[test]
fn what_is_away_is_remembered_for_so_many_and_the_newest() {
    let mut backlog = Backlog::new(PAIR, 10, 3);
    for person in 0..100 {
        let (message, now) = (message(person), at(person));
        let how = backlog.departure(&message, now.mono, Duration::from_secs(1), now);
        backlog.leaves(&message, Leaves::Behind, how, now);
        let (requests, lines) = backlog.away.len();
        assert!(requests <= 10 && lines <= 2 * 10 + 17);
    }
    let follows = |person| {
        let back = backlog.has_to_leave(&message(person), None, 5);
        back.is_some()
    };
    assert!(follows(99) && follows(90));
    assert!(!follows(89) && !follows(0));
}
