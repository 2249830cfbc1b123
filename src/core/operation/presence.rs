//! Whether a body has a member.

use serde_json::Value;

/// A member that we add if the body lacks it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    /// The member is as good as absent, but there.
    Null,
    There,
}

impl Presence {
    pub(super) fn of(body: &Value, name: &str) -> Self {
        match body.get(name) {
            None => Self::Absent,
            Some(value) if value.is_null() => Self::Null,
            Some(_) => Self::There,
        }
    }
}

/// A member that is null is as good as absent. The API gets it as it came.
pub(super) fn member<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}
