//! Deciding one request: from what is known of it, or from the outcome of its attempt, to a [`Decision`].

use crate::contract::request::History;
use crate::contract::result::{ErrorDocument, ResultDocument};
use crate::contract::words::{Class, OnUnknown, POISON, Status};
use crate::core::Now;
use crate::core::media::upload::Failure;
use crate::core::outcome::{Effect, Outcome};
use crate::core::request::ladder::MAX_DELAY_S;
use crate::core::request::message::{LaneId, Message};
use crate::core::request::retry::{Retry, RetryPolicy};
use std::sync::Arc;

/// The decision on one request.
#[derive(Debug)]
pub enum Decision {
    /// Publish this result, then acknowledge.
    Finish(Arc<ResultDocument>),
    /// Publish the request to the delay ladder with this history, then acknowledge.
    Delay { delay_s: u32, message: Message },
    /// Publish the whole request to `wa.dead`, then the result, then acknowledge.
    Bury(Arc<ResultDocument>),
    /// Another worker has ended it already: publish that result again, then acknowledge. `flagged`: it may have been sent once
    /// more since, as that worker could not know.
    Repeat { flagged: bool },
    /// An earlier request of its id has ended so: publish that one's result again, if the log has it; else this report, if it surely has
    /// none; else put the request onto the delay ladder, to look again. Then acknowledge.
    Duplicate {
        report: Arc<ResultDocument>,
        delay_s: u32,
        copy: Message,
    },
    /// The request's result (or its copy on the ladder) is confirmed already: acknowledge.
    Forget,
    /// The delivery is void and RabbitMQ still has the message: let go of it.
    Abandon,
}

/// How much later than an earlier copy of the same request one comes off the ladder that may be the second: the ladder is exact to within
/// two seconds.
const AFTER_THE_FIRST_S: u32 = 3;

/// A lane that loses its queue has it again after a second or two.
const STRAYED_S: u32 = 2;

/// The terms of every decision of a lane.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    pub lane: &'a LaneId,
    pub retry: &'a RetryPolicy,
    pub now: Now,
    /// In [0, 1]: where in its range a retry's delay falls.
    pub jitter: f64,
}

