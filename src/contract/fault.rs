//! Faults of a request. No fault ever repeats a value.

use serde::Serialize;
use std::fmt;

/// Faults that are told of one request at most.
pub const FAULTS_MAX: usize = 50;

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
    pub fn new(at: &str, problem: impl Into<String>) -> Self {
        Self {
            at: at.to_owned(),
            problem: problem.into(),
            limit: None,
            length: None,
        }
    }
    pub fn too_long(at: &str, problem: &str, limit: usize, length: usize) -> Self {
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
