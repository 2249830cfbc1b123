//! Groups of a number: their link, who asks to join them, who is in them.

use super::call::Call;
use super::store::{Store, page};
use super::{Kind, Of, Operations, Row, Told, rows, success};
use crate::errors::ApiError;
use crate::seed::{mix, push_opaque};
use serde_json::{Map, Value, json};

const OF_GROUP: Of = Of::Object(Kind::Group);
const LINK: &str = "invite_link";
const LINKS: &str = "links";
const PARTICIPANTS: &str = "participants";
/// Source: Meta docs, "Group management".
const PARTICIPANTS_MAX: usize = 8;

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Get Of::Number, "groups" => list;
    Post Of::Number, "groups" => create, "messaging_product", "subject";
    Get OF_GROUP, "" => show;
    Post OF_GROUP, "" => change, "messaging_product";
    Delete OF_GROUP, "" => |all, call| {
        all.store.remove(Kind::Group, &call.owner, |group| group.id == call.id);
        requested(all)
    };
    Get OF_GROUP, "invite_link" => |all, call| {
        let group = all.store.named(call, Kind::Group, call.id)?;
        let link = group.members.get(LINK).ok_or_else(|| ApiError::of(131_202))?;
        Ok((200, json!({ "messaging_product": "whatsapp", "invite_link": link })))
    };
    Post OF_GROUP, "invite_link" => reset_link, "messaging_product";
    Delete OF_GROUP, "invite_link" => |all, call| {
        all.store.named_mut(call, Kind::Group, call.id)?.members.remove(LINK);
        success()
    };
    Get OF_GROUP, "join_requests" => list_requests;
    Post OF_GROUP, "join_requests" => |all, call| decide(all, call, "approved_join_requests"), "messaging_product", "join_requests";
    Delete OF_GROUP, "join_requests" => |all, call| decide(all, call, "rejected_join_requests"), "messaging_product", "join_requests";
    Delete OF_GROUP, "participants" => remove_participants, "messaging_product", "participants";
};

/// What a request is answered that a webhook completes.
fn requested(all: &mut Operations) -> Told {
    let mut id = String::from("req_");
    push_opaque(&mut id, mix(all.done.values().sum()));
    Ok((
        200,
        json!({ "messaging_product": "whatsapp", "request_id": id }),
    ))
}

fn link(number: u64) -> Value {
    let mut link = String::from("https://chat.whatsapp.com/");
    push_opaque(&mut link, mix(number));
    push_opaque(&mut link, mix(mix(number)));
    link.into()
}

fn create(all: &mut Operations, call: &Call<'_>) -> Told {
    let count = all.store.of(Kind::Group, call.id).count() as u64;
    let mut id = String::from("Y2FwaV9ncm91cDox");
    push_opaque(
        &mut id,
        mix(mix(call.id.len() as u64) ^ (count + 1) ^ all.done.values().sum::<u64>()),
    );
    let mut members = Map::from_iter([("join_approval_mode".to_owned(), "auto_approve".into())]);
    members.extend(call.only(&["subject", "description", "join_approval_mode"]));
    members.extend([
        (LINK.to_owned(), link(mix(count))),
        (LINKS.to_owned(), 0.into()),
        (PARTICIPANTS.to_owned(), json!([])),
    ]);
    all.store.add(Kind::Group, call.id, id, members);
    requested(all)
}

/// Only a number and what it is of. Source: Meta docs, "Get active groups".
fn list(all: &mut Operations, call: &Call<'_>) -> Told {
    let groups = all.store.of(Kind::Group, call.id);
    let entry = |group: &super::store::Object| {
        let subject = group.members.get("subject");
        (
            group.id.clone(),
            json!({ "id": group.id, "subject": subject, "created_at": "1755548877" }),
        )
    };
    let groups: Vec<_> = groups.map(entry).collect();
    let mut listed = page(call, &groups)?;
    let data = listed["data"].take();
    listed["data"] = json!({ "groups": data });
    Ok((200, listed))
}

fn show(all: &mut Operations, call: &Call<'_>) -> Told {
    let group = all.store.named(call, Kind::Group, call.id)?;
    let mut shown = group.whole();
    shown.remove(LINKS);
    shown.remove(LINK);
    let count = shown
        .get(PARTICIPANTS)
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    shown.extend([
        ("messaging_product".to_owned(), "whatsapp".into()),
        ("suspended".to_owned(), false.into()),
        ("creation_timestamp".to_owned(), 1_755_548_877.into()),
        ("total_participant_count".to_owned(), count.into()),
    ]);
    Ok((200, call.shown(shown)))
}

