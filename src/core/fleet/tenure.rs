//! Tenures: who has which lane, as the workers' log tells it. RabbitMQ gives a lane to one worker at a time; what it does not say is
//! whether the one before has sent what it gives back. So each worker writes when it takes a lane, and when it leaves one in order.

use crate::core::request::recent::Identity;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Most requests that one record names. Of what is not named nobody is sure.
pub const UNSENT_MAX: usize = 2_000;

/// Requests that were surely not sent, by what RabbitMQ's count of their deliveries was.
pub type Unsent = Vec<(Identity, u64)>;

/// A worker that has a lane, in one of its lives.
#[derive(Clone, PartialEq, Debug)]
pub struct Owner {
    pub worker: Arc<str>,
    /// When it took the lane, in milliseconds since the epoch by its own clock.
    pub since_ms: u64,
    pub is_us: bool,
}

/// One worker's time with a lane.
#[derive(Clone, PartialEq, Debug)]
pub struct Tenure {
    pub worker: Arc<str>,
    pub run: u64,
    pub since_ms: u64,
    /// The worker left in order.
    pub left: bool,
    /// When this worker heard of it.
    pub heard: Duration,
}

/// The legacy of a lane's former worker, for the one that takes it.
#[derive(Default, PartialEq, Debug)]
pub struct Legacy {
    /// Requests that the former worker has surely not sent.
    pub unsent: Unsent,
    /// The former worker's run, and for how long it had the lane, as far as this worker has seen it.
    pub former: Option<(u64, Duration)>,
}

/// The knowledge of one lane.
#[derive(Default)]
struct Known {
    /// The last; `None` while nobody has taken it.
    tenure: Option<Tenure>,
    /// Told since then.
    unsent: Unsent,
}

/// The last tenure of each lane.
#[derive(Default)]
pub struct Tenures {
    lanes: BTreeMap<Arc<str>, Known>,
}

impl Tenures {
    /// A worker took the lane.
    pub fn taken(&mut self, lane: &Arc<str>, tenure: Tenure) -> Legacy {
        let heard = tenure.heard;
        let known = self.lanes.entry(lane.clone()).or_default();
        let before = known.tenure.replace(tenure);
        Legacy {
            unsent: std::mem::take(&mut known.unsent),
            former: before.map(|before| (before.run, heard.saturating_sub(before.heard))),
        }
    }

    /// A worker left the lane in order, or says what else it has not sent: RabbitMQ may have handed it a request as it left, when the
    /// next worker had the lane already. What somebody had not sent at some count of its deliveries stays true, whoever has the lane.
    pub fn left(&mut self, lane: &Arc<str>, run: u64, unsent: Unsent) {
        let known = self.lanes.entry(lane.clone()).or_default();
        if let Some(tenure) = &mut known.tenure {
            tenure.left |= tenure.run == run;
        }
        known.unsent.extend(unsent);
        let too_many = known.unsent.len().saturating_sub(2 * UNSENT_MAX);
        known.unsent.drain(..too_many);
    }

    /// Requests that were surely not sent, as far as that was told since the lane was taken last.
    pub fn told_since(&self, lane: &str) -> &[(Identity, u64)] {
        self.lanes.get(lane).map_or(&[], |known| &known.unsent)
    }

    /// A worker says that it still has the lane. Counts (true) where nothing else is known any more.
    pub fn kept(&mut self, lane: &Arc<str>, tenure: Tenure) -> bool {
        let known = self.lanes.entry(lane.clone()).or_default();
        let is_news = known.tenure.is_none();
        known.tenure.get_or_insert(tenure);
        is_news
    }

    /// The lanes that this life of a worker has, and since when.
    pub fn of_run(&self, run: u64) -> Vec<(Arc<str>, u64)> {
        let tenures = self.lanes.iter();
        let tenures = tenures.filter_map(|(lane, known)| Some((lane, known.tenure.as_ref()?)));
        tenures
            .filter(|(_, tenure)| tenure.run == run && !tenure.left)
            .map(|(lane, tenure)| (lane.clone(), tenure.since_ms))
            .collect()
    }

    pub fn of(&self, lane: &str) -> Option<&Tenure> {
        self.lanes.get(lane)?.tenure.as_ref()
    }
}

