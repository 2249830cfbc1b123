//! Publish, wait for the confirm, then settle: what `broker/publish.rs` and `Delivery::settle` do, over sessions that come and go.

use super::broker::{ChannelId, Copy, Tag};
use super::checks::{Checked, ensure};
use super::flaws::Flaw;
use super::plan::RequestNo;
use super::results_log::Unsettled;
use super::worker::Who;
use super::world::{Event, Simulation};
use std::collections::VecDeque;
use std::sync::Arc;
use whatsapp_dispatcher::contract::request::History;
use whatsapp_dispatcher::contract::result::ResultDocument;
use whatsapp_dispatcher::core::evidence::search::{Stamp, Told};
use whatsapp_dispatcher::core::lane::dedupe::Word;
use whatsapp_dispatcher::core::lane::driver::Command;
use whatsapp_dispatcher::core::lane::{Resolved, Ticket};
use whatsapp_dispatcher::core::request::decide::Decision;

pub(crate) type OperationNo = u64;

/// A delivery that a lane keeps.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) request: RequestNo,
    pub(crate) channel: ChannelId,
    pub(crate) tag: Tag,
    pub(crate) copy: Copy,
}

impl Held {
    pub(super) fn new(channel: ChannelId, tag: Tag, copy: Copy) -> Self {
        Self {
            request: copy.request,
            channel,
            tag,
            copy,
        }
    }
}

#[derive(Clone)]
pub(crate) enum Letter {
    Dead,
    Result(Arc<ResultDocument>),
    /// One that the log has, once more.
    Repeat(Arc<ResultDocument>),
    Ladder {
        delay_s: u32,
        history: History,
    },
    /// That this copy is on the ladder now, for the log of results; unless it only waits there for another, as a word for others of its id.
    CopyNoted(u32, Option<Word>),
}

impl Letter {
    fn outlives_delivery(&self) -> bool {
        match self {
            Self::Result(report) => report.is_the_apis(),
            Self::Dead | Self::Repeat(_) | Self::Ladder { .. } | Self::CopyNoted(..) => false,
        }
    }

    /// Nothing depends on it: what it tells is done.
    fn is_optional(&self) -> bool {
        matches!(self, Self::CopyNoted(..))
    }
}

/// The delivery that is to be concluded, and how.
pub(super) fn concluded(command: &Command<Held>) -> Option<(&Held, &Resolved)> {
    if let Command::Conclude { delivery, resolved } = command {
        return Some((delivery, resolved));
    }
    None
}

/// One decision on its way: its letters in order, then the acknowledgement.
pub(crate) struct Publishing {
    pub(crate) who: Who,
    held: Held,
    /// Of a decision of the lane's, which counts it until it is settled. None for a refusal of intake's.
    ticket: Option<Ticket>,
    letters: VecDeque<Letter>,
    /// What it publishes is the broker's, so far.
    confirmed: bool,
    /// Counts up, so that what belongs to an earlier trial is not taken for an answer to this one.
    trial: u64,
    session: u64,
    unsettled: Unsettled,
}

impl Simulation {
    pub(super) fn conclude(&mut self, who: Who, held: Held, ticket: Ticket, decision: Decision) {
        let letters = match decision {
            Decision::Finish(report) => vec![Letter::Result(report)],
            Decision::Bury(report) => vec![Letter::Dead, Letter::Result(report)],
            Decision::Delay {
                mut delay_s,
                message,
            } => {
                if self.departures.remove(&held.tag) {
                    self.departed.insert(held.request);
                    if self.flaw == Some(Flaw::MixesDelays) {
                        delay_s = 1 + held.request as u32 % 4;
                    }
                } else {
                    self.fates.leaves(held.request);
                }
                let mut history = message.history;
                if self.waits_for_its_time(held.request) {
                    self.scheduled.insert(held.tag);
                }
                if self.flaw == Some(Flaw::ForgetsAttempts) {
                    history.attempts = 0;
                }
                let is_outage = history.attempts == 0 && history.last_error.is_some();
                if is_outage && self.flaw == Some(Flaw::ChargesOutages) {
                    history.attempts = 1;
                }
                if self.flaw == Some(Flaw::ForgetsCopies) {
                    history.copied_ms = 0;
                }
                let noted = Letter::copied(&history);
                history.blamed &= self.flaw != Some(Flaw::ForgetsBlame);
                let letter = Letter::Ladder { delay_s, history };
                let times = 1 + usize::from(self.flaw == Some(Flaw::DelaysTwice));
                let mut letters = vec![letter; times];
                letters.push(noted);
                letters
            }
            Decision::Repeat { flagged } => {
                let answered = self.has_answer(held.request).unwrap_or(held.request);
                let result = self.fates.first_result(answered);
                let result = result.map(|result| {
                    let mut result = ResultDocument::clone(&result);
                    result.possible_duplicate |= flagged;
                    Arc::new(result)
                });
                result.into_iter().map(Letter::Repeat).collect()
            }
            Decision::Duplicate {
                report,
                delay_s,
                copy,
            } => self.answer_duplicate(held.request, &report, delay_s, copy.history),
            Decision::Forget => {
                self.fates.forgotten(held.request);
                vec![]
            }
            Decision::Abandon => {
                let operation = self.new_operation(who, held, Some(ticket), vec![]);
                return self.give_up(operation);
            }
        };
        self.begin(who, held, Some(ticket), letters);
    }

