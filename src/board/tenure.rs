//! Who has which lane: taking one, leaving one, and hearing of others.

use super::{Board, Inner, Owner};
use crate::core::holds::{News, Record};
use crate::core::message::LaneId;
use crate::core::outcome::Scope;
use crate::core::tenure::{Tenure, Unsent};
use std::time::Duration;
use tokio::sync::oneshot;

impl Board {
    /// Takes a lane that RabbitMQ has given to this worker. Answers, once all others can know, what the one before has surely not
    /// sent; ends without an answer if the log cannot be used.
    pub fn claim(&self, lane: &LaneId) -> oneshot::Receiver<Unsent> {
        let (sender, claimed) = oneshot::channel();
        let (mut inner, now) = (self.lock(), self.clock.now());
        let place = inner.place(lane);
        if let Some(reach) = place.and_then(|place| place.reach(Scope::Lane)) {
            let record = inner.holds.record(reach, News::Taken, now);
            let key = record.reach.key.clone();
            if !self.told.borrow().is_mute {
                inner.claims.insert(key, (record.clone(), sender));
            }
            self.share(&mut inner, Some(record));
        }
        claimed
    }

    /// Leaves a lane with nothing in flight: these waited and go back to RabbitMQ unsent.
    pub async fn leave(&self, lane: &LaneId, unsent: Unsent, patience: Duration) {
        {
            let (mut inner, now) = (self.lock(), self.clock.now());
            let Some(reach) = inner.place(lane).and_then(|place| place.reach(Scope::Lane)) else {
                return;
            };
            let record = inner.holds.record(reach, News::Left { unsent }, now);
            self.share(&mut inner, Some(record));
        }
        self.told(patience).await;
    }

    /// Who took the lane last, as far as the log says.
    pub fn tenure(&self, lane: &LaneId) -> Option<Tenure> {
        self.lock().tenures.of(lane.as_str()).cloned()
    }

    /// The session is over, and with it every channel: what it had just taken it does not have. Said later, it would take the lane
    /// from whoever has it by then.
    pub(super) fn drop_claims(&self) {
        let mut inner = self.lock();
        inner.claims.clear();
        let before = inner.outgoing.len();
        inner
            .outgoing
            .retain(|record| !matches!(record.news, News::Taken));
        let dropped = u64::try_from(before - inner.outgoing.len()).unwrap_or(0);
        self.told.send_modify(|told| told.count += dropped);
    }
}

impl Inner {
    /// Who has a lane. True if that is what the record is about.
    pub(super) fn heard_of_tenure(&mut self, record: &Record) -> bool {
        let lane = &record.reach.key;
        match &record.news {
            News::Taken => {
                let tenure = Tenure {
                    worker: record.worker.clone(),
                    run: record.run,
                    since_ms: record.at_ms,
                    left: false,
                };
                let unsent = self.tenures.taken(lane, tenure);
                let is_us = self.holds.is_own(record);
                if is_us
                    && self
                        .claims
                        .get(lane)
                        .is_some_and(|(claim, _)| claim == record)
                    && let Some((_, sender)) = self.claims.remove(lane)
                {
                    // The lane may have lost its channel meanwhile.
                    drop(sender.send(unsent));
                }
                let worker = record.worker.clone();
                let since_ms = record.at_ms;
                let owner = Owner {
                    worker,
                    since_ms,
                    is_us,
                };
                self.order_owner(lane, Some(owner));
                true
            }
            News::Left { unsent } => {
                if self.tenures.left(lane, record.run, unsent.clone()) {
                    self.order_owner(lane, None);
                }
                true
            }
            News::Held(_)
            | News::Lifted
            | News::Paused { .. }
            | News::Resumed
            | News::TemplateHeld { .. } => false,
        }
    }

    fn order_owner(&self, lane: &str, owner: Option<Owner>) {
        for post in self
            .posts
            .iter()
            .filter(|post| post.place.lane.as_str() == lane)
        {
            post.orders
                .send_modify(|orders| orders.owner = owner.clone());
        }
    }
}
