//! Stories of one driver. A delivery is its request's name.

use super::*;
use crate::contract::request::Inbound;
use crate::core::fleet::holds::Held;
use crate::core::fleet::tenure::Owner;
use crate::core::lane::LaneConfig;
use crate::core::lane::pacing::Spacing;
use crate::core::operation::IntakeConfig;
use crate::core::outcome::Rules;
use crate::core::request::decide::Decision;
use crate::core::request::intake::intake;
use crate::core::request::recent::Identity;
use std::fmt::Write;

mod leaving;

const OPEN: Consuming = Consuming {
    has_session: true,
    is_open: true,
    may_send: true,
    is_misplaced: false,
};

fn lane_config() -> LaneConfig {
    let pair = Spacing {
        interval: Duration::ZERO,
        burst: 45,
    };
    LaneConfig {
        pair,
        ..crate::core::lane::tests::config()
    }
}

fn now(seconds: f64) -> Now {
    let ms = (seconds * 1_000.0) as u64;
    Now {
        mono: Duration::from_millis(100_000 + ms),
        wall_ms: 1_800_000_000_000 + ms,
        steady_ms: 1_800_000_000_000 + ms,
    }
}

fn config() -> DriverConfig {
    DriverConfig {
        worker: "a".into(),
        owner_first: Duration::from_secs(20),
        lookback: Duration::from_secs(60),
        quick: (Duration::from_millis(100), Duration::from_secs(1)),
    }
}

fn driver() -> Driver<&'static str> {
    let lane = Lane::new(LaneId::new("1"), lane_config(), now(0.0));
    let mut driver = Driver::new(lane, config(), false, now(0.0));
    driver.session_changed(false, now(0.0));
    let prefetch = driver.prefetch();
    driver.subscribed(prefetch, now(0.0));
    driver
}

/// `name`, delivered again if it ends in digits: that is its count of deliveries.
fn message(name: &str, now: Now) -> Result<Message, Refusal> {
    let id = name.trim_end_matches(char::is_numeric);
    let count = name[id.len()..].parse().unwrap_or(0);
    let body = r#"{"to":"4915112345678","type":"text","text":{"body":"hi"}}"#;
    let inbound = Inbound {
        message_id: Some(id).filter(|id| *id != "nameless"),
        redelivered: count > 0,
        delivery_count: count,
        ..Inbound::default()
    };
    intake(
        body.as_bytes().into(),
        inbound,
        &IntakeConfig::OF_TESTS,
        now,
    )
}

/// Performs all commands and says which they were. Deliveries are checked at once.
fn perform(driver: &mut Driver<&'static str>, now: Now) -> String {
    let mut done = String::new();
    while let Some(command) = driver.next_command() {
        match command {
            Command::Check(name) => driver.checked(name, message(name, now), now),
            Command::Claim => done += "claim ",
            Command::Refuse { delivery, .. } => write!(done, "refuse {delivery} ").unwrap(),
            Command::Ask { ticket, question } => {
                let former = question.former.map(|former| (former.run, former.gone));
                write!(done, "ask {ticket} {former:?} ").unwrap();
            }
            Command::Recall(read) => write!(done, "read {} ", read.number).unwrap(),
            Command::Upload(wanted) => {
                write!(done, "upload {} ", wanted.source.kind.as_str()).unwrap()
            }
            Command::Send(attempt) => write!(done, "send {} ", attempt.ticket).unwrap(),
            Command::Conclude { delivery, resolved } => {
                let word = match resolved.decision {
                    Decision::Finish(report) => report.status.as_str(),
                    Decision::Bury(_) => "bury",
                    Decision::Delay { .. } => "delay",
                    Decision::Repeat { .. } => "repeat",
                    Decision::Duplicate { .. } => "duplicate",
                    Decision::Forget => "forget",
                    Decision::Abandon => "abandon",
                };
                write!(done, "{word} {delivery} ").unwrap();
            }
            Command::Void(delivery) => write!(done, "give back {delivery} ").unwrap(),
            Command::Found(finding) => write!(done, "report {} ", finding.why.as_str()).unwrap(),
            Command::ReadLimit => done += "read limit ",
            Command::Overruled => done += "overruled ",
            Command::NoDelivery(ticket) => write!(done, "nothing at {ticket} ").unwrap(),
        }
    }
    done.trim_end().to_owned()
}

fn turn(driver: &mut Driver<&'static str>, consuming: Consuming, at: f64) -> String {
    driver.turn(consuming, now(at));
    perform(driver, now(at))
}

fn deliver(driver: &mut Driver<&'static str>, name: &'static str, at: f64) -> String {
    driver.delivered(name, now(at));
    perform(driver, now(at))
}

