//! Figures of accounts, in the shapes that Meta gives them.

use super::call::Call;
use super::{Of, Row, rows};
use crate::errors::ApiError;
use crate::query::{arguments, parameter};
use serde_json::{Value, json};

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Get Of::Account, "template_analytics" => |_, call| {
        let point = |id: String| json!({ "template_id": id, "start": call.given("start"), "end": call.given("end"), "sent": 3, "delivered": 2, "read": 1 });
        let points: Vec<Value> = call.texts("template_ids").into_iter().map(point).collect();
        Ok((200, json!({ "data": [{ "granularity": "DAILY", "product_type": "cloud_api", "data_points": points }] })))
    }, "start", "end", "template_ids";
    Get Of::Account, "template_group_analytics" => |_, call| {
        let point = json!({ "start": call.given("start"), "end": call.given("end"), "sent": 3, "delivered": 2, "read": 1 });
        Ok((200, json!({ "data": [{ "granularity": "DAILY", "data_points": [point] }] })))
    }, "start", "end";
};

/// What one point of a field's figures says beside its time.
fn point_of(field: &str) -> Option<Value> {
    Some(match field {
        "analytics" => json!({ "sent": 3, "delivered": 2 }),
        "conversation_analytics" => json!({ "conversation": 3, "cost": 0.12 }),
        "pricing_analytics" => json!({ "volume": 3, "cost": 0.12 }),
        "call_analytics" => json!({ "count": 1, "cost": 0.05, "average_duration": 60 }),
        _ => return None,
    })
}

/// The figures that a field of an account stands for, if it does. Their time stands in the field's parentheses.
pub(super) fn of_field(call: &Call<'_>, field: &str) -> Result<Option<Value>, ApiError> {
    let Some(mut point) = point_of(field) else {
        return Ok(None);
    };
    let fields = parameter(call.query, "fields").unwrap_or_default();
    let given = arguments(&fields, field);
    let needed = |name: &str| {
        let value = given
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone());
        value.ok_or_else(|| ApiError::parameter(&format!("Param {name} of {field} is required")))
    };
    let time = |text: String| {
        let time: Result<u64, _> = text.parse();
        time.map_err(|_| ApiError::parameter("A time must be in Unix seconds"))
    };
    point["start"] = time(needed("start")?)?.into();
    point["end"] = time(needed("end")?)?.into();
    let granularity = needed("granularity")?;
    Ok(Some(match field {
        "analytics" => {
            json!({ "phone_numbers": [], "granularity": granularity, "data_points": [point] })
        }
        _ => json!({ "granularity": granularity, "data": [{ "data_points": [point] }] }),
    }))
}
