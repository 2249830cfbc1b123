//! The type of forms, and the parts that several have.

use super::run::Run;
use Takes::{Number, Text, Word};

/// The values that a member takes. Null, which counts as absent, is one of them where the member need not be there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Takes {
    Object,
    /// An array of so many elements.
    List {
        min: usize,
        max: Option<usize>,
    },
    /// An array, or its JSON as a text, as clients send it that encode it twice.
    ListOrJson {
        min: usize,
    },
    Text,
    /// A text that is not empty.
    Word,
    /// A text that is made of these runs of characters, one behind the other.
    Made(&'static [Run]),
    OneOf(&'static [&'static str]),
    Flag,
    Whole {
        min: i64,
        max: i64,
    },
    /// A number, or a text, as which Meta documents some of them.
    Number,
    /// A phone number or a group's id, but no business-scoped user id; a number passes, as the API takes it.
    Recipient,
    /// The member belongs elsewhere or nowhere.
    Nothing,
    /// The form of that name.
    Like(&'static Form),
}

/// One fact of a form. Pointers begin at its root; `*` stands for every element of an array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Row {
    /// The member takes this, and need not be there.
    May(&'static str, Takes),
    /// The member takes this and must be there, as must what it lies in, up to the element of an array.
    Must(&'static str, Takes),
    /// One of these members of the object must be there, and no other of them.
    ExactlyOne(&'static str, &'static [&'static str]),
    AtLeastOne(&'static str, &'static [&'static str]),
}

use Row::{ExactlyOne, May, Must};

impl Row {
    /// The pointer that the row is about.
    pub fn at(&self) -> &'static str {
        match self {
            Self::May(at, _)
            | Self::Must(at, _)
            | Self::ExactlyOne(at, _)
            | Self::AtLeastOne(at, _) => at,
        }
    }
}

/// A body, or a part of one.
#[derive(Debug, PartialEq)]
pub struct Form {
    /// The name of its definition in the schema.
    pub name: &'static str,
    pub rows: &'static [Row],
    pub cases: Option<Cases>,
}

/// Further forms, each of which holds where a member has its word.
#[derive(Debug, PartialEq)]
pub struct Cases {
    pub at: &'static str,
    /// The word that counts where there is none.
    pub default: Option<&'static str>,
    pub forms: &'static [(&'static str, &'static Form)],
}

pub(super) const fn form(name: &'static str, rows: &'static [Row]) -> Form {
    Form {
        name,
        rows,
        cases: None,
    }
}

/// A file: by the id that an upload gave, or by a link.
pub(super) static MEDIA: Form = form(
    "media",
    &[
        ExactlyOne("", &["id", "link"]),
        May("/id", Word),
        May("/link", Word),
    ],
);

pub(super) static LOCATION: Form = form(
    "place",
    &[
        Must("/latitude", Number),
        Must("/longitude", Number),
        May("/name", Text),
        May("/address", Text),
    ],
);
