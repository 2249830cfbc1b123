//! What goes back: success bodies, and how an exchange ends.

use crate::errors::ApiError;
use crate::script::Action;
use crate::seed::{mix, push_opaque};
use crate::validate::{Addressing, Send};
use serde_json::Value;
use std::borrow::Cow;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(Cow<'static, str>, String)>,
    pub content_type: Cow<'static, str>,
    pub body: Vec<u8>,
    /// So many bytes more, before the body's last two: never held in memory.
    pub padding: usize,
    /// When the answer leaves, or the fault strikes.
    pub answer_at_us: u64,
    pub ending: Ending,
}

impl Reply {
    /// Of the body, with its padding.
    pub fn body_bytes(&self) -> usize {
        self.body.len() + self.padding
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The answer is sent whole.
    Answer,
    /// Only so many bytes of the promised body are sent, then the connection ends.
    Cut { bytes: usize },
    /// The answer is sent whole, a piece at a time.
    Trickle { over_ms: u64 },
    /// The connection is reset and nothing is sent.
    Reset,
    /// Nothing is sent while the connection lives.
    Hang,
}

/// An answer before script, latency and headers.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// For `www-authenticate` and `retry-after`.
    pub(crate) error: Option<ApiError>,
}

/// An answer as it is sent when nothing is wrong with the connection.
pub(crate) fn ordinary(answer: Answer) -> Reply {
    Reply {
        status: answer.status,
        headers: Vec::new(),
        content_type: "application/json; charset=UTF-8".into(),
        body: answer.body,
        padding: 0,
        answer_at_us: 0,
        ending: Ending::Answer,
    }
}

/// Unique per seed and count, and opaque like the real ones.
pub(crate) fn wamid(seed: u64, count: u64) -> String {
    let mut wamid = String::with_capacity(40);
    wamid.push_str("wamid.HBgL");
    push_opaque(&mut wamid, mix(seed));
    // A bijection of the count, so that no two are the same.
    push_opaque(&mut wamid, mix(count ^ seed));
    wamid.push_str("AA==");
    wamid
}

/// The documented success body.
pub(crate) fn accepted(send: &Send<'_>, wamid: &str) -> Vec<u8> {
    let input = Value::from(send.input.as_ref());
    let known_as = match send.addressing {
        Addressing::Phone | Addressing::Group => "wa_id",
        Addressing::User => "user_id",
    };
    let known = Value::from(send.recipient.as_str());
    let extra = match (send.addressing, send.kind) {
        (Addressing::Group, _) => format!(r#","group_id":{known}"#),
        (Addressing::Phone | Addressing::User, "template") => {
            r#","message_status":"accepted""#.to_owned()
        }
        (Addressing::Phone | Addressing::User, _) => String::new(),
    };
    format!(
        r#"{{"messaging_product":"whatsapp","contacts":[{{"input":{input},"{known_as}":{known}}}],"messages":[{{"id":"{wamid}"{extra}}}]}}"#
    )
    .into_bytes()
}

/// What an action does to an answer that is ready to be sent.
pub(crate) fn disturb(reply: &mut Reply, action: &Action) {
    match action {
        Action::Http { content_type, .. } => reply.content_type = content_type.clone().into(),
        Action::Truncate { keep_bytes, close } => {
            let whole = reply.body.len();
            let bytes = keep_bytes.unwrap_or(whole / 2).min(whole);
            if *close {
                reply.ending = Ending::Cut { bytes };
            } else {
                reply.body.truncate(bytes);
            }
        }
        Action::Trickle { ms } => reply.ending = Ending::Trickle { over_ms: *ms },
        Action::HugeBody { bytes } => pad(reply, *bytes),
        Action::ResetBefore {} | Action::ResetAfter {} => reply.ending = Ending::Reset,
        Action::Hang {} => reply.ending = Ending::Hang,
        Action::Error { .. } | Action::SuccessWithError { .. } | Action::Slow { .. } => {}
    }
}

/// Makes a JSON object `bytes` long by a string of padding in it.
fn pad(reply: &mut Reply, bytes: usize) {
    if reply.body.pop().is_none() {
        return;
    }
    reply.body.extend_from_slice(br#","padding":""}"#);
    reply.padding = bytes.saturating_sub(reply.body.len());
}
