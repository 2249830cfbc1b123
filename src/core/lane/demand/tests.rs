use super::*;
use crate::core::Now;
use crate::core::lane::pacing::PaceConfig;
use crate::core::lane::{Lane, LaneConfig};
use crate::core::request::message::LaneId;

const TARGET: Duration = Duration::from_secs(100);

fn view(limit_mps: u32) -> View {
    let config = LaneConfig {
        pace: PaceConfig {
            limit_mps: limit_mps.into(),
            utilization: 1.0,
            burst: Duration::ZERO,
        },
        max_in_flight: 100,
        ..crate::core::lane::tests::config()
    };
    let now = Now {
        mono: Duration::ZERO,
        wall_ms: 0,
        steady_ms: 0,
    };
    let lane = Lane::new(LaneId::new("1"), config, now);
    View {
        state: State::Flowing,
        held_by: HeldBy::Rate,
        ..lane.view()
    }
}

/// A lane that took so many requests in the last minutes, steadily, and has so many waiting.
fn steady(taken_per_s: u64, ready_then: u64, ready_now: u64) -> Demand {
    let mut demand = Demand::default();
    let steps = 60;
    for step in 0..=steps {
        let grown = ready_now.saturating_sub(ready_then) * step / steps;
        demand.read(Reading {
            at: Duration::from_secs(step * 5),
            taken: taken_per_s * 5 * step,
            ready: ready_then + grown,
        });
    }
    demand
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.01 * b.abs().max(1.0)
}

#[test]
fn a_backlog_asks_for_the_limit_and_no_more() {
    let work = steady(20, 3_000, 3_000).work(&view(80), true, TARGET);
    // 3,000 in 100 s are 30 a second, beside the 20 that come.
    assert!(near(work.arrival_mps, 20.0) && near(work.allowed_mps, 50.0));
    assert!(near(work.drain.as_secs_f64(), 3_000.0 / 60.0));
    let work = steady(80, 1_000_000, 1_000_000).work(&view(80), true, TARGET);
    assert!(near(work.allowed_mps, 80.0));
    assert_eq!(work.drain, DRAIN_MAX, "as much comes as goes");
}

#[test]
fn what_piles_up_came_in_as_well() {
    let work = steady(10, 0, 6_000).work(&view(80), true, TARGET);
    assert!(near(work.arrival_mps, 30.0), "{work:?}");
}

#[test]
fn what_must_not_be_sent_asks_for_nothing() {
    let (demand, flowing) = (steady(20, 3_000, 3_000), view(80));
    let cooling = View {
        state: State::Cooling {
            until: Duration::MAX,
        },
        ..flowing
    };
    let work = demand.work(&cooling, true, TARGET);
    assert_eq!((work.allowed_mps, work.backlog), (0.0, 3_000));
    let paused = View {
        state: State::Paused { since_ms: 0 },
        ..flowing
    };
    assert_eq!(demand.work(&paused, true, TARGET).allowed_mps, 0.0);
    let fenced = View {
        held_by: HeldBy::Broker,
        ..flowing
    };
    assert_eq!(demand.work(&fenced, true, TARGET).allowed_mps, 0.0);
    // People who must not be written to yet: only what comes in may be for others.
    let parked = View {
        held_by: HeldBy::Pair,
        ..flowing
    };
    assert!(near(demand.work(&parked, true, TARGET).allowed_mps, 20.0));
}

#[test]
fn of_anothers_lane_only_what_waits_is_known() {
    let mut demand = steady(20, 3_000, 3_000);
    demand.not_ours(Some(8_000));
    let work = demand.work(&view(80), false, TARGET);
    assert_eq!(
        (work.backlog, work.arrival_mps, work.allowed_mps),
        (8_000, 0.0, 0.0)
    );
    assert!(near(work.drain.as_secs_f64(), 100.0), "once it may send");
    demand.not_ours(None);
    assert_eq!(
        demand.work(&view(80), false, TARGET),
        Work::default(),
        "and nothing is made of it"
    );
}

#[test]
fn capacity_is_measured_under_load_only() {
    let mut capacity = Capacity::default();
    let over = Duration::from_secs(5);
    capacity.measured(10, Duration::from_millis(100), over);
    assert!(
        near(capacity.mps(), CAPACITY_MPS),
        "idle: it says nothing of messages"
    );
    for _ in 0..50 {
        capacity.measured(4_000, Duration::from_secs(1), over);
    }
    assert!(near(capacity.mps(), 4_000.0));
}

/// What waited when a lane came here has not come in since.
#[test]
fn a_backlog_that_is_taken_over_is_no_arrival() {
    let mut demand = Demand::default();
    demand.not_ours(Some(20_000));
    let reading = |at_s, taken, ready| Reading {
        at: Duration::from_secs(at_s),
        taken,
        ready,
    };
    assert!(demand.is_new());
    demand.read(reading(1_000, 5_000, 20_000));
    demand.read(reading(1_005, 5_400, 19_600));
    let work = demand.work(&view(80), true, TARGET);
    assert_eq!((work.arrival_mps, work.backlog), (0.0, 19_600));
}

/// A worker that joins takes lanes over: they must not seem idle, or the signal would send it away again.
#[test]
fn a_lane_that_is_taken_over_soon_asks_for_what_it_did() {
    let mut demand = steady(60, 0, 0);
    let before = demand.work(&view(80), true, TARGET);
    demand.not_ours(None);
    for at_s in [1_000, 1_005] {
        demand.read(Reading {
            at: Duration::from_secs(at_s),
            taken: 60 * at_s,
            ready: 0,
        });
    }
    assert_eq!(demand.work(&view(80), true, TARGET), before);
    // From then on one burst is not all.
    demand.read(Reading {
        at: Duration::from_secs(1_010),
        taken: 60 * 1_005,
        ready: 0,
    });
    let work = demand.work(&view(80), true, TARGET);
    assert!(near(work.arrival_mps, 60.0 * 0.7165), "{work:?}");
}

#[test]
fn what_is_measured_first_takes_the_place_of_the_guess() {
    let (mut capacity, over) = (Capacity::default(), Duration::from_secs(5));
    capacity.measured(4_000, Duration::from_secs(1), over);
    assert!(near(capacity.mps(), 4_000.0));
    capacity.measured(2_000, Duration::from_secs(1), over);
    assert!(near(capacity.mps(), 4_000.0 - 2_000.0 * 0.2835));
}

/// One that subscribes to thousands of lanes is busy for seconds, and may have sent one message meanwhile.
#[test]
fn a_worker_that_is_busy_with_its_start_does_not_seem_weak() {
    let (mut capacity, over) = (Capacity::default(), Duration::from_secs(5));
    capacity.measured(1, Duration::from_millis(600), over);
    assert!(
        near(capacity.mps(), 1_000.0 - 998.0 * 0.2835),
        "{capacity:?}"
    );
}
