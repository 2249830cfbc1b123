//! What a number has once: texts that people see, settings, its key.

use super::call::{Call, plain};
use super::store::page;
use super::{Of, Operations, Row, Told, rows, success};
use crate::errors::ApiError;
use serde_json::{Map, Value, json};

/// The setting that a read of the number itself shows.
pub(super) const ITSELF: &str = "itself";
const PROFILE: &str = "whatsapp_business_profile";
const COMPLIANCE: &str = "business_compliance_info";
const COMMERCE: &str = "whatsapp_commerce_settings";
const KEY: &str = "whatsapp_business_encryption";
const SETTINGS: &str = "settings";
const USERNAME: &str = "username";
const OFFICIAL: &str = "official_business_account";

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Post Of::Number, "" => change_itself;
    Get Of::Number, "whatsapp_business_profile" => |all, call| listed(all, call, PROFILE, &json!({ "messaging_product": "whatsapp", "vertical": "OTHER" }));
    Post Of::Number, "whatsapp_business_profile" => |all, call| merge(all, call, PROFILE), "messaging_product";
    Get Of::Number, "business_compliance_info" => |all, call| listed(all, call, COMPLIANCE, &json!({ "messaging_product": "whatsapp" }));
    Post Of::Number, "business_compliance_info" => |all, call| merge(all, call, COMPLIANCE), "messaging_product", "entity_name", "entity_type", "grievance_officer_details", "customer_care_details";
    Get Of::Number, "whatsapp_commerce_settings" => |all, call| listed(all, call, COMMERCE, &json!({ "is_cart_enabled": true, "is_catalog_visible": false, "id": call.id }));
    Post Of::Number, "whatsapp_commerce_settings" => change_commerce;
    Get Of::Number, "whatsapp_business_encryption" => show_key;
    Post Of::Number, "whatsapp_business_encryption" => |all, call| merge(all, call, KEY), "business_public_key";
    Get Of::Number, "settings" => |all, call| Ok((200, call.shown(all.store.setting(call.id, SETTINGS))));
    Post Of::Number, "settings" => change_settings;
    Get Of::Number, "username" => show_username;
    Post Of::Number, "username" => |all, call| {
        merge(all, call, USERNAME)?;
        Ok((200, json!({ "status": "reserved" })))
    }, "username";
    Delete Of::Number, "username" => |all, call| { all.store.setting_mut(call.id, USERNAME).clear(); success() };
    Get Of::Number, "username_suggestions" => |_, _| Ok((200, json!({ "data": [{ "username_suggestions": ["simulated", "simulated.shop"] }] })));
    Get Of::Number, "official_business_account" => |all, call| show(all, call, OFFICIAL, &json!({ "oba_status": "NOT_STARTED" }));
    Post Of::Number, "official_business_account" => |all, call| {
        all.store.setting_mut(call.id, OFFICIAL).insert("oba_status".to_owned(), "PENDING".into());
        success()
    };
    Post Of::Number, "conversational_automation" => set_automation;
};

/// Settings as the one entry of a list, over what is there from the start.
fn listed(all: &mut Operations, call: &Call<'_>, name: &'static str, first: &Value) -> Told {
    let mut shown = first.as_object().cloned().unwrap_or_default();
    shown.extend(all.store.setting(call.id, name));
    Ok((200, json!({ "data": [call.shown(shown)] })))
}

fn show(all: &mut Operations, call: &Call<'_>, name: &'static str, first: &Value) -> Told {
    let mut shown = first.as_object().cloned().unwrap_or_default();
    shown.extend(all.store.setting(call.id, name));
    shown.insert("id".to_owned(), call.id.into());
    Ok((200, call.shown(shown)))
}

/// What is not given stays.
fn merge(all: &mut Operations, call: &Call<'_>, name: &'static str) -> Told {
    all.store.setting_mut(call.id, name).extend(call.changes());
    success()
}

/// A name that is to be reviewed, a PIN, or a callback.
fn change_itself(all: &mut Operations, call: &Call<'_>) -> Told {
    let changes = call.only(&["new_display_name", "pin", "webhook_configuration"]);
    if changes.is_empty() {
        return Err(ApiError::parameter(
            "No parameter of a phone number is given",
        ));
    }
    let itself = all.store.setting_mut(call.id, ITSELF);
    for (name, value) in changes {
        match name.as_str() {
            "pin" => {
                let pin = plain(&value);
                if pin.len() != 6 || !pin.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(ApiError::parameter("Param pin must be 6 digits"));
                }
            }
            "new_display_name" => {
                itself.insert("new_name_status".to_owned(), "PENDING_REVIEW".into());
                itself.insert(name, value);
            }
            _ => {
                let uri = value.get("override_callback_uri").cloned();
                let uri = uri.filter(|uri| uri != "");
                itself.insert(name, json!({ "phone_number": uri }));
            }
        }
    }
    success()
}

fn set_automation(all: &mut Operations, call: &Call<'_>) -> Told {
    // The whole configuration is set, and shown with the number's own id.
    let mut set = call.only(&["enable_welcome_message", "prompts", "commands"]);
    // A list in a form's dress is JSON.
    for value in set.values_mut() {
        if let Some(Ok(list)) = value.as_str().map(serde_json::from_str) {
            *value = list;
        }
    }
    set.insert("id".to_owned(), call.id.into());
    all.store
        .setting_mut(call.id, ITSELF)
        .insert("conversational_automation".to_owned(), set.into());
    success()
}

fn change_commerce(all: &mut Operations, call: &Call<'_>) -> Told {
    let flags = call.only(&["is_cart_enabled", "is_catalog_visible"]);
    if flags.is_empty() {
        return Err(ApiError::parameter("No commerce setting is given"));
    }
    let flags = flags.into_iter();
    let flags = flags.map(|(name, value)| {
        (
            name,
            Value::Bool(plain(&value).eq_ignore_ascii_case("true")),
        )
    });
    all.store.setting_mut(call.id, COMMERCE).extend(flags);
    success()
}

/// One feature a call. Source: Meta docs, "Settings API".
fn change_settings(all: &mut Operations, call: &Call<'_>) -> Told {
    let changes = call.changes();
    if changes.len() != 1 {
        return Err(ApiError::parameter("One feature must be given"));
    }
    all.store.setting_mut(call.id, SETTINGS).extend(changes);
    success()
}

fn show_key(all: &mut Operations, call: &Call<'_>) -> Told {
    let mut shown = all.store.setting(call.id, KEY);
    if !shown.is_empty() {
        let status = "business_public_key_signature_status".to_owned();
        shown.insert(status, "VALID".into());
    }
    Ok((200, shown.into()))
}

fn show_username(all: &mut Operations, call: &Call<'_>) -> Told {
    let mut shown = all.store.setting(call.id, USERNAME);
    shown.remove("transfer_action");
    if !shown.is_empty() {
        shown.insert("status".to_owned(), "reserved".into());
    }
    Ok((200, shown.into()))
}

/// The numbers that the account has, and those that were added to it.
pub(super) fn list(all: &mut Operations, call: &Call<'_>) -> Told {
    let added = all.store.of(super::Kind::Number, &call.owner);
    let added = added.map(|number| Value::Object(number.whole()));
    let all = call.numbers.iter().cloned().chain(added);
    let known: Vec<(String, Value)> = all
        .filter_map(|number| {
            let number: Map<String, Value> = number.as_object()?.clone();
            Some((plain(number.get("id")?), call.shown(number)))
        })
        .collect();
    Ok((200, page(call, &known)?))
}
