//! Wall clocks of workers that are set, an hour back or forth: what lasts must last as long, and all must agree.

use super::Us;
use super::chance::Chance;
use super::flaws::Flaw;
use super::plan::Mishap;
use super::world::Simulation;
use whatsapp_dispatcher::core::Now;

/// By an hour, in one seed of three.
pub(super) fn set(workers: usize, span: Us, chance: &mut Chance) -> Option<(Us, Mishap)> {
    let at = chance.within(0..=span);
    let worker = chance.within(0..=workers as u64 - 1) as usize;
    let by_ms = chance.pick(&[-3_600_000, 3_600_000]);
    let set = Mishap::ClockSet { worker, by_ms };
    chance.percent(33).then_some((at, set))
}

impl Simulation {
    /// A worker's clock, from now on.
    pub(super) fn set_clock(&mut self, worker: usize, by_ms: i64) {
        self.tally.count("a clock is set");
        let off_ms = self.clocks_off_ms.entry(worker).or_default();
        *off_ms += by_ms;
    }

    /// As that worker's board reads its clocks.
    pub(super) fn now_of(&self, worker: usize) -> Now {
        let now = self.now();
        let off_ms = self.clocks_off_ms.get(&worker).copied();
        let wall_ms = now.wall_ms.saturating_add_signed(off_ms.unwrap_or(0));
        let steady_ms = match self.flaw {
            Some(Flaw::TrustsTheWall) => wall_ms,
            Some(_) | None => now.steady_ms,
        };
        Now {
            wall_ms,
            steady_ms,
            ..now
        }
    }
}