/// A delivery that came while its lane was being left: read by nobody, so surely not sent under this delivery.
#[derive(Clone, PartialEq, Debug)]
pub struct Unread {
    pub identity: Identity,
    pub delivery_count: u64,
    /// A former holder may have sent it.
    pub is_doubtful: bool,
}

/// Lists the requests of `unread` that were surely not sent, each with the count of its last delivery, in the order in which they first came.
/// That is sure of a delivery that no former holder can have had, and of one that comes next after a sure one, in `unread` or in `told` (what
/// the others know already).
pub fn unsent_of_unread(told: Unsent, unread: impl IntoIterator<Item = Unread>) -> Unsent {
    // A request may have several copies, each with a count of its own.
    let mut counts: HashMap<Identity, Vec<u64>> = HashMap::new();
    for (identity, count) in told {
        counts.entry(identity).or_default().push(count);
    }
    let mut sure: HashMap<Identity, Option<u64>> = HashMap::new();
    let mut order = vec![];
    for delivery in unread {
        let count = delivery.delivery_count;
        let known = counts.entry(delivery.identity.clone()).or_default();
        // One more than before: nobody else has had it in between.
        match known.iter_mut().find(|before| count == **before + 1) {
            Some(before) => *before = count,
            None if delivery.is_doubtful => known.clear(),
            None => known.push(count),
        }
        order.push(delivery.identity.clone());
        sure.insert(delivery.identity, known.last().map(|_| count));
    }
    let news = order.into_iter().filter_map(|identity| {
        let count = sure.remove(&identity)??;
        Some((identity, count))
    });
    news.take(UNSENT_MAX).collect()
}

/// A lane's knowledge of deliveries that another worker had before.
#[derive(Default)]
pub struct Inherited(HashMap<Identity, u64>);

impl Inherited {
    pub fn new(unsent: Unsent) -> Self {
        let mut inherited = Self::default();
        inherited.add(&unsent);
        inherited
    }

    /// More of the same, told later.
    pub fn add(&mut self, unsent: &[(Identity, u64)]) {
        for (identity, count) in unsent {
            // Counts rise: whoever had it earlier may be the one to tell of it later.
            let known = self.0.entry(identity.clone()).or_default();
            *known = (*known).max(*count);
        }
    }

    /// True if nobody has had it since it was given back unsent.
    pub fn is_unsent(&self, identity: &Identity, delivery_count: u64) -> bool {
        self.orderly_deliveries(identity) == delivery_count && delivery_count > 0
    }

