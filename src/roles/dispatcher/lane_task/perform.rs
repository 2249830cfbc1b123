//! Performs what the driver of a lane wants done: claims, sends, questions, ends; and tells it what has come of that.

use super::{Done, LaneTask, trace};
use crate::broker::delivery::Delivery;
use crate::broker::results_log::{Found, FoundResult};
use crate::core::Now;
use crate::core::evidence::search::Question;
use crate::core::lane::dedupe::{Read, Recalled};
use crate::core::lane::driver::{Budget, Command};
use crate::core::lane::{Attempt, Evidence, Resolved, Ticket};
use crate::core::media::links::Source;
use crate::core::media::upload::{Uploaded, Wanted};
use crate::core::operation::Operation;
use crate::core::operation::call::Content;
use crate::core::outcome::answer::Reply;
use crate::core::request::decide::Decision;
use crate::core::request::intake::Refusal;
use crate::core::request::message::Message;
use crate::roles::dispatcher::conclude::seconds_between;
use crate::roles::dispatcher::intake::take_in;
use crate::roles::dispatcher::media::Uploading;
use crate::roles::dispatcher::recall::Parts;
use futures_util::future::OptionFuture;
use futures_util::{FutureExt, StreamExt};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

impl LaneTask {
    pub(super) fn perform(&mut self) {
        self.perform_with(None);
    }

    /// `found`: the result of that ticket's request, should it be decided to publish it again.
    fn perform_with(&mut self, mut found: Option<(Ticket, FoundResult)>) {
        while let Some(command) = self.driver.next_command() {
            match command {
                Command::Claim => self.claim = Some(self.common.board.claim(self.driver.id())),
                Command::Check(delivery) => self.check(delivery),
                Command::Refuse { delivery, refusal } => self.refuse(delivery, refusal),
                Command::Ask { ticket, question } => self.ask(ticket, question),
                Command::Recall(read) => self.recall(read),
                Command::Upload(wanted) => self.upload(wanted),
                Command::Send(attempt) => self.send(attempt),
                Command::Conclude { delivery, resolved } => {
                    let found = found.take_if(|(ticket, _)| *ticket == resolved.ticket);
                    self.conclude(delivery, resolved, found.map(|(_, found)| found));
                }
                Command::Void(delivery) => delivery.give_back(),
                Command::Found(finding) => self.common.board.found(self.driver.id(), &finding),
                Command::ReadLimit => self.handle.limit_is_stale.notify_one(),
                Command::Overruled => {
                    let phone_number_id = self.driver.id();
                    tracing::warn!(%phone_number_id, "another worker took the lane: leaving it");
                }
                Command::NoDelivery(_) => {
                    let phone_number_id = self.driver.id();
                    tracing::error!(%phone_number_id, "a decision without its delivery");
                }
            }
        }
    }

    fn check(&mut self, mut delivery: Delivery) {
        if delivery.is_turned_back() {
            self.driver.turn_back(&delivery.inbound());
            return delivery.give_back();
        }
        let now = self.common.clock.now();
        if delivery.redelivered {
            self.common.metrics.redelivered.inc();
        } else if delivery.is_transient() {
            self.observer.got_transient(now);
        }
        let checked = take_in(&mut delivery, &self.common.intake, now);
        if let Ok(message) = &checked {
            self.note_first_sight(message, now);
        }
        self.driver.checked(delivery, checked, now);
    }

    /// Tells of a request once, and not again when it comes back from the ladder.
    fn note_first_sight(&mut self, message: &Message, now: Now) {
        if message.history.hops > 0 {
            return;
        }
        if let Some(at) = message.enqueued_at_ms {
            let queue_wait = self.observer.metrics.queue_wait(message.priority);
            queue_wait.observe(seconds_between(at, now.wall_ms));
        }
        if let Some(warnings) = message.warnings.as_deref().filter(|_| !message.redelivered) {
            self.observer.warned(warnings, now);
        }
    }

    fn refuse(&mut self, delivery: Delivery, refusal: Refusal) {
        let (concluder, metrics) = (self.common.concluder.clone(), self.observer.metrics.clone());
        let lane = self.driver.id().clone();
        let refusing = async move {
            concluder.refusal(&metrics, &lane, delivery, refusal).await;
            Done::Refused
        };
        self.work.push(refusing.boxed());
    }

    fn ask(&mut self, ticket: Ticket, question: Question) {
        let evidence = self.common.evidence.clone();
        let asking = async move {
            let found = evidence.of(question).await;
            Done::Evidence { ticket, found }
        };
        self.work.push(asking.boxed());
    }

    fn recall(&mut self, read: Read) {
        let number = read.number;
        let searched = read.only.as_ref().map_or(0, |only| only.len());
        let searches = &self.observer.metrics.dedupe_searches;
        searches.inc_by(u64::try_from(searched).unwrap_or(u64::MAX));
        let memory = &self.common.concluder.recall;
        let parts = memory.notes(self.driver.id().clone(), read);
        self.work.push(next_part(number, parts).boxed());
    }

