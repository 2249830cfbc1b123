//! Worker processes: how they start, lose their session or their memory, drain, and hear from operators.

use super::Us;
use super::board::Board;
use super::checks::Checked;
use super::handover::{OWNER_FIRST, name_of};
use super::lanes_log::LogEvent;
use super::publishing::OperationNo;
use super::results_log::{LOOKBACK, Ledger};
use super::worker::{Shell, Who};
use super::world::{Event, Simulation};
use std::time::Duration;
use whatsapp_dispatcher::core::connection::quarantine::Quarantine;
use whatsapp_dispatcher::core::fleet::holds::News;
use whatsapp_dispatcher::core::lane::driver::DriverConfig;

#[derive(Default)]
pub(crate) struct Process {
    pub(crate) life: u64,
    /// Empty while it is down.
    pub(crate) shells: Vec<Shell>,
    /// Which of all lives of all workers.
    pub(crate) run: u64,
    pub(crate) session: Option<u64>,
    /// How many there were in this life.
    pub(crate) sessions: u64,
    /// RabbitMQ was not heard of for so long that nothing may be sent.
    pub(crate) is_fenced: bool,
    /// RabbitMQ has ended its session, and it does not know yet.
    pub(crate) is_given_up: bool,
    pub(crate) ledger: Ledger,
    /// The log was read in this session: the lanes have it too.
    pub(crate) joined: bool,
    pub(crate) board: Option<Board>,
    pub(crate) quarantine: Quarantine,
    /// Results that wait for a session.
    pub(crate) unpublished: Vec<OperationNo>,
    /// For how long it will be gone once it has drained.
    draining: Option<Us>,
}

impl Simulation {
    pub(super) fn start_process(&mut self, worker: usize) {
        self.note(|| format!("worker {worker} starts"));
        let (now, flaw) = (self.now(), self.flaw);
        let tokens = self.api.tokens().to_vec();
        self.runs += 1;
        let board = Board::new(&self.plan, worker, self.runs, tokens.clone());
        let driver = DriverConfig {
            worker: name_of(&self.plan, worker),
            owner_first: OWNER_FIRST,
            lookback: LOOKBACK,
            quick: (Duration::from_millis(100), Duration::from_secs(1)),
        };
        let lanes = self.plan.lanes.iter();
        let shells = lanes.map(|plan| {
            let mut config = plan.config;
            if plan.reads_limit {
                config.pace.limit_mps = 1.0;
            }
            let token = tokens[plan.account];
            let more = (plan.reads_limit, flaw);
            Shell::new(&plan.id, config, driver.clone(), token, more, now)
        });
        self.processes[worker].shells = shells.collect();
        self.processes[worker].board = Some(board);
        self.processes[worker].run = self.runs;
        for who in self.whos(worker) {
            // Rarely it cannot be read, and the lane starts without.
            if self.plan.lanes[who.lane].reads_limit && self.chance.percent(90) {
                let took = self.chance.within(1_000..=500_000);
                self.after(took, Event::LimitRead(who));
            }
        }
        let life = self.processes[worker].life;
        self.after(20_000, Event::SessionUp(worker, life));
    }

    pub(super) fn limit_read(&mut self, who: Who) -> Checked {
        if !self.is_alive(who) {
            return Ok(());
        }
        let limit_mps = self.plan.lanes[who.lane].config.pace.limit_mps;
        self.set_limit(who, limit_mps as u32)
    }

    pub(super) fn shell_mut(&mut self, who: Who) -> &mut Shell {
        &mut self.processes[who.worker].shells[who.lane]
    }

    pub(super) fn is_alive(&self, who: Who) -> bool {
        let process = &self.processes[who.worker];
        process.life == who.life && !process.shells.is_empty()
    }

    pub(super) fn whos(&self, worker: usize) -> Vec<Who> {
        let process = &self.processes[worker];
        let life = process.life;
        (0..process.shells.len())
            .map(|lane| Who { worker, life, lane })
            .collect()
    }

