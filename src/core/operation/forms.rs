//! The forms of bodies that Meta documents: one per type of message, as tables, from which the schema of requests is made. Intake itself
//! refuses less, see [`super::message`]; lengths of texts and lists are in [`super::sizes`] and not repeated here.
//!
//! Open to all that is not named: Meta adds members, types and kinds faster than any table is written. Only words that Meta calls a
//! choice are closed.

mod form;
mod interactive;
mod message;
mod template;

pub use form::{Cases, Form, Row, Takes};
pub use message::{MARKETING_MESSAGE, MESSAGE, RECEIPT};
