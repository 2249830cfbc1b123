//! QR codes and short links of a number.

use super::call::Call;
use super::store::Object;
use super::{Kind, Of, Operations, Row, Told, rows, success};
use crate::errors::ApiError;
use crate::seed::mix;
use serde_json::{Map, Value, json};

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Get Of::Number, "message_qrdls" => list;
    Post Of::Number, "message_qrdls" => set, "prefilled_message";
    Get Of::Number, "message_qrdls/*" => |all, call| {
        let code = all.store.named(call, Kind::Code, &call.part(1))?;
        Ok((200, json!({ "data": [shown(code)] })))
    };
    Delete Of::Number, "message_qrdls/*" => |all, call| {
        let code = call.part(1);
        all.store.named(call, Kind::Code, &code)?;
        all.store.remove(Kind::Code, call.id, |known| known.id == code);
        success()
    };
};

/// Fourteen of Base32. Source: Meta docs, "QR Codes", whose examples have 0 to 9 as well.
fn code_of(count: u64) -> String {
    let mut code = format!("{:013X}", mix(count) >> 12);
    code.insert(0, 'Q');
    code
}

fn shown(code: &Object) -> Value {
    let mut shown = code.members.clone();
    let link = format!("https://wa.me/message/{}", code.id);
    shown.insert("deep_link_url".to_owned(), link.into());
    shown.insert("code".to_owned(), code.id.as_str().into());
    shown.into()
}

fn list(all: &mut Operations, call: &Call<'_>) -> Told {
    let codes = all.store.of(Kind::Code, call.id);
    let codes: Vec<_> = codes.map(|code| (code.id.clone(), shown(code))).collect();
    Ok((200, super::store::page(call, &codes)?))
}

/// Creates one, or with `code` changes that one.
fn set(all: &mut Operations, call: &Call<'_>) -> Told {
    let text = call.text_of("prefilled_message")?;
    if text.chars().count() > 140 {
        return Err(ApiError::parameter(
            "Param prefilled_message must be at most 140 characters",
        ));
    }
    let code = match call.text("code") {
        Some(code) => code,
        None => {
            let code = code_of(
                all.store.of(Kind::Code, call.id).count() as u64 + mix(call.id.len() as u64),
            );
            all.store.add(Kind::Code, call.id, code.clone(), Map::new());
            code
        }
    };
    let known = all.store.named_mut(call, Kind::Code, &code)?;
    known
        .members
        .insert("prefilled_message".to_owned(), text.into());
    if call.given("generate_qr_image").is_some() {
        let url = format!("https://scontent.xx.fbcdn.net/{code}");
        known.members.insert("qr_image_url".to_owned(), url.into());
    }
    Ok((200, shown(known)))
}
