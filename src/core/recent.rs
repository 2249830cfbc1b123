//! What this worker knows of requests that RabbitMQ may deliver again, so that none is sent again without cause.
//!
//! RabbitMQ only redelivers what it believes unacknowledged, and that is never more than the prefetch of the lane's channel.
//! So remembering a few times the prefetch is enough for everything this process can be asked again.

use super::message::{Message, MessageId};
use std::collections::{HashMap, VecDeque};

/// A copy that comes back from the ladder has the original's id but more hops: it is not the original redelivered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    id: MessageId,
    hops: u32,
}

impl Identity {
    pub fn of(message: &Message) -> Self {
        Self {
            id: message.id.clone(),
            hops: message.history.hops,
        }
    }
}

/// How a request left this worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// Its result, or its copy on the ladder, is confirmed.
    Ended,
    /// It went back to RabbitMQ without having been sent by us: with this delivery count, and that doubt from before.
    Unsent {
        delivery_count: u64,
        possible_duplicate: bool,
    },
}

/// Bounded, oldest forgotten first.
pub struct Recent {
    capacity: usize,
    known: HashMap<Identity, Known>,
    order: VecDeque<Identity>,
}

impl Recent {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            known: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// For a prefetch that grew. Never smaller: what was delivered under a larger prefetch is still out when that falls.
    pub fn grow(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity);
    }

    /// What ended stays ended, though a second delivery of it may go back unsent.
    pub fn remember(&mut self, identity: Identity, known: Known) {
        match self.known.get_mut(&identity) {
            Some(Known::Ended) => {}
            Some(unsent @ Known::Unsent { .. }) => *unsent = known,
            None => {
                self.known.insert(identity.clone(), known);
                self.order.push_back(identity);
            }
        }
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    pub fn find(&self, identity: &Identity) -> Option<Known> {
        self.known.get(identity).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let identity = |hops| Identity {
            id: MessageId("a".into()),
            hops,
        };
        let mut recent = Recent::new(2);
        for hops in [1, 2, 2, 3] {
            recent.remember(identity(hops), Known::Ended);
        }
        let found = [1, 2, 3].map(|hops| recent.find(&identity(hops)).is_some());
        assert_eq!(found, [false, true, true]);
        let unsent = Known::Unsent {
            delivery_count: 1,
            possible_duplicate: false,
        };
        recent.remember(identity(3), unsent);
        assert_eq!(recent.find(&identity(3)), Some(Known::Ended));
        recent.grow(1);
        assert!(recent.find(&identity(2)).is_some(), "never smaller");
        recent.grow(3);
        recent.remember(identity(4), Known::Ended);
        assert!(recent.find(&identity(2)).is_some());
    }
}
