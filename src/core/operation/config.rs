//! The bounds of what is checked before a request is sent.

use crate::core::media::source::Sources;

/// The bounds of intake, from `[intake]`, and what it has to know of `[media]`.
#[derive(Clone, Debug)]
pub struct IntakeConfig {
    pub max_body_bytes: usize,
    pub check_sizes: bool,
    /// Whether a business-scoped user id may stand in `to`.
    pub user_ids_in_to: bool,
    pub schema: SchemaCheck,
    /// `media.sources`
    pub sources: Sources,
}

/// The fate of a request whose body is not of the form that Meta documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchemaCheck {
    /// Nobody looks.
    Off,
    /// The request is sent, and its result says what is not as documented.
    Warn,
    /// The request is rejected.
    Strict,
}

impl SchemaCheck {
    /// The words of `intake.schema`, in the order of the variants.
    pub const WORDS: [&str; 3] = ["off", "warn", "strict"];

    /// The word of `intake.schema`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Strict => "strict",
        }
    }

    /// Reads one of [`Self::WORDS`].
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [Self::Off, Self::Warn, Self::Strict];
        all.into_iter().find(|check| check.as_str() == word)
    }
}

#[cfg(test)]
impl IntakeConfig {
    pub(crate) const OF_TESTS: Self = Self {
        max_body_bytes: 4_000_000,
        check_sizes: true,
        user_ids_in_to: false,
        // Most bodies of tests are as short as they can be.
        schema: SchemaCheck::Off,
        sources: Sources::NONE,
    };
}
