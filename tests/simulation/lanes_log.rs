//! `wa.lanes.log`: written and read by every process, in order, at its own speed; as `broker/lanes_log.rs` and `board.rs` do it.

use super::Us;
use super::chance::Chance;
use super::checks::{Checked, ensure};
use super::flaws::Flaw;
use super::plan::Mishap;
use super::world::{Event, Simulation};
use whatsapp_dispatcher::contract::words::Scope;
use whatsapp_dispatcher::core::fleet::holds::{News, Place, Record, Why};

/// Each of a process's, in that life and session of it.
pub(crate) enum LogEvent {
    /// Its mark is written.
    CatchUp(usize, u64, Us),
    Reach(usize, u64, Us, (u64, Record)),
    Confirm(usize, u64, Us, u64),
    Read(usize, u64, Us),
    Compare,
}

impl LogEvent {
    /// Who does it, if that is a worker.
    pub(super) fn worker(&self) -> Option<usize> {
        match self {
            Self::CatchUp(worker, ..) | Self::Confirm(worker, ..) | Self::Read(worker, ..) => {
                Some(*worker)
            }
            Self::Reach(..) | Self::Compare => None,
        }
    }
}

/// In one seed of three, and then often before any worker has read it.
pub(super) fn away(span: Us, chance: &mut Chance) -> Option<(Us, Mishap)> {
    let later = chance.within(0..=span);
    let at = chance.pick(&[0, later]);
    let for_us = chance.pick(&[300_000, 3_000_000, 15_000_000]);
    chance
        .percent(33)
        .then_some((at, Mishap::LogAway { for_us }))
}

impl Simulation {
    pub(super) fn log_happens(&mut self, event: LogEvent) -> Checked {
        match event {
            LogEvent::CatchUp(worker, life, session) => self.catch_up(worker, life, session),
            LogEvent::Reach(worker, life, session, written) => {
                self.log_reach(worker, life, session, written);
                Ok(())
            }
            LogEvent::Confirm(worker, life, session, number) => {
                self.log_confirmed(worker, life, session, number)
            }
            LogEvent::Read(worker, life, session) => self.log_read(worker, life, session),
            LogEvent::Compare => self.check_agreement(),
        }
    }

    /// To be written, once the process has a session.
    pub(super) fn share(&mut self, worker: usize, record: Record) {
        let is_pause = matches!(record.news, News::Paused { .. });
        if is_pause && self.flaw == Some(Flaw::KeepsPausesToItself) {
            return;
        }
        if let Some(board) = &mut self.processes[worker].board
            && let Some(outdated) = board.outbox.put(record)
        {
            board.holds.stop_waiting_for(&outdated);
            self.tally.count("record replaced by a later one");
        }
        self.write_on(worker);
    }

    /// Nobody reads or writes it for so long. Whoever has read it goes on with what it knew, and whoever starts waits.
    pub(super) fn log_goes_away(&mut self, for_us: Us) {
        self.log_away_until = self.log_away_until.max(self.now_us + for_us);
    }

    /// How long from now on something takes that would take so long.
    fn by_the_log(&self, took: Us) -> Us {
        self.log_away_until.saturating_sub(self.now_us) + took
    }

    pub(super) fn write_on(&mut self, worker: usize) {
        let hop = self.hop();
        let at = self.by_the_log(hop);
        let process = &mut self.processes[worker];
        let (Some(session), true, Some(board)) =
            (process.session, process.joined, &mut process.board)
        else {
            return;
        };
        if board.is_writing {
            return;
        }
        let Some(written) = board.outbox.take() else {
            return;
        };
        board.is_writing = true;
        let life = process.life;
        self.after(
            at,
            Event::Log(LogEvent::Reach(worker, life, session, written)),
        );
    }

