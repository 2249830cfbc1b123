//! Answers to operations that are no messages: any JSON, which goes into the result as it came.
//!
//! Sources: Meta, "Block users" (both lists and an error in one HTTP 400), "Archive templates" (failures inside a 200), pages on groups
//! (HTTP 206) and "Payments lookup" (`errors`, the form of the On-Premises API).

use super::{
    Accepted, AnswerBody, ApiError, MAX_TEXT_CHARS, Undone, Whole, number, read_error, text,
};
use crate::contract::fault::Fault;
use crate::contract::result::Response;
use crate::core::operation::AnswerForm;
use serde_json::{Map, Value};

/// Most entries that a result names. The whole list is in its `response`.
const FAULTS_MAX: usize = 50;

impl Accepted {
    /// An operation that was found to be done.
    pub fn found(response: &Value) -> Self {
        let response = Response::of(&response.to_string());
        Self {
            whole: response.map(|response| {
                Box::new(Whole {
                    response,
                    undone: None,
                })
            }),
            ..Self::default()
        }
    }
}

impl AnswerBody {
    /// Reads the answer to an operation, in the form that the API gives it.
    pub fn of(form: AnswerForm, status: u16, bytes: &[u8]) -> Self {
        match form {
            AnswerForm::Sent => Self::read(bytes),
            AnswerForm::Whole(failures) => read(failures, status, bytes),
        }
    }
}

/// Reads the whole answer. `failures`: pointers to lists of what was not done.
fn read(failures: &[&str], status: u16, bytes: &[u8]) -> AnswerBody {
    let parsed = std::str::from_utf8(bytes).ok().and_then(|text| {
        let document = serde_json::from_str::<Value>(text).ok()?;
        Some((document, Response::of(text)?))
    });
    let Some((document, response)) = parsed else {
        return AnswerBody::Unreadable;
    };
    let error = document.get("error").filter(|error| !error.is_null());
    let error = error.or_else(|| document.get("errors")?.get(0));
    let error = error.map(read_failure);
    if let Some(undone) = read_undone(&document, failures, error.clone().flatten()) {
        return done(response, Some(undone));
    }
    match error {
        Some(Some(error)) => AnswerBody::Error(error),
        Some(None) => AnswerBody::Unreadable,
        None if (200..300).contains(&status) => done(response, None),
        None => AnswerBody::Unreadable,
    }
}

fn done(response: Response, undone: Option<Undone>) -> AnswerBody {
    AnswerBody::Accepted(Accepted {
        whole: Some(Box::new(Whole { response, undone })),
        ..Accepted::default()
    })
}

/// Reads an error of the Graph API, or one of the On-Premises API, whose title has a name of its own.
fn read_failure(error: &Value) -> Option<ApiError> {
    let mut read = read_error(error)?;
    let own = |key: &str| text(error.get(key)?, MAX_TEXT_CHARS);
    read.title = read.title.or_else(|| own("title"));
    read.details = read.details.or_else(|| own("details"));
    Some(read)
}

fn read_undone(document: &Value, failures: &[&str], error: Option<ApiError>) -> Option<Undone> {
    if document.get("success") == Some(&Value::Bool(false)) {
        return Some(Undone {
            is_partial: false,
            faults: vec![Fault::new("/response/success", "is false")],
            error,
        });
    }
    let (at, list) = failures
        .iter()
        .find_map(|at| Some((*at, document.pointer(at).filter(|list| !is_empty(list))?)))?;
    let parent = at.rsplit_once('/').map_or("", |(parent, _)| parent);
    let others = document.pointer(parent).and_then(Value::as_object);
    let none = Map::new();
    let others = others.unwrap_or(&none).values();
    let did_others = others.filter(|other| !std::ptr::eq(*other, list));
    let is_list = |value: &&Value| value.is_array() || value.is_object();
    let is_error = |value: &&Value| {
        document
            .get("error")
            .is_some_and(|error| std::ptr::eq(error, *value))
    };
    let is_partial = did_others
        .filter(is_list)
        .filter(|value| !is_error(value))
        .any(|value| !is_empty(value));
    Some(Undone {
        is_partial,
        faults: faults_of(at, list),
        error,
    })
}

