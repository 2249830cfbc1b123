//! Classification of an observed [`Reply`]: one table of API codes, and one way to read it.
//!
//! The order of evidence: the API's own code, its `is_transient`, the HTTP status, the phase of the transport.
//! The status comes late because Meta documents 400 for most throttles and 500 for faults that never heal
//! ("Error codes", November 2025). What cannot be known is [`Effect::Ambiguous`], not a failure.

use answer::{Accepted, Answer, AnswerBody, ApiError, Reply};

pub mod answer;
mod operations;
mod overrides;
mod row;
mod table;

use crate::contract::result::ErrorDocument;
use crate::contract::words::{Class, Scope};
use crate::core::operation::{Operation, Route};
pub use overrides::Override;
pub use row::{Effect, MAX_RETRY_AFTER_S, Row, When, fetch_failed};
use table::{INVALID, TOO_FAST, UNSENT, blocked, maybe_sent, second_recipient};
pub use table::{SOURCES, TABLE};

/// Remedy of an outage.
pub const WAIT: &str =
    "wait: the API has trouble (see metastatus.com), and is asked again by itself";
/// Remedy of a fault on the way to the API.
pub const UNREACHABLE: &str =
    "nothing reaches the API: check the network, DNS, TLS and graph.base_url";
/// Remedy of a pause that the API asked for.
pub const PAUSE: &str = "none needed: the API asked for this pause";

/// The remedy of that wording; another version may word it differently.
pub fn remedy_like(text: &str) -> &'static str {
    let of_table = table::TABLE.iter().filter_map(|row| match row.effect {
        Effect::Blocked { remedy, .. } => Some(remedy),
        Effect::Refused { .. }
        | Effect::Transient { .. }
        | Effect::Throttled { .. }
        | Effect::Ambiguous => None,
    });
    let own = [WAIT, UNREACHABLE, PAUSE, NEW_TOKEN, LOOK_UP, BASE_URL];
    let mut known = own.into_iter().chain(of_table);
    known.find(|known| *known == text).unwrap_or(LOOK_UP)
}

/// The meaning of a reply for its message, and for others.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Accepted(Accepted),
    /// Nothing can have reached the API: safe to repeat at once.
    NotSent {
        error: ErrorDocument,
    },
    /// The API's answer, or that there is none. Its effect has the waits that the server asks for.
    Failed(Effect, ErrorDocument),
}

impl Outcome {
    pub fn effect(&self) -> Option<Effect> {
        match self {
            Outcome::Failed(effect, _) => Some(*effect),
            Outcome::Accepted(_) | Outcome::NotSent { .. } => None,
        }
    }
}

/// The built-in table, with the configuration's rows in front.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    overrides: Vec<Row>,
}

impl Rules {
    /// The first of two overrides for the same code and subcode counts.
    pub fn new(overrides: Vec<Override>) -> Rules {
        Rules {
            overrides: overrides.iter().map(Override::row).collect(),
        }
    }

    /// The row for a code. One for its subcode goes first: an override of 100 leaves 100 with subcode 33 alone.
    pub fn row(&self, code: i64, subcode: Option<i64>) -> Option<&Row> {
        self.find(code, subcode, None)
    }

    pub fn classify(&self, reply: Reply) -> Outcome {
        match reply {
            Reply::Answered(answer) => self.judge(answer),
            Reply::NotSent(reason) => Outcome::NotSent {
                error: own(Class::Transient, format!("not sent: {reason}")),
            },
            Reply::NoFile(failure) if failure.is_final => {
                Outcome::Failed(INVALID, failure.at("/link"))
            }
            Reply::NoFile(failure) => Outcome::Failed(UNSENT, failure.at("/link")),
            Reply::NoAnswer(reason) => Outcome::Failed(
                Effect::Ambiguous,
                own(Class::Ambiguous, format!("no answer: {reason}")),
            ),
        }
    }