impl Terms<'_> {
    fn report(
        &self,
        message: &Message,
        status: Status,
        error: Option<ErrorDocument>,
    ) -> Arc<ResultDocument> {
        Arc::new(ResultDocument::new(
            message, self.lane, status, error, self.now,
        ))
    }

    /// Decides what can be decided about a request without sending it.
    pub fn without_sending(&self, message: &Message) -> Option<Decision> {
        let now_ms = self.now.wall_ms;
        let due_ms = message.not_before_ms.unwrap_or(0).max(now_ms);
        if message.send_before_ms().is_some_and(|at| at <= due_ms) {
            return Some(Decision::Finish(self.report(
                message,
                Status::Expired,
                None,
            )));
        }
        if due_ms > now_ms {
            let delay_s = u32::try_from((due_ms - now_ms).div_ceil(1000)).unwrap_or(u32::MAX);
            // A scheduled request is not old when its time comes: its age counts from there.
            let mut message = message.clone();
            message.history.first_seen_ms = due_ms;
            return Some(self.copy(message, delay_s));
        }
        self.retry
            .too_old(&message.history, 0, self.now)
            .then(|| self.too_old(message, None))
    }

    /// A request that RabbitMQ could not put into its lane, whose queue was missing for a moment: it comes there again.
    pub fn strayed(&self, mut message: Message) -> Decision {
        // A former holder may have put it on the ladder already.
        if message.redelivered {
            message.may_have_been_handled(self.now);
        }
        let decision = self.without_sending(&message);
        let mut decision = decision.unwrap_or_else(|| self.later(&message, STRAYED_S, None));
        if let Decision::Delay { message, .. } = &mut decision {
            message.history.hops += 1;
        }
        decision
    }

    /// An operation whose own budget is used up: Meta would refuse it, at a call's cost.
    pub fn quota_used_up(&self, message: &Message, until_ms: u64) -> Decision {
        let facts = message.operation.facts();
        let hourly = facts.hourly.unwrap_or_default();
        let title = format!(
            "an account may do {hourly} in an hour, and has: {}",
            facts.name
        );
        let error = ErrorDocument {
            retry_not_before: Some(until_ms),
            ..ErrorDocument::own(Class::Policy.as_str(), title)
        };
        Decision::Finish(self.report(message, Status::Rejected, Some(error)))
    }

    /// An answer about a request that nobody can say was not sent already.
    pub fn doubtful(&self, message: &Message) -> Decision {
        Decision::Finish(self.report(message, Status::Unknown, None))
    }

    /// A request that came back over and over, and nothing shows that it was ever sent or ended: every worker that had it may have
    /// died of it, or of one that was delivered with it. The first time it comes again apart from those; the second time it is done.
    pub fn poison_suspect(&self, message: &mut Message, delay_s: u32) -> Decision {
        if !std::mem::replace(&mut message.history.suspected, true) {
            return self.later(message, delay_s, None);
        }
        let title = format!(
            "delivered {} times and never settled (redelivery.max_deliveries)",
            message.delivery_count.saturating_add(1)
        );
        let error = ErrorDocument::own(POISON, &title);
        Decision::Bury(self.report(message, Status::Failed, Some(error)))
    }

    /// An earlier request of its id is under way, or may be: this one looks again after a while, half as long as it has waited so far.
    pub fn follow(&self, message: &Message) -> Decision {
        let mut message = message.clone();
        message.history.may_follow();
        self.later(&message, self.patience_s(&message), None)
    }

    fn patience_s(&self, message: &Message) -> u32 {
        const LONGEST_S: u64 = 64;
        let waited_ms = self.now.wall_ms.saturating_sub(message.history.arrived_ms);
        u32::try_from((waited_ms / 2000).clamp(1, LONGEST_S)).unwrap_or(1)
    }

    /// An earlier request of its id has ended with this status, at that time: accepted or unknown.
    pub fn duplicate(&self, message: &Message, status: Status, at_s: u32) -> Decision {
        let at_ms = u64::from(at_s) * 1000;
        let report = ResultDocument {
            duplicate_of_earlier: true,
            sent_at: Some(at_ms),
            completed_at: at_ms,
            ..ResultDocument::new(message, self.lane, status, None, self.now)
        };
        let mut copy = message.clone();
        copy.history.may_follow();
        copy.history.hops += 1;
        Decision::Duplicate {
            report: Arc::new(report),
            delay_s: self.patience_s(message),
            copy,
        }
    }

    /// A file that it names is not uploaded yet: it looks again after a while, half as long as it has waited so far.
    pub fn await_media(&self, message: &Message, error: Option<ErrorDocument>) -> Decision {
        const LONGEST_S: u64 = 64;
        let waited_ms = self
            .now
            .wall_ms
            .saturating_sub(message.history.first_seen_ms);
        let delay_s = u32::try_from((waited_ms / 2000).clamp(2, LONGEST_S)).unwrap_or(2);
        self.later(message, delay_s, error)
    }

    /// The file at this pointer cannot be had; or not now, which costs no attempt.
    pub fn without_media(&self, message: &Message, at: &str, failure: Failure) -> Decision {
        let is_final = failure.is_final;
        let error = failure.at(at);
        if is_final {
            return Decision::Finish(self.report(message, Status::Rejected, Some(error)));
        }
        self.await_media(message, Some(error))
    }

    /// The request waits in RabbitMQ, unless its deadline or its age would be over by then.
    pub fn later(&self, message: &Message, delay_s: u32, error: Option<ErrorDocument>) -> Decision {
        let ends_before = |at: u64| self.now.wall_ms + u64::from(delay_s) * 1000 >= at;
        if message.send_before_ms().is_some_and(ends_before) {
            return Decision::Finish(self.report(message, Status::Expired, error));
        }
        if self
            .retry
            .too_old(&message.history, u64::from(delay_s), self.now)
        {
            return self.too_old(message, error);
        }
        self.copy(message.clone(), delay_s)
    }

    /// Onto the ladder; behind the copy that there may be already.
    fn copy(&self, mut message: Message, mut delay_s: u32) -> Decision {
        if message.history.copied_ms > 0 {
            message.history.copied_ms = self.now.wall_ms + u64::from(delay_s) * 1000;
            delay_s = delay_s.saturating_add(AFTER_THE_FIRST_S).min(MAX_DELAY_S);
        }
        Decision::Delay { delay_s, message }
    }

    fn too_old(&self, message: &Message, error: Option<ErrorDocument>) -> Decision {
        // The error tells what held it up last, if anything did.
        let own = || ErrorDocument {
            code: message.history.last_error,
            ..ErrorDocument::own(Class::Transient.as_str(), "older than retry.max_age_s")
        };
        let error = error.unwrap_or_else(own);
        Decision::Bury(self.report(message, Status::Failed, Some(error)))
    }

    /// After an attempt that concerns this message alone: one more is counted. Unless it is charged, another one does not count it.
    pub fn answered(
        &self,
        message: &mut Message,
        sent_at_ms: u64,
        outcome: Outcome,
        is_charged: bool,
    ) -> Decision {
        message.history.attempts += 1;
        match outcome {
            Outcome::Accepted(accepted) => {
                let report =
                    ResultDocument::accepted(message, self.lane, accepted, sent_at_ms, self.now);
                Decision::Finish(Arc::new(report))
            }
            // Nothing reached the API: that holds the lane; a message that must not wait there waits in RabbitMQ.
            Outcome::NotSent { error } => self.retry_later(message, error, None, 0),
            Outcome::Failed(effect, error) => {
                self.failed(message, sent_at_ms, effect, error, is_charged)
            }
        }
    }

    fn failed(
        &self,
        message: &mut Message,
        sent_at_ms: u64,
        effect: Effect,
        mut error: ErrorDocument,
        is_charged: bool,
    ) -> Decision {
        match effect {
            Effect::Refused {
                retry_not_before_s, ..
            } => {
                error.retry_not_before = retry_not_before_s.map(|s| self.now.wall_ms + s * 1000);
                self.finish(message, Status::Rejected, error, sent_at_ms)
            }
            Effect::Transient {
                scope: _,
                max_retries,
                min_delay_s,
                proves_unsent,
                then_invalid,
            } => {
                if !proves_unsent {
                    message.may_have_been_sent();
                }
                uncharge(&mut message.history, is_charged);
                let is_out = self.retry.is_out(&message.history, max_retries);
                if then_invalid && is_out {
                    error.class = Class::Invalid.as_str();
                    return self.finish(message, Status::Rejected, error, sent_at_ms);
                }
                self.retry_later(message, error, max_retries, min_delay_s.unwrap_or(0))
            }
            Effect::Ambiguous => {
                let resends = message.on_unknown == Some(OnUnknown::Resend);
                let is_repeated = resends || message.is_harmless_to_repeat();
                message.may_have_been_sent();
                if !is_repeated {
                    return self.finish(message, Status::Unknown, error, sent_at_ms);
                }
                uncharge(&mut message.history, is_charged);
                self.retry_later(message, error, None, 0)
            }
            // These hold the lane as well.
            Effect::Throttled { .. } | Effect::Blocked { .. } => {
                self.retry_later(message, error, None, 0)
            }
        }
    }

    fn finish(
        &self,
        message: &Message,
        status: Status,
        error: ErrorDocument,
        sent_at_ms: u64,
    ) -> Decision {
        let mut report = ResultDocument::new(message, self.lane, status, Some(error), self.now);
        report.sent_at = Some(sent_at_ms);
        Decision::Finish(Arc::new(report))
    }

    /// Later, through the ladder; or never, if its attempts, its age or its deadline are used up.
    fn retry_later(
        &self,
        message: &mut Message,
        error: ErrorDocument,
        max_retries: Option<u32>,
        floor_s: u32,
    ) -> Decision {
        message.history.last_error = error.code;
        let retry = self.retry.after_failure(
            &message.history,
            max_retries,
            floor_s,
            self.now,
            self.jitter,
        );
        match retry {
            Retry::After { delay_s } => self.later(message, delay_s, Some(error)),
            Retry::Exhausted => Decision::Bury(self.report(message, Status::Failed, Some(error))),
        }
    }
}

/// An attempt that the API's trouble has cost.
fn uncharge(history: &mut History, is_charged: bool) {
    history.attempts -= u32::from(!is_charged);
    history.uncharged += u32::from(!is_charged);
}

#[cfg(test)]
mod tests;
