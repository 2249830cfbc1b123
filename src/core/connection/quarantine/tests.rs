use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn lanes(count: usize) -> Vec<Arc<str>> {
    (0..count).map(|n| format!("{n:04}").into()).collect()
}

/// One worker's connections, with lanes whose next delivery ends the connection it comes on.
struct World {
    quarantine: Quarantine,
    lanes: Vec<Arc<str>>,
    guilty: BTreeSet<Arc<str>>,
    now: Duration,
    /// Times that each lane's connection ended under it.
    disturbed: BTreeMap<Arc<str>, u32>,
}

impl World {
    fn new(count: usize, guilty: &[usize]) -> Self {
        let lanes = lanes(count);
        Self {
            quarantine: Quarantine::default(),
            guilty: guilty.iter().map(|n| lanes[*n].clone()).collect(),
            lanes,
            now: Duration::from_secs(1_000),
            disturbed: BTreeMap::new(),
        }
    }

    fn link(&self, lane: &str) -> LinkId {
        self.quarantine.assignment(lane).link
    }

    fn open_on(&self, link: LinkId) -> Vec<Arc<str>> {
        let is_open = |lane: &&Arc<str>| {
            let assignment = self.quarantine.assignment(lane);
            assignment.link == link && assignment.not_before <= self.now
        };
        self.lanes.iter().filter(is_open).cloned().collect()
    }

    /// Every connection that a guilty lane is open on ends.
    fn second(&mut self) {
        self.now += Duration::from_secs(1);
        self.quarantine.clear(self.now);
        let links: BTreeSet<LinkId> = self.guilty.iter().map(|lane| self.link(lane)).collect();
        for link in links {
            let open = self.open_on(link);
            if !open.iter().any(|lane| self.guilty.contains(lane)) {
                continue;
            }
            for lane in &open {
                *self.disturbed.entry(lane.clone()).or_default() += 1;
            }
            self.quarantine.ended(link, &open, self.now);
        }
    }

    fn seconds(&mut self, count: u32) {
        (0..count).for_each(|_| self.second());
    }

    fn links(&self) -> BTreeSet<LinkId> {
        self.lanes.iter().map(|lane| self.link(lane)).collect()
    }

    fn of(&self, lane: usize) -> Assignment {
        self.quarantine.assignment(&self.lanes[lane])
    }
}

#[test]
fn the_first_end_changes_nothing_and_the_second_splits() {
    let mut world = World::new(20, &[]);
    let all = world.lanes.clone();
    let at = |s| Duration::from_secs(s);
    let ended = |world: &mut World, s| world.quarantine.ended(LinkId::Shared, &all, at(s));
    assert_eq!(ended(&mut world, 100), Verdict::Noted);
    assert_eq!(ended(&mut world, 161), Verdict::Noted, "much later");
    assert_eq!(world.links(), BTreeSet::from([LinkId::Shared]));
    assert_eq!(ended(&mut world, 200), Verdict::Split(7));
    assert_eq!(world.links().len(), 7);
    let waits = all
        .iter()
        .any(|lane| world.quarantine.assignment(lane).not_before > at(200));
    assert!(!waits, "nobody waits for being asked");
    // Held for a minute: none of them was it.
    assert_eq!(world.quarantine.clear_at(), Some(at(260)));
    assert!(!world.quarantine.clear(at(259)));
    assert!(world.quarantine.clear(at(260)));
    assert_eq!(world.links(), BTreeSet::from([LinkId::Shared]));
}

#[test]
fn one_of_a_thousand_is_found_and_the_others_go_back() {
    let mut world = World::new(1_000, &[617]);
    world.seconds(10);
    let found = world.quarantine.apart("0617").unwrap();
    assert!(found.ends >= 1);
    world.seconds(100);
    let apart = world.of(617);
    assert_eq!(
        world.links(),
        BTreeSet::from([LinkId::Shared, LinkId::Apart(0)])
    );
    assert!(apart.one_by_one);
    let most = world
        .lanes
        .iter()
        .filter(|lane| !world.guilty.contains(*lane))
        .filter_map(|lane| world.disturbed.get(lane))
        .max();
    // Twice all, then in groups of 125, 16, 2.
    assert_eq!(most, Some(&5));
}

