//! Memory of requests that RabbitMQ may deliver again, so that none is sent again without cause.
//!
//! RabbitMQ only redelivers what it believes unacknowledged, and that is never more than the prefetch of the lane's channel.
//! So remembering a few times the prefetch is enough for everything this process can be asked again.

use crate::contract::request::Inbound;
use crate::contract::result::ResultDocument;
use crate::core::request::message::{Message, MessageId};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// One publication of an id, for all one can see: another one has another incarnation, if anything tells the two apart.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Publication {
    id: MessageId,
    incarnation: Option<u64>,
}

/// A copy that comes back from the ladder is of the original's publication, but has more hops: it is not the original redelivered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    publication: Publication,
    hops: u32,
}

impl Identity {
    pub fn new(id: &str, hops: u32, incarnation: Option<u64>) -> Self {
        let id = MessageId(id.into());
        Self {
            publication: Publication { id, incarnation },
            hops,
        }
    }

    pub fn id(&self) -> &str {
        self.publication.id.as_str()
    }

    pub fn hops(&self) -> u32 {
        self.hops
    }

    pub fn incarnation(&self) -> Option<u64> {
        self.publication.incarnation
    }

    /// However far on its way.
    pub fn is_same_request(&self, other: &Self) -> bool {
        self.publication == other.publication
    }

    /// `None`: it has no id.
    pub fn of_inbound(delivery: &Inbound<'_>) -> Option<Self> {
        let hops = delivery.history.hops;
        Some(Self::new(delivery.id()?, hops, delivery.incarnation))
    }

    pub fn of(message: &Message) -> Self {
        Self {
            publication: Publication {
                id: message.id.clone(),
                incarnation: message.incarnation,
            },
            hops: message.history.hops,
        }
    }
}

/// How a request left this worker.
#[derive(Clone, PartialEq, Debug)]
pub enum Known {
    /// The delivery is not needed any more: see [`Recent::ended`].
    Ended,
    /// The request was decided, and RabbitMQ took it back with this delivery count before the result was confirmed.
    Decided {
        delivery_count: u64,
        report: Arc<ResultDocument>,
    },
    /// The request went back to RabbitMQ without having been sent by us: with this delivery count, and that doubt from before.
    Unsent {
        delivery_count: u64,
        possible_duplicate: bool,
    },
}

/// Which deliveries of a request are over: those that came off the ladder so often at the most. A copy on the ladder ends its original,
/// a result the whole request, whatever copies of it there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Over(u32);

impl Over {
    pub const WHOLE: Self = Self(u32::MAX);

    pub fn up_to(hops: u32) -> Self {
        Self(hops)
    }

    fn covers(self, identity: &Identity) -> bool {
        identity.hops <= self.0
    }
}

/// The memory of one request. There may be several deliveries of it: copies, and publications of one id that nothing tells apart.
#[derive(Default)]
struct Memory {
    over: Option<Over>,
    /// An original with so many hops was let through in doubt, and may have a copy: since then.
    doubted: Option<(u32, u64)>,
    /// Deliveries that RabbitMQ has again, and with how many hops.
    given_back: Vec<(u32, Known)>,
    /// With so many hops it was delivered so often until it was last given back in order.
    orderly: (u32, u64),
    /// The count of the last news.
    news: u64,
}

/// Bounded, what was not heard of for longest forgotten first.
pub struct Recent {
    capacity: usize,
    known: HashMap<Publication, Memory>,
    news: VecDeque<(Publication, u64)>,
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

    /// Notes that a result, or a copy on the ladder, is confirmed.
    pub fn ended(&mut self, identity: Identity, over: Over) {
        let memory = self.note(identity.publication);
        memory.over = memory.over.max(Some(over));
    }

    /// RabbitMQ has it again.
    pub fn given_back(&mut self, identity: Identity, known: Known) {
        let capacity = self.capacity;
        let memory = self.note(identity.publication);
        if let Some(count) = known.delivery_count() {
            let before = memory.orderly;
            memory.orderly = before.max((identity.hops, count + 1));
        }
        memory.given_back.push((identity.hops, known));
        if memory.given_back.len() > capacity {
            memory.given_back.remove(0);
        }
    }

