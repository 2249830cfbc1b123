//! The check of what names a file by its link, in the place of the file.

use super::IntakeConfig;
use super::body::{Checked, member};
use super::facts::Facts;
use crate::contract::fault::Fault;
use serde_json::Value;

/// Checks what names a file by its link; of a file that came as the body, nothing is left to check.
pub(super) fn check(
    _: &Facts,
    body: &Value,
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Checked {
    match member(body, "link").map(Value::as_str) {
        None if body.is_null() => {}
        None | Some(None) => {
            let problem = "is required and must be a text; or publish the file's bytes, with its content_type";
            faults.push(Fault::new("/link", problem));
        }
        Some(Some(link)) => {
            if let Err(problem) = config.sources.check(link) {
                faults.push(Fault::new("/link", problem));
            }
        }
    }
    Checked {
        recipient: None,
        template: None,
        own_opaque: None,
        added: vec![],
        lifetime: None,
    }
}
