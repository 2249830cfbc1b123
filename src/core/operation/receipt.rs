//! A message that is marked as read, or a typing indicator: both say `status`, and name a message that came in. Source: Meta, "Mark
//! messages as read" and "Typing indicators".

use super::body::{Added, Checked, check_opaque, check_product, member, require_text};
use super::config::IntakeConfig;
use super::facts::Facts;
use super::sizes;
use crate::contract::fault::Fault;
use serde_json::Value;

/// Whether a body that came as a message is one of these.
pub(super) fn is_one(body: &Value) -> bool {
    member(body, "status").is_some()
}

pub(super) fn check(
    _: &Facts,
    body: &Value,
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Checked {
    check_product(body, faults);
    require_text(body, "message_id", faults);
    let own_opaque = check_opaque(body, faults);
    if config.check_sizes {
        sizes::check(body, faults);
    }
    Checked {
        recipient: None,
        template: None,
        own_opaque,
        added: vec![Added::product(body)],
        lifetime: None,
    }
}
