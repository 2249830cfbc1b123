//! Memory of requests that RabbitMQ may deliver again, so that none is sent again without cause.
//!
//! RabbitMQ only redelivers what it believes unacknowledged, and that is never more than the prefetch of the lane's channel.
//! So remembering a few times the prefetch is enough for everything this process can be asked again.

use crate::core::request::intake::Inbound;
use crate::core::request::message::{Message, MessageId};
use crate::core::request::report::Report;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A copy that comes back from the ladder has the original's id but more hops: it is not the original redelivered. Nor is a second
/// publication of the id, which has another incarnation if anything tells the two apart; see [`Recent::forget`] for when nothing does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    id: MessageId,
    hops: u32,
    incarnation: Option<u64>,
}

impl Identity {
    pub fn new(id: &str, hops: u32, incarnation: Option<u64>) -> Self {
        Self {
            id: MessageId(id.into()),
            hops,
            incarnation,
        }
    }

    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    pub fn hops(&self) -> u32 {
        self.hops
    }

    pub fn incarnation(&self) -> Option<u64> {
        self.incarnation
    }

    /// However far on its way.
    pub fn is_same_request(&self, other: &Self) -> bool {
        self.id == other.id && self.incarnation == other.incarnation
    }

    /// `None`: it has no id.
    pub fn of_inbound(delivery: &Inbound<'_>) -> Option<Self> {
        let hops = delivery.history.hops;
        Some(Self::new(delivery.id()?, hops, delivery.incarnation))
    }

    pub fn of(message: &Message) -> Self {
        Self {
            id: message.id.clone(),
            hops: message.history.hops,
            incarnation: message.incarnation,
        }
    }
}

/// How a request left this worker.
#[derive(Clone, PartialEq, Debug)]
pub enum Known {
    /// The result, or the copy on the ladder, is confirmed.
    Ended,
    /// The request was decided, and RabbitMQ took it back with this delivery count before the result was confirmed.
    Decided {
        delivery_count: u64,
        report: Arc<Report>,
    },
    /// The request went back to RabbitMQ without having been sent by us: with this delivery count, and that doubt from before.
    Unsent {
        delivery_count: u64,
        possible_duplicate: bool,
    },
}

/// The memory of one identity. There may be several deliveries of it: publications of one id that nothing tells apart.
#[derive(Default)]
struct Memory {
    /// One has ended. Stays, whatever becomes of others.
    has_ended: bool,
    /// The original of this copy was let through in doubt: since then.
    doubted_ms: Option<u64>,
    /// Deliveries that RabbitMQ has again.
    given_back: Vec<Known>,
    /// The count of the last news.
    news: u64,
}

/// Bounded, what was not heard of for longest forgotten first.
pub struct Recent {
    capacity: usize,
    known: HashMap<Identity, Memory>,
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

    pub fn remember(&mut self, identity: Identity, known: Known) {
        let capacity = self.capacity;
        let memory = self.note(identity);
        match known {
            Known::Ended => memory.has_ended = true,
            Known::Decided { .. } | Known::Unsent { .. } => memory.given_back.push(known),
        }
        if memory.given_back.len() > capacity {
            memory.given_back.remove(0);
        }
    }

