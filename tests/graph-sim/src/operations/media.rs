//! Media that were uploaded, sessions of the resumable upload, and what became of messages.

use super::call::{Call, File};
use super::store::Store;
use super::{Kind, Of, Operations, Row, Told, rows, success};
use crate::errors::ApiError;
use crate::seed::{mix, push_opaque};
use serde_json::{Map, Value, json};

const OF_MEDIA: Of = Of::Object(Kind::Media);
const OF_HISTORY: Of = Of::Object(Kind::History);
const MB: usize = 1024 * 1024;

/// Types of files, and the largest of each in bytes. Source: Meta docs, "Media", and the API's answer to a type that it does not take.
const TYPES: [(&str, usize); 7] = [
    ("audio/", 16 * MB),
    ("image/jpeg", 5 * MB),
    ("image/png", 5 * MB),
    ("image/webp", MB / 2),
    ("video/", 16 * MB),
    ("text/plain", 100 * MB),
    ("application/", 100 * MB),
];

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Post Of::Number, "media" => upload, "messaging_product";
    Get OF_MEDIA, "" => |all, call| {
        let media = all.store.named(call, Kind::Media, call.id)?;
        Ok((200, media.whole().into()))
    };
    Delete OF_MEDIA, "" => |all, call| {
        all.store.remove(Kind::Media, &call.owner, |media| media.id == call.id);
        success()
    };
    Post Of::App, "uploads" => begin_session, "file_name", "file_length", "file_type";
    Post Of::App, "upload" => send_by_session;
    Get Of::App, "upload" => |all, call| {
        let session = all.store.named(call, Kind::Session, call.id)?;
        Ok((200, json!({ "id": session.id, "file_offset": 0 })))
    };
    Get Of::Number, "message_history" => list_history;
    Get OF_HISTORY, "events" => |_, _| {
        let event = json!({ "id": "1", "delivery_status": "SENT", "timestamp": "1755548877" });
        Ok((200, json!({ "data": [event] })))
    };
};

/// The kind of message that a file is for does not matter here, its type does. Without one Meta takes nothing.
fn check(file: &File<'_>) -> Result<(), ApiError> {
    let found = TYPES.iter().find(|(kind, _)| file.kind.starts_with(kind));
    let Some((_, most)) = found else {
        return Err(ApiError::parameter(
            "Param file must be a file with one of the following types: audio/aac, audio/mp4, …",
        ));
    };
    if file.bytes.is_empty() || file.bytes.len() > *most {
        return Err(ApiError::parameter("Param file is empty or too large"));
    }
    Ok(())
}

fn upload(all: &mut Operations, call: &Call<'_>) -> Told {
    let file = call.file()?;
    check(file)?;
    let sum = ring::digest::digest(&ring::digest::SHA256, file.bytes);
    let sha256: String = sum
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let id = all.store.issue();
    let url = format!("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid={id}");
    let members = json!({
        "messaging_product": "whatsapp", "url": url, "mime_type": file.kind, "sha256": sha256, "file_size": file.bytes.len(),
    });
    let members = members.as_object().cloned().unwrap_or_default();
    all.store.note_upload(call.id, file.bytes.len());
    all.store.add(Kind::Media, call.id, id.clone(), members);
    Ok((200, json!({ "id": id })))
}

/// A session's id has a signature, which is to be kept as it is.
fn begin_session(all: &mut Operations, call: &Call<'_>) -> Told {
    let mut id = String::from("upload:");
    push_opaque(&mut id, mix(all.store.issue().parse().unwrap_or(0)));
    id.push_str("?sig=");
    let sum = id.bytes().fold(0, |sum, byte| mix(sum ^ u64::from(byte)));
    push_opaque(&mut id, sum);
    let known = id.split('?').next().unwrap_or_default().to_owned();
    let members = call.only(&["file_name", "file_length", "file_type"]);
    all.store.add(Kind::Session, &known, known.clone(), members);
    Ok((200, json!({ "id": id })))
}

fn send_by_session(all: &mut Operations, call: &Call<'_>) -> Told {
    let file = call.file()?;
    let session = all.store.named(call, Kind::Session, call.id)?;
    let length = file.bytes.len().to_string();
    let is_whole = session.members.get("file_length").map(super::call::plain) == Some(length);
    if !is_whole {
        return Err(ApiError::parameter(
            "The file is not as long as file_length says",
        ));
    }
    let mut handle = String::from("4::");
    push_opaque(&mut handle, mix(file.bytes.len() as u64));
    Ok((200, json!({ "h": handle })))
}

/// The id of a media that a message names, and that is gone or another number's. Ids that were never issued here are anybody's.
pub(super) fn find_lost(
    store: &Store,
    number: &str,
    message: &Map<String, Value>,
) -> Option<String> {
    const KINDS: [&str; 5] = ["audio", "document", "image", "sticker", "video"];
    let mut rest: Vec<(&str, &Value)> = message
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    while let Some((name, value)) = rest.pop() {
        match value {
            Value::Object(members) => {
                let id = members.get("id").and_then(Value::as_str);
                let lost = id.filter(|id| KINDS.contains(&name) && store.has_issued(id));
                let is_there = |id: &str| store.of(Kind::Media, number).any(|media| media.id == id);
                if let Some(id) = lost.filter(|id| !is_there(id)) {
                    return Some(id.to_owned());
                }
                rest.extend(members.iter().map(|(name, value)| (name.as_str(), value)));
            }
            Value::Array(items) => rest.extend(items.iter().map(|item| (name, item))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    None
}

/// A history for each message that is asked for.
fn list_history(all: &mut Operations, call: &Call<'_>) -> Told {
    if let Some(message) = call.text("message_id") {
        let is_known = all
            .store
            .of(Kind::History, call.id)
            .any(|history| history.is("message_id", &message));
        if !is_known {
            let id = all.store.issue();
            let members = [("message_id".to_owned(), message.into())];
            all.store
                .add(Kind::History, call.id, id, Map::from_iter(members));
        }
    }
    Ok((200, all.store.page(call, Kind::History)?))
}
