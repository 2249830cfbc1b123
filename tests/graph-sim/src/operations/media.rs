//! Media that were uploaded, and what became of messages.

use super::call::Call;
use super::{Kind, Of, Operations, Row, Told, rows, success};
use crate::seed::{mix, push_opaque};
use serde_json::{Map, json};

const OF_MEDIA: Of = Of::Object(Kind::Media);
const OF_HISTORY: Of = Of::Object(Kind::History);

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Post Of::Number, "media" => upload, "messaging_product", "file";
    Get OF_MEDIA, "" => |all, call| {
        let media = all.store.named(call, Kind::Media, call.id)?;
        Ok((200, media.whole().into()))
    };
    Delete OF_MEDIA, "" => |all, call| {
        all.store.remove(Kind::Media, &call.owner, |media| media.id == call.id);
        success()
    };
    Get Of::Number, "message_history" => list_history;
    Get OF_HISTORY, "events" => |_, _| {
        let event = json!({ "id": "1", "delivery_status": "SENT", "timestamp": "1755548877" });
        Ok((200, json!({ "data": [event] })))
    };
};

fn upload(all: &mut Operations, call: &Call<'_>) -> Told {
    let file = call.text_of("file")?;
    let mut sha256 = String::new();
    push_opaque(
        &mut sha256,
        file.bytes().fold(0, |sum, byte| mix(sum ^ u64::from(byte))),
    );
    let id = all.store.issue();
    let url = format!("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid={id}");
    let members = json!({
        "messaging_product": "whatsapp", "url": url, "mime_type": call.text("type").unwrap_or_default(), "sha256": sha256,
        "file_size": file.len(),
    });
    all.store.add(
        Kind::Media,
        call.id,
        id.clone(),
        members.as_object().cloned().unwrap_or_default(),
    );
    Ok((200, json!({ "id": id })))
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
