//! What became of each request: P1 and P3, checked whenever something happens to it.
//!
//! What is promised of repeats, as it is checked here:
//! * The API takes a request a second time only if there was a *cause* before: an outcome that may have been a send and that the
//!   policy repeats (`Unknown` with `on-unknown: resend`, a transient error that proves nothing), or a delivery that was lost
//!   (session, channel or process gone) after something of it had left the worker: a send, or a publish.
//!   A copy for the ladder of what was not due yet is such a cause only if the original, which came again, was due by then and sent,
//!   and the copy comes to another process: for the first time, and without a mark, as it was written before the original came again.
//! * Then at least one of its results says `possible_duplicate`; with one result, that one. (Two results that differ exist only
//!   where a delivery or a confirm was lost between the delay ladder and the acknowledgement: the copy on the ladder does not
//!   know of the original's second life.)
//!   Not so if the process that sent it again died or lost its session before it said so, and another answers from what it remembers of the
//!   first send: two workers and two failures.
//!   Nor if a delivery came back although its copy was on the ladder (its acknowledgement was lost): then one life of the two
//!   may be taken for the other, and forgotten with what it knew.
//! * There is one result, unless a delivery or a confirm was lost; and it speaks the truth about the API's ledger.

use super::checks::{Checked, Violation, ensure};
use super::plan::{Request, RequestNo};
use super::worker::Who;
use std::sync::Arc;
use whatsapp_dispatcher::contract::result::ResultDocument;
use whatsapp_dispatcher::contract::words::Status;

#[derive(Default)]
struct Fate {
    is_published: bool,
    sends: u32,
    /// Outcomes that count as an attempt.
    attempts: u32,
    /// For the ladder, if only for a publish that was lost: its place in the order is gone.
    has_left: bool,
    /// It has met alone what stops others, and must be known for it.
    is_blamed: bool,
    wamids: Vec<String>,
    /// A second send has a cause.
    may_repeat: bool,
    /// A copy of it may be on the ladder of which nobody knows.
    has_stray_copy: bool,
    /// Which life of which worker sent last what it knew to be sent already, perhaps.
    doubtful_sender: Option<(usize, u64)>,
    /// A second result has a cause.
    may_answer_twice: bool,
    /// A process died, or let go of it, that might have been the one to say that it was sent again.
    witness_gone: bool,
    /// A delivery came back although its copy was on the ladder: two lives under one id.
    has_twin: bool,
    /// `possible_duplicate` has a cause.
    may_be_flagged: bool,
    results: Vec<Arc<ResultDocument>>,
    dead_letters: u32,
}

pub(crate) struct Fates(Vec<Fate>);

impl Fates {
    pub(crate) fn new(requests: usize) -> Self {
        Self((0..requests).map(|_| Fate::default()).collect())
    }

    pub(crate) fn published(&mut self, request: RequestNo) {
        self.0[request].is_published = true;
    }

    pub(crate) fn is_published(&self, request: RequestNo) -> bool {
        self.0[request].is_published
    }

    /// True for its first send. `is_marked`: it was delivered before, or says that there may be two copies of it.
    pub(crate) fn sent(&mut self, request: RequestNo, who: Who, is_marked: bool) -> bool {
        let fate = &mut self.0[request];
        fate.sends += 1;
        let sender = (who.worker, who.life);
        let others = fate.doubtful_sender.filter(|other| *other != sender);
        fate.may_repeat |= fate.has_stray_copy && others.is_some() && !is_marked;
        if is_marked {
            fate.doubtful_sender = Some(sender);
        }
        fate.sends == 1
    }

    pub(crate) fn blamed(&mut self, request: RequestNo) {
        self.0[request].is_blamed = true;
    }

    /// Unless a delivery or a confirm was lost, it is known in whatever lane and worker it comes to.
    pub(crate) fn check_blame(&self, request: RequestNo, is_blamed: bool) -> Checked {
        let fate = &self.0[request];
        ensure(
            is_blamed || !fate.is_blamed || fate.may_answer_twice,
            "P8",
            || format!("request {request} was blamed, and nobody knows"),
        )
    }

    pub(crate) fn leaves(&mut self, request: RequestNo) {
        self.0[request].has_left = true;
    }

    pub(crate) fn has_left(&self, request: RequestNo) -> bool {
        self.0[request].has_left
    }

    pub(crate) fn redelivered(&mut self, request: RequestNo) {
        self.0[request].may_be_flagged = true;
    }

    /// An outcome was about the message itself.
    pub(crate) fn attempted(&mut self, request: RequestNo) {
        self.0[request].attempts += 1;
    }

    /// An outcome that leaves open whether it was sent; `repeats` if it is to be sent again.
    pub(crate) fn unsure(&mut self, request: RequestNo, repeats: bool) {
        self.0[request].may_be_flagged = true;
        self.0[request].may_repeat |= repeats;
    }