    /// How often it was delivered until it was given back unsent: none of those deliveries did anybody harm.
    pub fn orderly_deliveries(&self, identity: &Identity) -> u64 {
        // An earlier version of this program names no incarnations.
        let unnamed = || {
            self.0
                .get(&Identity::new(identity.id(), identity.hops(), None))
        };
        let count = self.0.get(identity).or_else(unnamed);
        count.map_or(0, |count| count + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenure(run: u64) -> Tenure {
        Tenure {
            worker: "a".into(),
            run,
            since_ms: 0,
            left: false,
            heard: Duration::from_secs(run),
        }
    }

    #[test]
    fn who_had_the_lane_before_and_for_how_long_is_known() {
        let (mut tenures, lane) = (Tenures::default(), Arc::from("1"));
        let mut former = |run| tenures.taken(&lane, tenure(run)).former;
        assert_eq!(former(10), None);
        assert_eq!(former(50), Some((10, Duration::from_secs(40))));
        // It has lost the lane, and has it again.
        assert_eq!(former(50), Some((50, Duration::ZERO)));
    }

    #[test]
    fn only_an_orderly_end_tells_what_was_not_sent() {
        let (mut tenures, lane) = (Tenures::default(), Arc::from("1"));
        let unsent = vec![(Identity::new("x", 1, None), 3)];
        assert_eq!(tenures.taken(&lane, tenure(1)).unsent, []);
        // It crashed: nobody knows.
        assert_eq!(tenures.taken(&lane, tenure(2)).unsent, []);
        assert_eq!(tenures.taken(&lane, tenure(3)).unsent, []);
        tenures.left(&lane, 3, unsent.clone());
        assert!(tenures.of("1").unwrap().left);
        assert_eq!(tenures.taken(&lane, tenure(4)).unsent, unsent);
        assert_eq!(tenures.of("1").unwrap().run, 4);
        // RabbitMQ had handed one more to the one before as it left.
        let late = vec![(Identity::new("y", 0, None), 0)];
        tenures.left(&lane, 3, late.clone());
        assert!(!tenures.of("1").unwrap().left);
        assert_eq!(tenures.told_since("1"), late);
        assert_eq!(tenures.taken(&lane, tenure(5)).unsent, late);
        assert_eq!(tenures.told_since("1"), []);
    }

    #[test]
    fn who_still_has_a_lane_is_known_when_the_word_of_its_taking_is_gone() {
        let (mut tenures, lane) = (Tenures::default(), Arc::from("1"));
        assert!(tenures.kept(&lane, tenure(1)));
        assert_eq!(tenures.of("1").unwrap().run, 1);
        assert_eq!(tenures.of_run(1), [(lane.clone(), 0)]);
        assert_eq!(tenures.of_run(2), []);
        // Whoever has taken it since has it.
        tenures.taken(&lane, tenure(2));
        assert!(!tenures.kept(&lane, tenure(1)));
        assert_eq!(tenures.of("1").unwrap().run, 2);
        tenures.left(&lane, 2, vec![]);
        assert_eq!(tenures.of_run(2), []);
    }

    /// Told: `a` at 1. Each case: what came unread (id, count, doubtful), and what is told of it.
    #[test]
    fn what_came_unread_is_told_once_and_only_if_it_is_sure() {
        type Case = (
            &'static [(&'static str, u64, bool)],
            &'static [(&'static str, u64)],
        );
        let cases: [Case; 9] = [
            (&[], &[]),
            (&[("b", 0, false)], &[("b", 0)]),
            // It had been another's, and nothing is known of that one.
            (&[("b", 1, true)], &[]),
            // It was given back unread, and came again.
            (&[("b", 0, false), ("b", 1, true)], &[("b", 1)]),
            (&[("b", 0, false), ("b", 2, true)], &[]),
            // What was told of comes again; or somebody else has had it in between.
            (&[("a", 2, true)], &[("a", 2)]),
            (&[("a", 3, true)], &[]),
            // At the very count that was told of: in doubt; or surely unsent, and told again.
            (&[("a", 1, true)], &[]),
            (&[("a", 1, false)], &[("a", 1)]),
        ];
        let identity = |id: &str| Identity::new(id, 0, None);
        for (unread, expected) in cases {
            let unread = unread.iter().map(|(id, count, is_doubtful)| Unread {
                identity: identity(id),
                delivery_count: *count,
                is_doubtful: *is_doubtful,
            });
            let unread: Vec<_> = unread.collect();
            let expected = expected.iter().map(|(id, count)| (identity(id), *count));
            let found = unsent_of_unread(vec![(identity("a"), 1)], unread.clone());
            assert_eq!(found, expected.collect::<Vec<_>>(), "{unread:?}");
        }
    }

    #[test]
    fn what_somebody_had_in_between_is_not_sure() {
        let inherited = Inherited::new(vec![(Identity::new("x", 1, None), 3)]);
        assert!(inherited.is_unsent(&Identity::new("x", 1, None), 4));
        assert!(!inherited.is_unsent(&Identity::new("x", 1, None), 5));
        assert!(!inherited.is_unsent(&Identity::new("x", 2, None), 4));
        assert!(!inherited.is_unsent(&Identity::new("y", 1, None), 4));
    }

    #[test]
    fn two_copies_that_both_come_again_are_both_sure() {
        let identity = Identity::new("x", 1, None);
        let told = vec![(identity.clone(), 0), (identity.clone(), 0)];
        let again = |delivery_count| Unread {
            identity: identity.clone(),
            delivery_count,
            is_doubtful: true,
        };
        let news = unsent_of_unread(told.clone(), [again(1), again(1)]);
        assert_eq!(news, [(identity.clone(), 1)]);
        // A third is another's.
        let news = unsent_of_unread(told, [again(1), again(1), again(1)]);
        assert_eq!(news, []);
    }

    #[test]
    fn a_later_word_of_an_earlier_delivery_hides_nothing() {
        let identity = Identity::new("x", 1, None);
        let told = [4, 3].map(|count| (identity.clone(), count));
        assert!(Inherited::new(told.to_vec()).is_unsent(&identity, 5));
        let mut inherited = Inherited::new(vec![(identity.clone(), 4)]);
        inherited.add(&[(identity.clone(), 2)]);
        assert!(inherited.is_unsent(&identity, 5));
    }
}
