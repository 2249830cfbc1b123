//! Deviations of a body from its form, which is read as the schema that is written of it would be.

use super::form::{Form, Row, Takes};
use super::run::{is_made_of, write_pattern};
use crate::contract::fault::Fault;
use crate::core::operation::recipient::{IS_USER_ID, is_user_id};
use serde_json::{Number, Value};

/// Finds what of a body its form does not take, so much at most. Pointers consist of what the form names, and of indexes: nothing that only
/// the body says is in them. `user_ids_in_to`: a business-scoped user id may stand in `to`.
pub fn find_deviations(form: &Form, body: &Value, user_ids_in_to: bool, most: usize) -> Vec<Fault> {
    let mut search = Search {
        user_ids_in_to,
        most,
        found: vec![],
    };
    search.check(form, body, &Place::Root);
    search.found
}

/// The beginning of a pointer, with `*` for each index; `/`: the body as a whole. Of those that [`find_deviations`] finds there are as many
/// as forms name, however deep bodies are.
pub fn place_of(pointer: &str) -> String {
    /// Parts of a message may lie in each other as deep as a body can.
    const SEGMENTS_MAX: usize = 6;
    let is_index = |segment: &str| segment.bytes().all(|byte| byte.is_ascii_digit());
    if pointer.is_empty() {
        return "/".to_owned();
    }
    let segments = pointer.split('/').skip(1).take(SEGMENTS_MAX);
    let segments = segments.map(|segment| if is_index(segment) { "*" } else { segment });
    segments.flat_map(|segment| ["/", segment]).collect()
}

/// Where a value lies. Written as a pointer only if something is wrong there.
enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    Element(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(of, name) => format!("{}/{name}", of.pointer()),
            Self::Element(of, index) => format!("{}/{index}", of.pointer()),
        }
    }
}

/// A value, and how much of a row's pointer led to it.
#[derive(Clone, Copy)]
struct Reached<'a> {
    value: &'a Value,
    passed: usize,
    place: &'a Place<'a>,
}

impl Form {
    /// Whether a row says what the member at this pointer takes; else it takes what its members and elements ask for.
    fn describes(&self, pointer: &str) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|row| matches!(row, Row::May(at, _) | Row::Must(at, _) if *at == pointer))
    }

    /// The further form that holds for this value.
    fn case_of(&self, value: &Value) -> Option<&'static Form> {
        let cases = self.cases.as_ref()?;
        let word = value.pointer(cases.at).filter(|word| !word.is_null());
        let word = match word {
            Some(word) => word.as_str()?,
            None => cases.default?,
        };
        let mut forms = cases.forms.iter();
        forms.find_map(|(of, form)| (*of == word).then_some(*form))
    }
}

impl Row {
    /// Whether what lies so deep on the way to the member must be there, as must the member.
    fn needs(&self, passed: usize) -> bool {
        let Self::Must(at, _) = self else {
            return false;
        };
        !at.get(passed..).unwrap_or_default().contains('*')
    }
}

/// A member that is null counts as absent; so does a text of blanks, where one of several must be there.
fn is_there(value: &Value, name: &str) -> bool {
    value.get(name).is_some_and(|member| match member {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
    })
}

/// JSON has one type of numbers: 1.0 is whole.
fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the bounds of forms are small numbers"
)]
fn is_within(number: &Number, min: i64, max: i64) -> bool {
    let value = number.as_f64().unwrap_or(f64::INFINITY);
    is_whole(number) && (min as f64..=max as f64).contains(&value)
}

struct Search {
    user_ids_in_to: bool,
    most: usize,
    found: Vec<Fault>,
}

impl Search {
    fn is_over(&self) -> bool {
        self.found.len() >= self.most
    }

    /// Notes a fault, unless one of that place is known.
    fn found(&mut self, place: &Place<'_>, fault: impl FnOnce(&str) -> Fault) {
        let at = place.pointer();
        let is_new = self.found.iter().all(|known| known.at != at);
        if is_new && !self.is_over() {
            self.found.push(fault(&at));
        }
    }

    fn wrong(&mut self, place: &Place<'_>, problem: &str) {
        self.found(place, |at| Fault::new(at, problem));
    }

    fn check(&mut self, form: &Form, value: &Value, place: &Place<'_>) {
        if !value.is_object() {
            return self.wrong(place, "must be an object");
        }
        for row in form.rows {
            let reached = Reached {
                value,
                passed: 0,
                place,
            };
            self.walk(form, row, reached);
        }
        if let Some(case) = form.case_of(value) {
            self.check(case, value, place);
        }
    }

