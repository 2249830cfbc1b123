//! The last two steps, for every way a request can end: publish what was decided, wait for the confirm, then settle.
//! In that order, so that a crash between the two repeats a result and never loses one.

mod trace;

use crate::broker::acknowledge::Settled;
use crate::broker::delivery::Delivery;
use crate::broker::publish::{Confirmed, Published, Publisher};
use crate::broker::results_log::FoundResult;
use crate::broker::unsettled::Unsettled;
use crate::clock::Clock;
use crate::contract::result::{ErrorDocument, ResultDocument};
use crate::contract::words::{Class, POISON, Priority, Status, UNKNOWN_NUMBER};
use crate::core::request::decide::Decision;
use crate::core::request::intake::Refusal;
use crate::core::request::message::{LaneId, Message};
use crate::metrics::{LaneMetrics, Metrics};
use crate::roles::dispatcher::recall::{Memory, Recall};
use std::sync::Arc;
use std::time::Duration;

/// Ends requests: publishes, waits for the confirm, settles.
pub struct Concluder {
    pub publisher: Publisher,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub recall: Memory,
}

impl Concluder {
    /// Carries out a decision. True if what it published is confirmed, whether or not the delivery could still be settled; false if
    /// RabbitMQ has the request again.
    pub async fn decision(
        &self,
        lane: &LaneMetrics,
        mut delivery: Delivery,
        decision: Decision,
        found: Option<FoundResult>,
        priority: Priority,
    ) -> bool {
        let unsettled = delivery.ends();
        if let Some(journey) = delivery.journey() {
            journey.ends(trace::end(&decision));
        }
        let confirmed = match decision {
            Decision::Finish(report) => self.result(lane, &delivery, &report, priority).await,
            Decision::Bury(report) => {
                let code = report.error.as_ref().and_then(|error| error.code);
                let (reason, flagged) = (report.dead_reason(), report.possible_duplicate);
                match self.bury(&delivery, reason, code, flagged).await {
                    Some(_) => self.result(lane, &delivery, &report, priority).await,
                    None => None,
                }
            }
            Decision::Delay { delay_s, message } => {
                match self.publisher.delayed(&delivery, &message, delay_s).await {
                    Published::Taken(confirmed) => {
                        lane.delayed.inc();
                        let now_ms = self.clock.now().wall_ms;
                        self.publisher.note_copy(&delivery, &message, now_ms).await;
                        Some(confirmed)
                    }
                    Published::GivenBack => None,
                    Published::Never => self.undelayable(lane, &delivery, &message).await,
                }
            }
            Decision::Repeat { flagged } => match found {
                Some(found) => {
                    let published = self.publisher.republish(&delivery, &found, flagged).await;
                    self.told_or_kept(&delivery, published, false).await
                }
                None => {
                    // Unreachable: to repeat is decided on nothing else.
                    tracing::error!("a result to repeat is missing");
                    None
                }
            },
            Decision::Duplicate {
                report,
                delay_s,
                copy,
            } => {
                let found = self.recall.result(&report).await;
                self.duplicate(lane, &delivery, &report, (copy, delay_s), found)
                    .await
            }
            Decision::Forget => Some(Confirmed::earlier()),
            Decision::Abandon => None,
        };
        self.settle(delivery, confirmed, unsettled)
    }

    /// Answers by the result of the earlier request; or looks again later, if the log cannot be read.
    async fn duplicate(
        &self,
        lane: &LaneMetrics,
        delivery: &Delivery,
        report: &ResultDocument,
        (copy, delay_s): (Message, u32),
        found: Recall,
    ) -> Option<Confirmed> {
        let published = match found {
            Recall::Result(found) => self.publisher.duplicate(delivery, &found).await,
            Recall::Nothing => self.publisher.result(delivery, report).await,
            Recall::Unread => {
                let published = self.publisher.delayed(delivery, &copy, delay_s).await;
                if matches!(published, Published::Taken(_)) {
                    let now_ms = self.clock.now().wall_ms;
                    self.publisher.note_copy(delivery, &copy, now_ms).await;
                }
                return self.told_or_kept(delivery, published, false).await;
            }
        };
        let confirmed = self.told_or_kept(delivery, published, false).await?;
        lane.duplicates.inc();
        Some(confirmed)
    }

    /// Answers what cannot be sent at once; what cannot even be identified is kept in `wa.dead` first.
    pub async fn refusal(
        &self,
        metrics: &LaneMetrics,
        lane: &LaneId,
        mut delivery: Delivery,
        refusal: Refusal,
    ) {
        let unsettled = delivery.ends();
        if let Some(journey) = delivery.journey() {
            journey.ends(trace::end_of_a_refusal());
        }
        if let Some(reason) = refusal.dead_reason
            && self.bury(&delivery, reason, None, false).await.is_none()
        {
            return delivery.give_back();
        }
        let error = ErrorDocument::from_faults(refusal.faults);
        let (inbound, now) = (delivery.inbound(), self.clock.now());
        let report = ResultDocument::unread(&inbound, lane, Status::Rejected, Some(error), now);
        let priority = Priority::of(inbound.priority);
        let confirmed = self.result(metrics, &delivery, &report, priority).await;
        self.settle(delivery, confirmed, unsettled);
    }

