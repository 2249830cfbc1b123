//! People that a number blocks.

use super::call::Call;
use super::store::page;
use super::{Of, Operations, Row, Told, rows};
use crate::errors::ApiError;
use crate::request::Method;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// Users of one request. Source: Meta docs, "Block users", May 2026.
const BLOCK_MAX: usize = 1_000;

#[rustfmt::skip] // One operation, one line.
pub(super) const ROWS: &[Row] = rows! {
    Get Of::Number, "block_users" => list;
    Post Of::Number, "block_users" => block, "messaging_product", "block_users";
    Delete Of::Number, "block_users" => block, "messaging_product", "block_users";
    Delete Of::Number, "contact_book" => |_, _| Ok((200, json!({ "success": true, "deleted": false })));
};

#[derive(Debug, Default)]
pub(super) struct People {
    blocked: HashMap<String, BTreeSet<String>>,
    /// Users who have not written within 24 hours, and so cannot be blocked.
    strangers: BTreeSet<String>,
}

impl People {
    pub(super) fn set_strangers(&mut self, strangers: BTreeSet<String>) {
        self.strangers = strangers;
    }
}

fn list(all: &mut Operations, call: &Call<'_>) -> Told {
    let blocked = all.people.blocked.get(call.id).into_iter().flatten();
    let shown = |user: &String| {
        let shown = json!({ "messaging_product": "whatsapp", "wa_id": user });
        (user.clone(), shown)
    };
    Ok((200, page(call, &blocked.map(shown).collect::<Vec<_>>())?))
}

/// A partly failed request is answered 400, with both lists. Source: Meta docs, "Block users".
fn block(all: &mut Operations, call: &Call<'_>) -> Told {
    let users = call.list("block_users");
    if !(1..=BLOCK_MAX).contains(&users.len()) {
        return Err(ApiError::parameter(
            "Param block_users must be a list of 1 to 1000 users",
        ));
    }
    let People { blocked, strangers } = &mut all.people;
    let list = blocked.entry(call.id.to_owned()).or_default();
    let (mut changed, mut failed) = (vec![], vec![]);
    for user in users {
        let user = user.get("user").or_else(|| user.get("user_id"));
        let user = user.and_then(Value::as_str).unwrap_or_default();
        if call.method == Method::Post && strangers.contains(user) {
            let error = json!({ "code": 131047, "message": "Re-engagement message", "error_data": { "details": "No message within 24 hours" } });
            failed.push(json!({ "input": user, "errors": [error] }));
            continue;
        }
        match call.method {
            Method::Post => drop(list.insert(user.to_owned())),
            Method::Delete | Method::Get | Method::Other => drop(list.remove(user)),
        }
        changed.push(json!({ "input": user, "wa_id": user }));
    }
    let name = if call.method == Method::Post {
        "added_users"
    } else {
        "removed_users"
    };
    let mut answer = json!({ "messaging_product": "whatsapp", "block_users": { name: changed } });
    if failed.is_empty() {
        return Ok((200, answer));
    }
    answer["block_users"]["failed_users"] = failed.into();
    answer["error"] = json!({ "message": "(#139100) Failed to block some users", "type": "OAuthException", "code": 139100, "fbtrace_id": "A" });
    Ok((400, answer))
}
