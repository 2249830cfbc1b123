//! What is wrong with a request. No fault ever repeats a value.

use serde::Serialize;
use std::fmt;

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// JSON pointer into the body; AMQP properties and headers stand under `/@amqp`.
    pub at: String,
    pub problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
}

impl Fault {
    pub(super) fn new(at: &str, problem: impl Into<String>) -> Self {
        Self {
            at: at.to_owned(),
            problem: problem.into(),
            limit: None,
            length: None,
        }
    }
    pub(in crate::core) fn too_long(at: &str, problem: &str, limit: usize, length: usize) -> Self {
        Self {
            at: at.to_owned(),
            problem: problem.to_owned(),
            limit: Some(limit),
            length: Some(length),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.at.is_empty() {
            "the body"
        } else {
            &self.at
        };
        write!(f, "{at} {}", self.problem)?;
        if let (Some(limit), Some(length)) = (self.limit, self.length) {
            write!(f, " (limit {limit}, length {length})")?;
        }
        Ok(())
    }
}

/// No JSON object, or no usable `message_id`.
pub(super) const MALFORMED: &str = "malformed";
/// Above `intake.max_body_bytes`.
pub(super) const TOO_LARGE: &str = "too_large";

/// A request that will not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whatever id it had.
    pub id: Option<String>,
    pub faults: Vec<Fault>,
    /// It can be neither parsed nor identified, so the answer alone would lose it: keep it in `wa.dead`, for this reason. Whole, unless
    /// it is too large.
    pub dead_reason: Option<&'static str>,
}

impl Refusal {
    /// Intake itself failed. Nothing is known of the request, and the next worker must not fail too.
    pub fn of_a_panic() -> Self {
        Self {
            id: None,
            faults: vec![Fault::new(
                "",
                "made the dispatcher's own check fail: please report it",
            )],
            dead_reason: Some(MALFORMED),
        }
    }
}
