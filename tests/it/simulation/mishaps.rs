//! What befalls the workers and the API, as the plan says.

use super::checks::Checked;
use super::plan::Mishap;
use super::worker::Shell;
use super::world::{Event, Simulation};

impl Simulation {
    pub(super) fn befall(&mut self, mishap: Mishap) -> Checked {
        self.note(|| format!("{mishap:?}"));
        match mishap {
            Mishap::SessionLost { worker, for_us } => return self.lose_session(worker, for_us),
            Mishap::ChannelLost { worker, lane } => return self.lose_channel_of(worker, lane),
            Mishap::Crash { worker, for_us } => self.crash(worker, for_us),
            Mishap::Drain { worker, for_us } => return self.drain(worker, for_us),
            Mishap::Pause { lane, for_us } => {
                self.after(for_us, Event::Resume(lane));
                let now = self.now();
                return self.command_all(lane, |shell| shell.pause(now));
            }
            Mishap::SetLimit { lane, limit_mps } => self.change_limit(lane, limit_mps),
            Mishap::TokenExpires { for_us, told } => {
                self.api.set_token(false);
                self.after(for_us, Event::TokenHeals(told));
            }
            Mishap::Outage { for_us } => {
                let until = self.now_us + for_us;
                self.api.go_out(until);
            }
        }
        Ok(())
    }

    /// The API is never the stricter one while the workers do not know yet.
    fn change_limit(&mut self, lane: usize, limit_mps: u32) {
        self.limit_changes[lane] += 1;
        let change = self.limit_changes[lane];
        let highest = self.api.limit_mps(lane).max(limit_mps);
        self.api.set_limit(lane, highest, self.now_us);
        self.after(100_000, Event::WorkersLimit(lane, limit_mps, change));
        self.after(1_400_000, Event::ApisLimit(lane, limit_mps, change));
    }

    pub(super) fn workers_limit(&mut self, lane: usize, limit_mps: u32, change: u64) -> Checked {
        if self.limit_changes[lane] != change {
            return Ok(());
        }
        self.plan.lanes[lane].config.pace.limit_mps = limit_mps;
        let now = self.now();
        self.command_all(lane, |shell| shell.set_limit(limit_mps, now))
    }

    pub(super) fn token_heals(&mut self, told: bool) -> Checked {
        self.api.set_token(true);
        for lane in 0..self.plan.lanes.len() {
            if told {
                self.command_all(lane, Shell::token_changed)?;
            }
        }
        Ok(())
    }

    pub(super) fn apis_limit(&mut self, lane: usize, limit_mps: u32, change: u64) {
        if self.limit_changes[lane] == change {
            self.api.set_limit(lane, limit_mps, self.now_us);
        }
    }
}
