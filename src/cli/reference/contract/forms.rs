//! The forms of bodies (`src/core/operation/forms.rs`) and their sizes as definitions of a JSON Schema.

use crate::core::operation::forms::{Cases, Form, Row, Takes, write_pattern};
use crate::core::operation::{Max, SIZES, Size};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The dialect of both schemas.
pub(super) const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A member, with all that is said of it and of what lies in it.
#[derive(Default)]
struct Node {
    is_required: bool,
    takes: Option<Takes>,
    max: Option<Max>,
    conditions: Vec<Value>,
    members: BTreeMap<&'static str, Node>,
    element: Option<Box<Node>>,
}

impl Node {
    /// The member at a pointer. `is_required`: it must be there, as must what it lies in, up to the element of an array.
    fn at(&mut self, pointer: &'static str, is_required: bool) -> &mut Self {
        let segments: Vec<&'static str> = pointer.split('/').skip(1).collect();
        let last_array = segments.iter().rposition(|segment| *segment == "*");
        let mut node = self;
        for (index, segment) in segments.into_iter().enumerate() {
            if segment == "*" {
                node = node.element.get_or_insert_default();
            } else {
                node = node.members.entry(segment).or_default();
                node.is_required |= is_required && last_array.is_none_or(|array| index > array);
            }
        }
        node
    }

    fn add(&mut self, row: &Row) {
        match *row {
            Row::May(at, takes) => self.at(at, false).takes = Some(takes),
            Row::Must(at, takes) => self.at(at, true).takes = Some(takes),
            Row::ExactlyOne(at, names) => self.choose(at, "oneOf", names),
            Row::AtLeastOne(at, names) => self.choose(at, "anyOf", names),
        }
    }

    fn choose(&mut self, at: &'static str, how: &str, names: &[&str]) {
        let choices: Vec<Value> = names.iter().map(|name| has(name)).collect();
        self.at(at, false).conditions.push(json!({ how: choices }));
    }

    fn schema(&self) -> Value {
        let mut schema = match self.takes {
            Some(takes) => describe(takes),
            None if self.element.is_some() => typed("array"),
            None if !self.members.is_empty() || !self.conditions.is_empty() => typed("object"),
            None => Map::new(),
        };
        match self.max {
            Some(Max::Chars(max)) => drop(schema.insert("maxLength".to_owned(), max.into())),
            Some(Max::Items(max)) => drop(schema.insert("maxItems".to_owned(), max.into())),
            None => {}
        }
        if let Some(element) = &self.element {
            schema.insert("items".to_owned(), element.schema());
        }
        let mut conditions = self.conditions.clone();
        if let Some(like) = schema.remove("$ref") {
            conditions.push(json!({ "$ref": like }));
        }
        self.add_members(&mut schema);
        match &conditions[..] {
            [] => {}
            // A reference stands alone: older dialects heed nothing beside it.
            [only] if schema.is_empty() => return only.clone(),
            _ => drop(schema.insert("allOf".to_owned(), conditions.into())),
        }
        Value::Object(schema)
    }

    fn add_members(&self, schema: &mut Map<String, Value>) {
        if self.members.is_empty() {
            return;
        }
        let properties = self.members.iter().map(|(name, member)| {
            let schema = member.schema();
            let schema = match member.is_required {
                true => schema,
                false => or_null(schema),
            };
            ((*name).to_owned(), schema)
        });
        schema.insert("properties".to_owned(), properties.collect());
        let required = self.members.iter().filter(|(_, node)| node.is_required);
        let required: Vec<&str> = required.map(|(name, _)| *name).collect();
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
    }
}

fn typed(name: &str) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), name.into())])
}

