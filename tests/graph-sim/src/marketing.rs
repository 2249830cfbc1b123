//! What a `/marketing_messages` body asks for, or the error that refuses it.

use crate::errors::ApiError;
use crate::validate::{self, Body, Intent};
use serde_json::Value;

/// Reads a body of the Marketing Messages API, which sends templates only.
pub(crate) fn intent(body: Option<&Body>) -> Result<Intent<'_>, ApiError> {
    let given = |name: &str| body.and_then(|body| body.get(name));
    if body.is_some() && given("type").is_none_or(|kind| kind != "template") {
        return Err(ApiError::of(134100));
    }
    let policies = ["CLOUD_API_FALLBACK", "STRICT"];
    let is_known = |policy: &Value| policies.iter().any(|known| policy == known);
    if !given("product_policy").is_none_or(is_known) {
        return Err(ApiError::parameter(
            "Param product_policy must be one of {CLOUD_API_FALLBACK, STRICT}.",
        ));
    }
    if !given("message_activity_sharing").is_none_or(Value::is_boolean) {
        return Err(ApiError::parameter(
            "Param message_activity_sharing must be a boolean.",
        ));
    }
    validate::intent(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_templates_go_as_marketing_messages() {
        let template = |changes: Value| {
            let mut body = json!({"messaging_product": "whatsapp", "to": "34600112233", "type": "template",
                "template": {"name": "sale", "language": {"code": "en"}}});
            let changes = changes.as_object().unwrap().clone();
            body.as_object_mut().unwrap().extend(changes);
            body
        };
        for (changes, expected) in [
            (json!({}), None),
            (
                json!({"product_policy": "STRICT", "message_activity_sharing": true}),
                None,
            ),
            (json!({"product_policy": "LAX"}), Some(100)),
            (json!({"message_activity_sharing": "yes"}), Some(100)),
            (json!({"type": "text", "text": {"body": "a"}}), Some(134100)),
            (json!({"type": null}), Some(134100)),
            (json!({"template": {"name": "sale"}}), Some(131008)),
        ] {
            let body = template(changes);
            let refused = intent(body.as_object()).err();
            assert_eq!(refused.map(|error| error.code), expected, "{body}");
        }
    }
}
