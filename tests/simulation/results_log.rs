//! `wa.results.log` as RabbitMQ keeps it, with what each worker says of itself when it writes; and how far back it is read: what
//! `broker/results_log.rs`, `broker/session.rs` and the claims of `lane_task.rs` do.

use super::Us;
use super::allowance::us;
use super::broker::Copy;
use super::flaws::Flaw;
use super::plan::RequestNo;
use super::world::Simulation;
use std::time::Duration;
use whatsapp_dispatcher::core::evidence::search::{
    Entry, Former, Question, Scan, Stamp, Told, Wanted,
};
use whatsapp_dispatcher::core::evidence::settling::Settling;
use whatsapp_dispatcher::core::lane::Evidence;
use whatsapp_dispatcher::core::lane::dedupe::Word;

/// Longer than RabbitMQ may take to notice that a worker is gone, and short enough that lanes are had for longer.
pub(super) const LOOKBACK: Duration = Duration::from_secs(20);
const PROBE_EVERY: Us = 1_000_000;
const ANSWERED_WITHIN: Us = 1_000_000;
/// Entries: so that there are steps at all.
const FIRST_STEP: u64 = 2;

pub(crate) struct Written {
    pub(super) at: Us,
    pub(super) request: RequestNo,
    told: Told,
    stamp: Stamp,
    /// For those who say `dedupe`: what it tells, and the second.
    pub(super) ended: Option<(Word, u64)>,
}

/// On which connection, and which.
pub(crate) type Unsettled = (u64, u64);

/// What a process knows of what it has settled.
#[derive(Default)]
pub(crate) struct Ledger {
    settling: Settling,
    /// Of this session, and whether that lives.
    connection: u64,
    is_connected: bool,
    next_probe: Us,
    /// Probes that are not answered yet: when they will be, and what they prove.
    asked: Vec<(Us, Duration)>,
}

impl Ledger {
    pub(crate) fn connects(&mut self, now: Us) {
        self.connection = self.settling.opened(time(now));
        self.is_connected = true;
        self.next_probe = now;
        self.asked.clear();
    }

    pub(crate) fn loses_connection(&mut self, now: Us) {
        self.catch_up(now);
        let until = time(now) + LOOKBACK;
        self.settling.ended(self.connection, until);
        self.is_connected = false;
    }

    /// Sends the probes that were due since, and reads the answers.
    fn catch_up(&mut self, now: Us) {
        let connection = self.connection;
        while self.is_connected && self.next_probe <= now {
            let at = time(self.next_probe);
            let proof = self.settling.to_prove(connection, at);
            let answered = self.next_probe + ANSWERED_WITHIN;
            self.asked.push((answered, proof));
            self.next_probe += PROBE_EVERY;
        }
        let settling = &mut self.settling;
        self.asked.retain(|(answered, proof)| {
            let waits = *answered > now;
            if !waits {
                settling.proven(connection, *proof);
            }
            waits
        });
    }
}

fn time(us: Us) -> Duration {
    Duration::from_micros(us)
}

impl Simulation {
    fn ledger(&mut self, worker: usize) -> &mut Ledger {
        let now = self.now_us;
        let ledger = &mut self.processes[worker].ledger;
        ledger.catch_up(now);
        ledger
    }

    /// A request is about to end.
    pub(super) fn ends_soon(&mut self, worker: usize) -> Unsettled {
        let now = time(self.now_us);
        let ledger = self.ledger(worker);
        let connection = ledger.connection;
        (connection, ledger.settling.begin(connection, now))
    }

    pub(super) fn is_settled(&mut self, worker: usize, unsettled: Unsettled, acknowledged: bool) {
        let until = time(self.now_us) + LOOKBACK;
        let settling = &mut self.ledger(worker).settling;
        let (connection, number) = unsettled;
        match acknowledged {
            true => settling.acknowledged(connection, number),
            false => settling.given_back(connection, number, until),
        }
    }

    /// What a process says of itself when it publishes.
    pub(super) fn stamp(&mut self, worker: usize) -> Stamp {
        let now = time(self.now_us);
        let run = self.processes[worker].run;
        let settled = self.ledger(worker).settling.settled(now);
        let ms = |time: Duration| time.as_millis() as u64;
        Stamp {
            run,
            at_ms: ms(now),
            settled_ms: ms(settled),
        }
    }

    pub(super) fn write_result(
        &mut self,
        request: RequestNo,
        told: Told,
        stamp: Stamp,
        ended: Option<(Word, u64)>,
    ) {
        self.results_log.push(Written {
            at: self.now_us,
            request,
            told,
            stamp,
            ended,
        });
    }

    /// What the log has of a request, as far as it is read.
    pub(super) fn search(
        &mut self,
        request: RequestNo,
        copy: &Copy,
        question: Question,
        asked_at: Us,
    ) -> Evidence {
        let wanted = self.wanted(request, copy);
        let gone_since = time(self.now_us - asked_at);
        let former = question.former.map(|former| Former {
            gone: former.gone + gone_since,
            ..former
        });
        let question = Question {
            wanted: wanted.clone(),
            former,
        };
        let mut scan = Scan::new(vec![question], LOOKBACK, FIRST_STEP);
        let mut known_from = self.results_log.len() as u64;
        while let Some(from) = scan.next_step(known_from) {
            for offset in from..known_from {
                self.show(&mut scan, offset);
            }
            known_from = from;
            if self.flaw == Some(Flaw::SearchesTooLittle) {
                break;
            }
        }
        let found = scan.into_found().remove(&wanted);
        if found.is_none() && known_from > 0 && former.is_some() {
            self.tally.count("evidence nothing, and not all was read");
        }
        found.unwrap_or(Evidence::Nothing)
    }

    /// It has ended, or was copied onto the ladder, and that is not so long ago that nobody looks for it.
    pub(super) fn is_in_log(&self, request: RequestNo, copy: &Copy) -> bool {
        let last = self.results_log.last().map_or(0, |written| written.at);
        let from = last.saturating_sub(us(LOOKBACK));
        let is_it = |written: &&Written| match written.told {
            _ if written.request != request || written.at < from => false,
            Told::Ended => true,
            Told::Copied(hops) => hops >= copy.history.hops,
        };
        self.results_log.iter().rev().find(is_it).is_some()
    }

    /// By its number: what publications of one id have in common is not the point here.
    fn wanted(&self, request: RequestNo, copy: &Copy) -> Wanted {
        Wanted {
            lane: self.plan.lanes[copy.lane].id.clone(),
            id: request.to_string(),
            incarnation: None,
            hops: copy.history.hops,
        }
    }

    fn show(&self, scan: &mut Scan<Evidence>, offset: u64) {
        let written = &self.results_log[offset as usize];
        let lane = self.plan.requests[written.request].lane;
        let entry = Entry {
            offset,
            lane: &self.plan.lanes[lane].id,
            id: &written.request.to_string(),
            incarnation: Some(None),
            told: written.told,
            stamp: Some(written.stamp),
        };
        scan.note(&entry, || match written.told {
            Told::Ended => Evidence::Result,
            Told::Copied(_) => Evidence::Copy,
        });
    }
}