    /// Goes on to the member or members that the row is about.
    fn walk(&mut self, form: &Form, row: &Row, reached: Reached<'_>) {
        let Reached {
            value,
            passed,
            place,
        } = reached;
        if self.is_over() {
            return;
        }
        let Some((here, rest)) = row.at().split_at_checked(passed) else {
            return;
        };
        let Some(segment) = rest.split('/').nth(1) else {
            return self.apply(form, row, reached);
        };
        let passed = passed + 1 + segment.len();
        match (value, segment) {
            (Value::Array(elements), "*") => {
                for (index, value) in elements.iter().enumerate() {
                    let place = &Place::Element(place, index);
                    let inside = Reached {
                        value,
                        passed,
                        place,
                    };
                    self.walk(form, row, inside);
                }
            }
            (Value::Object(members), name) if name != "*" => {
                let place = &Place::Member(place, name);
                match members.get(name).filter(|member| !member.is_null()) {
                    Some(value) => {
                        let inside = Reached {
                            value,
                            passed,
                            place,
                        };
                        self.walk(form, row, inside);
                    }
                    None if row.needs(passed) => self.wrong(place, "is required"),
                    None => {}
                }
            }
            // The row that describes it says so.
            _ if form.describes(here) => {}
            (_, "*") => self.wrong(place, "must be an array"),
            _ => self.wrong(place, "must be an object"),
        }
    }

    fn apply(&mut self, form: &Form, row: &Row, reached: Reached<'_>) {
        let Reached { value, place, .. } = reached;
        let (names, is_one) = match *row {
            Row::May(_, takes) | Row::Must(_, takes) => return self.take(takes, value, place),
            Row::ExactlyOne(_, names) => (names, true),
            Row::AtLeastOne(_, names) => (names, false),
        };
        if !value.is_object() {
            if !form.describes(row.at()) {
                self.wrong(place, "must be an object");
            }
            return;
        }
        let there = names.iter().filter(|name| is_there(value, name)).count();
        if is_one && there != 1 {
            self.wrong(place, &format!("needs exactly one of {names:?}"));
        } else if there == 0 {
            self.wrong(place, &format!("needs one of {names:?}"));
        }
    }

    fn take(&mut self, takes: Takes, value: &Value, place: &Place<'_>) {
        let array = value.as_array().map(Vec::len);
        match takes {
            Takes::Like(form) => self.check(form, value, place),
            Takes::List { min, max } => match (array, max) {
                (Some(length), _) if length < min => self.wrong(place, &too_few(min)),
                (Some(length), Some(max)) if length > max => self.found(place, |at| {
                    let problem = "has more elements than the API takes";
                    Fault::too_long(at, problem, max, length)
                }),
                (Some(_), _) => {}
                (None, _) => self.wrong(place, "must be an array"),
            },
            Takes::ListOrJson { min } => match array {
                Some(length) if length < min => self.wrong(place, &too_few(min)),
                None if !value.is_string() => self.wrong(place, "must be an array"),
                Some(_) | None => {}
            },
            Takes::Recipient if self.user_ids_in_to && value.as_str().is_some_and(is_user_id) => {}
            Takes::Object
            | Takes::Text
            | Takes::Word
            | Takes::Made(_)
            | Takes::OneOf(_)
            | Takes::Flag
            | Takes::Whole { .. }
            | Takes::Number
            | Takes::Recipient
            | Takes::Nothing => {
                if let Some(problem) = refuse(takes, value) {
                    self.wrong(place, &problem);
                }
            }
        }
    }
}

fn too_few(min: usize) -> String {
    format!("must have at least {min} element(s)")
}

/// Says why a member does not take a value. Elements and forms are looked at where they lie.
fn refuse(takes: Takes, value: &Value) -> Option<String> {
    let text = value.as_str();
    let (is_right, problem) = match takes {
        Takes::Object => (value.is_object(), "must be an object"),
        Takes::Text => (text.is_some(), "must be a string"),
        Takes::Word => (
            text.is_some_and(|text| !text.is_empty()),
            "must be a string with at least one character",
        ),
        Takes::Flag => (value.is_boolean(), "must be true or false"),
        Takes::Number => (
            value.is_number() || text.is_some(),
            "must be a number, or a string",
        ),
        Takes::Recipient if text.is_some_and(is_user_id) => (false, IS_USER_ID),
        Takes::Recipient => (
            text.is_some() || value.as_number().is_some_and(is_whole),
            "must be a string",
        ),
        Takes::Nothing => (false, "must be left out"),
        Takes::Made(runs) => {
            let is_right = text.is_some_and(|text| is_made_of(text, runs));
            return (!is_right).then(|| format!("must match {}", write_pattern(runs)));
        }
        Takes::OneOf(words) => {
            let is_right = text.is_some_and(|text| words.contains(&text));
            return (!is_right).then(|| format!("must be one of {words:?}"));
        }
        Takes::Whole { min, max } => {
            let number = value.as_number();
            let is_right = number.is_some_and(|number| is_within(number, min, max));
            return (!is_right).then(|| format!("must be a whole number from {min} to {max}"));
        }
        Takes::List { .. } | Takes::ListOrJson { .. } | Takes::Like(_) => return None,
    };
    (!is_right).then(|| problem.to_owned())
}

#[cfg(test)]
mod tests;