fn own(driver: &mut Driver<&'static str>) {
    assert_eq!(deliver(driver, "first", 0.0), "claim");
    driver.claimed(Legacy::default(), now(0.0));
    driver.read();
    assert_eq!(perform(driver, now(0.0)), "");
    assert_eq!(turn(driver, OPEN, 1.0), "send 0");
    let outcome = accepted();
    driver.answered(0, outcome, None, 0.5, now(1.0));
    assert_eq!(perform(driver, now(1.0)), "accepted first");
    driver.settled(0, true);
}

fn accepted() -> Outcome {
    Outcome::Accepted(crate::core::outcome::answer::Accepted::default())
}

fn not_sent() -> Outcome {
    Rules::default().classify(crate::core::outcome::answer::Reply::NotSent("connect"))
}

fn orders(owner: Option<&Owner>) -> Orders<'_> {
    Orders {
        held: Held::default(),
        templates: &[],
        owner,
        unsent: Arc::new([]),
        limit_mps: None,
        has_new_token: false,
    }
}

fn owner(worker: &str) -> Owner {
    Owner {
        worker: worker.into(),
        since_ms: 1,
        is_us: worker == "a",
    }
}

#[test]
fn nothing_is_read_before_all_can_know_whose_the_lane_is() {
    let mut driver = driver();
    assert_eq!(deliver(&mut driver, "x", 0.0), "claim");
    assert_eq!(deliver(&mut driver, "y", 0.1), "", "it was asked for");
    assert_eq!(turn(&mut driver, OPEN, 1.0), "");
    assert_eq!(driver.unread(), None);
    driver.claimed(Legacy::default(), now(1.0));
    assert_eq!(driver.unread(), Some(&"x"));
    // What comes meanwhile stays behind.
    assert_eq!(deliver(&mut driver, "z", 1.0), "");
    for _ in 0..3 {
        driver.read();
    }
    perform(&mut driver, now(1.0));
    assert_eq!(
        turn(&mut driver, OPEN, 2.0),
        "send 0",
        "one person, in order"
    );
}

#[test]
fn a_log_that_does_not_answer_is_given_up_after_a_while() {
    let mut driver = driver();
    deliver(&mut driver, "x", 0.0);
    let wake = driver.turn(OPEN, now(9.9));
    assert_eq!(wake, Some(now(10.0).mono));
    assert!(!driver.is_owner());
    driver.turn(OPEN, now(10.0));
    assert!(driver.is_owner());
    // The answer comes after all, and changes nothing.
    driver.claimed(legacy(vec![], Some(7)), now(11.0));
    driver.read();
    perform(&mut driver, now(11.0));
    assert_eq!(deliver(&mut driver, "y1", 11.0), "ask 1 None");
}

fn legacy(unsent: Vec<(Identity, u64)>, run: Option<u64>) -> Legacy {
    Legacy {
        unsent,
        former: run.map(|run| (run, Duration::from_secs(61))),
    }
}

#[test]
fn whoever_had_the_lane_for_long_is_the_one_to_ask_about() {
    let mut driver = driver();
    deliver(&mut driver, "x1", 0.0);
    driver.claimed(legacy(vec![], Some(7)), now(2.0));
    driver.read();
    let asked = perform(&mut driver, now(3.0));
    assert_eq!(asked, "ask 0 Some((7, 3s))", "since it was noticed");
    driver.evidence(0, Evidence::Result, now(4.0));
    assert_eq!(perform(&mut driver, now(4.0)), "repeat x1");

    let mut driver = self::driver();
    deliver(&mut driver, "x1", 0.0);
    let briefly = Legacy {
        former: Some((7, Duration::from_secs(60))),
        ..Legacy::default()
    };
    driver.claimed(briefly, now(2.0));
    driver.read();
    assert_eq!(perform(&mut driver, now(3.0)), "ask 0 None");
}

#[test]
fn what_the_one_before_has_not_sent_is_sent_without_asking() {
    let mut driver = driver();
    deliver(&mut driver, "x3", 0.0);
    let unsent = vec![(Identity::new("x", 0, None), 2)];
    driver.claimed(legacy(unsent, None), now(0.0));
    driver.read();
    assert_eq!(perform(&mut driver, now(0.0)), "");
    assert_eq!(turn(&mut driver, OPEN, 1.0), "send 0");
}

