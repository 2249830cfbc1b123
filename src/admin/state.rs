//! The state that the admin port tells from.

use crate::config::AdminConfig;
use crate::core::demand::Effort;
use crate::core::lane::Rest;
use crate::dispatch::{LaneHandle, Shared};
use crate::metrics::{AccountSample, LaneSample, Scrape};
use crate::tasks::TaskList;
use crate::upkeep::Account;
use crate::workload;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone)]
pub struct Admin {
    pub shared: Arc<Shared>,
    pub lanes: Arc<[LaneHandle]>,
    pub accounts: Arc<[Arc<Account>]>,
    pub effort: Arc<Mutex<Effort>>,
    pub tasks: TaskList,
    pub config: AdminConfig,
    /// Within this a backlog should be gone.
    pub drain_target: Duration,
}

impl Admin {
    /// Ready is who has a session with the broker, that takes what is published and gives at least one lane, and has not begun to
    /// drain. Else, why not.
    pub(super) fn not_ready(&self) -> Option<&'static str> {
        let session = self.shared.sessions.borrow().clone();
        match session {
            _ if *self.shared.drain.borrow() => Some("draining"),
            None if self.shared.board.is_reading() => {
                Some("wa.lanes.log is not read yet: which lanes are paused is not known")
            }
            None => Some("no broker session"),
            Some(session) if session.is_blocked() => Some("the broker blocks publishers"),
            Some(session) if !session.may_send() => Some("the broker does not answer"),
            Some(_) if self.shared.concluder.publisher.is_any_refused() => {
                Some("the broker refuses results")
            }
            Some(_) => self.not_subscribed(),
        }
    }

    /// Says why no lane is subscribed to: of those neither held nor paused, each must have been tried, and one must work.
    fn not_subscribed(&self) -> Option<&'static str> {
        let seen = self.lanes.iter().map(LaneHandle::seen);
        let wanted = seen.filter(|seen| seen.is_wanted);
        let tries: Vec<_> = wanted.map(|seen| seen.last_try).collect();
        if tries.contains(&None) {
            return Some("subscribing to the lanes");
        }
        let is_none = !tries.is_empty() && !tries.contains(&Some(true));
        is_none.then_some("no lane can be subscribed to")
    }

    pub(super) fn scrape(&self) -> Scrape {
        let session = self.shared.sessions.borrow().clone();
        let effort = *self.effort.lock().unwrap_or_else(PoisonError::into_inner);
        Scrape {
            now: self.shared.now(),
            is_ready: self.not_ready().is_none(),
            is_blocked: session.is_some_and(|session| session.is_blocked()),
            effort: Effort {
                busy: workload::busy(),
                ..effort
            },
            drain_target: self.drain_target,
            lanes: self.lanes.iter().map(|lane| self.sample(lane)).collect(),
            accounts: self.accounts.iter().map(|a| self.account(a)).collect(),
        }
    }

    pub(super) fn sample(&self, lane: &LaneHandle) -> LaneSample {
        let mut seen = lane.seen();
        // A lane that has nothing to send does not look.
        if self.shared.concluder.publisher.is_stuck(lane.id.as_str()) {
            seen.view.rest = Rest::Broker;
        }
        LaneSample {
            label: lane.label.clone(),
            waba_id: lane.waba_id.clone(),
            work: seen
                .demand
                .work(&seen.view, seen.is_owned, self.drain_target),
            seen,
        }
    }

    fn account(&self, account: &Account) -> AccountSample {
        let (state, token) = (account.state(), account.tokens.token());
        let is_refused =
            state.is_token_refused || self.shared.board.is_token_held(&token.fingerprint);
        AccountSample {
            waba_id: account.waba_id.clone(),
            is_token_valid: !is_refused,
            token_expires_at: state.token_expires_at,
            templates: state.templates,
            templates_held: self.shared.board.templates_held(&account.waba_id),
        }
    }
}