fn change(all: &mut Operations, call: &Call<'_>) -> Told {
    if call
        .file
        .as_ref()
        .is_some_and(|file| file.kind != "image/jpeg")
    {
        return Err(ApiError::parameter(
            "The picture of a group must be image/jpeg",
        ));
    }
    let changes = call.only(&["subject", "description"]);
    all.store
        .named_mut(call, Kind::Group, call.id)?
        .members
        .extend(changes);
    requested(all)
}

/// The old link is void.
fn reset_link(all: &mut Operations, call: &Call<'_>) -> Told {
    let group = all.store.named_mut(call, Kind::Group, call.id)?;
    let count = group
        .members
        .get(LINKS)
        .and_then(Value::as_u64)
        .unwrap_or(0)
        + 1;
    let fresh = link(mix(count) ^ mix(call.id.len() as u64));
    group.members.extend([
        (LINKS.to_owned(), count.into()),
        (LINK.to_owned(), fresh.clone()),
    ]);
    Ok((
        200,
        json!({ "messaging_product": "whatsapp", "invite_link": fresh }),
    ))
}

/// Somebody asks to join a group.
pub(super) fn ask(store: &mut Store, group: &str, user: &str) -> String {
    let mut id = String::from("MTY0NjcwNDM1OTU6");
    push_opaque(
        &mut id,
        mix(store.of(Kind::JoinRequest, group).count() as u64),
    );
    let members = json!({ "wa_id": user, "creation_timestamp": "1755548877" });
    store.add(
        Kind::JoinRequest,
        group,
        id.clone(),
        members.as_object().cloned().unwrap_or_default(),
    );
    id
}

fn list_requests(all: &mut Operations, call: &Call<'_>) -> Told {
    let requests = all.store.of(Kind::JoinRequest, call.id);
    let requests: Vec<_> = requests
        .map(|request| {
            let mut shown = request.members.clone();
            shown.insert("join_request_id".to_owned(), request.id.as_str().into());
            (request.id.clone(), shown.into())
        })
        .collect();
    Ok((200, page(call, &requests)?))
}

/// What cannot be done for some is said beside the rest, with HTTP 206. Source: Meta docs, "Group management", error 131201.
fn decide(all: &mut Operations, call: &Call<'_>, verdict: &str) -> Told {
    let (mut decided, mut failed) = (vec![], vec![]);
    for id in call.texts("join_requests") {
        let asked = all
            .store
            .of(Kind::JoinRequest, call.id)
            .find(|request| request.id == id);
        let Some(user) = asked.and_then(|request| request.members.get("wa_id").cloned()) else {
            let error = json!({ "code": 131_202, "message": "(#131202) No such join request", "title": "Join request not found" });
            failed.push(json!({ "join_request_id": id, "errors": [error] }));
            continue;
        };
        all.store
            .remove(Kind::JoinRequest, call.id, |request| request.id == id);
        if verdict.starts_with("approved") {
            let group = all.store.named_mut(call, Kind::Group, call.id)?;
            if let Some(Value::Array(participants)) = group.members.get_mut(PARTICIPANTS) {
                participants.push(json!({ "wa_id": user }));
            }
        }
        decided.push(id);
    }
    let mut answer = json!({ "messaging_product": "whatsapp", verdict: decided });
    if failed.is_empty() {
        return Ok((200, answer));
    }
    answer["failed_join_requests"] = failed.into();
    answer["errors"] = json!([{ "code": 131_201, "message": "(#131201) Request partially succeeded", "title": "Partial success" }]);
    Ok((206, answer))
}

fn remove_participants(all: &mut Operations, call: &Call<'_>) -> Told {
    let wanted = call.list(PARTICIPANTS);
    if wanted.is_empty() || wanted.len() > PARTICIPANTS_MAX {
        return Err(ApiError::parameter(
            "Param participants must be a list of 1 to 8 users",
        ));
    }
    let names = |user: &Map<String, Value>| user.values().cloned().collect::<Vec<_>>();
    let wanted: Vec<Value> = wanted
        .iter()
        .filter_map(Value::as_object)
        .flat_map(names)
        .collect();
    let group = all.store.named_mut(call, Kind::Group, call.id)?;
    if let Some(Value::Array(participants)) = group.members.get_mut(PARTICIPANTS) {
        participants.retain(|participant| !wanted.contains(&participant["wa_id"]));
    }
    requested(all)
}