    /// Its delivery, of which something had left the worker, or the confirm of what was published for it, was lost. `is_scheduled`: that
    /// was a copy for the ladder of what was not due yet, and no cause to send it twice.
    pub(crate) fn lost_sight(&mut self, request: RequestNo, is_scheduled: bool) {
        let fate = &mut self.0[request];
        fate.may_answer_twice = true;
        fate.may_repeat |= !is_scheduled;
        fate.has_stray_copy |= is_scheduled;
    }

    /// A process dies with the request in flight or with its result unpublished, or leaves it to its next delivery.
    pub(crate) fn let_go(&mut self, request: RequestNo) {
        self.0[request].witness_gone |= self.0[request].sends > 1;
    }

    pub(crate) fn has_twin(&mut self, request: RequestNo) {
        self.0[request].has_twin = true;
    }

    /// A process forgets a delivery because it has ended another one of the same name.
    pub(crate) fn forgotten(&mut self, request: RequestNo) {
        self.0[request].witness_gone |= self.0[request].has_twin;
    }

    /// The log of results has one of it.
    pub(crate) fn has_ended(&self, request: RequestNo) -> bool {
        !self.0[request].results.is_empty()
    }

    pub(crate) fn first_result(&self, request: RequestNo) -> Option<Arc<ResultDocument>> {
        self.0[request].results.first().cloned()
    }

    pub(crate) fn dead(&mut self, request: RequestNo) {
        self.0[request].dead_letters += 1;
    }

    /// The API took it.
    pub(crate) fn taken(&mut self, request: RequestNo, wamid: String) -> Checked {
        let fate = &mut self.0[request];
        fate.wamids.push(wamid);
        ensure(fate.wamids.len() == 1 || fate.may_repeat, "P3", || {
            format!("request {request} reached the API twice without a cause")
        })
    }

    pub(crate) fn result(
        &mut self,
        request: RequestNo,
        facts: &Request,
        report: Arc<ResultDocument>,
    ) -> Checked {
        let fate = &mut self.0[request];
        ensure(
            fate.results.is_empty() || fate.may_answer_twice,
            "P1",
            || format!("request {request} got a second result without a cause"),
        )?;
        ensure(
            !report.possible_duplicate || fate.may_be_flagged,
            "P3",
            || format!("request {request} is flagged possible_duplicate without a cause"),
        )?;
        ensure(report.id.as_deref() == facts.id.as_deref(), "P1", || {
            format!("request {request} was answered under another id")
        })?;
        ensure(
            report.attempts == fate.attempts || fate.may_answer_twice,
            "P4",
            || {
                let (told, made) = (report.attempts, fate.attempts);
                format!(
                    "request {request} has made {made} attempts, and its result tells of {told}"
                )
            },
        )?;
        let fits = match report.status {
            Status::Accepted if facts.is_receipt => report.wamid.is_none(),
            Status::Accepted => {
                let wamid = report.wamid.as_ref();
                facts.is_valid && wamid.is_some_and(|wamid| fate.wamids.contains(wamid))
            }
            Status::Rejected => {
                facts.is_valid
                    != report
                        .error
                        .as_ref()
                        .is_some_and(|error| error.at.is_some())
            }
            Status::Expired => facts.expires_at_ms.is_some(),
            Status::Failed => fate.dead_letters > 0,
            Status::Unknown => fate.may_be_flagged && report.possible_duplicate,
        };
        ensure(fits, "P1", || {
            format!("request {request} has the result {report:?}, which does not fit its story")
        })?;
        // Whoever is told "not sent" must be able to rely on it.
        let is_silent = report.status != Status::Accepted && !report.possible_duplicate;
        ensure(
            !is_silent || fate.wamids.is_empty() || fate.may_answer_twice,
            "P3",
            || format!("request {request} was sent, and its result says {report:?}"),
        )?;
        fate.results.push(report);
        Ok(())
    }

    /// An earlier one's result answers it.
    pub(crate) fn duplicate(&mut self, request: RequestNo, report: Arc<ResultDocument>) -> Checked {
        let fate = &mut self.0[request];
        let is_first = fate.results.is_empty() || fate.may_answer_twice;
        ensure(is_first, "P1", || {
            format!("request {request} got a second result without a cause")
        })?;
        fate.results.push(report);
        Ok(())
    }

    pub(crate) fn results(&self, request: RequestNo) -> &[Arc<ResultDocument>] {
        &self.0[request].results
    }

    /// When all is over.
    pub(crate) fn close(&self) -> Checked {
        for (request, fate) in self.0.iter().enumerate() {
            if fate.is_published && fate.results.is_empty() {
                return Violation::of("P1", format!("request {request} has no result"));
            }
            let flagged = fate.results.iter().any(|report| report.possible_duplicate);
            if fate.wamids.len() > 1 && !flagged && !fate.witness_gone {
                let what = format!(
                    "request {request} reached the API {} times and no result says so",
                    fate.wamids.len()
                );
                return Violation::of("P3", what);
            }
        }
        Ok(())
    }

    /// For the tally.
    pub(crate) fn repeated(&self) -> usize {
        self.0.iter().filter(|fate| fate.wamids.len() > 1).count()
    }
}
