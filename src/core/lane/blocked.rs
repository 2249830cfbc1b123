//! Blocks, and whose fault they are: everybody's in the scope, or that of the one request that meets it.
//!
//! A block holds its scope at its first refusal. When the hold is over, one request tries, and if that is refused for the same again,
//! another one does: should that pass, it was the first one's own fault. From then on such a refusal is held against that request
//! (it costs an attempt, of which there are few), and a like one stops nobody before a second person meets it as well.

use super::fate::{Fate, reach_of};
use super::{Lane, Message};
use crate::core::Now;
use crate::core::fleet::holds::{Finding, Hold, Why};
use crate::core::lane::backlog::Key;
use crate::core::outcome::Effect;

/// Before a request comes again that was refused as the one to try: others are tried meanwhile, and go before it.
const APART_S: u32 = 5;

impl Lane {
    /// Decides what a block does. One that a single request may have earned stops the lane only once a second person meets it too; until
    /// then it costs that request an attempt.
    pub(super) fn blocked(
        &mut self,
        message: &mut Message,
        key: &Key,
        effect: Effect,
        code: Option<i64>,
        now: Now,
    ) -> (Fate, Option<Finding>) {
        let Effect::Blocked {
            scope,
            remedy,
            is_penalty,
            second_recipient,
        } = effect
        else {
            return (Fate::Decided { is_charged: true }, None);
        };
        self.answers_well();
        let why = if is_penalty { Why::Penalty } else { Why::Block };
        let scope = reach_of(scope, message);
        let finding = self.finding(scope, why, code, remedy, None);
        if self.is_try_for(finding.why, finding.code) {
            return self.tried_in_vain(message, key, finding, now);
        }
        let is_known = self
            .state()
            .hold()
            .is_some_and(|hold| is_of(hold, &finding));
        let is_first = self.blame.is_first(key, message);
        let may_be_its_own = second_recipient
            || message.history.blamed
            || self.blame.disproved == Some(finding.code);
        if may_be_its_own && is_first && !is_known {
            self.blame.note_witness(key, message);
            return (Fate::Decided { is_charged: true }, None);
        }
        self.blame.clear();
        message.history.last_error = finding.code;
        (Fate::Stays, self.found(finding, now))
    }

    /// Whether the lane tries if a hold of that kind is over.
    pub(super) fn is_try_for(&self, why: Why, code: Option<i64>) -> bool {
        let tried = self.standing.probes();
        tried.is_some_and(|hold| (hold.why, hold.code) == (why, code))
    }

    /// The one request that tried whether a block is over was refused for it again. Another one tries before that is believed.
    fn tried_in_vain(
        &mut self,
        message: &mut Message,
        key: &Key,
        finding: Finding,
        now: Now,
    ) -> (Fate, Option<Finding>) {
        let was_blamed = message.history.blamed;
        let fate = self.gives_way(message, finding.code);
        // A request that fails alone although the API says that all is well has that held against it.
        let fate = if was_blamed && self.standing.is_said_to_be_well() {
            Fate::Decided { is_charged: true }
        } else {
            fate
        };
        if self.blame.tried.is_none() && self.backlog.has_others(key) {
            self.blame.note_witness(key, message);
            self.blame.tried = Some(finding.code);
            return (fate, None);
        }
        self.blame.clear();
        (fate, self.found(finding, now))
    }

    /// Lets the request come again behind those that wait, at no cost of an attempt; it is known by then.
    pub(super) fn gives_way(&mut self, message: &mut Message, code: Option<i64>) -> Fate {
        message.history.blamed = true;
        message.history.last_error = code;
        Fate::Later { delay_s: APART_S }
    }

    /// Blames a pause for many on the request that has met it before, alone: it is charged, and nobody waits, unless a second person
    /// meets it. True if so.
    pub(super) fn blame_alone(&mut self, message: &Message, key: &Key) -> bool {
        let is_alone = message.history.blamed && self.blame.is_first(key, message);
        if is_alone {
            self.blame.note_witness(key, message);
        }
        is_alone
    }
}

fn is_of(hold: Hold, finding: &Finding) -> bool {
    (hold.why, hold.code) == (finding.why, finding.code)
}
