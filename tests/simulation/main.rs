//! The whole core in a seeded simulation: many small worlds in virtual time, each with its own mix of faults, checked after every step.
//!
//! No socket, no runtime, no clock: a seed decides everything. `WA_SEED=n` replays one seed with its story, `WA_SEEDS=n`
//! changes how many are tried:
//!
//!     WA_SEED=17 cargo test -p whatsapp-dispatcher --test simulation every_seed -- --nocapture

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers fail as its own lines do: by panicking, with a line that says where"
)]

mod again;
mod allowance;
mod api;
mod board;
mod broker;
mod chance;
mod checks;
mod clocks;
mod conduct;
mod decisions;
mod dedupe;
mod deliveries;
mod events;
mod evidence;
mod fates;
mod faults;
mod flaws;
mod gathering;
mod handover;
mod knowledge;
mod lanes_log;
mod leaving;
mod links;
mod media;
mod mishaps;
mod orders;
mod plan;
mod process;
mod publishing;
mod results_log;
mod room;
mod stops;
mod worker;
mod world;

use checks::{Tally, Violation};
use flaws::Flaw;
use plan::Plan;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::Simulation;

/// Virtual time, in microseconds.
pub(crate) type Us = u64;

const SEEDS: u64 = 5_000;
/// Those that are looked through for a flaw at the most: some show in one story of thousands.
const FLAW_SEEDS: u64 = 50_000;
/// What a run of that many must have met, each at least once: a simulation that never gets somewhere proves nothing about it.
const EVENTS: [&str; 84] = [
    "130429 by the rules",
    "131056 by the rules",
    "a block held against its request",
    "a clock is set",
    "a new token",
    "a new worker waits for the log",
    "abandon",
    "accepted",
    "adopted by a redelivery",
    "another took the lane",
    "blamed",
    "block of a lane",
    "block of more than a lane",
    "broker lost",
    "bury",
    "came again as it was given back",
    "channel lost",
    "claim answered",
    "claim given up",
    "connection ended by a delivery",
    "crash",
    "delay",
    "drained",
    "duplicate",
    "duplicate, and the log cannot be read",
    "evidence found",
    "evidence nothing",
    "evidence nothing, and not all was read",
    "evidence of a copy",
    "expired",
    "forget",
    "health not well",
    "health well",
    "heard from another worker",
    "kept its place on the ladder",
    "known to be unsent",
    "lane apart",
    "lane given back",
    "left to its owner first",
    "log of results cannot be read back",
    "log of results is read back in the middle of leaving",
    "log of results read back",
    "log of results read back for nobody",
    "limit is to be read anew",
    "no room for its person",
    "outage of a lane",
    "outage of more than a lane",
    "outcome accepted",
    "outcome blocked",
    "outcome not sent",
    "outcome refused",
    "outcome throttled",
    "outcome transient",
    "outcome unknown",
    "paused by an operator",
    "penalty",
    "poison",
    "publish refused",
    "published again",
    "record held",
    "record left",
    "record lifted",
    "record paused",
    "record replaced by a later one",
    "record resumed",
    "record taken",
    "record template",
    "record written, and its confirm lost",
    "redelivered",
    "refused at intake",
    "rejected",
    "repeat",
    "replaced by its copy",
    "seed with a repeated send",
    "session lost",
    "settled void",
    "slowed down",
    "stopped",
    "suspected",
    "template paused",
    "throttle of a lane",
    "throttle of more than a lane",
    "uncharged",
    "unknown",
];
/// Lines of the story that a failure shows.
const STORY_LINES: usize = 50;
/// Failing seeds that a failure lists.
const LISTED: usize = 20;
/// Seeds that once found something. They mean something only as long as the generator stays as it is.
const KEPT: &str = include_str!("../cases/seeds/simulation.txt");

fn run(seed: u64, flaw: Option<Flaw>, traced: bool) -> (Result<(), Violation>, Tally, Vec<String>) {
    let mut simulation = Simulation::new(Plan::of(seed), flaw, traced);
    let result = catch_unwind(AssertUnwindSafe(|| simulation.run()))
        .unwrap_or_else(|_| Violation::of("panic", "see above"));
    let (tally, story) = simulation.finish();
    (result, tally, story)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs the seeds, and the first that fails once more with its story.
fn check(seeds: impl Iterator<Item = u64>) -> Tally {
    let mut tally = Tally::default();
    let mut broken = vec![];
    for seed in seeds {
        let (result, counts, _) = run(seed, None, false);
        tally.add(&counts);
        if let Err(violation) = result {
            broken.push((seed, violation));
        }
    }
    let Some((seed, _)) = broken.first() else {
        return tally;
    };
    let (_, _, story) = run(*seed, None, true);
    let tail = story[story.len().saturating_sub(STORY_LINES)..].join("\n");
    let list: String = broken
        .iter()
        .take(LISTED)
        .map(|(seed, violation)| format!("seed {seed} breaks {violation}\n"))
        .collect();
    panic!(
        "{tail}\n{} seeds fail:\n{list}replay: WA_SEED={seed} cargo test -p whatsapp-dispatcher --test simulation every_seed -- --nocapture",
        broken.len()
    );
}

#[test]
fn every_seed_keeps_the_promises() {
    if let Some(seed) = number("WA_SEED") {
        let (result, _, story) = run(seed, None, true);
        println!("{}", story.join("\n"));
        if let Err(violation) = result {
            panic!("seed {seed} breaks {violation}");
        }
        return;
    }
    let tally = check(0..number("WA_SEEDS").unwrap_or(SEEDS));
    println!("{:#?}", tally.0);
    for met in EVENTS {
        assert!(tally.0.contains_key(met), "no seed met this: {met}");
    }
}

#[test]
fn seeds_that_found_something_keep_the_promises() {
    check(kept());
}

fn kept() -> impl Iterator<Item = u64> {
    KEPT.lines().filter_map(|line| {
        let seed = line.split('#').next().unwrap_or_default().trim();
        (!seed.is_empty()).then(|| seed.parse().unwrap())
    })
}

#[test]
fn a_seed_replays_to_the_letter() {
    for seed in 0..50 {
        assert!(run(seed, None, true).2 == run(seed, None, true).2, "{seed}");
    }
}

/// The checks can fail: every deliberate fault in the shell is found, by the check that is there for it.
#[test]
fn every_flaw_is_found() {
    for (flaw, expected) in Flaw::ALL {
        let mut seeds = kept().chain(0..FLAW_SEEDS);
        let found = seeds.find_map(|seed| {
            let violation = run(seed, Some(flaw), false).0.err()?;
            expected.contains(&violation.check).then_some(violation)
        });
        match found {
            Some(violation) => println!("{flaw:?} breaks {violation}"),
            None => panic!("{flaw:?} went unnoticed by {expected:?}"),
        }
    }
}
