//! The bodies of operations that are no messages: what the table says is what the schema says.

use super::*;
use crate::core::operation::ACCOUNT_OPERATIONS;
use crate::core::operation::forms::{Row, Takes};

/// A value that a member takes, and one that it does not, if there is one of that type.
fn values(takes: Takes) -> (Value, Option<Value>) {
    match takes {
        Takes::Object => (json!({}), Some(json!([]))),
        Takes::List { min, max } => {
            let list = |count| Value::from(vec![json!("1"); count]);
            let wrong = max.map(|max| max + 1).or(min.checked_sub(1));
            (list(min.max(1)), Some(wrong.map_or(json!({}), list)))
        }
        Takes::Word => (json!("a"), Some(json!(""))),
        Takes::Text => (json!("a"), Some(json!(1))),
        Takes::Number => (json!(1), Some(json!([]))),
        Takes::Flag => (json!(true), Some(json!("true"))),
        Takes::Whole { min, max } => (json!(min), Some(json!(max + 1))),
        other @ (Takes::ListOrJson { .. }
        | Takes::Made(_)
        | Takes::OneOf(_)
        | Takes::Recipient
        | Takes::Nothing
        | Takes::Like(_)) => panic!("{other:?} is in no operation yet"),
    }
}

fn name(at: &str) -> &str {
    at.trim_start_matches('/')
}

#[test]
fn what_an_operation_needs_is_in_its_definition() {
    let schema = super::super::request::make_schema();
    for facts in ACCOUNT_OPERATIONS {
        let validator = definition(schema.clone(), facts.name);
        let mut body = json!({});
        for row in facts.form.rows {
            match row {
                Row::Must(at, takes) | Row::May(at, takes) => body[name(at)] = values(*takes).0,
                Row::ExactlyOne(_, names) | Row::AtLeastOne(_, names) => {
                    body[names[0]] = json!("a")
                }
            }
        }
        assert_eq!(faults(&validator, &body), [""; 0], "{}", facts.name);
        let is_wrong = |change: &dyn Fn(&mut Value)| {
            let mut body = body.clone();
            change(&mut body);
            assert!(!validator.is_valid(&body), "{}: {body}", facts.name);
        };
        let remove =
            |body: &mut Value, name: &str| drop(body.as_object_mut().unwrap().remove(name));
        for row in facts.form.rows {
            match row {
                Row::Must(at, takes) => {
                    is_wrong(&|body| remove(body, name(at)));
                    is_wrong(&|body| body[name(at)] = values(*takes).1.clone().unwrap());
                }
                Row::May(at, takes) => {
                    is_wrong(&|body| body[name(at)] = values(*takes).1.clone().unwrap());
                }
                Row::AtLeastOne(_, names) => is_wrong(&|body| remove(body, names[0])),
                Row::ExactlyOne(_, names) => {
                    is_wrong(&|body| remove(body, names[0]));
                    is_wrong(&|body| body[names[1]] = json!("a"));
                }
            }
        }
    }
}
