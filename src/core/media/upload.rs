//! Words between whoever wants the file of a source uploaded and whoever does it.

use super::links::Source;
use crate::contract::result::ErrorDocument;
use crate::contract::words::Class;
use std::sync::Arc;
use std::time::Duration;

/// A wish: the file of this source, uploaded for a number.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    pub source: Source,
    /// The id that the API does not know any more, of an earlier upload.
    pub gone: Option<Arc<str>>,
}

/// The end of an upload, or news of it.
#[derive(Clone, PartialEq, Debug)]
pub enum Uploaded {
    /// The API has it under this id, and its source need not be asked again for so long.
    Ready {
        media_id: Arc<str>,
        fresh_for: Duration,
    },
    /// The end is not in sight; it follows.
    Late,
    Failed(Failure),
}

/// Why there is no file. Names no link.
#[derive(Clone, PartialEq, Debug)]
pub struct Failure {
    /// True if another try would end the same.
    pub is_final: bool,
    pub error: Box<ErrorDocument>,
}

impl Failure {
    /// A file that Meta would not take, or that its source does not have.
    pub fn invalid(problem: &str) -> Self {
        Self {
            is_final: true,
            error: Self::document(Class::Invalid, problem),
        }
    }

    /// Trouble that passes.
    pub fn transient(problem: &str) -> Self {
        Self {
            is_final: false,
            error: Self::document(Class::Transient, problem),
        }
    }

    fn document(class: Class, problem: &str) -> Box<ErrorDocument> {
        Box::new(ErrorDocument {
            details: Some(problem.to_owned()),
            ..ErrorDocument::own(class.as_str(), "the file of a link cannot be uploaded")
        })
    }

    /// The same, said of the link at this pointer.
    #[must_use]
    pub fn at(self, pointer: &str) -> ErrorDocument {
        ErrorDocument {
            at: Some(pointer.to_owned()),
            ..*self.error
        }
    }
}
