//! How a lane is left, and what the others are told of it.

use super::*;
use crate::contract::words::Scope;
use crate::core::fleet::holds::{Hold, Why};
use crate::core::fleet::tenure::Unread;

#[test]
fn a_lane_that_another_took_is_left_and_claimed_no_more() {
    let mut driver = driver();
    own(&mut driver);
    deliver(&mut driver, "x", 2.0);
    driver.apply_orders(orders(Some(&owner("a"))), now(2.0));
    assert_eq!(perform(&mut driver, now(2.0)), "");
    driver.apply_orders(orders(Some(&owner("b"))), now(2.0));
    assert_eq!(perform(&mut driver, now(2.0)), "overruled");
    assert_eq!(turn(&mut driver, OPEN, 2.0), "");
    assert!(driver.is_leaving());
    // It was told once.
    driver.apply_orders(orders(Some(&owner("b"))), now(2.0));
    assert_eq!(perform(&mut driver, now(2.0)), "");
    assert_eq!(
        left(&mut driver, &[unread("x", 1)]),
        ["holds", "opening", "listen", "give back", "close"]
    );
}

#[test]
fn a_lane_that_another_took_does_not_even_try_whether_a_hold_is_over() {
    let mut driver = driver();
    own(&mut driver);
    let hold = Hold {
        scope: Scope::Lane,
        why: Why::Block,
        code: Some(131_045),
        remedy: "",
        since_ms: 0,
        until_ms: u64::MAX,
        failed_probes: 0,
    };
    let held = Held {
        hold: Some(hold),
        ..Held::default()
    };
    driver.apply_orders(
        Orders {
            held,
            ..orders(None)
        },
        now(2.0),
    );
    turn(&mut driver, OPEN, 2.0);
    left(&mut driver, &[]);
    driver.apply_orders(orders(None), now(4.0));
    let prefetch = driver.prefetch();
    driver.subscribed(prefetch, now(4.0));
    assert_eq!(driver.state().as_str(), "probing");
    deliver(&mut driver, "x", 4.0);
    driver.claimed(Legacy::default(), now(4.0));
    driver.read();
    perform(&mut driver, now(4.0));
    driver.apply_orders(orders(Some(&owner("b"))), now(5.0));
    assert_eq!(perform(&mut driver, now(5.0)), "overruled");
    assert_eq!(turn(&mut driver, OPEN, 6.0), "");
    assert!(driver.is_leaving());
}

/// What came as the lane was given back: never before, or with that count.
fn unread(id: &str, delivery_count: u64) -> Unread {
    Unread {
        identity: Identity::new(id, 0, None),
        delivery_count,
        is_doubtful: delivery_count > 0,
    }
}

/// Leaves to the end. `unread`: what RabbitMQ delivers as it is given back what it had delivered.
fn left(driver: &mut Driver<&'static str>, unread: &[Unread]) -> Vec<String> {
    let mut steps = vec![];
    loop {
        perform(driver, now(3.0));
        let step = match driver.leave_step(10) {
            LeaveStep::TellHolds => {
                driver.others_told();
                "holds"
            }
            LeaveStep::FinishOpening => {
                driver.opening_finished();
                "opening"
            }
            LeaveStep::Listen { quiet } => {
                assert_eq!(quiet, Duration::from_millis(250));
                driver.heard_out();
                "listen"
            }
            LeaveStep::AwaitClaim => {
                driver.claimed(Legacy::default(), now(3.0));
                "claim"
            }
            LeaveStep::TellUnsent(unsent) => {
                driver.others_told();
                let named = unsent
                    .iter()
                    .map(|(id, count)| format!(" {} {count}", id.id()));
                let named: String = named.collect();
                steps.push(format!("unsent{named}"));
                continue;
            }
            LeaveStep::GiveBack => {
                driver.given_back(unread.to_vec());
                "give back"
            }
            LeaveStep::Close => {
                driver.closed(true, vec![]);
                "close"
            }
            LeaveStep::Left => return steps,
        };
        steps.push(step.to_owned());
    }
}

#[test]
fn what_waits_is_told_before_it_goes_back_and_again_as_it_came_again() {
    let mut driver = driver();
    own(&mut driver);
    deliver(&mut driver, "x", 2.0);
    driver.drain();
    turn(&mut driver, OPEN, 2.0);
    assert!(driver.is_drained());
    driver.leave();
    let steps = left(&mut driver, &[unread("x", 1)]);
    let expected = [
        "opening",
        "listen",
        "unsent x 0",
        "give back",
        "unsent x 1",
        "close",
    ];
    assert_eq!(steps, expected);
}

#[test]
fn a_lane_that_ends_before_it_is_its_own_claims_what_it_was_given() {
    let mut driver = driver();
    deliver(&mut driver, "x", 2.0);
    driver.drain();
    driver.leave();
    let steps = left(&mut driver, &[]);
    assert_eq!(
        steps,
        [
            "opening",
            "listen",
            "claim",
            "unsent x 0",
            "give back",
            "close"
        ]
    );
}

#[test]
fn an_empty_lane_has_nothing_to_give_back() {
    let mut driver = driver();
    own(&mut driver);
    driver.drain();
    driver.leave();
    assert_eq!(
        left(&mut driver, &[]),
        ["opening", "listen", "unsent", "close"]
    );
}

/// Another worker may have had it in between, and have sent it.
#[test]
fn what_did_not_come_again_is_not_told_as_if_it_had() {
    let mut driver = driver();
    own(&mut driver);
    deliver(&mut driver, "x", 2.0);
    deliver(&mut driver, "y", 2.0);
    driver.drain();
    driver.leave();
    let steps = left(
        &mut driver,
        &[unread("x", 1), unread("y", 2), unread("z", 0)],
    );
    let expected = [
        "opening",
        "listen",
        "unsent x 0 y 0",
        "give back",
        "unsent x 1 z 0 y 0",
        "close",
    ];
    assert_eq!(steps, expected);
}
