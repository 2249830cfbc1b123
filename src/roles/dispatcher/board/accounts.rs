//! Accounts: their tokens, and their templates.

use super::{Board, Inner};
use crate::contract::words::Scope;
use crate::core::fleet::holds::{Reach, Why};
use crate::credentials::Token;
use std::sync::Arc;

impl Board {
    /// The API refuses what these lanes authenticate with.
    pub fn is_token_held(&self, fingerprint: &Arc<str>) -> bool {
        let (scope, key) = (Scope::Token, fingerprint.clone());
        self.lock().holds.why(&Reach { scope, key }) == Some(Why::Block)
    }

    /// Whether this worker, of all that were heard of lately, reads how the API sees an account.
    pub fn is_reader(&self, waba: &str) -> bool {
        let now = self.clock.now();
        self.lock().readers.is_reader(&self.worker_id, waba, now)
    }

    /// Whether another worker was heard of lately.
    pub fn is_there(&self, worker: &str) -> bool {
        let now = self.clock.now();
        self.lock().readers.is_there(worker, now)
    }

    /// Templates of an account whose messages wait.
    pub fn templates_held(&self, waba: &str) -> usize {
        let now_ms = self.clock.now().steady_ms;
        let inner = self.lock();
        let templates = inner.holds.templates(waba);
        templates.filter(|(_, until_ms)| *until_ms > now_ms).count()
    }

    /// A new token was loaded for an account: blocks of the old one do not concern its lanes any more, others may be mended.
    pub fn token_changed(&self, waba: &str, token: &Arc<Token>) {
        let (mut inner, now) = (self.lock(), self.clock.now());
        let Inner { holds, posts, .. } = &mut *inner;
        for post in posts.iter_mut().filter(|post| &*post.place.waba == waba) {
            post.place.token = token.fingerprint.clone();
            post.orders
                .send_modify(|orders| orders.token = token.clone());
            holds.look_again(&post.place, now);
            let held = holds.on(&post.place, now);
            post.orders.send_modify(|orders| orders.held = held);
        }
        self.to_probe.notify_one();
    }
}
