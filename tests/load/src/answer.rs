//! A result as it comes from `wa.results`, as far as this tool looks into it.

use serde::Deserialize;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Accepted,
    Rejected,
    Expired,
    Failed,
    Unknown,
}

impl Status {
    pub(crate) const ALL: [Self; 5] = [
        Self::Accepted,
        Self::Rejected,
        Self::Expired,
        Self::Failed,
        Self::Unknown,
    ];
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) wamid: Option<String>,
    #[serde(default)]
    pub(crate) attempts: u32,
    #[serde(default)]
    pub(crate) possible_duplicate: bool,
    pub(crate) error: Option<Refusal>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    pub(crate) code: Option<i64>,
    pub(crate) class: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) details: Option<String>,
    pub(crate) at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_contract_says() {
        let accepted: Answer = serde_json::from_str(
            r#"{"id":"a","phone_number_id":"1","status":"accepted","wamid":"wamid.X","attempts":2,"possible_duplicate":true,"completed_at":"2026-01-01T00:00:00Z"}"#,
        )
        .unwrap();
        assert_eq!(
            (
                accepted.status,
                accepted.attempts,
                accepted.possible_duplicate
            ),
            (Status::Accepted, 2, true)
        );
        let rejected: Answer =
            serde_json::from_str(r#"{"id":"a","phone_number_id":"1","status":"rejected","error":{"class":"invalid","at":"/text/body","more":1}}"#).unwrap();
        assert_eq!(
            rejected.error.and_then(|error| error.at).as_deref(),
            Some("/text/body")
        );
    }
}