    /// A record reaches the broker, unless its session ended on the way and took it along.
    fn log_reach(&mut self, worker: usize, life: u64, session: Us, written: (u64, Record)) {
        let (number, record) = written;
        let is_cut_off = !self.is_session(worker, life, session);
        let is_given_up = !is_cut_off && self.processes[worker].is_given_up;
        if is_given_up || is_cut_off && self.chance.percent(50) {
            return;
        }
        self.note(|| format!("log: {record:?}"));
        self.tally.count(word(&record.news));
        // As its readers will see it.
        let read_back = Record::from_json(&record.to_json());
        debug_assert_eq!(read_back, Some(record.clone()));
        self.fold_pauses(&record);
        self.log.extend(read_back);
        if is_cut_off {
            self.tally.count("record written, and its confirm lost");
        } else {
            let back = self.hop();
            let confirm = LogEvent::Confirm(worker, life, session, number);
            self.after(back, Event::Log(confirm));
        }
        for reader in 0..self.processes.len() {
            self.read_on(reader);
        }
    }

    fn log_confirmed(&mut self, worker: usize, life: u64, session: Us, number: u64) -> Checked {
        if !self.is_session(worker, life, session) {
            return Ok(());
        }
        let mut waited = vec![];
        if let Some(board) = &mut self.processes[worker].board {
            waited = board.outbox.confirmed(number);
            board.is_writing = false;
        }
        self.write_on(worker);
        // Whoever waited for the others to be told before it left.
        for (who, step) in waited {
            self.leave_goes_on(who, step)?;
        }
        self.check_agreement()
    }

    fn is_session(&self, worker: usize, life: u64, session: Us) -> bool {
        let process = &self.processes[worker];
        process.life == life && process.session == Some(session)
    }

    /// A mark of its own has come back: what stands before it must be read before any lane begins.
    fn catch_up(&mut self, worker: usize, life: u64, session: Us) -> Checked {
        if !self.is_session(worker, life, session) {
            return Ok(());
        }
        let is_away = self.now_us < self.log_away_until;
        let Some(board) = &mut self.processes[worker].board else {
            return Ok(());
        };
        let impatient = self.flaw == Some(Flaw::BeginsWithoutLog);
        if is_away && !board.has_read && !impatient {
            self.tally.count("a new worker waits for the log");
            let event = Event::Log(LogEvent::CatchUp(worker, life, session));
            self.after(100_000, event);
            return Ok(());
        }
        let begins = is_away || self.flaw == Some(Flaw::BeginsUnread);
        let end = if begins { 0 } else { self.log.len() };
        board.catches_up_to = Some(end);
        // What it knew when it lost the log has to do while that is away.
        if !is_away || !board.has_read {
            board.stood = (self.log.len(), self.paused.clone());
        }
        board.has_read |= !begins;
        self.join_if_read(worker)
    }

    fn join_if_read(&mut self, worker: usize) -> Checked {
        let Some(board) = &mut self.processes[worker].board else {
            return Ok(());
        };
        if board.catches_up_to.is_some_and(|end| board.read >= end) {
            board.catches_up_to = None;
            return self.join(worker);
        }
        Ok(())
    }

    pub(super) fn read_on(&mut self, worker: usize) {
        let end = self.log.len();
        let most = match self.processes[worker].joined {
            true => self.plan.network.log_us,
            false => 1_000,
        };
        let process = &mut self.processes[worker];
        let (Some(session), Some(board)) = (process.session, &mut process.board) else {
            return;
        };
        if board.is_reading || board.read >= end {
            return;
        }
        board.is_reading = true;
        let (life, took) = (process.life, self.chance.within(100..=most));
        let took = self.by_the_log(took);
        self.after(took, Event::Log(LogEvent::Read(worker, life, session)));
    }

    fn log_read(&mut self, worker: usize, life: u64, session: Us) -> Checked {
        if !self.is_session(worker, life, session) {
            return Ok(());
        }
        let Some(board) = &mut self.processes[worker].board else {
            return Ok(());
        };
        board.is_reading = false;
        let record = self.log[board.read].clone();
        board.read += 1;
        if self.flaw != Some(Flaw::IgnoresLog) {
            self.heard(worker, record)?;
        }
        self.check_pauses(worker)?;
        self.join_if_read(worker)?;
        self.read_on(worker);
        self.check_agreement()
    }

