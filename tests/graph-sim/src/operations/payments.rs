//! Payments in India: configurations, the lookup of a payment, refunds. Source: Meta docs, "Onboarding APIs" and "Payments API - IN".

use super::call::Call;
use super::store::Object;
use super::{Kind, Of, Operations, Row, Told, rows, success};
use crate::errors::ApiError;
use serde_json::{Map, Value, json};

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Get Of::Account, "payment_configurations" => |all, call| {
        let all = all.store.of(Kind::PaymentConfig, &call.owner);
        let shown: Vec<Value> = all.map(shown).collect();
        let data = if shown.is_empty() { json!([]) } else { json!([{ "payment_configurations": shown }]) };
        Ok((200, json!({ "data": data })))
    };
    Get Of::Account, "payment_configuration/*" => |all, call| {
        let config = all.store.named(call, Kind::PaymentConfig, &call.part(1))?;
        Ok((200, json!({ "data": [shown(config)] })))
    };
    Post Of::Account, "payment_configuration" => create, "configuration_name", "provider_name";
    Post Of::Account, "payment_configuration/*" => |all, call| {
        let changes = call.only(&["data_endpoint_url"]);
        all.store.named_mut(call, Kind::PaymentConfig, &call.part(1))?.members.extend(changes);
        success()
    };
    Post Of::Account, "generate_payment_configuration_oauth_link" => |all, call| {
        all.store.named(call, Kind::PaymentConfig, &call.text_of("configuration_name")?)?;
        Ok((200, Value::Object(linked())))
    }, "configuration_name";
    Delete Of::Account, "payment_configuration" => delete, "configuration_name";
    Get Of::Number, "payments/*/*" => look_up;
    Post Of::Number, "payments_refund" => refund, "reference_id", "payment_config_id", "amount";
};

fn linked() -> Map<String, Value> {
    let url = "https://www.facebook.com/payment/onboarding/init/";
    Map::from_iter([
        ("oauth_url".to_owned(), url.into()),
        ("expiration".to_owned(), 1_721_687_287.into()),
    ])
}

fn shown(config: &Object) -> Value {
    let mut shown = config.members.clone();
    for name in ["merchant_category_code", "purpose_code"] {
        if let Some(code) = shown.get(name).cloned() {
            shown.insert(
                name.to_owned(),
                json!({ "code": code, "description": "Simulated" }),
            );
        }
    }
    shown.into()
}

fn create(all: &mut Operations, call: &Call<'_>) -> Told {
    let name = call.text_of("configuration_name")?;
    if all.store.named(call, Kind::PaymentConfig, &name).is_ok() {
        return Err(ApiError::parameter("The configuration name is taken"));
    }
    let mut members = call.only(&[
        "configuration_name",
        "merchant_category_code",
        "purpose_code",
        "provider_name",
        "merchant_vpa",
    ]);
    let is_active = call.given("merchant_vpa").is_some();
    let status = if is_active {
        "Active"
    } else {
        "Needs_Connecting"
    };
    members.insert("status".to_owned(), status.into());
    all.store
        .add(Kind::PaymentConfig, &call.owner, name, members);
    let mut answer = if is_active { Map::new() } else { linked() };
    answer.insert("success".to_owned(), true.into());
    Ok((200, answer.into()))
}

fn delete(all: &mut Operations, call: &Call<'_>) -> Told {
    let name = call.text_of("configuration_name")?;
    match all
        .store
        .remove(Kind::PaymentConfig, &call.owner, |config| config.id == name)
    {
        0 => Err(ApiError::parameter("No such payment configuration")),
        _ => success(),
    }
}

fn reference(config: &str, id: &str) -> String {
    format!("{config}/{id}")
}

/// Every reference has been paid, in part or whole.
fn look_up(all: &mut Operations, call: &Call<'_>) -> Told {
    let (config, id) = (call.part(1), call.part(2));
    let refunds = all
        .store
        .of(Kind::Payment, call.id)
        .filter(|refund| refund.is("of", &reference(&config, &id)));
    let refund = |refund: &Object| {
        let mut shown = refund.members.clone();
        shown.remove("of");
        shown.insert("id".to_owned(), refund.id.as_str().into());
        shown
    };
    let refunds: Vec<_> = refunds.map(refund).collect();
    let transaction = json!({ "id": format!("pay-{id}"), "type": "razorpay", "status": "success", "method": { "type": "upi" } });
    Ok((
        200,
        json!({ "payments": [{
        "reference_id": id, "status": "captured", "currency": "INR", "amount": { "value": 10_000, "offset": 100 },
        "transactions": [transaction], "refunds": refunds,
    }] }),
    ))
}

fn refund(all: &mut Operations, call: &Call<'_>) -> Told {
    let (config, id) = (
        call.text_of("payment_config_id")?,
        call.text_of("reference_id")?,
    );
    let amount = call.must("amount")?;
    if amount.get("value").is_none()
        || amount
            .get("currency")
            .is_none_or(|currency| currency != "INR")
    {
        return Err(ApiError::parameter(
            "Param amount must have value, and currency INR",
        ));
    }
    let members = json!({ "of": reference(&config, &id), "amount": amount, "status": "completed", "speed_processed": "normal", "created_timestamp": "1721687287" });
    let id = format!("rfnd{}", all.store.issue());
    all.store.add(
        Kind::Payment,
        call.id,
        id.clone(),
        members.as_object().cloned().unwrap_or_default(),
    );
    Ok((
        200,
        json!({ "id": id, "status": "completed", "speed_processed": "normal" }),
    ))
}