#[test]
fn a_lane_is_left_to_its_owner_once_all_have_lost_rabbitmq() {
    let mut driver = driver();
    driver.apply_orders(orders(Some(&owner("b"))), now(0.0));
    driver.session_changed(false, now(1.0));
    assert_eq!(
        driver.wanted_at(),
        Some(Duration::ZERO),
        "the first session"
    );
    driver.session_changed(true, now(2.0));
    assert_eq!(driver.wanted_at(), Some(now(22.0).mono));
    // A RabbitMQ that comes and goes leaves the lane to the dead no longer.
    driver.session_changed(true, now(21.0));
    assert_eq!(driver.wanted_at(), Some(now(22.0).mono));
    // To another life of its own worker it owes nothing.
    let earlier = Owner {
        is_us: false,
        ..owner("a")
    };
    driver.apply_orders(orders(Some(&earlier)), now(23.0));
    driver.session_changed(true, now(23.0));
    assert_eq!(driver.wanted_at(), Some(Duration::ZERO));
}

#[test]
fn a_fenced_lane_sends_nothing_and_looks_again() {
    let mut driver = driver();
    own(&mut driver);
    deliver(&mut driver, "x", 2.0);
    let fenced = Consuming {
        may_send: false,
        ..OPEN
    };
    assert_eq!(driver.turn(fenced, now(2.0)), Some(now(2.2).mono));
    assert_eq!(perform(&mut driver, now(2.0)), "");
    assert_eq!(driver.view(fenced).held_by, HeldBy::Broker);
    let cut_off = Consuming::default();
    assert_eq!(driver.turn(cut_off, now(2.0)), None);
    assert_eq!(turn(&mut driver, OPEN, 2.2), "send 1");
}

#[test]
fn pauses_grow_once_per_pause_and_end_with_an_answer() {
    let mut driver = driver();
    own(&mut driver);
    let mut pauses = vec![];
    let mut at = 2.0;
    for ticket in 1..=5 {
        // Each time the same request, as it keeps its place.
        let name = if ticket == 1 { "x" } else { "" };
        if !name.is_empty() {
            deliver(&mut driver, name, at);
        }
        assert_eq!(turn(&mut driver, OPEN, at), "send 1");
        pauses.push(
            driver
                .answered(1, not_sent(), None, 0.5, now(at))
                .as_millis(),
        );
        perform(&mut driver, now(at));
        at += 2.0;
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1_000]);
    turn(&mut driver, OPEN, at);
    driver.answered(1, accepted(), None, 0.5, now(at));
    assert_eq!(perform(&mut driver, now(at)), "accepted x");
    driver.settled(1, true);
    deliver(&mut driver, "y", at);
    deliver(&mut driver, "z", at);
    turn(&mut driver, OPEN, at + 1.0);
    let shortest = driver.answered(2, not_sent(), None, 0.0, now(at + 1.0));
    assert_eq!(shortest.as_millis(), 50);
}

#[test]
fn maintenance_announces_another_limit() {
    let mut driver = driver();
    own(&mut driver);
    deliver(&mut driver, "x", 2.0);
    turn(&mut driver, OPEN, 2.0);
    let error = crate::core::outcome::answer::ApiError {
        code: 131_057,
        ..crate::core::outcome::answer::ApiError::default()
    };
    let reply =
        crate::core::outcome::answer::Reply::Answered(crate::core::outcome::answer::Answer {
            status: 500,
            usage: Usage::default(),
            retry_after_s: None,
            body: crate::core::outcome::answer::AnswerBody::Error(error),
        });
    driver.answered(1, Rules::default().classify(reply), None, 0.5, now(2.0));
    let done = perform(&mut driver, now(2.0));
    assert!(done.starts_with("read limit"), "{done}");
}

#[test]
fn a_refusal_counts_as_under_way_until_it_is_told() {
    let mut driver = driver();
    own(&mut driver);
    assert_eq!(deliver(&mut driver, "nameless", 2.0), "refuse nameless");
    driver.drain();
    turn(&mut driver, OPEN, 2.0);
    assert!(!driver.is_drained());
    driver.refused();
    assert!(driver.is_drained());
}

#[test]
fn a_lost_channel_gives_back_what_waits_and_keeps_what_is_in_flight() {
    let mut driver = driver();
    own(&mut driver);
    deliver(&mut driver, "x", 2.0);
    deliver(&mut driver, "y", 2.0);
    assert_eq!(turn(&mut driver, OPEN, 2.0), "send 1");
    driver.channel_lost();
    assert_eq!(perform(&mut driver, now(2.0)), "give back y");
    assert!(!driver.is_owner());
    // It comes again while its answer is awaited, and is settled in the first one's place.
    assert_eq!(deliver(&mut driver, "x1", 3.0), "claim");
    driver.claimed(Legacy::default(), now(3.0));
    driver.read();
    assert_eq!(perform(&mut driver, now(3.0)), "give back x");
    driver.answered(1, accepted(), None, 0.5, now(3.0));
    assert_eq!(perform(&mut driver, now(3.0)), "accepted x1");
}
