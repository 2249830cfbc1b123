//! The operation that a request asks for, and what it is done on.

use super::value;
use crate::contract::fault::Fault;
use crate::contract::names::{OPERATIONS, SEND};
use crate::contract::request::{CONFIRM, FILE_NAME, Header, Inbound, NODE};
use crate::core::operation::call::{Address, is_node};
use crate::core::operation::{NOT_QUEUED, Operation, Parameters, Route};
use std::sync::Arc;

/// The operation that the AMQP `type` asks for, if it may come by this lane.
pub(super) fn check(inbound: &Inbound<'_>, faults: &mut Vec<Fault>) -> Option<Operation> {
    let kind = inbound.operation.filter(|kind| *kind != value::TYPE);
    let kind = kind.unwrap_or_default();
    let route = match inbound.account {
        Some(_) => Route::Account,
        None => Route::Number,
    };
    let operation = Operation::of_type(kind);
    let problem = match operation.map(|operation| operation.facts()) {
        Some(facts) if facts.route == route => {
            check_confirm(inbound, facts.is_confirmed, faults);
            return operation;
        }
        Some(_) if kind.is_empty() => {
            format!(
                "is required: the operation, such as \"block_users\"; messages go to the exchange {SEND}"
            )
        }
        Some(facts) => {
            let exchange = match facts.route {
                Route::Account => OPERATIONS,
                Route::Number => SEND,
            };
            format!("is an operation that goes to the exchange {exchange}")
        }
        None => match NOT_QUEUED.iter().find(|(name, _)| *name == kind) {
            Some((_, why)) => (*why).to_owned(),
            None => unknown(route),
        },
    };
    faults.push(Fault::new("/@amqp/type", problem));
    None
}

fn unknown(route: Route) -> String {
    match route {
        Route::Number => {
            let of_numbers = Operation::all().map(Operation::facts);
            let of_numbers = of_numbers.filter(|facts| facts.route == Route::Number);
            let known = of_numbers.flat_map(|facts| facts.types);
            let known = known.filter(|kind| !kind.is_empty());
            let known: Vec<_> = known.map(|kind| format!("{kind:?}")).collect();
            let known = known.join(" or ");
            format!("is not an operation of this dispatcher: leave it empty or say {known}")
        }
        Route::Account => {
            "is not an operation of this dispatcher: deploy/docs/reference/operations.md lists them"
                .to_owned()
        }
    }
}

fn check_confirm(inbound: &Inbound<'_>, is_confirmed: bool, faults: &mut Vec<Fault>) {
    let says_so = match inbound.confirm {
        Some(Header::Bool(says_so)) => says_so,
        Some(Header::Text(text)) => text == b"true",
        Some(Header::Int(_) | Header::TimestampS(_) | Header::EmptyTable | Header::Other)
        | None => false,
    };
    if is_confirmed && !says_so {
        faults.push(Fault::new(
            &format!("/@amqp/headers/{CONFIRM}"),
            "must be true: this operation destroys, pays, or cannot be taken back",
        ));
    }
}

/// Reads what the operation's path names, if it came by an account's lane.
pub(super) fn address(
    inbound: &Inbound<'_>,
    operation: Option<Operation>,
    faults: &mut Vec<Fault>,
) -> Option<Arc<Address>> {
    let (waba_id, facts) = (inbound.account?, operation?.facts());
    let carries_file = matches!(facts.parameters, Parameters::File(_));
    let address = Address {
        target: inbound.target.to_owned(),
        waba_id: waba_id.to_owned(),
        node: node(inbound, facts.node_parts(), faults),
        file_name: file_name(inbound, faults),
        content_type: carries_file
            .then(|| inbound.content_type.map(str::to_owned))
            .flatten(),
    };
    if facts.is_of_a_number() && address.phone_number_id().is_none() {
        faults.push(Fault::new(
            "/@amqp/routing_key",
            "must be the phone_number_id: this operation is a number's",
        ));
    }
    Some(Arc::new(address))
}

fn file_name(inbound: &Inbound<'_>, faults: &mut Vec<Fault>) -> Option<String> {
    const NAME_CHARS_MAX: usize = 240;
    let name = match inbound.file_name? {
        Header::Text(text) => std::str::from_utf8(text).ok(),
        Header::Int(_)
        | Header::Bool(_)
        | Header::TimestampS(_)
        | Header::EmptyTable
        | Header::Other => None,
    };
    let is_name = |name: &&str| {
        let is_plain = !name
            .chars()
            .any(|char| char.is_control() || "/\\\"".contains(char));
        is_plain && (1..=NAME_CHARS_MAX).contains(&name.chars().count())
    };
    let name = name.filter(is_name);
    if name.is_none() {
        let problem = format!(
            "must be the name of a file, of 1 to {NAME_CHARS_MAX} characters without slashes or quotes"
        );
        faults.push(Fault::new(&format!("/@amqp/headers/{FILE_NAME}"), problem));
    }
    name.map(str::to_owned)
}

fn node(inbound: &Inbound<'_>, parts: usize, faults: &mut Vec<Fault>) -> Option<String> {
    if parts == 0 {
        return None;
    }
    let text = match inbound.node {
        Some(Header::Text(text)) => std::str::from_utf8(text).ok().map(str::to_owned),
        Some(Header::Int(id)) => Some(id.to_string()),
        Some(Header::Bool(_) | Header::TimestampS(_) | Header::EmptyTable | Header::Other)
        | None => None,
    };
    let node = text.filter(|text| is_node(text, parts));
    if node.is_none() {
        let problem = match parts {
            1 => "is required: the id of what the operation is done on, as a text".to_owned(),
            _ => format!(
                "is required: the {parts} names in the operation's path, with a slash between them"
            ),
        };
        faults.push(Fault::new(&format!("/@amqp/headers/{NODE}"), problem));
    }
    node
}
