//! The fate of the message that an answer was about, and how far what it tells reaches.

use crate::contract::words::Scope;
use crate::core::request::message::Message;

pub(super) enum Fate {
    /// The message keeps its place, at no cost of an attempt.
    Stays,
    /// The message could be sent by nobody: it comes again later, at no cost of an attempt.
    Later { delay_s: u32 },
    /// As the policy of retries says. Uncharged while there is an outage: it would burn the attempts of all that meet it.
    Decided { is_charged: bool },
}

/// Narrows the reach of what a request meets again that is blamed for it: others do not wait for that.
pub(super) fn reach_of(scope: Scope, message: &Message) -> Scope {
    if message.history.blamed {
        Scope::Lane
    } else {
        scope
    }
}