    pub(super) fn begin(
        &mut self,
        who: Who,
        held: Held,
        ticket: Option<Ticket>,
        letters: Vec<Letter>,
    ) {
        if self.flaw == Some(Flaw::AcknowledgesFirst) {
            self.acknowledge(who, &held);
        }
        let operation = self.new_operation(who, held, ticket, letters);
        self.step(operation);
    }

    fn new_operation(
        &mut self,
        who: Who,
        held: Held,
        ticket: Option<Ticket>,
        letters: Vec<Letter>,
    ) -> OperationNo {
        self.next_operation += 1;
        self.touched.insert(held.tag);
        self.touched_copies
            .insert((held.request, held.copy.history.hops));
        let unsettled = self.ends_soon(who.worker);
        let publishing = Publishing {
            who,
            held,
            ticket,
            letters: letters.into(),
            confirmed: true,
            trial: 0,
            session: 0,
            unsettled,
        };
        self.operations.insert(self.next_operation, publishing);
        self.next_operation
    }

    /// Sends the next letter; after the last one settles.
    fn step(&mut self, operation: OperationNo) {
        let Some(publishing) = self.operations.get_mut(&operation) else {
            return;
        };
        publishing.trial += 1;
        let (who, trial, request) = (publishing.who, publishing.trial, publishing.held.request);
        let Some(letter) = publishing.letters.front().cloned() else {
            let done = (who, publishing.held.clone(), publishing.unsettled);
            self.gather(done);
            return self.after(0, Event::Done(operation));
        };
        let held = publishing.held.channel;
        let is_void = self.shell_mut(who).channel != Some(held);
        if is_void && !letter.outlives_delivery() && !letter.is_optional() {
            return self.give_up(operation);
        }
        let Some(session) = self.processes[who.worker].session else {
            return match letter.is_optional() {
                true => self.pass_over(operation),
                false => self.lose(operation),
            };
        };
        if let Some(publishing) = self.operations.get_mut(&operation) {
            publishing.session = session;
        }
        let at = self.publish_frame(who.worker);
        let letter = (letter, self.stamp(who.worker));
        let reach = Event::Reach {
            operation,
            trial,
            request,
            who,
            session,
            letter,
        };
        self.at(at, reach);
    }

    /// The letter is not written after all; what follows it is done.
    fn pass_over(&mut self, operation: OperationNo) {
        if let Some(publishing) = self.operations.get_mut(&operation) {
            publishing.letters.pop_front();
        }
        self.step(operation);
    }

    /// Without an acknowledgement: the broker has the request, and delivers it again.
    fn give_up(&mut self, operation: OperationNo) {
        if let Some(publishing) = self.operations.get_mut(&operation) {
            publishing.confirmed = false;
            publishing.letters.clear();
            let (worker, unsettled) = (publishing.who.worker, publishing.unsettled);
            self.fates.let_go(publishing.held.request);
            self.is_settled(worker, unsettled, false);
        }
        self.after(0, Event::Done(operation));
    }

    /// The session went away: what the API has said waits for the next one, all else is given up.
    fn lose(&mut self, operation: OperationNo) {
        let Some(publishing) = self.operations.get_mut(&operation) else {
            return;
        };
        publishing.trial += 1;
        let (who, request, tag) = (publishing.who, publishing.held.request, publishing.held.tag);
        match publishing.letters.front() {
            Some(letter) if letter.outlives_delivery() => {
                self.processes[who.worker].unpublished.push(operation);
            }
            Some(letter) if letter.is_optional() => return self.pass_over(operation),
            Some(_) => self.give_up(operation),
            None => {}
        }
        self.fates
            .lost_sight(request, self.scheduled.contains(&tag));
    }

    /// It has never been due: nobody can have sent it, and two copies of it must not be sent twice.
    fn waits_for_its_time(&self, request: RequestNo) -> bool {
        let facts = &self.plan.requests[request];
        let is_ahead = facts
            .not_before_ms
            .is_some_and(|at| self.now().wall_ms < at);
        // Of what is not stamped, a copy may be another publication's.
        is_ahead && facts.incarnation.is_some()
    }

    pub(super) fn lose_publishes(&mut self, worker: usize) {
        let lost = |(operation, publishing): (&OperationNo, &Publishing)| {
            let pending = publishing.who.worker == worker && !publishing.letters.is_empty();
            pending.then_some(*operation)
        };
        let lost: Vec<OperationNo> = self.operations.iter().filter_map(lost).collect();
        for operation in lost {
            self.lose(operation);
        }
    }

