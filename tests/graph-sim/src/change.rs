//! Changes that control requests ask for, and which numbers they are about.

use crate::options::NumberRules;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Changes to the rules of one or more numbers, as control requests write them:
/// `{"phone_number_id": "111", "mps": 40}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Change {
    pub whose: Whose,
    /// By the names that files use.
    pub changes: Map<String, Value>,
}

/// Which numbers a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// By its phone number id; it is added if it is not there.
    Number(String),
    /// Every number, and those yet to be seen.
    All,
    /// Every number of that WABA.
    Waba(String),
    /// Every number of that app.
    App(String),
}

impl Whose {
    /// Whether it is about numbers with these rules. One number is known by its id alone.
    pub(crate) fn holds_of(&self, rules: &NumberRules) -> bool {
        match self {
            Self::Number(_) => false,
            Self::All => true,
            Self::Waba(waba_id) => rules.waba_id == *waba_id,
            Self::App(app) => rules.app.as_ref() == Some(app),
        }
    }
}

impl std::fmt::Display for Whose {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(id) => write!(to, "number {id}"),
            Self::All => to.write_str("number *"),
            Self::Waba(waba_id) => write!(to, "WABA {waba_id}"),
            Self::App(app) => write!(to, "app {app}"),
        }
    }
}

impl TryFrom<Map<String, Value>> for Change {
    type Error = String;

    fn try_from(mut changes: Map<String, Value>) -> Result<Self, String> {
        if let Some(id) = taken(&mut changes, "phone_number_id")? {
            let whose = if id == "*" {
                Whose::All
            } else {
                Whose::Number(id)
            };
            return Ok(Self { whose, changes });
        }
        // Without a number these keys say whose numbers change, and not to what.
        let waba_id = taken(&mut changes, "waba_id")?;
        let app = taken(&mut changes, "app")?;
        let whose = match (waba_id, app) {
            (Some(waba_id), None) => Whose::Waba(waba_id),
            (None, Some(app)) => Whose::App(app),
            (Some(_), Some(_)) => {
                return Err("without phone_number_id, give waba_id or app, not both".to_owned());
            }
            (None, None) => {
                return Err(
                    "phone_number_id, waba_id or app must say whose rules change".to_owned(),
                );
            }
        };
        Ok(Self { whose, changes })
    }
}

fn taken(changes: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match changes.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
        ) => Err(format!("{name} must be a string")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_number_goes_before_a_waba_and_an_app() {
        let some = str::to_owned;
        for (change, whose, left) in [
            (
                json!({ "phone_number_id": "1", "waba_id": "9", "app": "a" }),
                Whose::Number(some("1")),
                json!({ "waba_id": "9", "app": "a" }),
            ),
            (
                json!({ "phone_number_id": "*", "waba_id": "9" }),
                Whose::All,
                json!({ "waba_id": "9" }),
            ),
            (
                json!({ "waba_id": "9", "mps": 4 }),
                Whose::Waba(some("9")),
                json!({ "mps": 4 }),
            ),
            (
                json!({ "app": "a", "mps": 4 }),
                Whose::App(some("a")),
                json!({ "mps": 4 }),
            ),
        ] {
            let parsed: Change = serde_json::from_value(change).unwrap();
            assert_eq!(parsed.whose, whose);
            assert_eq!(Value::Object(parsed.changes), left);
        }
        for (wrong, says) in [
            (json!({ "waba_id": "9", "app": "a", "mps": 4 }), "not both"),
            (json!({ "mps": 4 }), "must say whose"),
            (json!({ "app": null, "mps": 4 }), "app must be a string"),
            (json!({ "phone_number_id": 1 }), "phone_number_id must be"),
        ] {
            let error = serde_json::from_value::<Change>(wrong).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