    /// Answers what RabbitMQ could not put into a lane, or took out of one.
    pub async fn unrouted(&self, mut delivery: Delivery) {
        if let Some(journey) = delivery.journey() {
            journey.received(None);
        }
        let (lane, inbound) = (LaneId::new(delivery.lane()), delivery.inbound());
        let now = self.clock.now();
        let Some(reason) = delivery.dead_lettered() else {
            self.metrics.unrouted.inc();
            let report = ResultDocument::unread(
                &inbound,
                &lane,
                Status::Rejected,
                Some(unknown_number()),
                now,
            );
            if let Some(journey) = delivery.journey() {
                journey.ends(trace::end_of(&report));
            }
            let published = self.publisher.result(&delivery, &report).await;
            let confirmed = self.told_or_kept(&delivery, published, false).await;
            self.settle(delivery, confirmed, None);
            return;
        };
        let (status, error) = if reason == "expired" {
            (Status::Expired, None)
        } else {
            let flagged = inbound.delivery_count > 0;
            if self.bury(&delivery, reason, None, flagged).await.is_none() {
                return delivery.give_back();
            }
            let error = ErrorDocument::own(Class::Transient.as_str(), "dead-lettered by RabbitMQ");
            (Status::Failed, Some(error))
        };
        let mut report = ResultDocument::unread(&inbound, &lane, status, error, now);
        // Handed out before, it may have been sent.
        report.possible_duplicate |= inbound.delivery_count > 0;
        let metrics = self.metrics.lane(lane.as_str());
        let priority = Priority::of(inbound.priority);
        if let Some(journey) = delivery.journey() {
            journey.ends(trace::end_of(&report));
        }
        let confirmed = self.result(&metrics, &delivery, &report, priority).await;
        self.settle(delivery, confirmed, None);
    }

    async fn bury(
        &self,
        delivery: &Delivery,
        reason: &str,
        code: Option<i64>,
        flagged: bool,
    ) -> Option<Confirmed> {
        let now_ms = self.clock.now().wall_ms;
        let dead = self.publisher.dead(delivery, reason, code, flagged, now_ms);
        let confirmed = dead.await?;
        self.metrics.dead_letters.inc();
        Some(confirmed)
    }

    /// Keeps the request where its result cannot be published. It may have been sent, as whoever publishes it again is told.
    async fn told_or_kept(
        &self,
        delivery: &Delivery,
        published: Published,
        outlives_delivery: bool,
    ) -> Option<Confirmed> {
        match published {
            Published::Taken(confirmed) => Some(confirmed),
            Published::GivenBack => None,
            Published::Never => self.keep(delivery, outlives_delivery).await,
        }
    }

    /// A request whose copy for later cannot be published ends.
    async fn undelayable(
        &self,
        lane: &LaneMetrics,
        delivery: &Delivery,
        message: &Message,
    ) -> Option<Confirmed> {
        self.keep(delivery, false).await?;
        let why = "RabbitMQ ends each connection on which it is published for later";
        let error = ErrorDocument::own(POISON, why);
        let (id, now) = (LaneId::new(delivery.lane()), self.clock.now());
        let report = ResultDocument::new(message, &id, Status::Failed, Some(error), now);
        self.result(lane, delivery, &report, message.priority).await
    }

    async fn keep(&self, delivery: &Delivery, outlives_delivery: bool) -> Option<Confirmed> {
        tracing::error!(
            phone_number_id = self.metrics.label(delivery.lane()),
            "RabbitMQ ends each connection on which something is published of a request: it is kept in wa.dead"
        );
        let now_ms = self.clock.now().wall_ms;
        let kept = self
            .publisher
            .unpublishable(delivery, outlives_delivery, now_ms);
        let confirmed = kept.await?;
        self.metrics.dead_letters.inc();
        Some(confirmed)
    }

    async fn result(
        &self,
        lane: &LaneMetrics,
        delivery: &Delivery,
        report: &ResultDocument,
        priority: Priority,
    ) -> Option<Confirmed> {
        let published = self.publisher.result(delivery, report).await;
        let told = self.told_or_kept(delivery, published, report.is_the_apis());
        let confirmed = told.await?;
        lane.ended(report.status, priority);
        for tag in delivery.tags() {
            self.metrics.tagged(tag, report.status);
        }
        if let Some(operation) = report.operation {
            let labels = [operation, report.status.as_str()];
            self.metrics.operations.with_label_values(&labels).inc();
        }
        if report.possible_duplicate {
            self.metrics.possible_duplicates.inc();
        }
        if let Some(at) = report.enqueued_at {
            let took = seconds_between(at, self.clock.now().wall_ms);
            lane.end_to_end(priority).observe(took);
        }
        Some(confirmed)
    }

    /// True if there is a proof that the delivery is not needed any more.
    fn settle(
        &self,
        delivery: Delivery,
        confirmed: Option<Confirmed>,
        unsettled: Option<Unsettled>,
    ) -> bool {
        let Some(confirmed) = confirmed else {
            delivery.give_back();
            return false;
        };
        if delivery.settle(confirmed, unsettled) == Settled::Void {
            self.metrics.settled_void.inc();
        }
        true
    }
}

pub fn seconds_between(then_ms: u64, now_ms: u64) -> f64 {
    Duration::from_millis(now_ms.saturating_sub(then_ms)).as_secs_f64()
}

fn unknown_number() -> ErrorDocument {
    let details = "the routing key must be a phone_number_id of the workers' [[accounts.numbers]]";
    ErrorDocument {
        details: Some(details.to_owned()),
        ..ErrorDocument::own(UNKNOWN_NUMBER, "no worker serves this phone_number_id")
    }
}