    pub(super) fn session_up(&mut self, worker: usize, life: u64) -> Checked {
        let process = &mut self.processes[worker];
        if process.life != life || process.shells.is_empty() || process.session.is_some() {
            return Ok(());
        }
        process.session = Some(self.now_us);
        process.sessions += 1;
        process.is_fenced = false;
        process.is_given_up = false;
        process.ledger.connects(self.now_us);
        self.publish_again(worker);
        let there_and_back = self.hop() + self.hop();
        let session = self.now_us;
        self.after(
            there_and_back,
            Event::Log(LogEvent::CatchUp(worker, life, session)),
        );
        self.read_on(worker);
        Ok(())
    }

    /// The log has been read as far as it went: the lanes may begin.
    pub(super) fn join(&mut self, worker: usize) -> Checked {
        self.processes[worker].joined = true;
        self.write_on(worker);
        self.read_on(worker);
        for who in self.whos(worker) {
            self.obey(who)?;
            self.change_session(who)?;
            self.turn(who)?;
        }
        Ok(())
    }

    pub(super) fn lose_session(&mut self, worker: usize, for_us: Us) -> Checked {
        if self.processes[worker].session.take().is_none() {
            return Ok(());
        }
        self.tally.count("session lost");
        self.processes[worker].joined = false;
        let now = self.now_us;
        self.processes[worker].ledger.loses_connection(now);
        if let Some(board) = &mut self.processes[worker].board {
            board.is_writing = false;
            board.is_reading = false;
            board.catches_up_to = None;
            // What it had just taken it does not have. Said later, it would take the lane from whoever has it by then.
            board.claims.clear();
            board.outbox.begin_anew(|record| record.news != News::Taken);
        }
        for who in self.whos(worker) {
            if let Some(channel) = self.shell_mut(who).channel {
                // The broker may notice late; never before the worker, which fences itself.
                let notices = self.chance.pick(&[0, 30_000, 3_000_000]);
                self.after(notices, Event::ChannelGone(channel));
            }
        }
        self.lose_publishes(worker);
        for who in self.whos(worker) {
            self.change_session(who)?;
            self.turn(who)?;
        }
        let life = self.processes[worker].life;
        self.after(200_000 + for_us, Event::SessionUp(worker, life));
        Ok(())
    }

    /// Only the channel of one lane: the broker closed it.
    pub(super) fn lose_channel_of(&mut self, worker: usize, lane: usize) -> Checked {
        let Some(who) = self.whos(worker).get(lane).copied() else {
            return Ok(());
        };
        let Some(channel) = self.shell_mut(who).channel else {
            return Ok(());
        };
        self.tally.count("channel lost");
        self.channel_gone(channel);
        let again_at = self.now_us + 200_000;
        self.lose_channel(who, again_at)?;
        self.turn(who)
    }

    pub(super) fn crash(&mut self, worker: usize, for_us: Us) {
        if self.processes[worker].shells.is_empty() {
            return;
        }
        self.tally.count("crash");
        for who in self.whos(worker) {
            if let Some(channel) = self.shell_mut(who).channel {
                self.after(4_000, Event::ChannelGone(channel));
            }
        }
        for who in self.whos(worker) {
            for request in self.shell_mut(who).conduct.in_flight() {
                self.fates.let_go(request);
            }
        }
        self.drop_publishes(worker);
        self.process_ended(worker, for_us);
    }

    pub(super) fn drain(&mut self, worker: usize, for_us: Us) -> Checked {
        for who in self.whos(worker) {
            self.processes[worker].draining.get_or_insert(for_us);
            self.shell_mut(who).drain();
        }
        for who in self.whos(worker) {
            self.turn(who)?;
        }
        Ok(())
    }

    /// A lane has drained: the last one ends the process.
    pub(super) fn lane_drained(&mut self, who: Who) {
        self.note(|| format!("{who} has drained"));
        let process = &self.processes[who.worker];
        if let Some(for_us) = process.draining
            && process.shells.iter().all(Shell::is_drained)
        {
            self.tally.count("drained");
            self.process_ended(who.worker, for_us);
        }
    }

    fn process_ended(&mut self, worker: usize, for_us: Us) {
        self.drop_gathered(worker);
        self.stopped.remove(&worker);
        self.processes[worker] = Process {
            life: self.processes[worker].life + 1,
            ..Process::default()
        };
        self.memory_was_lost = true;
        self.after(for_us, Event::Start(worker));
    }
}
