//! What every result has, wherever it comes from.

use crate::broker::delivery::Delivery;
use crate::broker::headers::{self, Copy};
use crate::core::report::Report;
use lapin::BasicProperties;

/// A result that says `possible_duplicate`, whatever it said before.
pub(super) fn flag(result: &[u8]) -> Vec<u8> {
    let Ok(mut report) = serde_json::from_slice::<serde_json::Value>(result) else {
        return result.to_vec();
    };
    report["possible_duplicate"] = true.into();
    report.to_string().into_bytes()
}

/// A request's routing key may be as long as AMQP allows, and the status comes before it: what is too long is cut, as the body
/// names the number too.
pub(super) fn result_key(report: &Report) -> String {
    const MAX_BYTES: usize = 255;
    let mut key = format!("{}.{}", report.status.as_str(), report.phone_number_id);
    key.truncate(key.floor_char_boundary(MAX_BYTES));
    key
}

/// What every result of a request has.
pub(super) fn result_properties(delivery: &Delivery) -> BasicProperties {
    let incarnation = headers::incarnation(delivery.incarnation());
    headers::copied(&delivery.properties, Copy::Result, [incarnation])
        .with_content_type(headers::JSON.into())
}
