//! What this worker knows of requests that RabbitMQ may deliver again, so that none is sent again without cause.
//!
//! RabbitMQ only redelivers what it believes unacknowledged, and that is never more than the prefetch of the lane's channel.
//! So remembering a few times the prefetch is enough for everything this process can be asked again.

use super::message::{Message, MessageId};
use super::report::Report;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A copy that comes back from the ladder has the original's id but more hops: it is not the original redelivered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    id: MessageId,
    hops: u32,
}

impl Identity {
    pub fn new(id: &str, hops: u32) -> Self {
        Self {
            id: MessageId(id.into()),
            hops,
        }
    }

    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    pub fn hops(&self) -> u32 {
        self.hops
    }

    pub fn of(message: &Message) -> Self {
        Self {
            id: message.id.clone(),
            hops: message.history.hops,
        }
    }
}

/// How a request left this worker.
#[derive(Clone, PartialEq, Debug)]
pub enum Known {
    /// Its result, or its copy on the ladder, is confirmed.
    Ended,
    /// It was decided, and RabbitMQ took it back with this delivery count before the result was confirmed.
    Decided {
        delivery_count: u64,
        report: Arc<Report>,
    },
    /// It went back to RabbitMQ without having been sent by us: with this delivery count, and that doubt from before.
    Unsent {
        delivery_count: u64,
        possible_duplicate: bool,
    },
}

/// Bounded, what was not heard of for longest forgotten first.
pub struct Recent {
    capacity: usize,
    /// With the count of its last news.
    known: HashMap<Identity, (Known, u64)>,
    news: VecDeque<(Identity, u64)>,
    count: u64,
}

impl Recent {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            known: HashMap::new(),
            news: VecDeque::new(),
            count: 0,
        }
    }

    /// For a prefetch that grew. Never smaller: what was delivered under a larger prefetch is still out when that falls.
    pub fn grow(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity);
    }

    /// What ended stays ended, though a second delivery of it may go back unsent.
    pub fn remember(&mut self, identity: Identity, known: Known) {
        let known = match self.find(&identity) {
            Some(Known::Ended) => Known::Ended,
            Some(Known::Decided { .. } | Known::Unsent { .. }) | None => known,
        };
        self.count += 1;
        self.known.insert(identity.clone(), (known, self.count));
        self.news.push_back((identity, self.count));
        while self.known.len() > self.capacity {
            let Some(news) = self.news.pop_front() else {
                return;
            };
            if self.is_last(&news) {
                self.known.remove(&news.0);
            }
        }
        // Older news of what is heard of again and again.
        if self.news.len() > 2 * self.capacity {
            let news = std::mem::take(&mut self.news);
            self.news = news.into_iter().filter(|news| self.is_last(news)).collect();
        }
    }

    fn is_last(&self, (identity, count): &(Identity, u64)) -> bool {
        self.known
            .get(identity)
            .is_some_and(|(_, last)| last == count)
    }

    pub fn find(&self, identity: &Identity) -> Option<&Known> {
        self.known.get(identity).map(|(known, _)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSENT: Known = Known::Unsent {
        delivery_count: 1,
        possible_duplicate: false,
    };

    fn identity(hops: u32) -> Identity {
        Identity {
            id: MessageId("a".into()),
            hops,
        }
    }

    /// What is known of hops 1, 2, … after these were remembered, in this order.
    fn check(capacity: usize, news: &[(u32, Known)], expected: &[Option<Known>]) -> Recent {
        let mut recent = Recent::new(capacity);
        for (hops, known) in news {
            recent.remember(identity(*hops), known.clone());
        }
        let hops = 1..;
        let found: Vec<_> = hops
            .take(expected.len())
            .map(|hops| recent.find(&identity(hops)).cloned())
            .collect();
        assert_eq!(found, expected);
        recent
    }

    #[test]
    fn what_was_not_heard_of_for_longest_is_forgotten_first() {
        let ended = || Some(Known::Ended);
        let news = |hops: &[u32]| hops.iter().map(|n| (*n, Known::Ended)).collect::<Vec<_>>();
        check(2, &news(&[1, 2, 3]), &[None, ended(), ended()]);
        check(2, &news(&[1, 2, 1, 3]), &[ended(), None, ended()]);
        check(2, &news(&[1, 2, 2, 2, 2, 2, 2]), &[ended(), ended()]);
        check(0, &news(&[1, 2]), &[None, ended()]);
    }

    #[test]
    fn what_ended_stays_ended() {
        let ended = Some(Known::Ended);
        check(4, &[(1, UNSENT), (1, Known::Ended), (1, UNSENT)], &[ended]);
        check(4, &[(1, UNSENT)], &[Some(UNSENT)]);
    }

    #[test]
    fn the_memory_grows_and_never_shrinks() {
        let mut recent = check(
            2,
            &[(1, UNSENT), (2, UNSENT)],
            &[Some(UNSENT), Some(UNSENT)],
        );
        recent.grow(1);
        assert!(recent.find(&identity(1)).is_some());
        recent.grow(3);
        recent.remember(identity(3), UNSENT);
        assert!(recent.find(&identity(1)).is_some());
    }
}
