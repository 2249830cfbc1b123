//! Flows: drafts that are published once, and deprecated once.

use super::call::Call;
use super::store::Object;
use super::{Kind, Of, Operations, Row, Told, rows, success};
use crate::errors::ApiError;
use crate::node::health_of;
use serde_json::{Map, Value, json};

const OF_FLOW: Of = Of::Object(Kind::Flow);
const JSON: &str = "flow_json";

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Get Of::Account, "flows" => list;
    Post Of::Account, "flows" => create, "name", "categories";
    Post Of::Account, "migrate_flows" => migrate, "source_waba_id";
    Get OF_FLOW, "" => |all, call| {
        let flow = all.store.named(call, Kind::Flow, call.id)?;
        Ok((200, call.shown(whole(flow, call))))
    };
    Post OF_FLOW, "" => change;
    Delete OF_FLOW, "" => |all, call| {
        must_be(all, call, "DRAFT", 139_004)?;
        all.store.remove(Kind::Flow, &call.owner, |flow| flow.id == call.id);
        success()
    };
    Get OF_FLOW, "assets" => list_assets;
    Post OF_FLOW, "assets" => set_asset, "name", "asset_type";
    Post OF_FLOW, "publish" => |all, call| become_status(all, call, "DRAFT", "PUBLISHED", 139_002);
    Post OF_FLOW, "deprecate" => |all, call| become_status(all, call, "PUBLISHED", "DEPRECATED", 139_003);
};

fn whole(flow: &Object, call: &Call<'_>) -> Map<String, Value> {
    let mut whole = flow.whole();
    let has_json = whole.remove(JSON).is_some();
    whole.insert("validation_errors".to_owned(), json!([]));
    if has_json {
        whole.insert("json_version".to_owned(), "3.0".into());
    }
    if call.fields().is_some() {
        let written_at = "2026-01-01T00:00:00+0000";
        whole.insert("updated_at".to_owned(), written_at.into());
        let url = format!(
            "https://business.facebook.com/wa/manage/flows/{}/preview/?token=t",
            flow.id
        );
        whole.insert(
            "preview".to_owned(),
            json!({ "preview_url": url, "expires_at": "2030-01-01T00:00:00+0000" }),
        );
        whole.insert(
            "health_status".to_owned(),
            health_of("FLOW", &flow.id, &call.rules),
        );
        whole.insert(
            "whatsapp_business_account".to_owned(),
            json!({ "id": call.owner, "name": "Simulated", "timezone_id": "1", "currency": "USD", "message_template_namespace": "n" }),
        );
    }
    whole
}

fn list(all: &mut Operations, call: &Call<'_>) -> Told {
    let flows = all.store.of(Kind::Flow, &call.owner);
    let flows: Vec<_> = flows
        .map(|flow| (flow.id.clone(), call.shown(whole(flow, call))))
        .collect();
    Ok((200, super::store::page(call, &flows)?))
}

fn must_be(
    all: &mut Operations,
    call: &Call<'_>,
    status: &str,
    otherwise: i64,
) -> Result<(), ApiError> {
    let flow = all.store.named(call, Kind::Flow, call.id)?;
    flow.is("status", status)
        .then_some(())
        .ok_or_else(|| ApiError::of(otherwise))
}

fn become_status(
    all: &mut Operations,
    call: &Call<'_>,
    from: &str,
    to: &str,
    otherwise: i64,
) -> Told {
    must_be(all, call, from, otherwise)?;
    let flow = all.store.named_mut(call, Kind::Flow, call.id)?;
    flow.members.insert("status".to_owned(), to.into());
    success()
}

/// A name is given once in an account.
fn is_taken(all: &Operations, waba: &str, name: &str) -> bool {
    all.store
        .of(Kind::Flow, waba)
        .any(|flow| flow.is("name", name))
}

fn create(all: &mut Operations, call: &Call<'_>) -> Told {
    let name = call.text_of("name")?;
    if is_taken(all, &call.owner, &name) {
        return Err(ApiError::parameter("Flow name is not unique").with_subcode(Some(4_016_019)));
    }
    let mut members = call.only(&["endpoint_uri", JSON]);
    members.insert("categories".to_owned(), call.list("categories").into());
    members.insert("name".to_owned(), name.into());
    let is_published = call
        .text("publish")
        .is_some_and(|publish| publish == "true");
    let status = if is_published { "PUBLISHED" } else { "DRAFT" };
    members.insert("status".to_owned(), status.into());
    let id = all.store.issue();
    all.store.add(Kind::Flow, &call.owner, id.clone(), members);
    Ok((
        200,
        json!({ "id": id, "success": true, "validation_errors": [] }),
    ))
}

fn change(all: &mut Operations, call: &Call<'_>) -> Told {
    let changes = call.only(&["name", "categories", "endpoint_uri", "application_id"]);
    let flow = all.store.named_mut(call, Kind::Flow, call.id)?;
    flow.members.extend(changes);
    success()
}

fn list_assets(all: &mut Operations, call: &Call<'_>) -> Told {
    let flow = all.store.named(call, Kind::Flow, call.id)?;
    let url = format!("https://scontent.xx.fbcdn.net/{}/flow.json", flow.id);
    let asset = json!({ "name": "flow.json", "asset_type": "FLOW_JSON", "download_url": url });
    let assets: Vec<_> = flow
        .members
        .get(JSON)
        .map(|_| ("flow.json".to_owned(), asset))
        .into_iter()
        .collect();
    Ok((200, super::store::page(call, &assets)?))
}

fn set_asset(all: &mut Operations, call: &Call<'_>) -> Told {
    let file = call.file()?;
    let is_json = serde_json::from_slice::<Map<String, Value>>(file.bytes).is_ok();
    let json = String::from_utf8_lossy(file.bytes).into_owned();
    let flow = all.store.named_mut(call, Kind::Flow, call.id)?;
    if !is_json {
        let error = json!({ "error": "INVALID_FLOW_JSON", "error_type": "FLOW_JSON_ERROR",
            "message": "Flow JSON has been provided with invalid JSON" });
        return Ok((
            200,
            json!({ "success": true, "validation_errors": [error] }),
        ));
    }
    flow.members.insert(JSON.to_owned(), json.into());
    Ok((200, json!({ "success": true, "validation_errors": [] })))
}

/// Copies an account's flows, or those that are named.
fn migrate(all: &mut Operations, call: &Call<'_>) -> Told {
    let source = call.text_of("source_waba_id")?;
    let wanted = call.texts("source_flow_names");
    let flows: Vec<Object> = all.store.of(Kind::Flow, &source).cloned().collect();
    let (mut migrated, mut failed) = (vec![], vec![]);
    for flow in flows {
        let name = flow
            .members
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        if is_taken(all, &call.owner, &name) {
            failed.push(json!({ "source_name": name, "error_code": "4233041",
                "error_message": "Flows Migration Error: Flow with the same name exists in destination WABA." }));
            continue;
        }
        let id = all.store.issue();
        all.store
            .add(Kind::Flow, &call.owner, id.clone(), flow.members);
        migrated.push(json!({ "source_name": name, "source_id": flow.id, "migrated_id": id }));
    }
    let mut answer = json!({ "migrated_flows": migrated });
    if !failed.is_empty() {
        answer["failed_flows"] = failed.into();
    }
    Ok((200, answer))
}