fn is_empty(list: &Value) -> bool {
    match list {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// One fault an entry: of a list, or of an object that has a reason by each id.
fn faults_of(at: &str, list: &Value) -> Vec<Fault> {
    let named: Vec<(String, &Value)> = match list {
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.map(|(n, item)| (n.to_string(), item)).collect()
        }
        Value::Object(members) => {
            let members = members.iter();
            members
                .map(|(name, reason)| (name.clone(), reason))
                .collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![],
    };
    let faults = named.iter().take(FAULTS_MAX);
    let faults =
        faults.map(|(name, item)| Fault::new(&format!("/response{at}/{name}"), reason(item)));
    faults.collect()
}

/// The API's own words for one entry: its first error, its code, or a reason in one word.
fn reason(item: &Value) -> String {
    let error = item.get("errors").and_then(|errors| errors.get(0));
    let error = error.or_else(|| item.get("error")).unwrap_or(item);
    let code = error.get("code").and_then(number);
    let words = ["details", "message", "title", "failure_reason", "reason"];
    let said = words
        .iter()
        .find_map(|word| text(error.get(word)?, MAX_TEXT_CHARS));
    let said = said.or_else(|| text(item, MAX_TEXT_CHARS));
    match (code, said) {
        (Some(code), Some(said)) => format!("{code}: {said}"),
        (Some(code), None) => code.to_string(),
        (None, Some(said)) => said,
        (None, None) => "not done".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BLOCKED: &[&str] = &["/block_users/failed_users"];
    const ARCHIVED: &[&str] = &["/failed_templates"];

    fn undone(
        failures: &[&str],
        status: u16,
        answer: &Value,
    ) -> Option<(bool, Vec<String>, Option<i64>)> {
        match read(failures, status, answer.to_string().as_bytes()) {
            AnswerBody::Accepted(accepted) => {
                let undone = accepted.whole.unwrap().undone?;
                let faults = undone.faults.iter().map(Fault::to_string);
                Some((
                    undone.is_partial,
                    faults.collect(),
                    undone.error.map(|e| e.code),
                ))
            }
            other @ (AnswerBody::Success | AnswerBody::Error(_) | AnswerBody::Unreadable) => {
                panic!("{other:?}")
            }
        }
    }

    #[test]
    fn what_was_done_for_some_says_for_whom_not() {
        let failed = json!([{"input": "49", "errors": [{"code": 131047, "message": "24 hours"}]}]);
        let error = json!({"code": 139100, "message": "some"});
        let partly = json!({
            "block_users": {"added_users": [{"input": "48"}], "failed_users": failed}, "error": error,
        });
        let of_49 = "/response/block_users/failed_users/0 131047: 24 hours";
        assert_eq!(
            undone(BLOCKED, 400, &partly),
            Some((true, vec![of_49.to_owned()], Some(139_100)))
        );
        let none =
            json!({"block_users": {"added_users": [], "failed_users": failed}, "error": error});
        assert_eq!(
            undone(BLOCKED, 400, &none).map(|undone| undone.0),
            Some(false)
        );
        let all = json!({"block_users": {"added_users": [{"input": "48"}]}});
        assert_eq!(undone(BLOCKED, 200, &all), None);
        let archived = json!({"archived_templates": ["1"], "failed_templates": {"2": "not found"}});
        let of_2 = "/response/failed_templates/2 not found";
        assert_eq!(
            undone(ARCHIVED, 200, &archived),
            Some((true, vec![of_2.to_owned()], None))
        );
        let refused = json!({"success": false});
        assert_eq!(
            undone(&[], 200, &refused).map(|undone| undone.0),
            Some(false)
        );
    }

    #[test]
    fn an_error_is_one_in_either_form() {
        for (answer, code, details) in [
            (json!({"error": {"code": 100, "message": "m"}}), 100, None),
            (
                json!({"errors": [{"code": 500, "title": "t", "details": "d"}]}),
                500,
                Some("d"),
            ),
        ] {
            match read(&[], 400, answer.to_string().as_bytes()) {
                AnswerBody::Error(error) => {
                    assert_eq!((error.code, error.details.as_deref()), (code, details));
                    assert!(error.title.is_some());
                }
                other
                @ (AnswerBody::Success | AnswerBody::Accepted(_) | AnswerBody::Unreadable) => {
                    panic!("{other:?}")
                }
            }
        }
    }

    #[test]
    fn only_a_status_that_says_yes_makes_an_answer_one() {
        for (status, answer, is_yes) in [
            (200, "{\"success\":true}", true),
            (200, "true", true),
            (206, "{\"id\":\"1\"}", true),
            (502, "{\"id\":\"1\"}", false),
            (200, "<html>", false),
            (200, "", false),
        ] {
            let read = read(&[], status, answer.as_bytes());
            assert_eq!(
                matches!(read, AnswerBody::Accepted(_)),
                is_yes,
                "{status} {answer}"
            );
        }
    }
}