    /// There is news of it: others are forgotten before it.
    fn note(&mut self, publication: Publication) -> &mut Memory {
        self.count += 1;
        while self.known.len() >= self.capacity && !self.known.contains_key(&publication) {
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
        self.news.push_back((publication.clone(), self.count));
        let memory = self.known.entry(publication).or_default();
        memory.news = self.count;
        memory
    }

    fn is_last(&self, (publication, count): &(Publication, u64)) -> bool {
        self.known
            .get(publication)
            .is_some_and(|memory| memory.news == *count)
    }

    /// RabbitMQ has delivered it again, with this count. What was given back with one less is that very delivery, and is known no
    /// longer: it is in the lane's hands. Else what is over may have lost its acknowledgement. Where nothing tells publications apart, what
    /// was given back may be another one than what is over, and goes first.
    pub fn recall(&mut self, identity: &Identity, delivery_count: u64) -> Option<Known> {
        let is_over = self.is_over(identity);
        let memory = self.known.get_mut(&identity.publication)?;
        let is_it = |(hops, known): &(u32, Known)| {
            *hops == identity.hops && known.is_before(delivery_count)
        };
        let place = memory.given_back.iter().position(is_it);
        match place {
            Some(place) if !is_over || identity.incarnation().is_none() => {
                Some(memory.given_back.remove(place).1)
            }
            Some(_) | None => is_over.then_some(Known::Ended),
        }
    }

    /// How often it was delivered until this worker last gave it back in order: none of those deliveries did anybody harm.
    pub fn orderly_deliveries(&self, identity: &Identity) -> u64 {
        let memory = self.known.get(&identity.publication);
        let orderly = memory.map(|memory| memory.orderly);
        let orderly = orderly.filter(|(hops, _)| *hops == identity.hops);
        orderly.map_or(0, |(_, count)| count)
    }

    /// Whether a delivery has ended after which this one is not needed.
    pub fn is_over(&self, identity: &Identity) -> bool {
        let over = self.known.get(&identity.publication).and_then(|m| m.over);
        over.is_some_and(|over| over.covers(identity))
    }

    /// Every acknowledgement has arrived. Where nothing tells publications apart, what seems to have ended and comes again is another one;
    /// of what is told apart a second copy may still come.
    pub fn all_acknowledged(&mut self) {
        for (publication, memory) in &mut self.known {
            if publication.incarnation.is_none() {
                memory.over = None;
            }
        }
    }

    /// RabbitMQ has delivered it for the first time, and it is no second copy: of what came back it is none. If it was never on the ladder,
    /// it is another publication of the id.
    pub fn forget(&mut self, identity: &Identity) {
        if identity.hops == 0 {
            self.known.remove(&identity.publication);
        } else if let Some(memory) = self.known.get_mut(&identity.publication) {
            memory.over = memory.over.filter(|over| !over.covers(identity));
            memory.given_back.retain(|(hops, _)| *hops != identity.hops);
        }
    }

    /// Notes a doubt about an earlier delivery of this request: if it was copied onto the ladder, that copy is another send.
    pub fn doubt(&mut self, original: Identity, now_ms: u64) {
        let memory = self.note(original.publication);
        let (hops, since_ms) = memory.doubted.unwrap_or((original.hops, now_ms));
        memory.doubted = Some((hops.min(original.hops), since_ms));
    }

    /// Since when this may be a second copy of a request that was let through in doubt; 0 if it is none.
    pub fn doubted_ms(&self, copy: &Identity) -> u64 {
        let doubted = self.known.get(&copy.publication).and_then(|m| m.doubted);
        let doubted = doubted.filter(|(hops, _)| copy.hops > *hops);
        doubted.map_or(0, |(_, since_ms)| since_ms)
    }
}

impl Known {
    /// RabbitMQ's count of deliveries as it went back.
    fn delivery_count(&self) -> Option<u64> {
        match self {
            Self::Ended => None,
            Self::Decided { delivery_count, .. } | Self::Unsent { delivery_count, .. } => {
                Some(*delivery_count)
            }
        }
    }

