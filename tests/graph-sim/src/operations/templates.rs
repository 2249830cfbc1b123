//! The message templates of WABAs: written, reviewed by whoever holds the controls, edited, paused, archived; and their groups.

use super::call::Call;
use super::store::{Object, Store, page};
use super::{Kind, Of, Operations, Row, Told, rows, success};
use crate::errors::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a `GET` without `fields` answers, of what there is.
const DEFAULT_FIELDS: [&str; 6] = [
    "name",
    "parameter_format",
    "components",
    "language",
    "status",
    "category",
];
/// Source: Meta docs, "WhatsApp Message Template".
const FIELDS: [&str; 19] = [
    "id",
    "name",
    "language",
    "status",
    "category",
    "components",
    "parameter_format",
    "sub_category",
    "rejected_reason",
    "quality_score",
    "correct_category",
    "previous_category",
    "message_send_ttl_seconds",
    "cta_url_link_tracking_opted_out",
    "is_primary_device_delivery_only",
    "library_template_name",
    "creative_sourcing_spec",
    "degrees_of_freedom_spec",
    "health_status",
];
const OF_TEMPLATE: Of = Of::Object(Kind::Template);
const OF_GROUP: Of = Of::Object(Kind::TemplateGroup);
/// What an edit or a creation may set.
const SET: [&str; 7] = [
    "components",
    "category",
    "parameter_format",
    "message_send_ttl_seconds",
    "sub_category",
    "cta_url_link_tracking_opted_out",
    "library_template_name",
];

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Post Of::Account, "message_templates" => create, "name", "language", "category";
    Delete Of::Account, "message_templates" => delete;
    Get OF_TEMPLATE, "" => |all, call| {
        let template = all.store.named(call, Kind::Template, call.id)?;
        Ok((200, shown(template, call)?))
    };
    Post OF_TEMPLATE, "" => edit;
    Post OF_TEMPLATE, "unpause" => unpause;
    Get OF_TEMPLATE, "compare" => compare, "template_ids", "start", "end";
    Post Of::Account, "migrate_message_templates" => migrate, "source_waba_id";
    Post Of::Account, "upsert_message_templates" => upsert, "name", "languages", "category";
    Post Of::Account, "message_templates/archive" => |all, call| archive(all, call, true), "hsm_ids";
    Post Of::Account, "message_templates/unarchive" => |all, call| archive(all, call, false), "hsm_ids";
    Get Of::App, "message_template_library" => |_, call| {
        let found = json!({ "id": "7147013345418927", "name": "delivery_update_1", "language": "en_US", "category": "UTILITY", "topic": "ORDER_MANAGEMENT", "body": "Good news!" });
        Ok((200, page(call, &[("1".to_owned(), found)])?))
    };
    Get Of::Account, "template_groups" => |all, call| Ok((200, all.store.page(call, Kind::TemplateGroup)?));
    Post Of::Account, "template_groups" => |all, call| {
        let id = all.store.issue();
        all.store.add(Kind::TemplateGroup, &call.owner, id.clone(), call.changes());
        Ok((200, json!({ "id": id })))
    }, "name";
    Get OF_GROUP, "" => |all, call| {
        let group = all.store.named(call, Kind::TemplateGroup, call.id)?;
        Ok((200, call.shown(group.whole())))
    };
    Post OF_GROUP, "" => |all, call| {
        all.store.named_mut(call, Kind::TemplateGroup, call.id)?.members.extend(call.changes());
        success()
    };
    Delete OF_GROUP, "" => |all, call| {
        all.store.remove(Kind::TemplateGroup, &call.owner, |group| group.id == call.id);
        success()
    };
};

/// A message template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    pub waba_id: String,
    pub name: String,
    /// One name may stand for several languages, each with its own id and status. Left
    /// out: all that there are, or en_US if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// APPROVED, PENDING, REJECTED, PAUSED, DISABLED, IN_APPEAL, PENDING_DELETION, DELETED
    /// or LIMIT_EXCEEDED (Meta docs, "WhatsApp Business HSM"). No send is refused for it.
    #[serde(default = "approved")]
    pub status: String,
}

fn approved() -> String {
    "APPROVED".to_owned()
}

impl Template {
    /// In every language that it has.
    pub fn new(waba_id: &str, name: &str, status: &str) -> Self {
        Self {
            waba_id: waba_id.to_owned(),
            name: name.to_owned(),
            language: None,
            status: status.to_owned(),
        }
    }
}

