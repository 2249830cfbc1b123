//! What `GET /debug_token` says of a token (Meta docs, "Debug-Token", and "Permissions" of
//! the WhatsApp Business Platform).

use crate::errors::ApiError;
use crate::options::{Token, TokenState};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SCOPES: [&str; 2] = [
    "whatsapp_business_management",
    "whatsapp_business_messaging",
];
/// A system user's token lasts so long, unless it never expires.
const LASTS_S: u64 = 60 * 86_400;
/// When tokens that never expire were issued.
const ISSUED_AT: u64 = 1_700_000_000;

/// Why a token is refused, wherever it is used.
pub(crate) fn refusal(state: TokenState) -> Option<ApiError> {
    match state {
        TokenState::Valid => None,
        TokenState::Expired => Some(ApiError::expired_token()),
        TokenState::Revoked => Some(ApiError::revoked_token()),
        TokenState::Unknown => Some(ApiError::no_token()),
    }
}

/// What is said of a token of that app, good for these WABAs; without them for all that
/// the app has.
pub(crate) fn describe(
    token: &Token,
    application: &str,
    waba_ids: Option<&BTreeSet<&str>>,
) -> Value {
    if let Some(error) = refusal(token.state) {
        let data = json!({ "error": error.in_data(), "is_valid": false, "scopes": [] });
        return json!({ "data": data });
    }
    let granular = SCOPES.map(|scope| match waba_ids {
        Some(waba_ids) => json!({ "scope": scope, "target_ids": waba_ids }),
        None => json!({ "scope": scope }),
    });
    let expires_at = token.expires_at.unwrap_or(0);
    let issued_at = match expires_at {
        0 => ISSUED_AT,
        _ => expires_at.saturating_sub(LASTS_S),
    };
    json!({ "data": {
        "app_id": token.app_id.as_deref().unwrap_or("100000000000003"),
        "type": "SYSTEM_USER",
        "application": application,
        "is_valid": true,
        "expires_at": expires_at,
        "data_access_expires_at": 0,
        "issued_at": issued_at,
        "scopes": SCOPES,
        "granular_scopes": granular,
        "user_id": "100000000000004",
    } })
}
