//! The facts of an operation: what a row of the tables says.

use super::body::Checked;
use super::config::IntakeConfig;
use super::file::FileOf;
use super::forms::Form;
use super::lookup::Lookup;
use crate::contract::fault::Fault;
use serde_json::Value;

/// The place where an operation's parameters go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parameters {
    /// Into the query for GET and DELETE, else into the body as JSON.
    Usual,
    Json,
    Query,
    /// Into the body, encoded as a form's.
    Form,
    /// Into the one field that is asked for, with the others inside its name.
    Fields(&'static str),
    /// Beside a file, or in its place, if they name it by its link.
    File(FileOf),
}

/// An HTTP method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Post,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Which lane an operation's requests come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// A number's, paced by its throughput.
    Number,
    /// An account's, paced by its management budget.
    Account,
}

/// The effect of a second request that is the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// The repeat reaches a person twice, creates a second thing, or pays again.
    Doubles,
    /// The repeat changes nothing.
    Harmless,
}

/// The form of the API's answer when it did it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerForm {
    /// The id of the message, or `{"success":true}`.
    Sent,
    /// Any JSON object without an error. At these JSON pointers it lists what it did not do, if it did the rest.
    Whole(&'static [&'static str]),
}

/// Which of the API's hosts serves an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// `graph.base_url` and `graph.version`.
    Graph,
    /// `graph.business_base_url`, which has no version in its paths.
    Business,
}

/// Counts, each with the seconds within which there may be so many.
pub type Spans = &'static [(usize, u64)];

/// All that the way from intake to the API has to know of an operation.
pub struct Facts {
    /// The operation's name, as results and metrics have it.
    pub name: &'static str,
    /// The values of AMQP `type` that ask for it. None: it is told from another's body.
    pub types: &'static [&'static str],
    pub route: Route,
    pub method: Method,
    pub base: Base,
    /// The path behind the base URL, with `{phone_number_id}`, `{waba_id}`, or a `{node}` for each part of the header of that name.
    pub path: &'static str,
    pub parameters: Parameters,
    pub repeat: Repeat,
    /// Finds out what a lost answer was about, before it is repeated.
    pub lookup: Option<&'static Lookup>,
    pub answer: AnswerForm,
    /// True of what destroys or pays: header `confirm` must say that this is meant.
    pub is_confirmed: bool,
    /// How many an account may do in an hour, where that is less than its budget.
    pub hourly: Option<u32>,
    /// How many may be done to one node within so many seconds, unless the node is in a state that is not known here.
    pub per_node: Spans,
    /// The documented form of its body, for the contract's schema.
    pub form: &'static Form,
    /// Checks what is certain of the body.
    pub(super) check: fn(&Facts, &Value, &IntakeConfig, &mut Vec<Fault>) -> Checked,
}
