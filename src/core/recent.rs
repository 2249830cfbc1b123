//! What this worker already decided, so that a redelivered request is answered again instead of sent again.
//!
//! RabbitMQ only redelivers what it believes unacknowledged, and that is never more than the prefetch of the lane's channel. So
//! remembering as many finished requests as the prefetch is enough for everything this process can be asked again.

use super::message::{Message, MessageId};
use super::report::Report;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How a request left this worker.
#[derive(Clone, Debug)]
pub enum Known {
    Answered(Arc<Report>),
    /// A copy is confirmed on the delay ladder: the original only needs to be acknowledged.
    Delayed,
}

/// Bounded, oldest forgotten first.
pub struct Recent {
    capacity: usize,
    known: HashMap<(MessageId, u32), Known>,
    order: VecDeque<(MessageId, u32)>,
}

/// A copy that comes back from the ladder has the original's id but more hops: it is not the original redelivered.
fn key(message: &Message) -> (MessageId, u32) {
    (message.id.clone(), message.history.hops)
}

impl Recent {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            known: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub fn remember(&mut self, message: &Message, known: Known) {
        let key = key(message);
        if self.known.insert(key.clone(), known).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    pub fn find(&self, message: &Message) -> Option<Known> {
        self.known.get(&key(message)).cloned()
    }
}
