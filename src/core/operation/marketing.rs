//! A marketing template, sent through the Marketing Messages API: a message in all else, of the same lane and to the same limits. Source:
//! Meta, "Marketing Messages API for WhatsApp"; that both share a number's throughput is not said there, and assumed.

use super::body::{Checked, member};
use super::config::IntakeConfig;
use super::facts::Facts;
use super::message;
use crate::contract::fault::Fault;
use serde_json::Value;

pub(super) fn check(
    facts: &Facts,
    body: &Value,
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Checked {
    if member(body, "type").is_none_or(|kind| kind != "template") {
        faults.push(Fault::new(
            "/type",
            "must be \"template\": only marketing templates go this way",
        ));
    }
    // A marketing template has its own.
    Checked {
        lifetime: None,
        ..message::check(facts, body, config, faults)
    }
}