    fn recalled(&mut self, number: u64, recalled: Recalled, rest: Parts) {
        let now = self.common.clock.now();
        if self.driver.recalled(number, recalled, now) {
            self.work.push(next_part(number, rest).boxed());
        }
    }

    fn upload(&mut self, wanted: Wanted) {
        let source = wanted.source.clone();
        let lane = self.driver.id().clone();
        let uploading = self.common.uploads.upload(lane, wanted, self.token.clone());
        self.work.push(next_word(source, uploading).boxed());
    }

    fn uploaded(&mut self, source: Source, uploaded: Uploaded, rest: Option<Uploading>) {
        let now = self.common.clock.now();
        self.driver.uploaded(source.clone(), uploaded, now);
        if let Some(rest) = rest {
            self.work.push(next_word(source, rest).boxed());
        }
    }

    fn send(&mut self, attempt: Attempt) {
        let Attempt {
            ticket,
            call,
            priority,
            waited,
            would_wait,
        } = attempt;
        if would_wait {
            self.observer.metrics.shadow_waits.inc();
        }
        let pacing_wait = self.observer.metrics.pacing_wait(priority);
        pacing_wait.observe(waited.as_secs_f64());
        self.trace_pace(ticket);
        let (common, token) = (self.common.clone(), self.token.clone());
        #[cfg(debug_assertions)]
        if let Some(delivery) = self.driver.delivery(ticket) {
            super::test_panic::panic_at(delivery.id());
        }
        let operation = call.operation;
        let sending = async move {
            let started = Instant::now();
            let reply = match call.body {
                Some(Content::File(_)) => common.uploads.send(call, token).await,
                Some(Content::Json(_) | Content::Form(_)) | None => {
                    common.graph.send(call, &token).await
                }
            };
            Done::Answered {
                ticket,
                operation,
                reply,
                took: started.elapsed(),
            }
        };
        self.work.push(sending.boxed());
    }

    fn conclude(&mut self, delivery: Delivery, resolved: Resolved, found: Option<FoundResult>) {
        let Resolved {
            ticket,
            priority,
            decision,
        } = resolved;
        let (concluder, metrics) = (self.common.concluder.clone(), self.observer.metrics.clone());
        let moves = matches!(decision, Decision::Delay { .. }).then(|| self.moves.clone());
        let concluding = async move {
            // The semaphore is never closed.
            let _move = OptionFuture::from(moves.map(Semaphore::acquire_owned)).await;
            let confirmed = concluder
                .decision(&metrics, delivery, decision, found, priority)
                .await;
            Done::Settled { ticket, confirmed }
        };
        self.work.push(concluding.boxed());
    }

    /// Takes what has finished, as far as one turn goes.
    pub(super) fn finish_all_ready(&mut self, done: Done) {
        self.finish(done);
        let clock = self.common.clock;
        let mut budget = Budget::new(clock.now().mono);
        while let Some(Some(done)) = self.work.next().now_or_never() {
            self.finish(done);
            if !budget.spend(0, clock.now().mono) {
                self.is_cut_short = true;
                return;
            }
        }
    }

    fn finish(&mut self, done: Done) {
        let mut repeated = None;
        match done {
            Done::Answered {
                ticket,
                operation,
                reply,
                took,
            } => self.answered(ticket, operation, reply, took),
            Done::Settled { ticket, confirmed } => self.driver.settled(ticket, confirmed),
            Done::Recalled {
                number,
                recalled,
                rest,
            } => self.recalled(number, recalled, rest),
            Done::Uploaded {
                source,
                uploaded,
                rest,
            } => self.uploaded(source, uploaded, rest),
            Done::Refused => self.driver.refused(),
            Done::Evidence { ticket, found } => {
                let evidence = match found {
                    Some(Found::Result(result)) => {
                        if let Some((status, at_s)) = result.ended() {
                            self.driver.heard(ticket, status, at_s);
                        }
                        repeated = Some((ticket, result));
                        Evidence::Result
                    }
                    Some(Found::Copy) => Evidence::Copy,
                    None => Evidence::Nothing,
                };
                self.driver
                    .evidence(ticket, evidence, self.common.clock.now());
            }
        }
        self.perform_with(repeated);
    }

    fn answered(&mut self, ticket: Ticket, operation: Operation, reply: Reply, took: Duration) {
        self.observer.replied(&reply, &self.common.rules);
        let usage = reply.usage();
        let traced = self.common.spans.as_ref().map(|_| trace::answer(&reply));
        let outcome = self.common.rules.judge_of(operation, reply);
        self.observer.attempted(&outcome, took);
        if let Some(answer) = traced {
            self.trace_send(ticket, operation, &outcome, answer, took);
        }
        let now = self.common.clock.now();
        self.driver
            .answered(ticket, outcome, usage, fastrand::f64(), now);
    }
}

async fn next_word(source: Source, uploading: Uploading) -> Done {
    let (uploaded, rest) = uploading.next().await;
    Done::Uploaded {
        source,
        uploaded,
        rest,
    }
}

async fn next_part(number: u64, mut parts: Parts) -> Done {
    let recalled = parts.next().await;
    Done::Recalled {
        number,
        recalled,
        rest: parts,
    }
}
