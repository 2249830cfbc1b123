//! The rows that the configuration puts in front of the table.

use super::row::{Effect, Row, When, find};
use super::table::{TABLE, TOO_FAST, blocked, maybe_sent, refused};
use crate::contract::words::{Class, Scope};

/// A row from the configuration: for a code that Meta adds, or one that a deployment judges otherwise.
///
/// Fields that are left out are taken from the built-in row if that has the same class, else from the careful side.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    pub code: i64,
    pub subcode: Option<i64>,
    pub class: Class,
    pub scope: Option<Scope>,
    pub max_retries: Option<u32>,
    pub min_delay_s: Option<u32>,
    pub pause_s: Option<u32>,
    pub proves_unsent: Option<bool>,
    pub then_invalid: Option<bool>,
    pub retry_not_before_s: Option<u64>,
    pub second_recipient: Option<bool>,
}

impl Override {
    pub fn new(code: i64, class: Class) -> Override {
        Override {
            code,
            subcode: None,
            class,
            scope: None,
            max_retries: None,
            min_delay_s: None,
            pause_s: None,
            proves_unsent: None,
            then_invalid: None,
            retry_not_before_s: None,
            second_recipient: None,
        }
    }

    /// Says what is wrong with it, for the configuration's list of mistakes.
    pub fn fault(&self) -> Option<&'static str> {
        if self.scope.is_some_and(|scope| !fits(self.class, scope)) {
            return Some("the class cannot have this scope");
        }
        let wants = |said: bool, class: Class| said && self.class != class;
        let retries = self.max_retries.is_some() || self.min_delay_s.is_some();
        let own = self.proves_unsent.is_some() || self.then_invalid.is_some();
        if wants(retries || own, Class::Transient) {
            return Some(
                "max_retries, min_delay_s, proves_unsent and then_invalid need class transient",
            );
        }
        if wants(self.pause_s.is_some(), Class::Throttled) {
            return Some("pause_s needs class throttled");
        }
        if wants(self.retry_not_before_s.is_some(), Class::Policy) {
            return Some("retry_not_before_s needs class policy");
        }
        let halts = self.second_recipient.is_some();
        wants(halts, Class::Blocked).then_some("second_recipient needs class blocked")
    }

    pub(super) fn row(&self) -> Row {
        let built_in = find(TABLE, self.code, self.subcode, None).map(|row| row.effect);
        Row {
            code: self.code,
            last: self.code,
            when: self.subcode.map_or(When::Always, When::Subcode),
            effect: self.effect(built_in),
            meaning: "as the configuration says",
            source: "configuration",
        }
    }

    fn effect(&self, built_in: Option<Effect>) -> Effect {
        let base = built_in.filter(|effect| effect.class() == self.class);
        let wish = self.scope.filter(|scope| fits(self.class, *scope));
        match base.unwrap_or(careful(self.class)) {
            Effect::Transient {
                scope,
                max_retries,
                min_delay_s,
                proves_unsent,
                then_invalid,
            } => Effect::Transient {
                scope: wish.unwrap_or(scope),
                max_retries: self.max_retries.or(max_retries),
                min_delay_s: self.min_delay_s.or(min_delay_s),
                proves_unsent: self.proves_unsent.unwrap_or(proves_unsent),
                then_invalid: self.then_invalid.unwrap_or(then_invalid),
            },
            Effect::Throttled {
                scope,
                pause_s,
                slow_down: _,
                new_limit,
            } => {
                let (scope, pause_s) = (wish.unwrap_or(scope), self.pause_s.or(pause_s));
                Effect::Throttled {
                    scope,
                    pause_s,
                    slow_down: scope == Scope::Lane && pause_s.is_none(),
                    new_limit,
                }
            }
            Effect::Blocked {
                scope,
                remedy,
                is_penalty,
                second_recipient,
            } => Effect::Blocked {
                scope: wish.unwrap_or(scope),
                remedy,
                is_penalty,
                second_recipient: self.second_recipient.unwrap_or(second_recipient),
            },
            Effect::Refused {
                class,
                scope,
                retry_not_before_s,
            } => Effect::Refused {
                class,
                scope: wish.unwrap_or(scope),
                retry_not_before_s: self.retry_not_before_s.or(retry_not_before_s),
            },
            Effect::Ambiguous => Effect::Ambiguous,
        }
    }
}

/// The effect of a class about which nothing more is known.
fn careful(class: Class) -> Effect {
    match class {
        Class::Transient => maybe_sent(Scope::Message),
        Class::Throttled => TOO_FAST,
        Class::Blocked => blocked(
            Scope::Lane,
            "see the override of this code in the configuration",
        ),
        Class::Invalid | Class::Undeliverable | Class::Policy => refused(class, Scope::Message),
        Class::Ambiguous => Effect::Ambiguous,
    }
}

/// Whether what is of that class can reach so far.
fn fits(class: Class, scope: Scope) -> bool {
    let is_held = !matches!(scope, Scope::Message | Scope::Pair | Scope::Template);
    match class {
        Class::Transient => is_held || scope == Scope::Message,
        Class::Throttled => scope != Scope::Message,
        Class::Blocked => is_held,
        Class::Invalid | Class::Policy => scope != Scope::Pair,
        Class::Undeliverable | Class::Ambiguous => scope == Scope::Message,
    }
}

#[cfg(test)]
mod tests;