    /// Whether nobody else can have had it since.
    fn is_before(&self, delivery_count: u64) -> bool {
        self.delivery_count()
            .is_some_and(|before| delivery_count == before + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSENT: Known = Known::Unsent {
        delivery_count: 1,
        possible_duplicate: false,
    };

    fn unnamed(hops: u32) -> Identity {
        Identity::new("a", hops, None)
    }

    fn named(hops: u32) -> Identity {
        Identity::new("a", hops, Some(1))
    }

    fn ended(identity: Identity) -> Recent {
        let mut recent = Recent::new(4);
        recent.ended(identity, Over::WHOLE);
        recent
    }

    /// Which of "a", "b", … are known after these ended, in this order.
    fn check(capacity: usize, news: &str, expected: &str) {
        let mut recent = Recent::new(capacity);
        let of = |id: char| Identity::new(&id.to_string(), 0, None);
        for id in news.chars() {
            recent.ended(of(id), Over::WHOLE);
        }
        let mut is_known = |id: &char| recent.recall(&of(*id), 1).is_some();
        let known: String = ('a'..='f').filter(|id| is_known(id)).collect();
        assert_eq!(known, expected, "{news}");
    }

    #[test]
    fn what_was_not_heard_of_for_longest_is_forgotten_first() {
        check(2, "abc", "bc");
        check(2, "abac", "ac");
        check(2, "abbbbbb", "ab");
        check(0, "ab", "b");
    }

    #[test]
    fn what_ended_stays_ended() {
        let mut recent = Recent::new(4);
        recent.given_back(unnamed(1), UNSENT);
        recent.ended(unnamed(1), Over::up_to(1));
        assert_eq!(recent.recall(&unnamed(1), 2), Some(UNSENT));
        for count in [2, 7] {
            assert_eq!(recent.recall(&unnamed(1), count), Some(Known::Ended));
        }
    }

    #[test]
    fn a_copy_ends_its_original_and_a_result_ends_all_copies() {
        let mut recent = Recent::new(4);
        recent.ended(named(1), Over::up_to(1));
        let known = |recent: &mut Recent| [0, 1, 2].map(|n| recent.recall(&named(n), 1).is_some());
        assert_eq!(known(&mut recent), [true, true, false]);
        recent.ended(named(1), Over::WHOLE);
        assert_eq!(known(&mut recent), [true, true, true]);
        // News of a copy that was there before takes nothing back.
        recent.ended(named(2), Over::up_to(2));
        assert_eq!(recent.recall(&named(9), 1), Some(Known::Ended));
        assert_eq!(recent.recall(&unnamed(1), 1), None);
    }

    /// Two publications of one id that nothing tells apart: one has ended, one went back unsent.
    #[test]
    fn what_was_given_back_is_known_once_and_may_be_another_than_what_ended() {
        let mut recent = ended(unnamed(1));
        recent.given_back(unnamed(1), UNSENT);
        assert_eq!(recent.recall(&unnamed(1), 2), Some(UNSENT));
        assert_eq!(recent.recall(&unnamed(1), 2), Some(Known::Ended));
        // What is told apart is not another.
        let mut recent = ended(named(1));
        recent.given_back(named(1), UNSENT);
        assert_eq!(recent.recall(&named(1), 2), Some(Known::Ended));
    }

    #[test]
    fn what_is_published_again_is_not_what_ended() {
        for identity in [unnamed, named] {
            let mut recent = ended(identity(1));
            recent.doubt(identity(1), 5);
            recent.forget(&identity(0));
            // Nor are its copies.
            for hops in [0, 1, 2] {
                assert_eq!(recent.recall(&identity(hops), 2), None);
                assert_eq!(recent.doubted_ms(&identity(hops)), 0);
            }
        }
        let mut recent = ended(unnamed(1));
        recent.forget(&unnamed(1));
        assert_eq!(recent.recall(&unnamed(1), 2), None);
    }

    #[test]
    fn what_ended_is_over_once_its_acknowledgement_has_arrived_unless_a_copy_may_come() {
        let mut recent = ended(unnamed(1));
        recent.given_back(unnamed(1), UNSENT);
        recent.all_acknowledged();
        assert_eq!(recent.recall(&unnamed(1), 2), Some(UNSENT));
        assert_eq!(recent.recall(&unnamed(1), 2), None);
        let mut recent = ended(named(1));
        recent.all_acknowledged();
        assert!(recent.is_over(&named(2)));
    }

    #[test]
    fn any_copy_of_what_was_let_through_in_doubt_is_in_doubt_as_often_as_it_comes() {
        let mut recent = Recent::new(4);
        recent.doubt(named(1), 5);
        recent.doubt(named(2), 6);
        recent.forget(&named(2));
        for (hops, since_ms) in [(1, 0), (2, 5), (3, 5), (3, 5)] {
            assert_eq!(recent.doubted_ms(&named(hops)), since_ms);
        }
    }

    #[test]
    fn the_memory_grows_and_never_shrinks() {
        let mut recent = Recent::new(2);
        recent.grow(1);
        recent.grow(3);
        for id in ["a", "b", "c"] {
            recent.ended(Identity::new(id, 0, None), Over::WHOLE);
        }
        let first = Identity::new("a", 0, None);
        assert_eq!(recent.recall(&first, 1), Some(Known::Ended));
    }
}
