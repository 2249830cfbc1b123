//! Operations that are no messages: what they do, and what a later read shows of it.

use crate::errors::ApiError;
use crate::request::Method;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Users of one request. Source: Meta docs, "Block users", May 2026.
const BLOCK_MAX: usize = 1_000;

/// The edges of a number that are served, and of an account.
pub(crate) const OF_NUMBERS: [&str; 2] = ["block_users", "whatsapp_business_profile"];
pub(crate) const OF_ACCOUNTS: [&str; 1] = ["message_templates"];

/// What operations have done to numbers and accounts.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    blocked: HashMap<String, BTreeSet<String>>,
    profiles: HashMap<String, Map<String, Value>>,
    /// Users who have not written within 24 hours, and so cannot be blocked.
    strangers: BTreeSet<String>,
    /// Calls, such as `POST block_users`, that did what they say.
    done: BTreeMap<String, u64>,
}

/// An answer and its status.
pub(crate) type Told = Result<(u16, Value), ApiError>;

impl Operations {
    pub(crate) fn done(&self) -> &BTreeMap<String, u64> {
        &self.done
    }

    pub(crate) fn set_strangers(&mut self, strangers: BTreeSet<String>) {
        self.strangers = strangers;
    }

    pub(crate) fn count(&mut self, method: Method, edge: &str) {
        let name = format!("{} {edge}", method.as_str());
        *self.done.entry(name).or_default() += 1;
    }

    /// An operation on a number.
    pub(crate) fn on_number(
        &mut self,
        method: Method,
        id: &str,
        edge: &str,
        body: Option<&Map<String, Value>>,
    ) -> Told {
        self.count(method, edge);
        match (edge, method) {
            ("block_users", Method::Get) => {
                let blocked = self.blocked.get(id).into_iter().flatten();
                let data: Vec<Value> = blocked.map(|user| json!({ "wa_id": user })).collect();
                Ok((200, json!({ "data": data })))
            }
            ("block_users", _) => self.block(method, id, product(body)?),
            (_, Method::Get) => {
                let profile = self.profiles.get(id).cloned().unwrap_or_default();
                let mut shown =
                    Map::from_iter([("messaging_product".to_owned(), "whatsapp".into())]);
                shown.extend(profile);
                Ok((200, json!({ "data": [shown] })))
            }
            (_, _) => {
                let profile = self.profiles.entry(id.to_owned()).or_default();
                let changes = product(body)?
                    .iter()
                    .filter(|(name, _)| *name != "messaging_product");
                profile.extend(changes.map(|(name, value)| (name.clone(), value.clone())));
                Ok((200, json!({ "success": true })))
            }
        }
    }

    /// A partly failed request is answered 400, with both lists. Source: Meta docs, "Block users".
    fn block(&mut self, method: Method, id: &str, body: &Map<String, Value>) -> Told {
        let users = body.get("block_users").and_then(Value::as_array);
        let users = users.filter(|users| (1..=BLOCK_MAX).contains(&users.len()));
        let users = users.ok_or_else(|| {
            ApiError::parameter("Param block_users must be a list of 1 to 1000 users")
        })?;
        let list = self.blocked.entry(id.to_owned()).or_default();
        let (mut changed, mut failed) = (vec![], vec![]);
        for user in users {
            let user = user.get("user").or_else(|| user.get("user_id"));
            let user = user.and_then(Value::as_str).unwrap_or_default();
            if method == Method::Post && self.strangers.contains(user) {
                let error = json!({ "code": 131047, "message": "Re-engagement message", "error_data": { "details": "No message within 24 hours" } });
                failed.push(json!({ "input": user, "errors": [error] }));
                continue;
            }
            match method {
                Method::Post => drop(list.insert(user.to_owned())),
                Method::Delete | Method::Get | Method::Other => drop(list.remove(user)),
            }
            changed.push(json!({ "input": user, "wa_id": user }));
        }
        let name = if method == Method::Post {
            "added_users"
        } else {
            "removed_users"
        };
        let mut answer =
            json!({ "messaging_product": "whatsapp", "block_users": { name: changed } });
        if failed.is_empty() {
            return Ok((200, answer));
        }
        answer["block_users"]["failed_users"] = failed.into();
        answer["error"] = json!({ "message": "(#139100) Failed to block some users", "type": "OAuthException", "code": 139100, "fbtrace_id": "A" });
        Ok((400, answer))
    }
}

fn product(body: Option<&Map<String, Value>>) -> Result<&Map<String, Value>, ApiError> {
    let body = body.ok_or_else(|| ApiError::parameter("The body is no JSON object"))?;
    match body.get("messaging_product") {
        Some(product) if product == "whatsapp" => Ok(body),
        _ => Err(ApiError::parameter(
            "The parameter messaging_product is required",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_read_shows_what_was_done() {
        let mut operations = Operations::default();
        operations.set_strangers(["2".to_owned()].into());
        let mut call = |method, edge: &str, body: Value| {
            operations
                .on_number(method, "111", edge, body.as_object())
                .unwrap()
        };
        let users = |users: &[&str]| {
            let users: Vec<Value> = users.iter().map(|user| json!({ "user": user })).collect();
            json!({ "messaging_product": "whatsapp", "block_users": users })
        };
        let (status, answer) = call(Method::Post, "block_users", users(&["1", "2", "3"]));
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(139_100)));
        assert_eq!(answer["block_users"]["failed_users"][0]["input"], "2");
        let (status, _) = call(Method::Delete, "block_users", users(&["3"]));
        assert_eq!(status, 200);
        let (_, listed) = call(Method::Get, "block_users", json!({}));
        assert_eq!(listed["data"], json!([{ "wa_id": "1" }]));
        let about = json!({ "messaging_product": "whatsapp", "about": "open" });
        call(Method::Post, "whatsapp_business_profile", about);
        let (_, profile) = call(Method::Get, "whatsapp_business_profile", json!({}));
        assert_eq!(profile["data"][0]["about"], "open");
        assert_eq!(operations.done()["POST block_users"], 1);
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut operations = Operations::default();
        for body in [
            json!({}),
            json!({ "messaging_product": "whatsapp" }),
            json!({ "messaging_product": "whatsapp", "block_users": [] }),
        ] {
            let refused =
                operations.on_number(Method::Post, "111", "block_users", body.as_object());
            assert_eq!(refused.err().map(|error| error.code), Some(100), "{body}");
        }
    }
}
