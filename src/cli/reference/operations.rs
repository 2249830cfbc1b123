//! Every operation that is no message.

use super::page::{as_code, begin_page, push_columns, push_row};
use crate::core::operation::forms::Row;
use crate::core::operation::{ACCOUNT_OPERATIONS, Facts, Method, NOT_QUEUED, Parameters, Repeat};

const INTRODUCTION: &str = "\
What is no message goes to the exchange `wa.operations`, with the operation's name as AMQP `type`; how, and what comes back, is in
[the contract](../../contract/README.md#operations). Parameters are a JSON object, the body of the message, which may be empty where none
are needed: for GET and DELETE they go into the query, unless the table says otherwise. Only what is *needed* is checked here, and that it
is there; all else Meta checks.

A lost answer: *repeated* operations change nothing by a repeat, and are repeated; *looked up* ones are looked up first, as a second call
would be refused; *reported* ones end as `unknown`, unless the request says `on-unknown: resend`.
";

pub(super) fn make_page() -> String {
    let mut page = begin_page("Operations", "src/core/operation/account.rs") + INTRODUCTION;
    page += "\n## Operations\n\n";
    push_columns(
        &mut page,
        [
            "type",
            "method and path",
            "published for",
            "header `node`",
            "needed",
            "parameters go into",
            "a lost answer is",
            "`confirm`",
        ],
    );
    for facts in ACCOUNT_OPERATIONS {
        let node = match facts.node_parts() {
            0 => "",
            1 => "the id",
            _ => "the names, `a/b`",
        };
        let cells = [
            as_code(facts.name),
            as_code(&format!("{} /{}", facts.method.as_str(), facts.path)),
            published_for(facts).to_owned(),
            node.to_owned(),
            needed(facts),
            place_of(facts).to_owned(),
            lost(facts).to_owned(),
            if facts.is_confirmed { "`true`" } else { "" }.to_owned(),
        ];
        push_row(&mut page, cells.each_ref().map(String::as_str));
    }
    page += "\n## Refused\n\n";
    push_columns(&mut page, ["type", "why"]);
    for (name, why) in NOT_QUEUED {
        push_row(&mut page, [&as_code(name), why]);
    }
    page
}

fn published_for(facts: &Facts) -> &'static str {
    if facts.is_of_a_number() {
        "a number"
    } else {
        "an account, or a number of it"
    }
}

fn needed(facts: &Facts) -> String {
    let named = |at: &str| as_code(at.trim_start_matches('/'));
    let rows = facts.form.rows.iter().filter_map(|row| match row {
        Row::Must(at, _) => Some(named(at)),
        Row::ExactlyOne(_, names) => Some(choice("one of", names)),
        Row::AtLeastOne(_, names) => Some(choice("at least one of", names)),
        Row::May(..) => None,
    });
    rows.collect::<Vec<_>>().join(", ")
}

fn choice(how_many: &str, names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| as_code(name)).collect();
    format!("{how_many} {}", names.join(", "))
}

fn place_of(facts: &Facts) -> &'static str {
    match facts.parameters {
        Parameters::Usual if facts.method == Method::Post => "the body",
        Parameters::Usual | Parameters::Query => "the query",
        Parameters::Json => "the body",
        Parameters::Form => "the body, as a form's",
        Parameters::File(_) => "beside the file, or in its place with its link",
        Parameters::Fields(_) => "the field that is asked for",
    }
}

fn lost(facts: &Facts) -> &'static str {
    match (facts.repeat, facts.lookup) {
        (Repeat::Harmless, None) => "repeated",
        (Repeat::Harmless, Some(_)) => "looked up, then repeated",
        (Repeat::Doubles, None) => "reported",
        (Repeat::Doubles, Some(_)) => "reported; looked up before it is repeated",
    }
}
