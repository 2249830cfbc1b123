//! The body held against the form that Meta documents, as `intake.schema` says.

use crate::contract::fault::{FAULTS_MAX, Fault};
use crate::contract::result::WARNINGS_MAX;
use crate::core::operation::{IntakeConfig, Operation, SchemaCheck};
use serde_json::Value;
use std::sync::Arc;

fn is_inside(at: &str, place: &str) -> bool {
    let rest = at.strip_prefix(place);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Adds what is wrong to the faults, or returns it as warnings. Nobody is warned of a request that is refused.
pub(super) fn check(
    operation: Operation,
    body: &Value,
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Option<Arc<[Fault]>> {
    // The body is a file, and no document.
    if body.is_null() {
        return None;
    }
    let find = |most| operation.find_deviations(body, config, most);
    match config.schema {
        SchemaCheck::Off => None,
        SchemaCheck::Warn if !faults.is_empty() => None,
        SchemaCheck::Warn => Some(find(WARNINGS_MAX))
            .filter(|found| !found.is_empty())
            .map(Into::into),
        SchemaCheck::Strict => {
            let mut found = find(FAULTS_MAX);
            // Intake has said so already, perhaps of what is missing inside.
            found.retain(|one| faults.iter().all(|known| !is_inside(&known.at, &one.at)));
            faults.append(&mut found);
            None
        }
    }
}
