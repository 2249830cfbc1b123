//! The forms of bodies that Meta documents: one per type of message, as tables. The schema of requests is made from them, and
//! `intake.schema` holds bodies against them; lengths of texts and lists are in [`super::sizes`] and not repeated here.
//!
//! Open to all that is not named: Meta adds members, types and kinds faster than any table is written. Only words that Meta calls a
//! choice are closed.

mod deviations;
mod form;
mod interactive;
mod message;
mod run;
mod template;

pub use deviations::{find_deviations, place_of};
pub use form::{Cases, Form, Row, Takes};
pub use message::{MARKETING_MESSAGE, MESSAGE, RECEIPT};
pub use run::{Run, write_pattern};
