//! What befalls the workers and the API, as the plan says.

use super::Us;
use super::board::Tending;
use super::checks::Checked;
use super::lanes_log::LogEvent;
use super::world::{Event, Simulation};
use graph_sim::Usage;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    SessionLost {
        worker: usize,
        for_us: Us,
    },
    ChannelLost {
        worker: usize,
        lane: usize,
    },
    Crash {
        worker: usize,
        for_us: Us,
    },
    Drain {
        worker: usize,
        for_us: Us,
    },
    /// An operator's word, to one worker.
    Pause {
        worker: usize,
        lane: usize,
        for_us: Us,
    },
    SetLimit {
        lane: usize,
        limit_mps: u32,
    },
    /// For good, if a new one takes its place.
    TokenExpires {
        account: usize,
        for_us: Us,
        renews: bool,
    },
    AccountBlocked {
        account: usize,
        code: i64,
        for_us: Us,
    },
    /// Customers write.
    Inbound {
        lane: usize,
        mps: u32,
        for_us: Us,
    },
    /// The account's calls are counted, and told.
    Usage {
        account: usize,
        percent: u32,
        regain_minutes: u32,
        for_us: Us,
    },
    Outage {
        for_us: Us,
    },
    /// The process is stopped, and goes on.
    Stopped {
        worker: usize,
        for_us: Us,
    },
    /// All workers lose the broker.
    BrokerLost {
        for_us: Us,
    },
    /// A worker's wall clock.
    ClockSet {
        worker: usize,
        by_ms: i64,
    },
    /// `wa.lanes.log` takes and gives nothing.
    LogAway {
        for_us: Us,
    },
}

/// What was going on ends.
pub(crate) enum End {
    /// An operator says go, to whichever worker is there.
    Pause(usize),
    /// After the calm: whatever is left of pauses.
    Pauses,
    /// By its token's being accepted again, or by a new one.
    Token(usize, bool),
    Usage(usize),
    Inbound(usize),
}

impl Simulation {
    pub(super) fn befall(&mut self, mishap: Mishap) -> Checked {
        self.note(|| format!("{mishap:?}"));
        match mishap {
            Mishap::SessionLost { worker, for_us } => return self.lose_session(worker, for_us),
            Mishap::ChannelLost { worker, lane } => return self.lose_channel_of(worker, lane),
            Mishap::Crash { worker, for_us } => self.crash(worker, for_us),
            Mishap::Drain { worker, for_us } => return self.drain(worker, for_us),
            Mishap::Pause {
                worker,
                lane,
                for_us,
            } => {
                self.after(for_us, Event::Ends(End::Pause(lane)));
                // A worker that was stopped may obey it as late as that.
                if self.now_us >= self.plan.calm_at {
                    self.after(20_000_000, Event::Ends(End::Pauses));
                }
                if let Some(who) = self.whos(worker).get(lane).copied() {
                    self.tally.count("paused by an operator");
                    self.pause(who);
                    self.after(for_us / 2, Event::Log(LogEvent::Compare));
                }
            }
            Mishap::SetLimit { lane, limit_mps } => self.change_limit(lane, limit_mps),
            Mishap::TokenExpires {
                account,
                for_us,
                renews,
            } => {
                self.api.expire_token(account);
                self.after(for_us, Event::Ends(End::Token(account, renews)));
            }
            Mishap::AccountBlocked {
                account,
                code,
                for_us,
            } => self.api.block_account(account, code, for_us, self.now_us),
            Mishap::Inbound { lane, mps, for_us } => {
                self.busy_inbound.insert(lane);
                self.api.set_inbound(lane, mps.into(), self.now_us);
                self.after(for_us, Event::Ends(End::Inbound(lane)));
            }
            Mishap::Usage {
                account,
                percent,
                regain_minutes,
                for_us,
            } => {
                let usage = Usage {
                    business_percent: Some(percent),
                    regain_minutes,
                    app_percent: None,
                };
                self.api.set_usage(account, Some(usage), self.now_us);
                self.after(for_us, Event::Ends(End::Usage(account)));
            }
            Mishap::ClockSet { worker, by_ms } => self.set_clock(worker, by_ms),
            Mishap::LogAway { for_us } => self.log_goes_away(for_us),
            Mishap::Stopped { worker, for_us } => self.stop(worker, for_us),
            Mishap::BrokerLost { for_us } => return self.broker_lost(for_us),
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
        self.plan.lanes[lane].config.pace.limit_mps = limit_mps.into();
        for worker in 0..self.processes.len() {
            if let Some(who) = self.whos(worker).get(lane).copied() {
                self.set_limit(who, limit_mps)?;
            }
        }
        Ok(())
    }

    pub(super) fn ends(&mut self, end: End) {
        let now = self.now_us;
        match end {
            End::Pause(lane) => self.resume_somewhere(lane),
            End::Pauses => self.end_pauses(),
            End::Token(account, renews) => self.token_heals(account, renews),
            End::Usage(account) => self.api.set_usage(account, None, now),
            // The calm has ended it.
            End::Inbound(_) if now >= self.plan.calm_at => {}
            End::Inbound(lane) => {
                let mps = self.plan.lanes[lane].rules.inbound_mps;
                self.api.set_inbound(lane, mps, now);
            }
        }
    }

    /// The token works again, or another one does, which the workers are given one after the other.
    fn token_heals(&mut self, account: usize, renews: bool) {
        self.api.heal_token(account, renews);
        if !renews {
            return;
        }
        self.tally.count("a new token");
        let token = self.api.tokens()[account];
        for worker in 0..self.processes.len() {
            let later = self.chance.within(0..=400_000);
            let life = self.processes[worker].life;
            self.after(
                later,
                Event::Tend(Tending::TokenTold(worker, life, account, token)),
            );
        }
    }

    /// To any worker that is there; the others read of it.
    fn resume_somewhere(&mut self, lane: usize) {
        let first = self.chance.within(0..=self.processes.len() as u64 - 1) as usize;
        let mut workers = (0..self.processes.len()).map(|n| (first + n) % self.processes.len());
        let who = workers.find_map(|worker| self.whos(worker).get(lane).copied());
        match who {
            Some(who) => self.resume(who),
            None => self.after(1_000_000, Event::Ends(End::Pause(lane))),
        }
    }

    /// A pause may have reached the log after the word that ended it: whoever said both says go once more.
    pub(super) fn end_pauses(&mut self) {
        let now = self.now();
        let mut is_paused = false;
        for worker in 0..self.processes.len() {
            for lane in 0..self.plan.lanes.len() {
                let board = self.processes[worker].board.as_ref();
                let of = board.map(|board| board.holds.on(&board.places[lane], now));
                if of.is_some_and(|held| held.paused_since_ms.is_some()) {
                    is_paused = true;
                    self.after(5_000_000, Event::Ends(End::Pause(lane)));
                }
            }
        }
        let is_gone =
            self.processes.iter().any(|process| !process.joined) || !self.stopped.is_empty();
        if is_paused || is_gone || !self.paused.is_empty() {
            self.after(20_000_000, Event::Ends(End::Pauses));
        }
    }

    pub(super) fn apis_limit(&mut self, lane: usize, limit_mps: u32, change: u64) {
        if self.limit_changes[lane] == change {
            self.api.set_limit(lane, limit_mps, self.now_us);
        }
    }
}
