//! Who has which lane, as the workers' log tells it. RabbitMQ gives a lane to one worker at a time; what it does not say is whether the one
//! before has sent what it gives back. So each worker writes when it takes a lane, and when it leaves one in order.

use crate::core::recent::Identity;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Most requests that one record names. Of what is not named nobody is sure.
pub const UNSENT_MAX: usize = 2_000;

/// Requests that were surely not sent, by what RabbitMQ's count of their deliveries was.
pub type Unsent = Vec<(Identity, u64)>;

/// One worker's time with a lane.
#[derive(Clone, PartialEq, Debug)]
pub struct Tenure {
    pub worker: Arc<str>,
    pub run: u64,
    pub since_ms: u64,
    /// It left in order.
    pub left: bool,
    /// When this worker heard of it.
    pub heard: Duration,
}

/// What whoever takes a lane has to know of the one before.
#[derive(Default, PartialEq, Debug)]
pub struct Legacy {
    /// What that one has surely not sent.
    pub unsent: Unsent,
    /// Its run, and for how long it had the lane, as far as this worker has seen it.
    pub former: Option<(u64, Duration)>,
}

/// The last tenure of each lane.
#[derive(Default)]
pub struct Tenures {
    last: BTreeMap<Arc<str>, (Tenure, Unsent)>,
}

impl Tenures {
    /// A worker took the lane.
    pub fn taken(&mut self, lane: &Arc<str>, tenure: Tenure) -> Legacy {
        let heard = tenure.heard;
        let Some((before, unsent)) = self.last.insert(lane.clone(), (tenure, vec![])) else {
            return Legacy::default();
        };
        let had = heard.saturating_sub(before.heard);
        Legacy {
            unsent,
            former: Some((before.run, had)),
        }
    }

    /// A worker left the lane in order. Ignored (false) unless it is the last that took it.
    pub fn left(&mut self, lane: &str, run: u64, unsent: Unsent) -> bool {
        let last = self.last.get_mut(lane);
        let Some(last) = last.filter(|(tenure, _)| tenure.run == run) else {
            return false;
        };
        last.0.left = true;
        last.1 = unsent;
        true
    }

    /// A worker says that it still has the lane. Counts (true) where nothing else is known any more.
    pub fn kept(&mut self, lane: &Arc<str>, tenure: Tenure) -> bool {
        let is_news = !self.last.contains_key(lane);
        if is_news {
            self.last.insert(lane.clone(), (tenure, vec![]));
        }
        is_news
    }

    /// The lanes that this life of a worker has, and since when.
    pub fn of_run(&self, run: u64) -> Vec<(Arc<str>, u64)> {
        let has = |(tenure, _): &(Tenure, Unsent)| tenure.run == run && !tenure.left;
        let lanes = self.last.iter().filter(|(_, last)| has(last));
        lanes
            .map(|(lane, (tenure, _))| (lane.clone(), tenure.since_ms))
            .collect()
    }

    pub fn of(&self, lane: &str) -> Option<&Tenure> {
        self.last.get(lane).map(|(tenure, _)| tenure)
    }
}

/// What a lane knows of deliveries that another worker had before.
#[derive(Default)]
pub struct Inherited(HashMap<Identity, u64>);

impl Inherited {
    pub fn new(unsent: Unsent) -> Self {
        Self(unsent.into_iter().collect())
    }

    /// True if nobody has had it since it was given back unsent.
    pub fn is_unsent(&self, identity: &Identity, delivery_count: u64) -> bool {
        // An earlier version of this program names no incarnations.
        let unnamed = || {
            self.0
                .get(&Identity::new(identity.id(), identity.hops(), None))
        };
        let count = self.0.get(identity).or_else(unnamed);
        count.is_some_and(|count| delivery_count == count + 1)
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
        // A word of the one before comes too late to count.
        assert!(!tenures.left("1", 1, unsent.clone()));
        assert_eq!(tenures.taken(&lane, tenure(3)).unsent, []);
        assert!(tenures.left("1", 3, unsent.clone()));
        assert!(tenures.of("1").unwrap().left);
        assert_eq!(tenures.taken(&lane, tenure(4)).unsent, unsent);
        assert_eq!(tenures.of("1").unwrap().run, 4);
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
        tenures.left("1", 2, vec![]);
        assert_eq!(tenures.of_run(2), []);
    }

    #[test]
    fn what_somebody_had_in_between_is_not_sure() {
        let inherited = Inherited::new(vec![(Identity::new("x", 1, None), 3)]);
        assert!(inherited.is_unsent(&Identity::new("x", 1, None), 4));
        assert!(!inherited.is_unsent(&Identity::new("x", 1, None), 5));
        assert!(!inherited.is_unsent(&Identity::new("x", 2, None), 4));
        assert!(!inherited.is_unsent(&Identity::new("y", 1, None), 4));
    }
}
