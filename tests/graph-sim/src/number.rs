//! One phone number and its limits.

use crate::errors::ApiError;
use crate::limits::{Inbound, Pairs, SlidingSecond};
use crate::options::NumberRules;

/// One number: its rules and what it has been charged.
#[derive(Debug)]
pub(crate) struct Number {
    pub(crate) rules: NumberRules,
    admitted: SlidingSecond,
    inbound: Inbound,
    pairs: Pairs,
}

impl Number {
    pub(crate) fn new(rules: NumberRules) -> Self {
        Self {
            rules,
            admitted: SlidingSecond::default(),
            inbound: Inbound::default(),
            pairs: Pairs::default(),
        }
    }

    /// How full the sliding second is, in percent.
    pub(crate) fn usage_percent(&mut self, now_us: u64) -> u64 {
        match self.rules.limit_mps() {
            None | Some(0) => 0,
            Some(limit) => self.admitted.count(now_us) * 100 / limit,
        }
    }

    /// Charges the throughput and the pair limit, both or neither.
    pub(crate) fn admit(&mut self, recipient: &str, now_us: u64) -> Result<(), ApiError> {
        if let Some(limit) = self.rules.limit_mps() {
            self.inbound
                .flow(&mut self.admitted, self.rules.inbound_mps, now_us);
            if self.admitted.count(now_us) >= limit {
                self.charge_refused(now_us);
                return Err(ApiError::of(130429));
            }
        }
        if let Some(rate) = self.rules.pair_rate() {
            if !self.pairs.allows(recipient, rate, now_us) {
                self.charge_refused(now_us);
                return Err(ApiError::of(131056));
            }
            self.pairs.charge(recipient, rate, now_us);
        }
        // Not noted without a limit: a benchmark's second may hold 20,000 of them.
        if !self.rules.unlimited {
            self.admitted.push(now_us);
        }
        Ok(())
    }

    fn charge_refused(&mut self, now_us: u64) {
        if self.rules.count_rejected {
            self.admitted.push(now_us);
        }
    }
}
