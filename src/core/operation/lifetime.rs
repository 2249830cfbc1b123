//! How long Meta tries to deliver a message that is made from no template ("Direct Send"): `ttl_seconds`, beside `category`. Source: Meta,
//! "Direct Send", "Configure message time-to-live (TTL)", 31 July 2026: utility 30 to 43,200 seconds, authentication 30 to 900; on any other
//! message the API refuses it. A template's own (`message_send_ttl_seconds`) is set where the template is made, not where it is sent.

use super::presence::{Presence, member};
use serde_json::Value;

/// The member's name.
pub(super) const TTL: &str = "ttl_seconds";

/// Shortest that the API takes.
const LEAST_S: u32 = 30;

/// A message whose body may say how long it lives, and does not.
#[derive(Clone, Copy)]
pub struct Lifetime {
    most_s: u32,
    pub(super) presence: Presence,
}

impl Lifetime {
    /// `None`: it says so itself, or may not.
    pub(super) fn of(body: &Value) -> Option<Self> {
        let most_s = match member(body, "category")?.as_str()? {
            "utility" => 43_200,
            "authentication" => 900,
            _ => return None,
        };
        let presence = Presence::of(body, TTL);
        (presence != Presence::There).then_some(Self { most_s, presence })
    }

    /// By how much a message that is sent when it is about to be over would outlive it, as the API takes it.
    pub fn beyond_ms(self) -> u64 {
        u64::from(LEAST_S) * 1000 - 1
    }

    /// Returns what is left of it as the API takes it.
    pub(super) fn seconds(self, left_ms: u64) -> u32 {
        let left_s = u32::try_from(left_ms / 1000).unwrap_or(u32::MAX);
        left_s.clamp(LEAST_S, self.most_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_is_within_the_documented_range() {
        for (category, left_ms, expected) in [
            ("authentication", 120_999, Some(120)),
            ("authentication", 900_000, Some(900)),
            ("authentication", 1_000_000, Some(900)),
            ("authentication", 29_999, Some(30)),
            ("authentication", 0, Some(30)),
            ("utility", 43_200_000, Some(43_200)),
            ("utility", u64::MAX, Some(43_200)),
            ("service", 60_000, None),
            ("marketing", 60_000, None),
        ] {
            let lifetime = Lifetime::of(&json!({ "category": category }));
            let seconds = lifetime.map(|lifetime| lifetime.seconds(left_ms));
            assert_eq!(seconds, expected, "{category} {left_ms}");
        }
    }

    #[test]
    fn only_what_may_say_it_and_does_not_is_given_one() {
        for body in [
            json!({}),
            json!({ "category": null }),
            json!({ "category": 7 }),
            json!({ "category": "utility", "ttl_seconds": 60 }),
        ] {
            assert!(Lifetime::of(&body).is_none(), "{body}");
        }
        let null = json!({ "category": "utility", "ttl_seconds": null });
        assert!(Lifetime::of(&null).is_some());
    }
}
