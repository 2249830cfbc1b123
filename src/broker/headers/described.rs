//! The headers of our own that others see, with what they mean: for the contract's AsyncAPI document.

use super::{
    BODY_BYTES, Copy, DEAD_CODE, DEAD_REASON, EXPIRATION, Fate, INCARNATION, LAST_ERROR, LEFT_OUT,
    PHONE_NUMBER_ID, POSSIBLE_DUPLICATE, USER_ID, WRITER, fate,
};

/// The type of a header's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Text,
    Whole,
    Flag,
}

#[derive(Clone, Copy, Debug)]
pub struct Described {
    pub name: &'static str,
    pub kind: Kind,
    /// Whether it is always there.
    pub is_certain: bool,
    pub meaning: &'static str,
}

const fn described(name: &'static str, kind: Kind, meaning: &'static str) -> Described {
    Described {
        name,
        kind,
        is_certain: false,
        meaning,
    }
}

const fn certain(name: &'static str, kind: Kind, meaning: &'static str) -> Described {
    Described {
        is_certain: true,
        ..described(name, kind, meaning)
    }
}

/// Whether a result has that header of its request's.
pub fn is_echoed(name: &str) -> bool {
    fate(Copy::Result, name) == Fate::Kept
}

const WITHOUT_ITS_OWN: Described = described(
    LEFT_OUT,
    Kind::Flag,
    "True: most of its caller's properties and headers could not be published",
);

/// On results, beside those of the caller's that are kept.
pub const ON_RESULTS: [Described; 3] = [
    certain(
        INCARNATION,
        Kind::Whole,
        "Which publication of its id is answered; 0 if none is known",
    ),
    described(WRITER, Kind::Text, "For the workers' own use"),
    WITHOUT_ITS_OWN,
];

/// On requests in `wa.dead`, beside their own.
pub const ON_DEAD_LETTERS: [Described; 10] = [
    certain(DEAD_REASON, Kind::Text, "Why it was given up"),
    certain(PHONE_NUMBER_ID, Kind::Text, "The routing key it came with"),
    certain(
        INCARNATION,
        Kind::Whole,
        "When it was kept, in milliseconds since the epoch",
    ),
    described(
        DEAD_CODE,
        Kind::Whole,
        "Meta's error code, if there was one",
    ),
    described(
        BODY_BYTES,
        Kind::Whole,
        "How large its body was, which was too large to be kept",
    ),
    described(
        POSSIBLE_DUPLICATE,
        Kind::Flag,
        "True: it may have reached the person",
    ),
    described(
        LAST_ERROR,
        Kind::Whole,
        "Meta's code that sent it round last",
    ),
    described(
        USER_ID,
        Kind::Text,
        "The AMQP property user_id it came with",
    ),
    described(
        EXPIRATION,
        Kind::Text,
        "The AMQP property expiration it came with",
    ),
    WITHOUT_ITS_OWN,
];

#[cfg(test)]
mod tests {
    use super::super::Fate::Dropped;
    use super::super::HEADERS;
    use super::super::Name::{BeginsWith, Is, Other};
    use super::*;

    /// The contract describes every header of ours that others see, and no other.
    #[test]
    fn the_contract_describes_our_headers() {
        for (copy, described) in [
            (Copy::Result, &ON_RESULTS[..]),
            (Copy::Dead, &ON_DEAD_LETTERS),
        ] {
            let ours = HEADERS.iter().filter_map(|row| match row.field {
                Is(name) if name.starts_with("wa-") && row.fate(copy) != Dropped => Some(name),
                Is(_) | BeginsWith(_) | Other => None,
            });
            let mut ours: Vec<&str> = ours.collect();
            let mut described: Vec<&str> = described.iter().map(|header| header.name).collect();
            ours.sort_unstable();
            described.sort_unstable();
            assert_eq!(described, ours);
        }
    }
}
