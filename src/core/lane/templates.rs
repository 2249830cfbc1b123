//! Templates that Meta has paused, where the configuration has their messages wait instead of end.

use crate::core::Now;
use std::collections::HashMap;
use std::sync::Arc;

/// Most that are remembered; whatever is not is found out again by one refusal.
const TEMPLATES_MAX: usize = 1_000;

#[derive(Default)]
pub(super) struct Templates {
    held: HashMap<Arc<str>, u64>,
}

impl Templates {
    /// False if it was held already.
    pub(super) fn hold(&mut self, template: &Arc<str>, until_ms: u64, now: Now) -> bool {
        self.held.retain(|_, until_ms| *until_ms > now.steady_ms);
        if self.held.contains_key(template) || self.held.len() >= TEMPLATES_MAX {
            return false;
        }
        self.held.insert(template.clone(), until_ms);
        true
    }

    /// For how many milliseconds messages of this template have to wait.
    pub(super) fn wait_ms(&self, template: Option<&Arc<str>>, now: Now) -> Option<u64> {
        let until_ms = *self.held.get(template?)?;
        Some(until_ms.saturating_sub(now.steady_ms)).filter(|wait_ms| *wait_ms > 0)
    }
}

/// Not all at the same moment: up to a tenth later.
pub(super) fn spread_s(wait_ms: u64, jitter: f64) -> u32 {
    let wait_s = u32::try_from(wait_ms.div_ceil(1000)).unwrap_or(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a tenth of a u32, times a number in [0, 1]"
    )]
    let later_s = (f64::from(wait_s) / 10.0 * jitter.clamp(0.0, 1.0)) as u32;
    wait_s.saturating_add(later_s).max(1)
}