    /// What the whole log says of operators' pauses.
    fn fold_pauses(&mut self, record: &Record) {
        match record.news {
            News::Paused { .. } => drop(self.paused.insert(record.reach.key.clone())),
            News::Resumed => drop(self.paused.remove(&record.reach.key)),
            News::Held(_)
            | News::Lifted
            | News::TemplateHeld { .. }
            | News::Taken
            | News::Left { .. }
            | News::Present { .. } => {}
        }
    }

    /// Once the log is read, its pauses hold, and no other but what the process is still to tell.
    fn check_pauses(&self, worker: usize) -> Checked {
        let (now, end) = (self.now(), self.log.len());
        let Some(board) = &self.processes[worker].board else {
            return Ok(());
        };
        if board.read < end {
            return Ok(());
        }
        for place in &board.places {
            let is_of_pause = |record: &&Record| {
                let is_pause = matches!(record.news, News::Paused { .. } | News::Resumed);
                is_pause && place.is_in(&record.reach)
            };
            if board.outbox.records().any(|record| is_of_pause(&record)) {
                continue;
            }
            let is_paused = board.holds.on(place, now).paused_since_ms.is_some();
            let is_told = self.paused.contains(place.lane.as_str());
            ensure(is_paused == is_told, "log", || {
                format!("the log says of {place:?} paused {is_told}, worker {worker} {is_paused}")
            })?;
        }
        Ok(())
    }

    /// All processes hold the same lanes once each has read the whole log and has nothing to tell.
    fn check_agreement(&self) -> Checked {
        let end = self.log.len();
        let has_read = |process: &super::process::Process| {
            let board = process.board.as_ref();
            process.joined && board.is_some_and(|b| b.read == end && b.outbox.is_empty())
        };
        if !self.processes.iter().all(has_read) {
            return Ok(());
        }
        let boards: Vec<_> = self
            .processes
            .iter()
            .filter_map(|p| p.board.as_ref())
            .collect();
        for pair in boards.windows(2) {
            for (place, other) in pair[0].places.iter().zip(&pair[1].places) {
                // One of them has not been given the new token yet.
                if place != other {
                    continue;
                }
                let (one, another) = (self.opinion(pair[0], place), self.opinion(pair[1], place));
                let differ = one.is_some() && another.is_some() && one != another;
                ensure(!differ, "log", || {
                    format!(
                        "{place:?} is held so by one and otherwise by the next: {one:?} {another:?}"
                    )
                })?;
            }
        }
        Ok(())
    }

    /// `None`: what it thinks is its own affair.
    fn opinion(&self, board: &super::board::Board, place: &Place) -> Option<Opinion> {
        let held = board.holds.on(place, self.now());
        let is_own = |hold: &whatsapp_dispatcher::core::fleet::holds::Hold| {
            hold.why == Why::Outage && hold.code.is_none()
        };
        if held.hold.as_ref().is_some_and(is_own) {
            return None;
        }
        // It ends later for whoever heard of it later, or has missed it and has another clock than its writer.
        let ends_soon = |hold: &whatsapp_dispatcher::core::fleet::holds::Hold| {
            let left_ms = hold.until_ms.saturating_sub(self.now().steady_ms);
            hold.why == Why::Throttle && (left_ms < LATE_MS || !self.clocks_off_ms.is_empty())
        };
        if held.hold.as_ref().is_some_and(ends_soon) {
            return None;
        }
        let hold = held.hold.map(|hold| (hold.scope, hold.why, hold.code));
        Some((held.paused_since_ms.is_some(), hold))
    }
}

/// How late a record may be heard, with all that stand before it.
const LATE_MS: u64 = 20_000;

type Opinion = (bool, Option<(Scope, Why, Option<i64>)>);

fn word(news: &News) -> &'static str {
    match news {
        News::Held(_) => "record held",
        News::Lifted => "record lifted",
        News::Paused { .. } => "record paused",
        News::Resumed => "record resumed",
        News::TemplateHeld { .. } => "record template",
        News::Taken => "record taken",
        News::Left { .. } => "record left",
        News::Present { .. } => "record present",
    }
}