    /// Classifies the reply to an operation. What it meets is its own, or its lane's: no message waits for that, and most of it
    /// says nothing about the account, as it is about the one thing that the operation names.
    pub fn judge_of(&self, operation: Operation, reply: Reply) -> Outcome {
        match (operation.facts().route, self.classify(reply)) {
            (Route::Account, Outcome::Failed(effect, error)) => {
                let effect = operations::narrowed(effect, error.code);
                let class = effect.class().as_str();
                Outcome::Failed(effect, ErrorDocument { class, ..error })
            }
            (Route::Account | Route::Number, outcome) => outcome,
        }
    }

    fn judge(&self, answer: Answer) -> Outcome {
        let Answer {
            status,
            usage: _,
            retry_after_s,
            body,
        } = answer;
        match body {
            // A message id is proof, whatever the status.
            AnswerBody::Accepted(accepted) => Outcome::Accepted(accepted),
            AnswerBody::Success if (200..300).contains(&status) => {
                Outcome::Accepted(Accepted::default())
            }
            AnswerBody::Error(error) => {
                let row = self.find(error.code, error.subcode, error.details.as_deref());
                let effect = row.map_or_else(
                    || of_unknown_code(error.is_transient, status),
                    |row| row.effect,
                );
                let error = of_api(effect.class(), error);
                Outcome::Failed(effect.with_retry_after(retry_after_s), error)
            }
            AnswerBody::Success | AnswerBody::Unreadable => {
                let effect = of_status(status);
                let error = own(
                    effect.class(),
                    format!("HTTP {status} without an answer of the API"),
                );
                Outcome::Failed(effect.with_retry_after(retry_after_s), error)
            }
        }
    }

    fn find(&self, code: i64, subcode: Option<i64>, details: Option<&str>) -> Option<&Row> {
        row::find(
            self.overrides.iter().chain(table::TABLE),
            code,
            subcode,
            details,
        )
    }
}

const NEW_TOKEN: &str = "load a new token";
const LOOK_UP: &str = "look the code up in Meta's list of error codes";
const BASE_URL: &str = "check graph.base_url and what stands between here and the API";

/// An error of the API whose code is in no row: Meta adds several a year.
pub fn of_unknown_code(is_transient: bool, status: u16) -> Effect {
    if is_transient {
        return maybe_sent(Scope::Lane);
    }
    match status {
        429 => TOO_FAST,
        // Both codes known with 401 are about the token, but an unknown one halts only what it was seen on.
        401 => blocked(Scope::Lane, NEW_TOKEN),
        403 => second_recipient(Scope::Lane, LOOK_UP),
        408 => Effect::Ambiguous,
        400..=499 => INVALID,
        // 5xx, and also 2xx: the status says yes, the body no, and the code is not known to prove either
        // (206 with an error is a partial success of group messages).
        _ => Effect::Ambiguous,
    }
}

/// An answer that is not the API's: a proxy's, a load balancer's, or a cut-off one.
pub fn of_status(status: u16) -> Effect {
    match status {
        429 => TOO_FAST,
        408 => Effect::Ambiguous,
        // Refused on the way, so not sent. A wrong base URL, a redirect or a proxy in between answers everybody so:
        // final refusals would burn the whole backlog, retries its attempts. Since a filter may also dislike one
        // body, a second recipient has to confirm it.
        300..=499 => second_recipient(Scope::Lane, BASE_URL),
        _ => Effect::Ambiguous,
    }
}

/// Joins what the API says to programs with what it says to people, which often says more.
fn joined(text: Option<String>, to_people: Option<String>) -> Option<String> {
    match (text, to_people) {
        (Some(text), Some(more)) if !text.contains(&more) => Some(format!("{text}: {more}")),
        (text, more) => text.or(more),
    }
}

fn own(class: Class, title: String) -> ErrorDocument {
    ErrorDocument::own(class.as_str(), title)
}

fn of_api(class: Class, error: ApiError) -> ErrorDocument {
    ErrorDocument {
        code: Some(error.code),
        subcode: error.subcode,
        title: joined(error.title, error.user_title),
        details: joined(error.details, error.user_msg),
        fbtrace_id: error.fbtrace_id,
        ..ErrorDocument::own(class.as_str(), "")
    }
}

#[cfg(test)]
mod tests;
