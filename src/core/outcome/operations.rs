//! Errors that an operation meets, where the table speaks of messages.

use super::row::Effect;
use super::table::{INVALID, refused};
use crate::contract::words::{Class, Scope};

/// Codes which say that the token is no good, whoever uses it.
const TOKEN: [i64; 4] = [0, 102, 104, 190];

/// Partly done, with no list of what was not.
const DONE_IN_PART: i64 = 131_201;

/// Narrows an effect to what it says of an operation:
/// - a call rate is that of management calls, which messages do not count against;
/// - an object that is unknown, unregistered or not permitted is the one that the request names, and others are well;
/// - a restricted account, or a token that is no good, is met by each operation.
///
/// Without a code it is no answer of the API's, and means the same to all.
pub(super) fn narrowed(effect: Effect, code: Option<i64>) -> Effect {
    let Some(code) = code else {
        return effect;
    };
    match effect {
        Effect::Blocked { .. } if TOKEN.contains(&code) => effect,
        Effect::Blocked {
            scope: Scope::Waba,
            remedy,
            is_penalty,
            second_recipient,
        } => Effect::Blocked {
            scope: Scope::Lane,
            remedy,
            is_penalty,
            second_recipient,
        },
        // An operation needs permissions that sending does not.
        Effect::Blocked { .. } if matches!(code, 3 | 10 | 200..=299 | 131_005) => {
            refused(Class::Policy, Scope::Message)
        }
        Effect::Blocked { .. } => INVALID,
        Effect::Throttled {
            pause_s, slow_down, ..
        } => Effect::Throttled {
            scope: Scope::Lane,
            pause_s,
            slow_down,
            new_limit: false,
        },
        Effect::Transient {
            scope,
            max_retries,
            min_delay_s,
            proves_unsent,
            then_invalid,
        } => Effect::Transient {
            scope: if scope == Scope::Message {
                scope
            } else {
                Scope::Lane
            },
            max_retries,
            min_delay_s,
            proves_unsent,
            then_invalid,
        },
        Effect::Ambiguous if code == DONE_IN_PART => INVALID,
        Effect::Refused { .. } | Effect::Ambiguous => effect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::outcome::Rules;

    fn narrow(code: i64, subcode: Option<i64>) -> Effect {
        let rules = Rules::default();
        let row = rules.row(code, subcode).expect("a code of the table");
        narrowed(row.effect, Some(code))
    }

    #[test]
    fn what_one_operation_meets_stops_no_message() {
        for (code, subcode, class, scope) in [
            (190, None, Class::Blocked, Scope::Token),
            (0, None, Class::Blocked, Scope::Token),
            (10, None, Class::Policy, Scope::Message),
            (200, None, Class::Policy, Scope::Message),
            (3, None, Class::Policy, Scope::Message),
            (100, Some(33), Class::Invalid, Scope::Message),
            (803, None, Class::Invalid, Scope::Message),
            (133_010, None, Class::Invalid, Scope::Message),
            (131_031, None, Class::Blocked, Scope::Lane),
            (368, None, Class::Blocked, Scope::Lane),
            (4, None, Class::Throttled, Scope::Lane),
            (80_008, None, Class::Throttled, Scope::Lane),
            (130_429, None, Class::Throttled, Scope::Lane),
            (2, None, Class::Transient, Scope::Lane),
            (139_102, None, Class::Transient, Scope::Message),
            (131_201, None, Class::Invalid, Scope::Message),
            (100, None, Class::Invalid, Scope::Message),
        ] {
            let effect = narrow(code, subcode);
            assert_eq!((effect.class(), effect.scope()), (class, scope), "{code}");
        }
    }
}
