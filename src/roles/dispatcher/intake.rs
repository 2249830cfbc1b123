//! The check of a delivery, which a request may make fail.

use crate::broker::delivery::Delivery;
use crate::contract::words::Class;
use crate::core::Now;
use crate::core::operation::IntakeConfig;
use crate::core::request::intake::{Refusal, intake};
use crate::core::request::message::Message;
use std::panic::AssertUnwindSafe;

/// Reads and checks a delivery. A request that makes the check itself fail would do the same to every worker in turn, and is refused.
pub fn take_in(
    delivery: &mut Delivery,
    config: &IntakeConfig,
    now: Now,
) -> Result<Message, Refusal> {
    let checking = || intake(delivery.body.clone(), delivery.inbound(), config, now);
    let checked = std::panic::catch_unwind(AssertUnwindSafe(checking));
    let checked = checked.unwrap_or_else(|_| Err(Refusal::of_a_panic()));
    if let Some(journey) = delivery.journey() {
        journey.received(checked.is_err().then_some(Class::Invalid.as_str()));
    }
    checked
}
