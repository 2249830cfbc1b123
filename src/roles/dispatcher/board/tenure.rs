//! Tenures: taking a lane, leaving one, and hearing of others'.

use super::{Board, Inner, is_told, when_told};
use crate::broker::workers_log::Log;
use crate::contract::words::Scope;
use crate::core::Now;
use crate::core::fleet::holds::{News, Record};
use crate::core::fleet::tenure::{Legacy, Owner, Tenure, Unsent};
use crate::core::request::message::LaneId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

impl Board {
    /// Takes a lane that RabbitMQ has given to this worker. Answers, once all others can know, what is known of the one before; ends
    /// without an answer if the log cannot be used.
    pub fn claim(&self, lane: &LaneId) -> oneshot::Receiver<Legacy> {
        let (sender, claimed) = oneshot::channel();
        let (mut inner, now) = (self.lock(), self.clock.now());
        let place = inner.place(lane);
        if let Some(reach) = place.and_then(|place| place.reach(Scope::Lane)) {
            let record = inner.holds.record(reach, News::Taken, now);
            let key = record.reach.key.clone();
            if !inner.tenures_log.outbox.is_mute() {
                inner.claims.insert(key, (record.clone(), sender));
            }
            self.share(&mut inner, Some(record));
        }
        claimed
    }

    /// Leaves a lane with nothing in flight: these waited and go back to RabbitMQ unsent. Waits until all others can know, however much
    /// else they are told first, as long as the log takes anything at all.
    pub async fn leave(&self, lane: &LaneId, unsent: Unsent, patience: Duration) {
        let told = {
            let (mut inner, now) = (self.lock(), self.clock.now());
            let Some(reach) = inner.place(lane).and_then(|place| place.reach(Scope::Lane)) else {
                return;
            };
            let record = inner.holds.record(reach, News::Left { unsent }, now);
            self.share(&mut inner, Some(record));
            when_told(&mut inner.tenures_log.outbox)
        };
        is_told(told, patience).await;
    }

    /// Returns who took the lane last, as far as the log says.
    pub fn tenure(&self, lane: &LaneId) -> Option<Tenure> {
        self.lock().tenures.of(lane.as_str()).cloned()
    }

    /// The session is over, and with it every channel: what it had just taken it does not have. Said later, it would take the lane
    /// from whoever has it by then.
    pub(super) fn begin_anew(&self) {
        let mut inner = self.lock();
        inner.claims.clear();
        inner.holds_log.outbox.begin_anew(|_| true);
        let tenures = &mut inner.tenures_log.outbox;
        tenures.begin_anew(|record| !matches!(record.news, News::Taken));
    }
}

impl Inner {
    /// Takes a record of who has a lane. Workers of an earlier version tell it by the log of holds, which has no order with the other: an
    /// old word from there does not count. Returns the lanes of which something new is known.
    pub(super) fn apply_tenure(&mut self, record: &Record, log: Log, now: Now) -> Vec<Arc<str>> {
        let lane = &record.reach.key;
        match &record.news {
            News::Taken => {
                let last = self.tenures.of(lane);
                let is_old = last.is_some_and(|last| last.since_ms > record.at_ms);
                if log == Log::Holds && is_old {
                    return vec![];
                }
                let tenure = tenure(record, record.at_ms, now);
                let legacy = self.tenures.taken(lane, tenure);
                let is_claim = |(claim, _): &(Record, _)| claim == record;
                if self.claims.get(lane).is_some_and(is_claim)
                    && let Some((_, sender)) = self.claims.remove(lane)
                {
                    // The lane may have lost its channel meanwhile.
                    drop(sender.send(legacy));
                }
                vec![lane.clone()]
            }
            News::Left { unsent } => {
                self.tenures.left(lane, record.run, unsent.clone());
                vec![lane.clone()]
            }
            News::Present { lanes, .. } => {
                let mut known = vec![];
                for (lane, since_ms) in lanes {
                    if self.tenures.kept(lane, tenure(record, *since_ms, now)) {
                        known.push(lane.clone());
                    }
                }
                known
            }
            News::Held(_)
            | News::Lifted
            | News::Paused { .. }
            | News::Resumed
            | News::TemplateHeld { .. } => vec![],
        }
    }

    /// Tells a lane who has it.
    pub(super) fn order_owner(&self, lane: &str) {
        let (Some(post), tenure) = (self.post(lane), self.tenures.of(lane)) else {
            return;
        };
        let owner = tenure.filter(|tenure| !tenure.left).map(|tenure| Owner {
            worker: tenure.worker.clone(),
            since_ms: tenure.since_ms,
            is_us: self.holds.is_run(tenure.run),
        });
        let unsent = self.tenures.told_since(lane).into();
        post.orders.send_modify(|orders| {
            orders.owner = owner;
            orders.unsent = unsent;
        });
    }
}

fn tenure(record: &Record, since_ms: u64, now: Now) -> Tenure {
    Tenure {
        worker: record.worker.clone(),
        run: record.run,
        since_ms,
        left: false,
        heard: now.mono,
    }
}