#[test]
fn the_pause_of_a_lane_apart_grows_to_two_minutes() {
    let mut world = World::new(1, &[0]);
    let lane = world.lanes.clone();
    let mut pauses = vec![];
    for _ in 0..10 {
        world.quarantine.set_apart(&lane, world.now);
        pauses.push((world.of(0).not_before - world.now).as_secs_f64());
    }
    let seconds = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 120.0];
    assert_eq!(pauses, seconds);
}

#[test]
fn deliveries_show_that_the_cause_is_gone_and_time_that_it_stays_gone() {
    let mut world = World::new(2, &[]);
    let lane = [world.lanes[0].clone()];
    world.quarantine.set_apart(&lane, world.now);
    world.quarantine.set_apart(&lane, world.now);
    for n in 1..=12 {
        assert_eq!(world.quarantine.delivered_first("0000"), n == 10, "{n}");
    }
    assert!(!world.of(0).one_by_one);
    assert_eq!(world.quarantine.apart("0000").unwrap().ends, 0);
    assert_eq!(
        world.of(0).link,
        LinkId::Apart(0),
        "the next may be like it"
    );
    assert!(!world.quarantine.clear(world.now + Duration::from_secs(599)));
    assert!(world.quarantine.clear(world.now + Duration::from_secs(600)));
    assert_eq!(world.of(0).link, LinkId::Shared);
    // Nobody else is counted.
    assert!(!world.quarantine.delivered_first("0001"));
}

#[test]
fn without_a_delivery_a_lane_stays_apart_for_an_hour() {
    let mut world = World::new(1, &[]);
    world.quarantine.set_apart(&world.lanes.clone(), world.now);
    assert!(
        !world
            .quarantine
            .clear(world.now + Duration::from_secs(3_599))
    );
    assert!(
        world
            .quarantine
            .clear(world.now + Duration::from_secs(3_600))
    );
}

#[test]
fn a_new_end_takes_the_proof_back() {
    let mut world = World::new(1, &[]);
    let lane = world.lanes.clone();
    world.quarantine.set_apart(&lane, world.now);
    for _ in 0..10 {
        world.quarantine.delivered_first("0000");
    }
    world.quarantine.ended(LinkId::Apart(0), &lane, world.now);
    assert!(world.of(0).one_by_one);
    assert_eq!(world.quarantine.apart("0000").unwrap().ends, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever ends connections is soon alone, and whoever does not is soon left in peace, on few connections.
    #[test]
    fn the_guilty_are_alone_and_the_innocent_undisturbed(
        count in 1_usize..400,
        guilty in prop::collection::btree_set(0_usize..400, 0..12),
    ) {
        let guilty: Vec<usize> = guilty.into_iter().filter(|n| *n < count).collect();
        let mut world = World::new(count, &guilty);
        world.seconds(30);
        let most_links = world.links().len();
        prop_assert!(most_links <= 1 + GROUPS_MAX + usize::try_from(APART_MAX).unwrap());
        world.seconds(150);
        for lane in &guilty {
            let has_own = world.open_on_ever(*lane);
            prop_assert!(has_own, "lane {lane} is with others: {:?}", world.of(*lane));
        }
        let before = world.disturbed.clone();
        world.seconds(300);
        for (number, lane) in world.lanes.iter().enumerate() {
            let is_guilty = guilty.contains(&number);
            prop_assert!(is_guilty || before.get(lane) == world.disturbed.get(lane), "lane {number} was disturbed again");
            prop_assert!(is_guilty || world.link(lane) == LinkId::Shared);
            let disturbed = world.disturbed.get(lane).copied().unwrap_or(0);
            prop_assert!(is_guilty || disturbed <= 8, "lane {number} was disturbed {disturbed} times");
        }
    }

    /// However many end connections: the number of connections has a bound, and no lane is opened more often than its pauses allow.
    #[test]
    fn connections_are_bounded(count in 1_usize..200) {
        let all: Vec<usize> = (0..count).collect();
        let mut world = World::new(count, &all);
        let bound = 1 + GROUPS_MAX + usize::try_from(APART_MAX).unwrap();
        for _ in 0..400 {
            world.second();
            prop_assert!(world.links().len() <= bound);
        }
        prop_assert!(world.disturbed.values().all(|times| *times <= 30), "{:?}", world.disturbed.values().max());
    }
}

impl World {
    /// Nobody shares its connection.
    fn open_on_ever(&self, lane: usize) -> bool {
        let link = self.of(lane).link;
        let with = self.lanes.iter().filter(|other| self.link(other) == link);
        matches!(link, LinkId::Apart(_)) && with.count() == 1
    }
}
