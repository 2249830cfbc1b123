//! One phone number and its limits.

use crate::errors::ApiError;
use crate::limits::{Inbound, Pairs, SECOND_US, SlidingSecond};
use crate::options::NumberRules;
use crate::standing::Standing;

/// One number: its rules and what it has been charged.
#[derive(Debug)]
pub(crate) struct Number {
    standing: Standing,
    /// Times in it are [`shifted`].
    admitted: SlidingSecond,
    inbound: Inbound,
    pairs: Pairs,
}

impl Number {
    pub(crate) fn new(standing: Standing) -> Self {
        Self {
            admitted: SlidingSecond::default(),
            inbound: Inbound::steady(standing.rules().inbound_mps),
            pairs: Pairs::default(),
            standing,
        }
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(crate) fn rules(&self) -> &NumberRules {
        self.standing.rules()
    }

    /// Ends what has lasted its time.
    pub(crate) fn settle(&mut self, now_us: u64) {
        self.standing.settle(now_us);
    }

    /// Stands otherwise from `now_us` on. What was charged before counts on.
    pub(crate) fn restand(&mut self, standing: Standing, now_us: u64) {
        let shifted_us = shifted(now_us);
        self.inbound.flow(&mut self.admitted, shifted_us);
        self.inbound
            .change(standing.rules().inbound_mps, shifted_us);
        self.standing = standing;
    }

    /// Why the number sends nothing at all, if it does not.
    pub(crate) fn halted(&self) -> Option<ApiError> {
        let maintenance = self.rules().upgrade_ms.map(|_| 131057);
        self.rules().blocked_code.or(maintenance).map(ApiError::of)
    }

    /// How full the sliding second is, in percent.
    pub(crate) fn usage_percent(&mut self, now_us: u64) -> u64 {
        match self.rules().limit_mps() {
            None | Some(0) => 0,
            Some(limit) => self.in_window(now_us) * 100 / limit,
        }
    }

    /// Charges the throughput and the pair limit, both or neither.
    pub(crate) fn admit(&mut self, recipient: &str, now_us: u64) -> Result<(), ApiError> {
        if let Some(limit) = self.rules().limit_mps()
            && self.in_window(now_us) >= limit
        {
            self.charge_refused(now_us);
            return Err(ApiError::of(130429));
        }
        if let Some(rate) = self.rules().pair_rate() {
            if !self.pairs.allows(recipient, rate, now_us) {
                self.charge_refused(now_us);
                return Err(ApiError::of(131056));
            }
            self.pairs.charge(recipient, rate, now_us);
        }
        // Not noted without a limit: a benchmark's second may hold 20,000 of them.
        if !self.rules().unlimited {
            self.admitted.push(shifted(now_us));
        }
        Ok(())
    }

    /// What counts in the second up to `now_us`, in both directions.
    fn in_window(&mut self, now_us: u64) -> u64 {
        self.inbound.flow(&mut self.admitted, shifted(now_us));
        self.admitted.count(shifted(now_us))
    }

    fn charge_refused(&mut self, now_us: u64) {
        if self.rules().count_rejected {
            self.admitted.push(shifted(now_us));
        }
    }
}

/// A second later: time 0 follows a second in which customers wrote already, and
/// times before 0 cannot be written.
fn shifted(now_us: u64) -> u64 {
    now_us.saturating_add(SECOND_US)
}