    /// There is news of it: others are forgotten before it.
    fn note(&mut self, identity: Identity) -> &mut Memory {
        self.count += 1;
        while self.known.len() >= self.capacity && !self.known.contains_key(&identity) {
            let Some(news) = self.news.pop_front() else {
                break;
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
        self.news.push_back((identity.clone(), self.count));
        let memory = self.known.entry(identity).or_default();
        memory.news = self.count;
        memory
    }

    fn is_last(&self, (identity, count): &(Identity, u64)) -> bool {
        self.known
            .get(identity)
            .is_some_and(|memory| memory.news == *count)
    }

    /// RabbitMQ has delivered it again, with this count. What was given back with one less is that very delivery, and is known no
    /// longer: it is in the lane's hands. Else what ended may have lost its acknowledgement.
    pub fn recall(&mut self, identity: &Identity, delivery_count: u64) -> Option<Known> {
        let memory = self.known.get_mut(identity)?;
        let is_it = |known: &Known| known.is_before(delivery_count);
        let place = memory.given_back.iter().position(is_it);
        match place {
            Some(place) => Some(memory.given_back.remove(place)),
            None => memory.has_ended.then_some(Known::Ended),
        }
    }

    /// Every acknowledgement has arrived: nothing that has ended will come again, and what seems to is another publication of its id.
    pub fn forget_ended(&mut self) {
        for memory in self.known.values_mut() {
            memory.has_ended = false;
        }
    }

    /// RabbitMQ has delivered it for the first time: another publication of the id. What came back comes before what is new, so
    /// whatever was known has been asked for, or never will be. Returns since when its original is in doubt, if it is a copy of such a one.
    pub fn forget(&mut self, identity: &Identity) -> Option<u64> {
        self.known.remove(identity)?.doubted_ms
    }

    /// Notes a doubt about an earlier delivery of this request: if it was copied onto the ladder, that copy is another send.
    pub fn doubt(&mut self, original: Identity, now_ms: u64) {
        let copy = Identity {
            hops: original.hops.saturating_add(1),
            ..original
        };
        self.note(copy).doubted_ms = Some(now_ms);
    }
}

impl Known {
    /// Whether nobody else can have had it since.
    fn is_before(&self, delivery_count: u64) -> bool {
        match self {
            Self::Ended => false,
            Self::Decided {
                delivery_count: before,
                ..
            }
            | Self::Unsent {
                delivery_count: before,
                ..
            } => delivery_count == before + 1,
        }
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
        Identity::new("a", hops, None)
    }

    /// What is known of hops 1, 2, … when they come with a count of 2, after these were remembered, in this order.
    fn check(capacity: usize, news: &[(u32, Known)], expected: &[Option<Known>]) -> Recent {
        let mut recent = Recent::new(capacity);
        for (hops, known) in news {
            recent.remember(identity(*hops), known.clone());
        }
        let hops = 1..;
        let found: Vec<_> = hops
            .take(expected.len())
            .map(|hops| recent.recall(&identity(hops), 2))
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
        let story = [(1, UNSENT), (1, Known::Ended)];
        let mut recent = check(4, &story, &[Some(UNSENT)]);
        assert_eq!(recent.recall(&identity(1), 2), Some(Known::Ended));
        assert_eq!(recent.recall(&identity(1), 7), Some(Known::Ended));
    }

    /// Two publications of one id that nothing tells apart: one has ended, one went back unsent.
    #[test]
    fn what_was_given_back_is_known_once_and_goes_before_what_ended() {
        let story = [(1, UNSENT), (1, UNSENT), (1, Known::Ended)];
        let mut recent = check(4, &story, &[Some(UNSENT)]);
        assert_eq!(recent.recall(&identity(1), 2), Some(UNSENT));
        assert_eq!(recent.recall(&identity(1), 2), Some(Known::Ended));
    }

    #[test]
    fn what_is_published_again_is_not_what_ended() {
        let mut recent = check(4, &[(1, Known::Ended)], &[Some(Known::Ended)]);
        recent.forget(&identity(1));
        assert_eq!(recent.recall(&identity(1), 2), None);
        let later = Identity::new("a", 1, Some(1));
        recent.remember(later.clone(), Known::Ended);
        assert_eq!(recent.recall(&identity(1), 2), None);
        assert_eq!(recent.recall(&later, 2), Some(Known::Ended));
    }

    #[test]
    fn what_ended_is_over_once_its_acknowledgement_has_arrived() {
        let story = [(1, Known::Ended), (1, UNSENT), (1, UNSENT)];
        let mut recent = check(4, &story, &[Some(UNSENT)]);
        recent.forget_ended();
        assert_eq!(recent.recall(&identity(1), 2), Some(UNSENT));
        assert_eq!(recent.recall(&identity(1), 2), None);
    }

    #[test]
    fn the_memory_grows_and_never_shrinks() {
        let story = [(1, Known::Ended), (2, Known::Ended)];
        let ended = || Some(Known::Ended);
        let mut recent = check(2, &story, &[ended(), ended()]);
        recent.grow(1);
        recent.grow(3);
        recent.remember(identity(3), UNSENT);
        assert!(recent.recall(&identity(1), 2).is_some());
    }
}
