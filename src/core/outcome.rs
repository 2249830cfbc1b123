//! Classification of an observed [`Reply`]: one table of API codes, and one way to read it.
//!
//! The order of evidence: the API's own code, its `is_transient`, the HTTP status, the phase of the transport.
//! The status comes late because Meta documents 400 for most throttles and 500 for faults that never heal
//! ("Error codes", November 2025). What cannot be known is [`Outcome::Unknown`], not a failure.

use std::fmt;

use answer::{Accepted, Answer, AnswerBody, ApiError, Reply, hidden};

pub mod answer;
mod overrides;
mod row;
mod table;

use crate::contract::words::{Class, Scope};
pub use overrides::Override;
pub use row::{Effect, Row, When, fetch_failed};
pub use table::{SOURCES, TABLE};

/// The longest wait that a `Retry-After` header is believed: it is undocumented for this API.
pub const MAX_RETRY_AFTER_S: u32 = 3600;

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
        Effect::Transient { .. }
        | Effect::Throttled { .. }
        | Effect::Invalid { .. }
        | Effect::Undeliverable
        | Effect::Policy { .. }
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
    /// Final for this message.
    Refused {
        /// `Invalid`, `Undeliverable` or `Policy`.
        class: Class,
        error: ErrorReport,
        retry_not_before_s: Option<u64>,
    },
    /// Nothing can have reached the API: safe to repeat at once.
    NotSent {
        error: ErrorReport,
    },
    /// Try again; costs an attempt.
    Transient {
        /// The scope that a run of them stops; [`Scope::Message`]: nobody else.
        scope: Scope,
        error: ErrorReport,
        max_retries: Option<u32>,
        min_delay_s: Option<u32>,
        /// False: a repeat may reach a person twice.
        proves_unsent: bool,
        /// Out of these retries, the request is taken to be wrong.
        then_invalid: bool,
    },
    /// Keeps the message and costs no attempt.
    Throttled {
        scope: Scope,
        error: ErrorReport,
        pause_s: Option<u32>,
        /// The lane is too fast, whatever pause comes with it.
        slow_down: bool,
        /// The number's limit is another one afterwards.
        new_limit: bool,
    },
    /// All in scope cannot send until something changes. Keeps the message and costs no attempt.
    Blocked {
        scope: Scope,
        error: ErrorReport,
        remedy: &'static str,
        /// Lifts by itself, in hours.
        is_penalty: bool,
        second_recipient: bool,
    },
    /// The message may have been sent.
    Unknown {
        error: ErrorReport,
    },
}