/// Adds a template or changes its status.
pub(super) fn set(store: &mut Store, template: Template) {
    let language = template.language.as_deref();
    let is_meant = |listed: &Object| {
        listed.is("name", &template.name)
            && language.is_none_or(|language| listed.is("language", language))
    };
    let mut is_new = true;
    let known = store.of_mut(Kind::Template, &template.waba_id);
    for listed in known.filter(|listed| is_meant(listed)) {
        listed
            .members
            .insert("status".to_owned(), template.status.clone().into());
        is_new = false;
    }
    if is_new {
        let members = json!({ "name": template.name, "language": language.unwrap_or("en_US"), "status": template.status, "category": "UTILITY" });
        let id = store.issue();
        store.add(
            Kind::Template,
            &template.waba_id,
            id,
            members.as_object().cloned().unwrap_or_default(),
        );
    }
}

/// The page of an account's templates that a call asks for, by its filters.
pub(super) fn list(store: &Store, call: &Call<'_>) -> Result<Value, ApiError> {
    let mut listed = vec![];
    for template in store.of(Kind::Template, &call.owner) {
        let fits = |name: &&str| {
            call.text(name)
                .is_none_or(|wanted| template.is(name, &wanted))
        };
        if ["name", "language", "status", "category"].iter().all(fits) {
            listed.push((template.id.clone(), shown(template, call)?));
        }
    }
    let mut page = page(call, &listed)?;
    if call.given("summary").is_some() {
        page["summary"] = json!({
            "total_count": listed.len(), "message_template_count": store.of(Kind::Template, &call.owner).count(),
            "message_template_limit": 250, "are_translations_complete": true,
        });
    }
    Ok(page)
}

fn shown(template: &Object, call: &Call<'_>) -> Result<Value, ApiError> {
    let fields = call.fields();
    let fields = fields.unwrap_or_else(|| DEFAULT_FIELDS.map(str::to_owned).to_vec());
    let mut shown = Map::new();
    for field in fields {
        if !FIELDS.contains(&field.as_str()) {
            return Err(ApiError::no_field(&field, "WhatsAppMessageTemplate"));
        }
        if let Some(value) = template.members.get(&field) {
            shown.insert(field, value.clone());
        }
    }
    shown.insert("id".to_owned(), template.id.as_str().into());
    Ok(shown.into())
}

fn is_taken(store: &Store, waba: &str, name: &str, language: &str) -> bool {
    let mut listed = store.of(Kind::Template, waba);
    listed.any(|listed| listed.is("name", name) && listed.is("language", language))
}

/// Parameters are numbered unless they are named.
fn format_if_none() -> (String, Value) {
    ("parameter_format".to_owned(), "POSITIONAL".into())
}

/// Creates one, which waits for Meta's review. A name has each language once.
fn create(all: &mut Operations, call: &Call<'_>) -> Told {
    let (name, language) = (call.text_of("name")?, call.text_of("language")?);
    if is_taken(&all.store, &call.owner, &name, &language) {
        // Meta docs, "Error codes": the name is taken in this language.
        let error = ApiError::parameter("There is already content in this language");
        return Err(error.with_subcode(Some(2_388_024)));
    }
    let mut members = Map::from_iter([format_if_none()]);
    members.extend(call.only(&SET));
    members.extend([
        ("name".to_owned(), name.into()),
        ("language".to_owned(), language.into()),
        ("status".to_owned(), "PENDING".into()),
    ]);
    let id = all.store.issue();
    all.store
        .add(Kind::Template, &call.owner, id.clone(), members);
    let category = call.must("category")?;
    Ok((
        200,
        json!({ "id": id, "status": "PENDING", "category": category }),
    ))
}

/// Deletes a name in every language, or with `hsm_id` that one; or a list of ids.
fn delete(all: &mut Operations, call: &Call<'_>) -> Told {
    let (name, id, ids) = (
        call.text("name"),
        call.text("hsm_id"),
        call.texts("hsm_ids"),
    );
    if name.is_none() && ids.is_empty() {
        return Err(ApiError::parameter("The parameter name is required"));
    }
    let is_meant = |listed: &Object| match &name {
        Some(name) => listed.is("name", name) && id.as_ref().is_none_or(|id| *id == listed.id),
        None => ids.contains(&listed.id),
    };
    match all.store.remove(Kind::Template, &call.owner, is_meant) {
        0 => Err(ApiError::parameter("Message template not found")),
        _ => success(),
    }
}

