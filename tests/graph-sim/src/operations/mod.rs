//! Operations that are no messages: what they do, and what a later read shows of it.
//!
//! Each is a row: method, what the path names first, the rest of the path, what must be given, and what it does. A file per group.

mod accounts;
mod call;
mod codes;
mod figures;
mod flows;
mod groups;
mod media;
mod numbers;
mod payments;
mod people;
mod store;
mod templates;

pub(crate) use call::{Call, file, parameters};
pub(crate) use store::Kind;
pub use templates::Template;

use crate::errors::ApiError;
use crate::request::Method;
use people::People;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::Store;

/// What operations have done to numbers and accounts.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    store: Store,
    people: People,
    /// Calls, such as `POST block_users`, that were let in.
    done: BTreeMap<String, u64>,
}

/// An answer and its status.
pub(crate) type Told = Result<(u16, Value), ApiError>;

/// What the first part of a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Number,
    Account,
    Object(Kind),
    /// Nothing that is a number's or an account's.
    App,
}

/// One operation of the API.
pub(crate) struct Row {
    method: Method,
    of: Of,
    /// The path behind what it names first; `*` stands for any one part.
    edge: &'static str,
    /// Parameters without which it is refused.
    needs: &'static [&'static str],
    act: fn(&mut Operations, &Call<'_>) -> Told,
}

impl Row {
    const fn new(
        method: Method,
        of: Of,
        edge: &'static str,
        act: fn(&mut Operations, &Call<'_>) -> Told,
    ) -> Self {
        Self {
            method,
            of,
            edge,
            needs: &[],
            act,
        }
    }

    const fn needs(self, needs: &'static [&'static str]) -> Self {
        Self { needs, ..self }
    }

    fn is_at(&self, method: Method, edge: &str) -> bool {
        let fits = |(part, given): (&str, &str)| part == given || part == "*" && !given.is_empty();
        self.method == method
            && self.edge.split('/').count() == edge.split('/').count()
            && self.edge.split('/').zip(edge.split('/')).all(fits)
    }
}

/// A table's rows, one a line: method, what it is of, path, what it does, what it needs.
macro_rules! rows {
    ($($method:ident $of:expr, $edge:literal => $act:expr $(, $need:literal)*;)*) => {
        &[$($crate::operations::Row::new($crate::request::Method::$method, $of, $edge, $act).needs(&[$($need),*])),*]
    };
}
use rows;

const GROUPS: [&[Row]; 10] = [
    accounts::ROWS,
    codes::ROWS,
    figures::ROWS,
    flows::ROWS,
    groups::ROWS,
    media::ROWS,
    numbers::ROWS,
    payments::ROWS,
    people::ROWS,
    templates::ROWS,
];

fn all_rows() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().copied().flatten()
}

/// What a path with such an edge names first, if there is such an operation.
pub(crate) fn place(method: Method, edge: &str) -> Option<Of> {
    let row = all_rows().find(|row| row.is_at(method, edge) && !row.edge.is_empty())?;
    Some(row.of)
}

impl Operations {
    pub(crate) fn done(&self) -> &BTreeMap<String, u64> {
        &self.done
    }

    pub(crate) fn set_strangers(&mut self, strangers: BTreeSet<String>) {
        self.people.set_strangers(strangers);
    }

    /// Adds a template or changes its status.
    pub(crate) fn set_template(&mut self, template: Template) {
        templates::set(&mut self.store, template);
    }

    /// A page of an account's templates.
    pub(crate) fn list_templates(&self, call: &Call<'_>) -> Result<Value, ApiError> {
        templates::list(&self.store, call)
    }

    /// Somebody asks to join a group: the id of that request.
    pub(crate) fn ask_to_join(&mut self, group: &str, user: &str) -> String {
        groups::ask(&mut self.store, group, user)
    }

    /// What such an id is of, and whose it is: a number's or an account's.
    pub(crate) fn node(&self, id: &str) -> Option<(Kind, &str)> {
        self.store
            .node(id)
            .map(|node| (node.kind, node.owner.as_str()))
    }

    /// Whether that id is or was one of an object.
    pub(crate) fn has_issued(&self, id: &str) -> bool {
        self.store.has_issued(id)
    }

    /// The id of a media that a message names, and that is gone or was another number's.
    pub(crate) fn find_lost_media(
        &self,
        number: &str,
        message: &Map<String, Value>,
    ) -> Option<String> {
        media::find_lost(&self.store, number, message)
    }

    /// Uploads of a number: how many files there were, and how many bytes in all.
    pub(crate) fn uploads(&self, number: &str) -> (u64, u64) {
        self.store.uploads(number)
    }

    /// Loses a number's media, as Meta does after 30 days.
    pub(crate) fn forget_media(&mut self, number: &str) -> usize {
        self.store.remove(Kind::Media, number, |_| true)
    }

    /// What operations have set of a number itself.
    pub(crate) fn of_number(&self, id: &str) -> Map<String, Value> {
        self.store.setting(id, numbers::ITSELF)
    }

    /// Does what is asked, or says why not.
    pub(crate) fn perform(&mut self, call: &Call<'_>) -> Told {
        let row = all_rows().find(|row| row.of == call.of && row.is_at(call.method, call.edge));
        let row = row.ok_or_else(|| ApiError::unknown_object(call.verb(), call.id))?;
        let name = match (row.edge, row.of) {
            ("", of) => format!("{} {of:?}", row.method.as_str()),
            (edge, _) => format!("{} {edge}", row.method.as_str()),
        };
        *self.done.entry(name).or_default() += 1;
        for need in row.needs {
            call.must(need)?;
        }
        (row.act)(self, call)
    }
}

/// What most changes are answered.
fn success() -> Told {
    Ok((200, json!({ "success": true })))
}

#[cfg(test)]
mod tests;