    pub(super) fn drop_publishes(&mut self, worker: usize) {
        let fates = &mut self.fates;
        self.operations.retain(|_, publishing| {
            let stays = publishing.who.worker != worker;
            if !stays {
                fates.let_go(publishing.held.request);
            }
            stays
        });
    }

    pub(super) fn publish_again(&mut self, worker: usize) {
        for operation in std::mem::take(&mut self.processes[worker].unpublished) {
            self.step(operation);
        }
    }

    /// A publish reaches the broker, unless its session ended on the way and took it along.
    pub(super) fn reach(
        &mut self,
        operation: OperationNo,
        trial: u64,
        request: RequestNo,
        who: Who,
        session: u64,
        (letter, stamp): (Letter, Stamp),
    ) -> Checked {
        let process = &self.processes[who.worker];
        let is_cut_off = process.life != who.life || process.session != Some(session);
        if process.is_given_up && !is_cut_off {
            self.fates.lost_sight(request, false);
            return Ok(());
        }
        if is_cut_off {
            let is_scheduled = matches!(letter, Letter::Ladder { .. } | Letter::CopyNoted(..))
                && self.waits_for_its_time(request);
            self.fates.lost_sight(request, is_scheduled);
            if self.chance.percent(50) {
                return Ok(());
            }
        }
        let back = self.hop();
        if self.chance.percent(self.plan.network.nack_percent) {
            self.after(back, Event::Refused(operation, trial));
            return Ok(());
        }
        match letter {
            Letter::Dead => self.fates.dead(request),
            Letter::Result(report) | Letter::Repeat(report) => {
                self.note(|| format!("request {request} has the result {report:?}"));
                let ended = (Word::of(report.status), report.completed_at / 1_000);
                self.end(request, report)?;
                self.write_result(request, Told::Ended, stamp, Some(ended));
            }
            Letter::CopyNoted(hops, word) => {
                let away = word.map(|word| (word, self.now().wall_ms / 1_000));
                self.write_result(request, Told::Copied(hops), stamp, away);
            }
            Letter::Ladder { delay_s, history } => {
                let tag = self.operations.get(&operation).map(|of| of.held.tag);
                let is_second = tag.is_some_and(|tag| {
                    self.is_alive(who) && self.shell_mut(who).doubtful.contains(&tag)
                });
                ensure(!is_second || history.copied_ms > 0, "P3", || {
                    format!(
                        "request {request} may have two copies now, and the second does not say so"
                    )
                })?;
                self.note(|| format!("request {request} is on the ladder for {delay_s} s"));
                let copy = Copy {
                    request,
                    lane: who.lane,
                    high: self.plan.requests[request].high,
                    history,
                    redelivered: false,
                    returns: 0,
                    position: 0,
                };
                self.climb(copy, delay_s);
            }
        }
        self.after(back, Event::Confirm(operation, trial));
        Ok(())
    }

    pub(super) fn confirmed(&mut self, operation: OperationNo, trial: u64) -> Checked {
        if let Some(publishing) = self.current(operation, trial) {
            publishing.letters.pop_front();
            self.step(operation);
        }
        Ok(())
    }

    pub(super) fn refused(&mut self, operation: OperationNo, trial: u64) {
        if let Some(publishing) = self.current(operation, trial) {
            if publishing.letters.front().is_some_and(Letter::is_optional) {
                return self.pass_over(operation);
            }
            self.tally.count("publish refused");
            self.after(1_000_000, Event::Again(operation, trial));
        }
    }

    pub(super) fn again(&mut self, operation: OperationNo, trial: u64) {
        if self.current(operation, trial).is_some() {
            self.step(operation);
        }
    }

    fn current(&mut self, operation: OperationNo, trial: u64) -> Option<&mut Publishing> {
        self.operations
            .get_mut(&operation)
            .filter(|publishing| publishing.trial == trial)
    }

    pub(super) fn done(&mut self, operation: OperationNo) -> Checked {
        let Some(who) = self
            .operations
            .get(&operation)
            .map(|operation| operation.who)
        else {
            return Ok(());
        };
        if self.is_alive(who) && self.shell_mut(who).driver.is_leaving() {
            // Nobody looks at it meanwhile.
            self.after(1_000, Event::Done(operation));
            return Ok(());
        }
        let Some(publishing) = self.operations.remove(&operation) else {
            return Ok(());
        };
        self.obey(who)?;
        let confirmed = publishing.confirmed && self.flaw != Some(Flaw::ForgetsConfirms);
        let shell = self.shell_mut(who);
        match publishing.ticket {
            Some(ticket) => {
                shell.driver.settled(ticket, confirmed);
                shell.conduct.settled(ticket, publishing.confirmed);
            }
            None => shell.driver.refused(),
        }
        self.turn(who)
    }
}