fn describe(takes: Takes) -> Map<String, Value> {
    let schema = match takes {
        Takes::Object => json!({ "type": "object" }),
        Takes::List { min, max } => {
            let mut list = typed("array");
            if min > 0 {
                list.insert("minItems".to_owned(), min.into());
            }
            list.extend(max.map(|max| ("maxItems".to_owned(), max.into())));
            return list;
        }
        Takes::ListOrJson { min } => json!({ "type": ["array", "string"], "minItems": min }),
        Takes::Text => json!({ "type": "string" }),
        Takes::Word => json!({ "type": "string", "minLength": 1 }),
        Takes::Made(runs) => json!({ "type": "string", "pattern": write_pattern(runs) }),
        Takes::OneOf(words) => json!({ "enum": words }),
        Takes::Flag => json!({ "type": "boolean" }),
        Takes::Whole { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Takes::Number => json!({ "type": ["string", "number"] }),
        Takes::Recipient => json!({
            "type": ["string", "integer"],
            "not": { "type": "string", "pattern": r"^[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}$" },
        }),
        Takes::Nothing => json!({ "type": "null" }),
        Takes::Like(form) => json!({ "$ref": reference(form.name) }),
    };
    match schema {
        Value::Object(schema) => schema,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// A member that is null counts as absent.
fn or_null(mut schema: Value) -> Value {
    let is_plain = schema.get("allOf").is_none() && schema.get("$ref").is_none();
    if is_plain && schema.get("type") == Some(&"null".into()) {
        return schema;
    }
    if is_plain && let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    } else if is_plain && let Some(types) = schema.get_mut("type") {
        match types.as_array_mut() {
            Some(types) => types.push("null".into()),
            None => *types = json!([*types, "null"]),
        }
    } else {
        return json!({ "anyOf": [{ "type": "null" }, schema] });
    }
    schema
}

/// A text that is more than blanks.
pub(super) const NOT_BLANK: &str = r"\S";

/// Demands a member, of any type.
fn has(name: &str) -> Value {
    let there = json!({ "not": { "type": "null" }, "pattern": NOT_BLANK });
    json!({ "required": [name], "properties": { name: there } })
}

pub(super) fn reference(name: &str) -> String {
    format!("#/$defs/{name}")
}

/// Demands the form where the member at this pointer has that word.
fn case(cases: &Cases, word: &str, form: &Form) -> Value {
    let is_default = cases.default == Some(word);
    let words = match is_default {
        true => json!([word, null]),
        false => json!([word]),
    };
    let condition = cases.at.rsplit('/').filter(|name| !name.is_empty());
    let condition = condition.fold(json!({ "enum": words }), |inner, name| {
        let mut outer = json!({ "properties": { name: inner } });
        if !is_default {
            outer["required"] = json!([name]);
        }
        outer
    });
    json!({ "if": condition, "then": { "$ref": reference(form.name) } })
}

/// Whether a size is one of the form that holds where these cases' member has that word.
fn is_of(size: &Size, cases: &Cases, word: &str) -> bool {
    match size.when {
        Some((at, words)) if at == cases.at => words.contains(&word),
        // The part of a message has the name of its type.
        Some(_) | None => size.at.split('/').nth(1) == Some(word),
    }
}

/// Adds a form's definition, and those of all that it names.
pub(super) fn define(form: &'static Form, sizes: &[&'static Size], into: &mut Map<String, Value>) {
    if into.contains_key(form.name) {
        return;
    }
    // A form may name itself.
    into.insert(form.name.to_owned(), Value::Null);
    let mut root = Node::default();
    let mut own_sizes = sizes.to_vec();
    if let Some(cases) = &form.cases {
        for (word, of_case) in cases.forms {
            let its = sizes
                .iter()
                .copied()
                .filter(|size| is_of(size, cases, word));
            define(of_case, &its.collect::<Vec<_>>(), into);
            own_sizes.retain(|size| !is_of(size, cases, word));
            root.conditions.push(case(cases, word, of_case));
        }
    }
    for row in form.rows {
        root.add(row);
        if let Row::May(_, Takes::Like(part)) | Row::Must(_, Takes::Like(part)) = row {
            define(part, &[], into);
        }
    }
    for size in own_sizes {
        root.at(size.at, false).max = Some(size.max);
    }
    into.insert(form.name.to_owned(), root.schema());
}

/// The sizes that may apply to a form: without cases, only those of members that it names.
pub(super) fn sizes_of(form: &Form) -> Vec<&'static Size> {
    let names = |size: &&Size| form.rows.iter().any(|row| row.at() == size.at);
    let sizes = SIZES.iter();
    sizes
        .filter(|size| form.cases.is_some() || names(size))
        .collect()
}