/// Replaces what is given; it is reviewed again. Source: Meta docs, "Edit templates".
fn edit(all: &mut Operations, call: &Call<'_>) -> Told {
    let template = all.store.named_mut(call, Kind::Template, call.id)?;
    let is_editable = ["APPROVED", "REJECTED", "PAUSED"]
        .iter()
        .any(|status| template.is("status", status));
    if !is_editable {
        return Err(
            ApiError::parameter("The template cannot be edited now").with_subcode(Some(2_388_003))
        );
    }
    template.members.extend(call.only(&SET));
    template
        .members
        .insert("status".to_owned(), "PENDING".into());
    let (name, category) = (
        template.members.get("name"),
        template.members.get("category"),
    );
    Ok((
        200,
        json!({ "success": true, "id": call.id, "name": name, "category": category }),
    ))
}

fn unpause(all: &mut Operations, call: &Call<'_>) -> Told {
    let template = all.store.named_mut(call, Kind::Template, call.id)?;
    if !template.is("status", "PAUSED") {
        return Err(ApiError::parameter("The template is not paused"));
    }
    template
        .members
        .insert("status".to_owned(), "APPROVED".into());
    success()
}

fn compare(all: &mut Operations, call: &Call<'_>) -> Told {
    all.store.named(call, Kind::Template, call.id)?;
    let ids = [vec![call.id.to_owned()], call.texts("template_ids")].concat();
    let each = |value: Value| {
        ids.iter()
            .map(|id| json!({ "key": id, "value": value }))
            .collect::<Vec<_>>()
    };
    Ok((
        200,
        json!({ "data": [
        { "metric": "BLOCK_RATE", "type": "RELATIVE", "order_by_relative_metric": ids },
        { "metric": "MESSAGE_SENDS", "type": "NUMBER_VALUES", "number_values": each(0.into()) },
        { "metric": "TOP_BLOCK_REASON", "type": "STRING_VALUES", "string_values": each("UNKNOWN_BLOCK_REASON".into()) },
    ] }),
    ))
}

/// Recreates those that are approved. Source: Meta docs, "Template migration".
fn migrate(all: &mut Operations, call: &Call<'_>) -> Told {
    let source = call.text_of("source_waba_id")?;
    let templates: Vec<Object> = all.store.of(Kind::Template, &source).cloned().collect();
    let (mut migrated, mut failed) = (vec![], Map::new());
    for template in templates {
        let text = |member: &str| {
            template
                .members
                .get(member)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        if !template.is("status", "APPROVED") {
            failed.insert(template.id, "Not approved".into());
        } else if is_taken(&all.store, &call.owner, text("name"), text("language")) {
            failed.insert(
                template.id,
                "There is already content in this language".into(),
            );
        } else {
            let id = all.store.issue();
            all.store
                .add(Kind::Template, &call.owner, id, template.members);
            migrated.push(template.id);
        }
    }
    Ok((
        200,
        json!({ "migrated_templates": migrated, "failed_templates": failed }),
    ))
}

/// Authentication templates in many languages, created or changed.
fn upsert(all: &mut Operations, call: &Call<'_>) -> Told {
    let name = call.text_of("name")?;
    let mut data = vec![];
    for language in call.texts("languages") {
        if !is_taken(&all.store, &call.owner, &name, &language) {
            let members = [
                format_if_none(),
                ("name".to_owned(), name.as_str().into()),
                ("language".to_owned(), language.as_str().into()),
            ];
            let id = all.store.issue();
            all.store
                .add(Kind::Template, &call.owner, id, Map::from_iter(members));
        }
        let listed = all.store.of_mut(Kind::Template, &call.owner);
        for listed in
            listed.filter(|listed| listed.is("name", &name) && listed.is("language", &language))
        {
            listed.members.extend(call.only(&SET));
            listed
                .members
                .insert("status".to_owned(), "APPROVED".into());
            data.push(json!({ "id": listed.id, "language": language, "status": "APPROVED" }));
        }
    }
    Ok((200, json!({ "data": data })))
}

/// What it cannot do for some it says, in a success.
fn archive(all: &mut Operations, call: &Call<'_>, is_to_be: bool) -> Told {
    let (mut done, mut failed) = (vec![], Map::new());
    for id in call.texts("hsm_ids") {
        match all.store.named_mut(call, Kind::Template, &id) {
            Ok(template) => {
                let status = if is_to_be { "ARCHIVED" } else { "APPROVED" };
                template.members.insert("status".to_owned(), status.into());
                done.push(id);
            }
            Err(_) => drop(failed.insert(id, "Template not found".into())),
        }
    }
    let name = if is_to_be {
        "archived_templates"
    } else {
        "unarchived_templates"
    };
    Ok((200, json!({ name: done, "failed_templates": failed })))
}

#[cfg(test)]
mod tests;