/// The error of a result. Without a code, the title is our own wording.
#[derive(Clone, PartialEq)]
pub struct ErrorReport {
    pub code: Option<i64>,
    pub subcode: Option<i64>,
    pub title: Option<String>,
    pub details: Option<String>,
    pub fbtrace_id: Option<String>,
    pub class: Class,
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
                error: ErrorReport::own(Class::Transient, format!("not sent: {reason}")),
            },
            Reply::NoAnswer(reason) => Outcome::Unknown {
                error: ErrorReport::own(Class::Ambiguous, format!("no answer: {reason}")),
            },
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
                outcome(
                    effect,
                    ErrorReport::of_api(effect.class(), error),
                    retry_after_s,
                )
            }
            AnswerBody::Success | AnswerBody::Unreadable => {
                let effect = of_status(status);
                let error = ErrorReport::own(
                    effect.class(),
                    format!("HTTP {status} without an answer of the API"),
                );
                outcome(effect, error, retry_after_s)
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

const TOO_MANY: Effect = Effect::Throttled {
    scope: Scope::Lane,
    pause_s: None,
    new_limit: false,
};

/// An error of the API whose code is in no row: Meta adds several a year.
pub fn of_unknown_code(is_transient: bool, status: u16) -> Effect {
    if is_transient {
        return Effect::Transient {
            scope: Scope::Lane,
            max_retries: None,
            min_delay_s: None,
            proves_unsent: false,
            then_invalid: false,
        };
    }
    match status {
        429 => TOO_MANY,
        // Both codes known with 401 are about the token, but an unknown one halts only what it was seen on.
        401 => blocked_lane(NEW_TOKEN, false),
        403 => blocked_lane(LOOK_UP, true),
        408 => Effect::Ambiguous,
        400..=499 => Effect::Invalid {
            scope: Scope::Message,
        },
        // 5xx, and also 2xx: the status says yes, the body no, and the code is not known to prove either
        // (206 with an error is a partial success of group messages).
        _ => Effect::Ambiguous,
    }
}

/// An answer that is not the API's: a proxy's, a load balancer's, or a cut-off one.
pub fn of_status(status: u16) -> Effect {
    match status {
        429 => TOO_MANY,
        408 => Effect::Ambiguous,
        // Refused on the way, so not sent. A wrong base URL, a redirect or a proxy in between answers everybody so:
        // final refusals would burn the whole backlog, retries its attempts. Since a filter may also dislike one
        // body, a second recipient has to confirm it.
        300..=499 => blocked_lane(BASE_URL, true),
        _ => Effect::Ambiguous,
    }
}

fn blocked_lane(remedy: &'static str, second_recipient: bool) -> Effect {
    Effect::Blocked {
        scope: Scope::Lane,
        remedy,
        is_penalty: false,
        second_recipient,
    }
}

fn outcome(effect: Effect, error: ErrorReport, retry_after_s: Option<u64>) -> Outcome {
    let class = effect.class();
    match effect {
        Effect::Transient {
            scope,
            max_retries,
            min_delay_s,
            proves_unsent,
            then_invalid,
        } => Outcome::Transient {
            scope,
            error,
            max_retries,
            min_delay_s: at_least(min_delay_s, retry_after_s),
            proves_unsent,
            then_invalid,
        },
        Effect::Throttled {
            scope,
            pause_s,
            new_limit,
        } => Outcome::Throttled {
            scope,
            error,
            pause_s: at_least(pause_s, retry_after_s),
            slow_down: scope == Scope::Lane && pause_s.is_none(),
            new_limit,
        },
        Effect::Blocked {
            scope,
            remedy,
            is_penalty,
            second_recipient,
        } => Outcome::Blocked {
            scope,
            error,
            remedy,
            is_penalty,
            second_recipient,
        },
        Effect::Invalid { .. } | Effect::Undeliverable => Outcome::Refused {
            class,
            error,
            retry_not_before_s: None,
        },
        Effect::Policy {
            retry_not_before_s, ..
        } => Outcome::Refused {
            class,
            error,
            retry_not_before_s,
        },
        Effect::Ambiguous => Outcome::Unknown { error },
    }
}

/// The longer of our own wait and the server's, which is capped.
fn at_least(wait_s: Option<u32>, retry_after_s: Option<u64>) -> Option<u32> {
    let asked_s = retry_after_s.filter(|seconds| *seconds > 0);
    let asked_s = asked_s.map(|seconds| {
        u32::try_from(seconds)
            .unwrap_or(u32::MAX)
            .min(MAX_RETRY_AFTER_S)
    });
    wait_s.max(asked_s)
}

/// Joins what the API says to programs with what it says to people, which often says more.
fn joined(text: Option<String>, to_people: Option<String>) -> Option<String> {
    match (text, to_people) {
        (Some(text), Some(more)) if !text.contains(&more) => Some(format!("{text}: {more}")),
        (text, more) => text.or(more),
    }
}

impl ErrorReport {
    fn of_api(class: Class, error: ApiError) -> ErrorReport {
        ErrorReport {
            code: Some(error.code),
            subcode: error.subcode,
            title: joined(error.title, error.user_title),
            details: joined(error.details, error.user_msg),
            fbtrace_id: error.fbtrace_id,
            class,
        }
    }

    fn own(class: Class, title: String) -> ErrorReport {
        ErrorReport {
            code: None,
            subcode: None,
            title: Some(title),
            details: None,
            fbtrace_id: None,
            class,
        }
    }
}

impl fmt::Debug for ErrorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorReport")
            .field("code", &self.code)
            .field("subcode", &self.subcode)
            .field("title", &hidden(&self.title))
            .field("details", &hidden(&self.details))
            .field("fbtrace_id", &self.fbtrace_id)
            .field("class", &self.class)
            .finish()
    }
}

#[cfg(test)]
mod tests;
