//! The state that the admin port tells from.

use crate::broker::Sessions;
use crate::broker::links::Links;
use crate::broker::publish::Publisher;
use crate::clock::Clock;
use crate::config::AdminConfig;
use crate::core::lane::HeldBy;
use crate::core::lane::demand::Effort;
use crate::metrics::{AccountSample, LaneSample, Metrics, Scrape};
use crate::roles::dispatcher::board::Board;
use crate::roles::dispatcher::lane_task::LaneHandle;
use crate::roles::dispatcher::upkeep::Account;
use crate::roles::dispatcher::workload;
use crate::tasks::TaskList;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

#[derive(Clone)]
pub struct Admin {
    pub worker_id: Arc<str>,
    pub sessions: Sessions,
    pub draining: watch::Receiver<bool>,
    pub board: Arc<Board>,
    pub links: Arc<Links>,
    pub publisher: Publisher,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
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
        let session = self.sessions.borrow().clone();
        match session {
            _ if *self.draining.borrow() => Some("draining"),
            None if self.board.is_reading() => {
                Some("wa.lanes.log is not read yet: which lanes are paused is not known")
            }
            None => Some("no broker session"),
            Some(session) if session.is_blocked() => Some("the broker blocks publishers"),
            Some(session) if !session.may_send() => Some("the broker does not answer"),
            Some(_) if self.publisher.is_any_refused() => Some("the broker refuses results"),
            Some(_) => self.not_subscribed(),
        }
    }

    /// Says why no number's lane is subscribed to: of those neither held nor paused, each must have been tried, and one must work.
    fn not_subscribed(&self) -> Option<&'static str> {
        let numbers = self.lanes.iter().filter(|lane| lane.id.waba_id().is_none());
        let seen = numbers.map(LaneHandle::seen);
        let wanted = seen.filter(|seen| seen.is_wanted);
        let tries: Vec<_> = wanted.map(|seen| seen.last_try).collect();
        if tries.contains(&None) {
            return Some("subscribing to the lanes");
        }
        let is_none = !tries.is_empty() && !tries.contains(&Some(true));
        is_none.then_some("no lane can be subscribed to")
    }

    pub(super) fn scrape(&self) -> Scrape {
        let session = self.sessions.borrow().clone();
        let effort = *self.effort.lock().unwrap_or_else(PoisonError::into_inner);
        Scrape {
            now: self.clock.now(),
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
        if self.publisher.is_stuck(lane.id.as_str()) {
            seen.view.held_by = HeldBy::Broker;
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
        let is_refused = state.is_token_refused || self.board.is_token_held(&token.fingerprint);
        AccountSample {
            waba_id: account.waba_id.clone(),
            is_token_valid: !is_refused,
            token_expires_at: state.token_expires_at,
            templates: state.templates,
            templates_held: self.board.templates_held(&account.waba_id),
        }
    }
}
