//! The operations of the API: one row of facts each, and a file where one has rules of its own.
//!
//! All that a request passes between intake and the API asks its operation's row.

use crate::contract::fault::Fault;
use serde_json::Value;
use std::fmt;

mod account;
mod analytics;
pub mod body;
pub mod call;
mod config;
mod facts;
pub mod file;
mod file_link;
pub mod forms;
pub mod lifetime;
mod lookup;
mod marketing;
mod message;
mod presence;
mod receipt;
mod recipient;
mod sizes;

pub use account::{ACCOUNT_OPERATIONS, NOT_QUEUED};
use body::Checked;
pub use config::{IntakeConfig, SchemaCheck};
pub use facts::{AnswerForm, Base, Facts, Method, Parameters, Repeat, Route, Spans};
pub use recipient::Recipient;
#[cfg(test)]
pub(crate) use sizes::check as check_sizes;
pub use sizes::{Max, SIZES, Size};

/// An operation of the API, for which a request asks.
#[derive(Clone, Copy)]
pub struct Operation(&'static Facts);

/// The row of a message, of which the others are changed.
const MESSAGES: Facts = Facts {
    name: "message",
    types: &[],
    route: Route::Number,
    method: Method::Post,
    base: Base::Graph,
    path: "{phone_number_id}/messages",
    parameters: Parameters::Json,
    repeat: Repeat::Doubles,
    lookup: None,
    answer: AnswerForm::Sent,
    is_confirmed: false,
    hourly: None,
    per_node: &[],
    form: &forms::MESSAGE,
    check: message::check,
};

/// The operations of a number's lane.
static FACTS: [Facts; 3] = [
    Facts {
        types: &["", "message"],
        ..MESSAGES
    },
    Facts {
        name: "marketing_message",
        types: &["marketing_message"],
        path: "{phone_number_id}/marketing_messages",
        form: &forms::MARKETING_MESSAGE,
        check: marketing::check,
        ..MESSAGES
    },
    Facts {
        name: "receipt",
        repeat: Repeat::Harmless,
        form: &forms::RECEIPT,
        check: receipt::check,
        ..MESSAGES
    },
];

impl Operation {
    pub const MESSAGE: Self = Self(&FACTS[0]);
    /// A marketing template, by the Marketing Messages API.
    pub const MARKETING_MESSAGE: Self = Self(&FACTS[1]);
    /// Mark-as-read and typing.
    pub const RECEIPT: Self = Self(&FACTS[2]);

    /// Returns its row of the table.
    pub fn facts(self) -> &'static Facts {
        self.0
    }

    /// Lists all there are, those of numbers' lanes first.
    pub fn all() -> impl Iterator<Item = Self> {
        FACTS.iter().chain(ACCOUNT_OPERATIONS).map(Self)
    }

    /// The operation that an AMQP `type` asks for.
    pub fn of_type(kind: &str) -> Option<Self> {
        Self::all().find(|operation| operation.0.types.contains(&kind))
    }

    /// The operation that this one turns out to be by its body.
    #[must_use]
    pub fn seen_from(self, body: &Value) -> Self {
        if self == Self::MESSAGE && receipt::is_one(body) {
            Self::RECEIPT
        } else {
            self
        }
    }

    /// Checks what is certain of the body.
    pub fn check(self, body: &Value, config: &IntakeConfig, faults: &mut Vec<Fault>) -> Checked {
        (self.0.check)(self.0, body, config, faults)
    }

    /// Finds what of the body is not as Meta documents it, so much at most; lengths apart, which [`Self::check`] looks at.
    pub fn find_deviations(self, body: &Value, config: &IntakeConfig, most: usize) -> Vec<Fault> {
        forms::find_deviations(self.0.form, body, config.user_ids_in_to, most)
    }
}

impl Default for Operation {
    fn default() -> Self {
        Self::MESSAGE
    }
}

impl PartialEq for Operation {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Operation {}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashSet;

    #[test]
    fn each_type_asks_for_one_operation() {
        let mut names = HashSet::new();
        for operation in Operation::all() {
            assert!(names.insert(operation.facts().name), "{operation:?}");
            for kind in operation.facts().types {
                assert_eq!(Operation::of_type(kind), Some(operation));
            }
        }
        assert_eq!(Operation::of_type("receipt"), None);
        for (name, _) in NOT_QUEUED {
            assert_eq!(Operation::of_type(name), None, "{name}");
        }
    }

    #[test]
    fn only_templates_are_marketing_messages() {
        let template = json!({"to": "49", "type": "template", "template": {"name": "sale"}});
        for (body, expected) in [
            (template, vec![]),
            (
                json!({"to": "49", "type": "text", "text": {"body": "a"}}),
                vec!["/type"],
            ),
            (json!({"to": "49", "text": {"body": "a"}}), vec!["/type"]),
            (
                json!({"to": "49", "status": "read", "message_id": "m"}),
                vec!["/type"],
            ),
        ] {
            let operation = Operation::MARKETING_MESSAGE.seen_from(&body);
            let mut faults = vec![];
            let checked = operation.check(&body, &IntakeConfig::OF_TESTS, &mut faults);
            let at: Vec<_> = faults.iter().map(|fault| fault.at.as_str()).collect();
            assert_eq!(at, expected, "{body}");
            assert!(checked.recipient.is_some());
        }
    }

    #[test]
    fn a_receipt_counts_against_nobodys_pair_limit() {
        let receipt = json!({"to": "49", "status": "read", "message_id": "m"});
        for (operation, body, is_counted) in [
            (Operation::MESSAGE, json!({"to": "49"}), true),
            (Operation::RECEIPT, receipt, false),
        ] {
            assert_eq!(Operation::default().seen_from(&body), operation);
            let checked = operation.check(&body, &IntakeConfig::OF_TESTS, &mut vec![]);
            assert_eq!(checked.recipient.is_some(), is_counted);
        }
    }
}
