//! A result as it comes from `wa.results`, and whether it agrees with the API's own ledger.

use graph_sim::Entry;
use serde::Deserialize;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Accepted,
    Rejected,
    Expired,
    Failed,
    Unknown,
}

impl Status {
    pub const ALL: [Self; 5] = [
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
pub struct Answer {
    pub status: Status,
    pub wamid: Option<String>,
    #[serde(default)]
    pub attempts: u32,
    #[serde(default)]
    pub possible_duplicate: bool,
    pub error: Option<Refusal>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Refusal {
    pub code: Option<i64>,
    pub class: Option<String>,
    pub title: Option<String>,
    pub details: Option<String>,
    pub at: Option<String>,
}

pub const LOST: &str = "without a result";

/// What is wrong with a request that has these results, each once and in order, and of which the API took this.
pub fn fault(answers: &[Answer], taken: &[&Entry]) -> Option<&'static str> {
    let Some(last) = answers.last() else {
        return Some(LOST);
    };
    let is_flagged = answers.iter().any(|answer| answer.possible_duplicate);
    if taken.len() > 1 && !is_flagged {
        return Some("sent twice and not flagged");
    }
    if answers.len() > 1 && !is_flagged {
        return Some("answered twice, differently, and not flagged");
    }
    let is_taken = |wamid: &String| taken.iter().any(|taken| taken.wamid == *wamid);
    let mut accepted = answers.iter().filter(|a| a.status == Status::Accepted);
    if !accepted.all(|answer| answer.wamid.as_ref().is_some_and(is_taken)) {
        return Some("accepted, and not in the API's ledger");
    }
    let may_be_taken = match last.status {
        Status::Accepted | Status::Unknown => true,
        Status::Rejected | Status::Expired | Status::Failed => last.possible_duplicate,
    };
    (!may_be_taken && !taken.is_empty()).then_some("in the API's ledger, and reported otherwise")
}

/// What does not add up: many of a kind make one line, with the first few as examples.
#[derive(Default)]
pub struct Findings(Vec<(String, Vec<String>)>);

impl Findings {
    pub fn note(&mut self, what: &str, which: impl Into<String>) {
        let known = self.0.iter_mut().find(|(known, _)| known == what);
        match known {
            Some((_, all)) => all.push(which.into()),
            None => self.0.push((what.to_owned(), vec![which.into()])),
        }
    }

    pub fn lines(self) -> Vec<String> {
        let line = |(what, all): (String, Vec<String>)| {
            let some: Vec<_> = all.iter().take(3).map(String::as_str).collect();
            format!("{what}: {}, such as {}", all.len(), some.join(", "))
        };
        self.0.into_iter().map(line).collect()
    }
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
