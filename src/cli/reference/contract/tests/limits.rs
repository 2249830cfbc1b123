//! Every limit that Meta documents is in the schema, and no part of the schema is there for nothing.

use super::super::forms::NOT_BLANK;
use super::*;
use crate::core::operation::ACCOUNT_OPERATIONS;

use super::documented::{Change, LIMITS};
use Change::{Chars, Is, Items, Without};

/// What a body is called in the tables above.
fn kind(body: &Value) -> String {
    let word = |at: &str| body.pointer(at).and_then(Value::as_str);
    let currency = word("/interactive/action/parameters/currency").filter(|of| *of != "INR");
    let kind = word("/interactive/type")
        .or_else(|| word("/template/name"))
        .or_else(|| word("/type"));
    let kind = kind.unwrap_or("receipt");
    currency.map_or(kind.to_owned(), |currency| format!("{kind} {currency}"))
}

/// Puts a member where the pointer says, and makes the objects that it lies in.
fn put(body: &mut Value, at: &str, value: Value) {
    let mut place = body;
    for segment in at.split('/').skip(1) {
        place = match segment.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[segment],
        };
    }
    *place = value;
}

fn without(body: &mut Value, at: &str) {
    let (parent, name) = at.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut();
    parent.unwrap().remove(name).unwrap();
}

/// The body at the limit, where there is such a thing, and the one beyond it.
fn bodies(body: &Value, at: &str, change: Change) -> (Option<Value>, Value) {
    let with = |value: Value| {
        let mut body = body.clone();
        put(&mut body, at, value);
        body
    };
    let repeated = |count| {
        let element = body.pointer(at).and_then(|array| array.get(0)).cloned();
        with(vec![element.unwrap_or(json!({})); count].into())
    };
    match change {
        Chars(max) => (
            Some(with("x".repeat(max).into())),
            with("x".repeat(max + 1).into()),
        ),
        Items(max) => (Some(repeated(max)), repeated(max + 1)),
        Is(value) => (None, with(serde_json::from_str(value).unwrap())),
        Without => {
            let mut body = body.clone();
            without(&mut body, at);
            (None, body)
        }
    }
}

/// A body and what it is called.
pub(super) type Named = (String, Value);

/// Whether a body is valid as what it is called: a marketing message goes another way.
struct Validators {
    message: Validator,
    marketing: Validator,
}

impl Validators {
    fn of(schema: Value) -> Self {
        Self {
            message: validator(&schema),
            marketing: definition(schema, "marketing_message"),
        }
    }

    fn faults(&self, (name, body): &Named) -> Vec<String> {
        let is_marketing = name.starts_with("marketing_message");
        let validator = if is_marketing {
            &self.marketing
        } else {
            &self.message
        };
        faults(validator, body)
    }

    fn takes(&self, named: &Named) -> bool {
        self.faults(named).is_empty()
    }
}

/// Every body that is over a limit.
fn wrong(validators: &Validators) -> Vec<Named> {
    let documented = documented();
    let mut wrong = vec![];
    for (of, at, change) in LIMITS {
        let body = documented.iter().find(|body| kind(body) == of);
        let (fits, over) = bodies(body.unwrap_or_else(|| panic!("no {of}")), at, change);
        let name = format!("{of} {at} {change:?}");
        if let Some(fits) = fits {
            assert_eq!(validators.faults(&(name.clone(), fits)), [""; 0], "{name}");
        }
        wrong.push((name, over));
    }
    wrong
}

/// Every body that is not as Meta documents it, by both tables.
pub(super) fn every_wrong_body() -> Vec<Named> {
    let mut all = wrong(&Validators::of(super::super::request::make_schema()));
    for (name, pairs) in by_intakes_table() {
        all.extend(pairs.into_iter().map(|(_, over)| (name.clone(), over)));
    }
    all
}

#[test]
fn every_documented_limit_is_in_the_schema() {
    let validators = Validators::of(super::super::request::make_schema());
    let mut wrong = wrong(&validators);
    wrong.retain(|named| validators.takes(named));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The bodies that a row of intake's own table applies to, at its limit and beyond.
fn by_intakes_table() -> Vec<(String, Vec<(Value, Value)>)> {
    let documented = documented();
    let mut all = vec![];
    for size in SIZES {
        let change = match size.max {
            Max::Chars(max) => Chars(max),
            Max::Items(max) => Items(max),
        };
        let at = size.at.replace('*', "0");
        let kinds = size.when.map_or(&[""][..], |(_, kinds)| kinds);
        for of in kinds {
            let part = at.split('/').nth(1).unwrap();
            let is_it = |body: &&Value| match *of {
                "" => body.get(part).is_some() || part == "biz_opaque_callback_data",
                of => kind(body) == of,
            };
            let pairs = documented.iter().filter(is_it).filter_map(|body| {
                let (fits, over) = bodies(body, &at, change);
                Some((fits?, over))
            });
            all.push((format!("{} {of}", size.at), pairs.collect()));
        }
    }
    all
}

#[test]
fn whatever_intake_finds_too_long_is_not_valid() {
    let validator = requests();
    for (name, mut pairs) in by_intakes_table() {
        pairs.retain(|(fits, _)| validator.is_valid(fits));
        assert!(!pairs.is_empty(), "{name}: no body at the limit is valid");
        for (_, over) in pairs {
            assert!(!validator.is_valid(&over), "{name}: {over}");
        }
    }
}

/// Pointers to every limit in a schema.
fn limits(schema: &Value, at: &str, found: &mut Vec<String>) {
    const WORDS: [&str; 8] = [
        "maxLength",
        "maxItems",
        "minItems",
        "minimum",
        "maximum",
        "pattern",
        "enum",
        "oneOf",
    ];
    let children: Vec<(String, &Value)> = match schema {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(elements) => (0..)
            .zip(elements)
            .map(|(index, value): (usize, _)| (index.to_string(), value))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    for (name, value) in children {
        let inside = format!("{at}/{name}");
        // Conditions are no limits.
        if ["if", "not"].contains(&name.as_str()) {
            continue;
        }
        if WORDS.contains(&name.as_str()) && value != NOT_BLANK {
            found.push(inside.clone());
        }
        limits(value, &inside, found);
    }
}

/// Take any limit out of the schema, and one of the bodies above passes.
#[test]
fn no_limit_is_there_for_nothing() {
    let schema = super::super::request::make_schema();
    let wrong = every_wrong_body();
    let mut found = vec![];
    limits(&schema["$defs"], "/$defs", &mut found);
    // Those of the operations that are no messages: see `super::operations`.
    let is_of_messages = |at: &String| {
        let definition = at.split('/').nth(2).unwrap_or_default();
        let of_account = ACCOUNT_OPERATIONS
            .iter()
            .any(|facts| facts.name == definition);
        !of_account && !["properties", "headers"].contains(&definition)
    };
    found.retain(is_of_messages);
    assert!(found.len() > 60, "{}", found.len());
    let idle = found.iter().filter(|at| {
        let mut loose = schema.clone();
        without(&mut loose, at);
        let loose = Validators::of(loose);
        !wrong.iter().any(|named| loose.takes(named))
    });
    let idle: Vec<&String> = idle.collect();
    assert!(idle.is_empty(), "{idle:#?}");
}
