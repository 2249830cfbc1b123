//! The operations of the API: one row of facts and one file each.
//!
//! All that a request passes between intake and the API asks its operation's row, so a further operation is a variant, a row of
//! [`FACTS`] and a file with its check.

use crate::contract::fault::Fault;
use serde_json::Value;

pub mod body;
mod config;
pub mod forms;
mod marketing;
mod message;
mod receipt;
mod recipient;
mod sizes;

use body::Checked;
pub use config::IntakeConfig;
use forms::Form;
pub use recipient::Recipient;
pub use sizes::{Max, SIZES, Size};

/// An operation of the API, for which a request asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Operation {
    #[default]
    Message,
    /// A marketing template, by the Marketing Messages API.
    MarketingMessage,
    /// Mark-as-read and typing.
    Receipt,
}

/// An HTTP method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Post,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
        }
    }
}

/// The effect of a second request that is the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// The repeat reaches a person twice.
    Doubles,
    /// The repeat changes nothing.
    Harmless,
}

/// The form of the API's answer when it did it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerForm {
    /// The id of the message, or `{"success":true}`.
    Sent,
}

/// All that the way from intake to the API has to know of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub operation: Operation,
    /// The values of AMQP `type` that ask for it. None: it is told from another's body.
    pub types: &'static [&'static str],
    pub method: Method,
    /// Behind the number's id.
    pub path: &'static str,
    pub repeat: Repeat,
    pub answer: AnswerForm,
    /// The documented form of its body, for the contract's schema.
    pub form: &'static Form,
}

pub static FACTS: [Facts; 3] = [
    Facts {
        operation: Operation::Message,
        types: &["", "message"],
        method: Method::Post,
        path: "/messages",
        repeat: Repeat::Doubles,
        answer: AnswerForm::Sent,
        form: &forms::MESSAGE,
    },
    Facts {
        operation: Operation::MarketingMessage,
        types: &["marketing_message"],
        method: Method::Post,
        path: "/marketing_messages",
        repeat: Repeat::Doubles,
        answer: AnswerForm::Sent,
        form: &forms::MARKETING_MESSAGE,
    },
    Facts {
        operation: Operation::Receipt,
        types: &[],
        method: Method::Post,
        path: "/messages",
        repeat: Repeat::Harmless,
        answer: AnswerForm::Sent,
        form: &forms::RECEIPT,
    },
];

impl Operation {
    /// The row of [`FACTS`].
    pub fn facts(self) -> &'static Facts {
        match self {
            Self::Message => &FACTS[0],
            Self::MarketingMessage => &FACTS[1],
            Self::Receipt => &FACTS[2],
        }
    }

    /// The operation that an AMQP `type` asks for.
    pub fn of_type(kind: &str) -> Option<Self> {
        let row = FACTS.iter().find(|row| row.types.contains(&kind));
        row.map(|row| row.operation)
    }

    /// The operation that this one turns out to be by its body.
    #[must_use]
    pub fn seen_from(self, body: &Value) -> Self {
        match self {
            Self::Message if receipt::is_one(body) => Self::Receipt,
            Self::Message | Self::MarketingMessage | Self::Receipt => self,
        }
    }

    /// Checks what is certain of the body.
    pub fn check(self, body: &Value, config: &IntakeConfig, faults: &mut Vec<Fault>) -> Checked {
        match self {
            Self::Message => message::check(body, config, faults),
            Self::MarketingMessage => marketing::check(body, config, faults),
            Self::Receipt => receipt::check(body, config, faults),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_operation_has_its_row() {
        for row in &FACTS {
            assert_eq!(row.operation.facts().operation, row.operation);
            for kind in row.types {
                assert_eq!(Operation::of_type(kind), Some(row.operation));
            }
        }
        assert_eq!(Operation::of_type("receipt"), None);
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
            let operation = Operation::MarketingMessage.seen_from(&body);
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
            (Operation::Message, json!({"to": "49"}), true),
            (Operation::Receipt, receipt, false),
        ] {
            assert_eq!(Operation::default().seen_from(&body), operation);
            let checked = operation.check(&body, &IntakeConfig::OF_TESTS, &mut vec![]);
            assert_eq!(checked.recipient.is_some(), is_counted);
        }
    }
}
