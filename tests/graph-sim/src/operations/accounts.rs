//! Accounts: their name, users, numbers, and the apps that hear of them.

use super::call::Call;
use super::{Kind, Of, Operations, Row, Told, figures, numbers, rows, success};
use crate::errors::ApiError;
use crate::node::health_of;
use serde_json::{Map, Value, json};

/// The portfolio of every account.
pub(crate) const BUSINESS: &str = "100000000000002";
const APP: &str = "100000000000003";
const ITSELF: &str = "itself";
const SUBSCRIPTION: &str = "subscribed_apps";

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Get Of::Account, "" => show;
    Post Of::Account, "" => change;
    Get Of::App, "owned_whatsapp_business_accounts" => list_owned;
    Get Of::App, "client_whatsapp_business_accounts" => |_, call| portfolio(call).map(|()| (200, json!({ "data": [] })));
    Get Of::Account, "phone_numbers" => numbers::list;
    Post Of::Account, "phone_numbers" => add_number, "phone_number", "verified_name";
    Get Of::Account, "assigned_users" => |all, call| all.store.page(call, Kind::User).map(|page| (200, page));
    Post Of::Account, "assigned_users" => assign, "user", "tasks";
    Delete Of::Account, "assigned_users" => dismiss, "user";
    Get Of::Account, "subscribed_apps" => show_subscription;
    Post Of::Account, "subscribed_apps" => subscribe;
    Delete Of::Account, "subscribed_apps" => |all, call| { all.store.setting_mut(call.id, SUBSCRIPTION).clear(); success() };
};

fn itself(all: &Operations, call: &Call<'_>) -> Map<String, Value> {
    let first = json!({
        "id": call.owner, "name": "Simulated", "timezone_id": "1", "currency": "USD", "country": "US",
        "message_template_namespace": "5af6d6f2_4b4a_4b4a_9d9d_5af6d6f24b4a", "account_review_status": "APPROVED",
        "business_verification_status": "verified", "ownership_type": "SELF", "is_enabled_for_insights": true,
        "owner_business_info": { "id": BUSINESS, "name": "Simulated" }, "primary_funding_id": "1",
        "marketing_messages_onboarding_status": "ELIGIBLE", "status": "ACTIVE",
    });
    let mut shown = first.as_object().cloned().unwrap_or_default();
    shown.extend(all.store.setting(call.id, ITSELF));
    shown
}

/// The account's fields, its health and its figures among them if they are asked for.
fn show(all: &mut Operations, call: &Call<'_>) -> Told {
    let mut shown = itself(all, call);
    for field in call.fields().unwrap_or_default() {
        let figures = figures::of_field(call, &field)?;
        if field == "health_status" {
            shown.insert(field, health_of("WABA", &call.owner, &call.rules));
        } else if let Some(figures) = figures {
            shown.insert(field, figures);
        }
    }
    Ok((200, call.shown(shown)))
}

fn change(all: &mut Operations, call: &Call<'_>) -> Told {
    let changes = call.only(&["name", "timezone_id", "is_enabled_for_insights"]);
    if changes.is_empty() {
        return Err(ApiError::parameter("No parameter of an account is given"));
    }
    all.store.setting_mut(call.id, ITSELF).extend(changes);
    Ok((200, json!({ "success": true, "id": call.id })))
}

fn portfolio(call: &Call<'_>) -> Result<(), ApiError> {
    let is_it = call.id == BUSINESS;
    is_it
        .then_some(())
        .ok_or_else(|| ApiError::unknown_object("get", call.id))
}

fn list_owned(all: &mut Operations, call: &Call<'_>) -> Told {
    portfolio(call)?;
    let owned = call.shown(itself(all, call));
    Ok((200, json!({ "data": [owned] })))
}

/// The number must be verified and registered before it sends: it is listed, and no more.
fn add_number(all: &mut Operations, call: &Call<'_>) -> Told {
    // Meta's pages have it under both names.
    let country = call.text("cc").or_else(|| call.text("country_code"));
    let country = country.ok_or_else(|| ApiError::parameter("The parameter cc is required"))?;
    let shown = format!("+{country} {}", call.text_of("phone_number")?);
    let digits = |text: &str| {
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let has = |number: &Value| {
        let number = number.get("display_phone_number").and_then(Value::as_str);
        number.is_some_and(|number| digits(number) == digits(&shown))
    };
    let is_there = all
        .store
        .of(Kind::Number, &call.owner)
        .any(|number| has(&number.members.clone().into()));
    if is_there || call.numbers.iter().any(has) {
        return Err(
            ApiError::parameter("The phone number is already in use").with_subcode(Some(2_388_001))
        );
    }
    let members = json!({
        "display_phone_number": shown, "verified_name": call.text_of("verified_name")?, "status": "PENDING",
        "code_verification_status": "NOT_VERIFIED", "quality_rating": "UNKNOWN", "platform_type": "NOT_APPLICABLE",
    });
    let id = all.store.issue();
    all.store.add(
        Kind::Number,
        &call.owner,
        id.clone(),
        members.as_object().cloned().unwrap_or_default(),
    );
    Ok((200, json!({ "id": id })))
}

fn assign(all: &mut Operations, call: &Call<'_>) -> Told {
    let user = call.text_of("user")?;
    all.store
        .remove(Kind::User, &call.owner, |known| known.id == user);
    let members = [
        ("name".to_owned(), "Simulated".into()),
        ("tasks".to_owned(), call.list("tasks").into()),
    ];
    all.store
        .add(Kind::User, &call.owner, user, Map::from_iter(members));
    success()
}

fn dismiss(all: &mut Operations, call: &Call<'_>) -> Told {
    let user = call.text_of("user")?;
    match all
        .store
        .remove(Kind::User, &call.owner, |known| known.id == user)
    {
        0 => Err(ApiError::parameter(
            "The user is not assigned to the account",
        )),
        _ => success(),
    }
}

fn show_subscription(all: &mut Operations, call: &Call<'_>) -> Told {
    let subscription = all.store.setting(call.id, SUBSCRIPTION);
    let data = if subscription.is_empty() {
        vec![]
    } else {
        vec![subscription]
    };
    Ok((200, json!({ "data": data })))
}

/// Without a callback the app's own is used again. Source: Meta docs, "Webhooks overrides".
fn subscribe(all: &mut Operations, call: &Call<'_>) -> Told {
    let callback = call.text("override_callback_uri");
    if callback.is_some() && call.given("verify_token").is_none() {
        return Err(ApiError::parameter(
            "The parameter verify_token is required",
        ));
    }
    let link = format!("https://www.facebook.com/games/?app_id={APP}");
    let app = json!({ "id": APP, "name": call.rules.app.as_deref().unwrap_or("Simulated"), "link": link });
    let subscription = all.store.setting_mut(call.id, SUBSCRIPTION);
    subscription.clear();
    subscription.insert("whatsapp_business_api_data".to_owned(), app);
    if let Some(callback) = callback {
        subscription.insert("override_callback_uri".to_owned(), callback.into());
    }
    success()
}
