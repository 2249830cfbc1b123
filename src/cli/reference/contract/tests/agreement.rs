//! What `intake.schema` holds bodies against is what is written as a schema: a body is of its form exactly if it is valid.

use super::limits::every_wrong_body;
use super::*;
use crate::core::operation::{IntakeConfig, SchemaCheck};
use fastrand::Rng;

const MUTATIONS: usize = 30_000;
/// What a member becomes: a value of each type, at its edges.
const VALUES: [&str; 16] = [
    "null",
    "true",
    "\"\"",
    "\"  \"",
    "\"x\"",
    "\"Ab.c d\"",
    "\"ES.9f3cA71\"",
    "\"[]\"",
    "0",
    "1.0",
    "31",
    "-2.5",
    "[]",
    "[null]",
    "{}",
    "[{}]",
];

/// Judges bodies by the tables and by what is written of them.
struct Judges {
    schema: Validator,
    marketing: Validator,
}

const CONFIG: IntakeConfig = IntakeConfig {
    schema: SchemaCheck::Strict,
    ..IntakeConfig::OF_TESTS
};

impl Judges {
    fn new() -> Self {
        let schema = super::super::request::make_schema();
        Self {
            schema: validator(&schema),
            marketing: definition(schema, "marketing_message"),
        }
    }

    /// Fails unless both say the same. Returns what.
    fn agree(&self, operation: Operation, body: &Value) -> bool {
        let validator = match operation == Operation::MARKETING_MESSAGE {
            true => &self.marketing,
            false => &self.schema,
        };
        let mut found = operation.seen_from(body).find_deviations(body, &CONFIG, 50);
        crate::core::operation::check_sizes(body, &mut found);
        let faults = faults(validator, body);
        assert_eq!(
            found.is_empty(),
            faults.is_empty(),
            "{body}\nby the tables: {found:?}\nby the schema: {faults:?}"
        );
        found.is_empty()
    }
}

/// Every pointer of a body.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| pointers(value, &format!("{at}/{name}"), all)),
        Value::Array(elements) => (0..)
            .zip(elements)
            .for_each(|(index, value): (usize, _)| pointers(value, &format!("{at}/{index}"), all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Changes one place of a body: takes it away, gives it another value, or one from another place.
fn mutate(body: &mut Value, rng: &mut Rng) {
    let mut all = vec![];
    pointers(body, "", &mut all);
    let pick = |rng: &mut Rng| all[rng.usize(1..all.len())].clone();
    let (at, other) = (pick(rng), pick(rng));
    let (parent, name) = at.rsplit_once('/').unwrap();
    let value = match rng.u8(0..4) {
        0 => None,
        1 => body.pointer(&other).cloned(),
        _ => serde_json::from_str(VALUES[rng.usize(..VALUES.len())]).ok(),
    };
    match (body.pointer_mut(parent).unwrap(), value) {
        (Value::Object(members), None) => drop(members.remove(name)),
        (Value::Object(members), Some(value)) => drop(members.insert(name.to_owned(), value)),
        (Value::Array(elements), value) => {
            let index: usize = name.parse().unwrap();
            drop(elements.splice(index..=index, value));
        }
        _ => unreachable!("a pointer leads through objects and arrays"),
    }
}

fn operation_of(body: &Value, rng: &mut Rng) -> Operation {
    let is_template = body["type"] == "template";
    match is_template && rng.bool() {
        true => Operation::MARKETING_MESSAGE,
        false => Operation::MESSAGE,
    }
}

#[test]
fn bodies_of_tests_are_judged_alike() {
    let judges = Judges::new();
    let odd = ODD.iter().map(|body| serde_json::from_str(body).unwrap());
    for body in documented().into_iter().chain(odd) {
        assert!(judges.agree(Operation::MESSAGE, &body), "{body}");
    }
    for body in super::examples::bodies() {
        judges.agree(Operation::MESSAGE, &body);
    }
    for (name, body) in every_wrong_body() {
        let operation = match name.starts_with("marketing_message") {
            true => Operation::MARKETING_MESSAGE,
            false => Operation::MESSAGE,
        };
        assert!(!judges.agree(operation, &body), "{name}: {body}");
    }
}

#[test]
fn mutated_bodies_are_judged_alike() {
    let judges = Judges::new();
    let sound = documented();
    let mut rng = Rng::with_seed(20_572);
    let mut counts = [0_usize; 2];
    for _ in 0..MUTATIONS {
        let mut body = sound[rng.usize(..sound.len())].clone();
        let operation = operation_of(&body, &mut rng);
        for _ in 0..rng.usize(1..4) {
            if body.as_object().is_some_and(|members| !members.is_empty()) {
                mutate(&mut body, &mut rng);
            }
        }
        counts[usize::from(judges.agree(operation, &body))] += 1;
    }
    // Either verdict is met often.
    assert!(
        counts.iter().all(|count| *count > MUTATIONS / 10),
        "{counts:?}"
    );
}

/// The bodies of operations are their own parameters: one that has them all, and less and less of it.
#[test]
fn bodies_of_operations_are_judged_alike() {
    let schema = super::super::request::make_schema();
    let mut rng = Rng::with_seed(20_572);
    for operation in Operation::all().filter(|operation| operation.facts().form.cases.is_none()) {
        let facts = operation.facts();
        let validator = definition(schema.clone(), facts.form.name);
        for _ in 0..200 {
            let mut body = json!({ "unknown": 1 });
            for row in facts.form.rows {
                let name = row.at().trim_start_matches('/');
                if !name.is_empty() && !name.contains('/') && rng.u8(0..4) > 0 {
                    let value = VALUES[rng.usize(..VALUES.len())];
                    body[name] = serde_json::from_str(value).unwrap();
                }
            }
            let found = operation.find_deviations(&body, &CONFIG, 50);
            let is_valid = validator.is_valid(&body);
            assert_eq!(
                found.is_empty(),
                is_valid,
                "{operation:?} {body}: {found:?}"
            );
        }
    }
}
