//! Words that stand in results, in metrics and in the configuration.

use serde::Serialize;

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The API took it.
    Accepted,
    /// Final: invalid, undeliverable or against policy; `error.class` says which.
    Rejected,
    /// Not sent before `expires-at`.
    Expired,
    /// Attempts or age exhausted, or delivered over and over; the whole request is in `wa.dead`.
    Failed,
    /// May have been sent; not repeated.
    Unknown,
}

impl Status {
    pub const ALL: [Self; 5] = [
        Self::Accepted,
        Self::Rejected,
        Self::Expired,
        Self::Failed,
        Self::Unknown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The class of a refusal that is the dispatcher's own: it joins the API classes of [`Class`].
pub const UNKNOWN_NUMBER: &str = "unknown_number";

/// The class of a request that was delivered over and over and never ended: whoever had it may have died of it.
pub const POISON: &str = "poison";

/// AMQP `priority` 5 and above is high: one-time passwords and alerts go before bulk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Priority {
    High,
    Bulk,
}

impl Priority {
    /// By AMQP `priority`. RabbitMQ 4.0's quorum queues draw their line at the same place.
    pub fn of(amqp: Option<u8>) -> Self {
        match amqp {
            Some(5..) => Self::High,
            Some(_) | None => Self::Bulk,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Bulk => "bulk",
        }
    }
}

/// The caller's choice for when the answer to a send was lost (header `on-unknown`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnUnknown {
    Report,
    Resend,
}

/// The kind of a fault. The words are `error.class` in results, label values in metrics, and values in the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Passes by itself: try again, within the attempts.
    Transient,
    /// Too fast: keep the message, slow down, no attempt is charged.
    Throttled,
    /// All in scope cannot send until something changes; no attempt is charged.
    Blocked,
    /// Final: the request is wrong.
    Invalid,
    /// Final: this recipient cannot be reached.
    Undeliverable,
    /// Final for now: a rule of Meta's forbids it.
    Policy,
    /// The message may have been sent.
    Ambiguous,
}

/// The reach of a fault that one message met: what else it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Message,
    /// One phone number and one recipient.
    Pair,
    /// One business phone number.
    Lane,
    /// One WhatsApp Business Account.
    Waba,
    /// Every lane that uses the same access token.
    Token,
    App,
    /// One message template, or the flow in it.
    Template,
}

impl Class {
    pub const ALL: [Class; 7] = [
        Class::Transient,
        Class::Throttled,
        Class::Blocked,
        Class::Invalid,
        Class::Undeliverable,
        Class::Policy,
        Class::Ambiguous,
    ];

    /// The one of that word, if there is one.
    pub fn of_word(word: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.as_str() == word)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Class::Transient => "transient",
            Class::Throttled => "throttled",
            Class::Blocked => "blocked",
            Class::Invalid => "invalid",
            Class::Undeliverable => "undeliverable",
            Class::Policy => "policy",
            Class::Ambiguous => "ambiguous",
        }
    }
}

impl Scope {
    pub const ALL: [Scope; 7] = [
        Scope::Message,
        Scope::Pair,
        Scope::Lane,
        Scope::Waba,
        Scope::Token,
        Scope::App,
        Scope::Template,
    ];

    /// The one of that word, if there is one.
    pub fn of_word(word: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Message => "message",
            Scope::Pair => "pair",
            Scope::Lane => "lane",
            Scope::Waba => "waba",
            Scope::Token => "token",
            Scope::App => "app",
            Scope::Template => "template",
        }
    }
}
