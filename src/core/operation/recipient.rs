//! The recipient of a message, reduced to what the pair limit counts by. Never printed.

use std::fmt;
use std::sync::Arc;

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Recipient(Arc<str>);

impl Recipient {
    /// `+49 151-23`, `49151 23` and `(49)15123` are one person; business-scoped user ids stay as they are.
    pub fn parse(text: &str) -> Self {
        let spelled_phone = text
            .chars()
            .all(|c| c.is_ascii_digit() || "+-(). ".contains(c));
        if spelled_phone {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            Self(digits.into())
        } else {
            Self(text.trim().into())
        }
    }

    /// A group is no person, even if its id is made of digits.
    pub fn of_group(id: &str) -> Self {
        Self(format!("group/{}", id.trim()).into())
    }

    /// Has what an operation is done on stand for its recipient: requests go one at a time, in order.
    pub fn of_node(target: &str, node: Option<&str>) -> Self {
        match node {
            Some(node) => Self(format!("{target}/{node}").into()),
            None => Self(target.into()),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipient(***)")
    }
}

/// The fault of a business-scoped user id in `to`.
pub(super) const IS_USER_ID: &str = "is a business-scoped user id, which belongs into `recipient` (intake.user_ids_in_to = true lets it pass)";

/// A country, a dot, up to 128 letters and digits; `ENT.` after the dot in ids of linked portfolios. Source: Meta's "Business-scoped
/// user IDs". Groups' ids have no dot.
pub(super) fn is_user_id(text: &str) -> bool {
    let Some((country, id)) = text.split_once('.') else {
        return false;
    };
    let id = id.strip_prefix("ENT.").unwrap_or(id);
    let is_country = country.len() == 2 && country.bytes().all(|c| c.is_ascii_uppercase());
    is_country && (1..=128).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric())
}
