//! Rules that end by themselves: a block that heals, an upgrade that is done.

use crate::options::{Level, NumberRules};
use serde_json::{Map, Value};

/// A number's rules, and since when what ends by itself has been in force.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    rules: NumberRules,
    blocked_since_us: u64,
    upgrade_since_us: u64,
}

impl Standing {
    pub(crate) fn new(rules: NumberRules, since_us: u64) -> Self {
        Self {
            rules,
            blocked_since_us: since_us,
            upgrade_since_us: since_us,
        }
    }

    pub(crate) fn rules(&self) -> &NumberRules {
        &self.rules
    }

    /// Other rules from `now_us` on. A block or an upgrade that differs starts over.
    pub(crate) fn replace(&mut self, rules: NumberRules, now_us: u64) {
        // Compared before anything ends: rules copied from here must not start again
        // what would have ended meanwhile.
        let block = |rules: &NumberRules| (rules.blocked_code, rules.blocked_ms);
        if block(&rules) != block(&self.rules) {
            self.blocked_since_us = now_us;
        }
        if rules.upgrade_ms != self.rules.upgrade_ms {
            self.upgrade_since_us = now_us;
        }
        self.rules = rules;
        self.settle(now_us);
    }

    /// Changes by the names that files use. What they name starts over, even if it
    /// stays the same.
    pub(crate) fn change(
        &mut self,
        changes: &Map<String, Value>,
        now_us: u64,
    ) -> Result<(), String> {
        self.settle(now_us);
        let names = |name| changes.contains_key(name);
        self.rules = self.rules.changed(changes)?;
        if names("blocked_code") || names("blocked_ms") {
            self.blocked_since_us = now_us;
        }
        if names("upgrade_ms") {
            self.upgrade_since_us = now_us;
        }
        self.settle(now_us);
        Ok(())
    }

    /// Ends what has lasted its time.
    pub(crate) fn settle(&mut self, now_us: u64) {
        let over = |since_us: u64, lasts_ms: Option<u64>| {
            let lasted_us = now_us.saturating_sub(since_us);
            lasts_ms.is_some_and(|ms| lasted_us >= ms.saturating_mul(1_000))
        };
        if over(self.blocked_since_us, self.rules.blocked_ms) {
            self.rules.blocked_code = None;
        }
        if over(self.upgrade_since_us, self.rules.upgrade_ms) {
            self.rules.upgrade_ms = None;
            self.rules.level = Level::High;
        }
    }
}
