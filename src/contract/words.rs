//! Words that stand in results, in metrics and in the configuration.

use serde::Serialize;

/// An enum whose variants have words.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $($(#[$meaning:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$about])*
        pub enum $name {
            $($(#[$meaning])* $variant,)+
        }

        impl $name {
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];
            /// In the order of [`Self::ALL`].
            pub const WORDS: [&'static str; Self::ALL.len()] = [$($word),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The one of that word, if there is one.
            pub fn of_word(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|known| known.as_str() == word)
            }
        }
    };
}
pub(crate) use words;

words! {
    /// How a request ended.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Status {
        /// The API took it.
        Accepted = "accepted",
        /// Final: invalid, undeliverable or against policy; `error.class` says which.
        Rejected = "rejected",
        /// Not sent before `expires-at`, its `expiration` or 30 days in its lane were over.
        Expired = "expired",
        /// Attempts or age exhausted, or delivered over and over; the whole request is in `wa.dead`.
        Failed = "failed",
        /// May have been sent; not repeated.
        Unknown = "unknown",
    }
}

/// The class of a refusal that is the dispatcher's own: it joins the API classes of [`Class`].
pub const UNKNOWN_NUMBER: &str = "unknown_number";

/// The class of a request that was delivered over and over and never ended: whoever had it may have died of it.
pub const POISON: &str = "poison";

/// The class of an operation that the API did for some and not for others.
pub const PARTIAL: &str = "partial";

words! {
    /// AMQP `priority` 5 and above is high: one-time passwords and alerts go before bulk.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum Priority {
        High = "high",
        Bulk = "bulk",
    }
}

impl Priority {
    /// By AMQP `priority`. RabbitMQ 4.0's quorum queues draw their line at the same place.
    pub fn of(amqp: Option<u8>) -> Self {
        match amqp {
            Some(5..) => Self::High,
            Some(_) | None => Self::Bulk,
        }
    }
}

words! {
    /// The caller's choice for when the answer to a send was lost (header `on-unknown`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum OnUnknown {
        Report = "report",
        Resend = "resend",
    }
}

words! {
    /// The kind of a fault. The words are `error.class` in results, label values in metrics, and values in the config.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Class {
        /// Passes by itself: try again, within the attempts.
        Transient = "transient",
        /// Too fast: keep the message, slow down, no attempt is charged.
        Throttled = "throttled",
        /// All in scope cannot send until something changes; no attempt is charged.
        Blocked = "blocked",
        /// Final: the request is wrong.
        Invalid = "invalid",
        /// Final: this recipient cannot be reached.
        Undeliverable = "undeliverable",
        /// Final for now: a rule of Meta's forbids it.
        Policy = "policy",
        /// The message may have been sent.
        Ambiguous = "ambiguous",
    }
}

words! {
    /// The reach of a fault that one message met: what else it strikes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Scope {
        Message = "message",
        /// One phone number and one recipient.
        Pair = "pair",
        /// One business phone number.
        Lane = "lane",
        /// One WhatsApp Business Account.
        Waba = "waba",
        /// Every lane that uses the same access token.
        Token = "token",
        App = "app",
        /// One message template, or the flow in it.
        Template = "template",
    }
}
