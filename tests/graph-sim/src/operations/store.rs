//! What operations create and set, and the pages on which it is listed.

use super::call::Call;
use crate::errors::ApiError;
use crate::query::{encoded, parameter};
use crate::seed::{mix, push_opaque};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Meta docs, "Paginated Results".
const DEFAULT_LIMIT: usize = 25;
const FIRST_ID: u64 = 700_000_000_000_001;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Code,
    Flow,
    Group,
    History,
    JoinRequest,
    Media,
    Number,
    Payment,
    PaymentConfig,
    Session,
    Template,
    TemplateGroup,
    User,
}

impl Kind {
    /// Whether its id alone is a path.
    fn is_node(self) -> bool {
        match self {
            Self::Flow
            | Self::Group
            | Self::History
            | Self::Media
            | Self::Number
            | Self::Template
            | Self::TemplateGroup => true,
            Self::Code
            | Self::JoinRequest
            | Self::Payment
            | Self::PaymentConfig
            | Self::Session
            | Self::User => false,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// A number, an account, or a group.
    pub(super) owner: String,
    pub(super) members: Map<String, Value>,
}

impl Object {
    /// Whether a member is that text.
    pub(super) fn is(&self, member: &str, text: &str) -> bool {
        self.members.get(member).is_some_and(|value| value == text)
    }

    /// It as a read shows it, with its id.
    pub(super) fn whole(&self) -> Map<String, Value> {
        let mut whole = self.members.clone();
        whole.insert("id".to_owned(), self.id.as_str().into());
        whole
    }
}

#[derive(Debug, Default)]
pub(super) struct Store {
    /// In the order in which they came.
    objects: Vec<Object>,
    /// What there is once of a number or an account, by its name.
    settings: HashMap<(String, &'static str), Map<String, Value>>,
    issued: u64,
    /// Files that a number has uploaded, and their bytes.
    uploads: HashMap<String, (u64, u64)>,
}

impl Store {
    /// An id that no other has or had.
    pub(super) fn issue(&mut self) -> String {
        self.issued += 1;
        (FIRST_ID + self.issued - 1).to_string()
    }

    pub(super) fn note_upload(&mut self, number: &str, bytes: usize) {
        let uploads = self.uploads.entry(number.to_owned()).or_default();
        uploads.0 += 1;
        uploads.1 += bytes as u64;
    }

    pub(super) fn uploads(&self, number: &str) -> (u64, u64) {
        self.uploads.get(number).copied().unwrap_or_default()
    }

    pub(super) fn has_issued(&self, id: &str) -> bool {
        let issued = FIRST_ID..FIRST_ID + self.issued;
        id.parse().is_ok_and(|id: u64| issued.contains(&id))
    }

    pub(super) fn add(&mut self, kind: Kind, owner: &str, id: String, members: Map<String, Value>) {
        self.objects.push(Object {
            id,
            kind,
            owner: owner.to_owned(),
            members,
        });
    }

    pub(super) fn node(&self, id: &str) -> Option<&Object> {
        let mut objects = self.objects.iter();
        objects.find(|object| object.kind.is_node() && object.id == id)
    }

    pub(super) fn of<'a>(&'a self, kind: Kind, owner: &'a str) -> impl Iterator<Item = &'a Object> {
        let is_of = move |object: &&Object| object.kind == kind && object.owner == owner;
        self.objects.iter().filter(is_of)
    }

    pub(super) fn of_mut<'a>(
        &'a mut self,
        kind: Kind,
        owner: &'a str,
    ) -> impl Iterator<Item = &'a mut Object> {
        let is_of = move |object: &&mut Object| object.kind == kind && object.owner == owner;
        self.objects.iter_mut().filter(is_of)
    }

    pub(super) fn named(&self, call: &Call<'_>, kind: Kind, id: &str) -> Result<&Object, ApiError> {
        let mut objects = self.objects.iter();
        let is_it =
            |object: &&Object| object.kind == kind && object.owner == call.owner && object.id == id;
        let found = objects.find(is_it);
        found.ok_or_else(|| ApiError::unknown_object(call.verb(), id))
    }

    pub(super) fn named_mut(
        &mut self,
        call: &Call<'_>,
        kind: Kind,
        id: &str,
    ) -> Result<&mut Object, ApiError> {
        let mut objects = self.objects.iter_mut();
        let is_it = |object: &&mut Object| {
            object.kind == kind && object.owner == call.owner && object.id == id
        };
        let found = objects.find(is_it);
        found.ok_or_else(|| ApiError::unknown_object(call.verb(), id))
    }

    /// Forgets those that are meant, and says how many there were.
    pub(super) fn remove(
        &mut self,
        kind: Kind,
        owner: &str,
        is_meant: impl Fn(&Object) -> bool,
    ) -> usize {
        let before = self.objects.len();
        self.objects
            .retain(|object| !(object.kind == kind && object.owner == owner && is_meant(object)));
        before - self.objects.len()
    }

    pub(super) fn setting(&self, owner: &str, name: &'static str) -> Map<String, Value> {
        let key = (owner.to_owned(), name);
        self.settings.get(&key).cloned().unwrap_or_default()
    }

    pub(super) fn setting_mut(
        &mut self,
        owner: &str,
        name: &'static str,
    ) -> &mut Map<String, Value> {
        self.settings.entry((owner.to_owned(), name)).or_default()
    }

    /// The page of those objects that a call asks for.
    pub(super) fn page(&self, call: &Call<'_>, kind: Kind) -> Result<Value, ApiError> {
        let all = self.of(kind, &call.owner);
        let all = all.map(|object| (object.id.clone(), call.shown(object.whole())));
        page(call, &all.collect::<Vec<_>>())
    }
}

/// The page of all that there is, each with what it is known by.
pub(super) fn page(call: &Call<'_>, all: &[(String, Value)]) -> Result<Value, ApiError> {
    let given = |name| parameter(call.query, name).filter(|value| !value.is_empty());
    let limit = match given("limit") {
        None => DEFAULT_LIMIT,
        Some(limit) => limit
            .parse()
            .map_err(|_| ApiError::parameter("Param limit must be an integer"))?,
    };
    let from = match given("after") {
        None => 0,
        Some(cursor) => {
            let at = all.iter().position(|(key, _)| cursor_of(key) == cursor);
            at.ok_or_else(|| ApiError::parameter("Invalid cursor"))? + 1
        }
    };
    let rest = &all[from..];
    let shown = &rest[..limit.min(rest.len())];
    let data: Vec<&Value> = shown.iter().map(|(_, value)| value).collect();
    let mut page = json!({ "data": data });
    if let Some(((first, _), (last, _))) = shown.first().zip(shown.last()) {
        let (before, after) = (cursor_of(first), cursor_of(last));
        page["paging"] = json!({ "cursors": { "before": before, "after": after } });
        if rest.len() > shown.len() {
            page["paging"]["next"] = next(call, &after).into();
        }
    }
    Ok(page)
}

/// Opaque as Meta's, and pointing to this one whatever comes or changes.
fn cursor_of(key: &str) -> String {
    let number = key.bytes().fold(0, |sum, byte| mix(sum ^ u64::from(byte)));
    let mut cursor = String::new();
    push_opaque(&mut cursor, number);
    cursor
}

/// The URL of the page after the one that ends with `after`. As Meta's, it carries the
/// token: not a thing to log.
fn next(call: &Call<'_>, after: &str) -> String {
    let mut next = format!("{}?access_token={}", call.link, encoded(call.token));
    for pair in call.query.split('&') {
        let name = pair.split('=').next().unwrap_or(pair);
        // A proof is each request's own.
        if !matches!(name, "" | "access_token" | "after" | "appsecret_proof") {
            next.push('&');
            next.push_str(pair);
        }
    }
    next + "&after=" + after
}
