//! How a lane is left, and what the others are told of it.

use super::*;
use crate::contract::words::Scope;
use crate::core::fleet::holds::{Hold, Why};

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
        left(&mut driver, true),
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
    left(&mut driver, false);
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

/// Leaves to the end. `came_again`: RabbitMQ delivers what it is given back once more.
fn left(driver: &mut Driver<&'static str>, came_again: bool) -> Vec<&'static str> {
    let mut steps = vec![];
    loop {
        perform(driver, now(3.0));
        steps.push(match driver.leave_step(10) {
            LeaveStep::TellHolds => {
                driver.told();
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
                driver.told();
                let ids: Vec<_> = unsent.iter().map(|(id, count)| (id.id(), *count)).collect();
                match ids[..] {
                    [] => "unsent none",
                    [("x", 0)] => "unsent x",
                    [("x", 1)] => "unsent x, once more",
                    _ => panic!("{ids:?}"),
                }
            }
            LeaveStep::GiveBack => {
                driver.given_back(came_again, vec![]);
                "give back"
            }
            LeaveStep::Close => {
                driver.closed(true, vec![]);
                "close"
            }
            LeaveStep::Left => return steps,
        });
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
    let steps = left(&mut driver, true);
    let expected = [
        "opening",
        "listen",
        "unsent x",
        "give back",
        "unsent x, once more",
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
    let steps = left(&mut driver, false);
    assert_eq!(
        steps,
        [
            "opening",
            "listen",
            "claim",
            "unsent x",
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
        left(&mut driver, false),
        ["opening", "listen", "unsent none", "close"]
    );
}
