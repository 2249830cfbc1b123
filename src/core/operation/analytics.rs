//! Figures that Meta gives as a field of the account, with their parameters inside the name of the field. Source: Meta, "Analytics".

use serde_json::{Map, Value};

/// `name.start(1).end(2).granularity(DAY)`: each member of the document as a parameter of the field, in order. Parentheses and what
/// would end one belong to no value that Meta documents, and are left out.
pub(super) fn field(name: &str, parameters: &Map<String, Value>) -> String {
    let mut field = name.to_owned();
    for (parameter, value) in parameters {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                value.to_string()
            }
        };
        let is_kept = |c: &char| !"().".contains(*c);
        let kept = |text: &str| text.chars().filter(is_kept).collect::<String>();
        field.push_str(&format!(".{}({})", kept(parameter), kept(&text)));
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_stand_inside_the_field() {
        for (parameters, expected) in [
            (json!({}), "health_status"),
            (
                json!({"end": 2, "granularity": "DAY", "phone_numbers": [], "start": 1, "x": null}),
                "health_status.end(2).granularity(DAY).phone_numbers([]).start(1)",
            ),
            (json!({"start": "1).end(2"}), "health_status.start(1end2)"),
        ] {
            let parameters = parameters.as_object().unwrap();
            assert_eq!(field("health_status", parameters), expected);
        }
    }
}
