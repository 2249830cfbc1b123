//! The lane's consumer: what it delivers, and what becomes of that when it is lost or left.

use super::budget::Budget;
use super::claim::Claim;
use super::conclude::seconds_between;
use super::consumer::Event;
use super::{Done, LaneTask};
use crate::broker::consume::Ended;
use crate::broker::delivery::Delivery;
use crate::broker::results_log::Found;
use crate::core::lane::{Evidence, Joined, Ticket};
use crate::core::recent::Identity;
use crate::core::search::{Former, Question, Wanted};
use crate::core::tenure::{Unread, Unsent, unsent_of_unread};
use futures_util::FutureExt;
use std::time::Duration;

/// Longest that a lane which leaves waits for the others to be told what it gives back: with it, hundreds may leave. A log that takes
/// nothing at all is given up sooner.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// How long nothing may come before nothing is on its way: to a lane that holds as much as RabbitMQ may have given it, and to one that
/// holds less, which more may reach as long as RabbitMQ is busy with hundreds that leave together.
const ON_ITS_WAY: Duration = Duration::from_millis(10);
const MORE_ON_ITS_WAY: Duration = Duration::from_millis(250);

impl LaneTask {
    pub(super) fn heed(&mut self, event: Event) {
        let phone_number_id = self.lane.id();
        match event {
            Event::Delivered(delivery) => self.take_all_ready(delivery),
            Event::Opened { prefetch } => {
                self.lane.rejoined(prefetch, self.shared.now());
            }
            Event::NotOpened(error) => {
                tracing::warn!(%phone_number_id, %error, "cannot subscribe to the lane: trying again");
            }
            // Told once, where the connection is watched.
            Event::Lost(Ended::WithItsConnection) => self.channel_lost(),
            Event::Lost(reason) => self.consumer_lost(&reason),
            Event::Reassigned => {}
            Event::SessionChanged => {
                self.channel_lost();
                self.let_its_owner_first();
            }
        }
    }

    /// When all have lost RabbitMQ, whoever had a lane knows what became of its requests; anybody else would have to send them again.
    /// An earlier life of this worker knows nothing any more.
    fn let_its_owner_first(&mut self) {
        let orders = self.orders.borrow();
        let owner = orders.owner.as_ref();
        let is_anothers = owner.is_some_and(|owner| *owner.worker != *self.shared.worker_id);
        let Some(owner) = owner.filter(|_| is_anothers && self.consumer.is_back()) else {
            return;
        };
        // Once: a RabbitMQ that comes and goes must not leave a lane to the dead for ever.
        let is_news = self
            .left_to
            .as_ref()
            .is_none_or(|(left_to, _)| left_to != owner);
        if is_news {
            let until = self.shared.now().mono + self.shared.owner_first;
            self.left_to = Some((owner.clone(), until));
        }
        if let Some((_, until)) = &self.left_to {
            self.consumer.hold_off(*until);
        }
    }

    /// What is ready, as far as one turn goes.
    fn take_all_ready(&mut self, first: Delivery) {
        let clock = self.shared.concluder.clock;
        let mut budget = Budget::new(clock.now().mono);
        let mut next = first;
        loop {
            let bytes = next.body.len();
            self.arrive(next);
            if !budget.spend(bytes, clock.now().mono) {
                self.is_cut_short = true;
                return;
            }
            match self.consumer.next_now(|| clock.now().mono) {
                Some(Event::Delivered(delivery)) => next = delivery,
                Some(
                    other @ (Event::Opened { .. }
                    | Event::NotOpened(_)
                    | Event::Lost(_)
                    | Event::Reassigned
                    | Event::SessionChanged),
                ) => return self.heed(other),
                None => return,
            }
        }
    }

    /// The lane is ours, and something that was delivered before is not read yet.
    pub(super) fn has_unread(&self) -> bool {
        self.claim.is_held() && !self.unclaimed.is_empty()
    }

    /// What was delivered before the lane was ours, as far as one turn goes.
    pub(super) fn take_unclaimed(&mut self) {
        let clock = self.shared.concluder.clock;
        let mut budget = Budget::new(clock.now().mono);
        while let Some(delivery) = self.unclaimed.pop_front() {
            let bytes = delivery.body.len();
            self.take(delivery);
            if !budget.spend(bytes, clock.now().mono) {
                self.is_cut_short = true;
                return;
            }
        }
    }

    /// A delivery waits until the lane is ours, and behind those that have waited for that.
    fn arrive(&mut self, mut delivery: Delivery) {
        delivery.bound_body(self.shared.intake.max_body_bytes);
        if !self.is_ours() || !self.unclaimed.is_empty() {
            return self.unclaimed.push_back(delivery);
        }
        self.take(delivery);
    }

    fn take(&mut self, mut delivery: Delivery) {
        let now = self.shared.now();
        if delivery.redelivered {
            self.shared.concluder.metrics.redelivered.inc();
        } else if delivery.is_transient() {
            self.observer.got_transient(now);
        }
        let message = match self.shared.intake(&mut delivery, now) {
            Ok(message) => message,
            Err(refusal) => {
                let (shared, metrics) = (self.shared.clone(), self.observer.metrics.clone());
                let lane = self.lane.id().clone();
                let answering = async move {
                    shared
                        .concluder
                        .refusal(&metrics, &lane, delivery, refusal)
                        .await;
                    Done::Refused
                };
                return self.work.push(answering.boxed());
            }
        };
        if let Some(at) = message.enqueued_at_ms.filter(|_| message.history.hops == 0) {
            let waited = seconds_between(at, now.wall_ms);
            self.observer
                .metrics
                .queue_wait(message.priority)
                .observe(waited);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        match self.lane.accept(message, ticket, now) {
            Joined::Waits => drop(self.deliveries.insert(ticket, delivery)),
            Joined::Asks => {
                self.ask_for_evidence(ticket, &delivery);
                self.deliveries.insert(ticket, delivery);
            }
            Joined::Decided(resolved) => {
                self.deliveries.insert(ticket, delivery);
                self.carry_out(resolved, None);
            }
            // The delivery it was sent under is void: this one will be settled in its place.
            Joined::InFlight(original) => {
                if let Some(void) = self.deliveries.insert(original, delivery) {
                    void.give_back();
                }
            }
            Joined::Replaces {
                earlier,
                let_go,
                asks,
            } => {
                if asks {
                    self.ask_for_evidence(earlier, &delivery);
                }
                if let Some(before) = self.deliveries.insert(earlier, delivery) {
                    self.deliveries.insert(ticket, before);
                }
                self.carry_out(let_go, None);
            }
        }
    }

    fn consumer_lost(&mut self, reason: &Ended) {
        self.observer.metrics.resubscriptions.inc();
        let phone_number_id = self.lane.id();
        tracing::warn!(%phone_number_id, %reason, "the lane lost its consumer: subscribing again");
        self.channel_lost();
    }

    /// Another worker may have sent it: the log of results may say how it has ended.
    fn ask_for_evidence(&mut self, ticket: Ticket, delivery: &Delivery) {
        let evidence = self.shared.evidence.clone();
        let wanted = Wanted {
            lane: self.lane.id().as_str().to_owned(),
            id: delivery.id().to_owned(),
            incarnation: delivery.incarnation(),
            hops: delivery.hops(),
        };
        // What a copy's twin has come to may be settled long since.
        let is_of_a_copy = !delivery.redelivered || delivery.inbound().history.copied_ms > 0;
        let former = self.former.filter(|_| !is_of_a_copy);
        let former = former.map(|(run, noticed)| Former {
            run,
            gone: noticed.elapsed(),
        });
        let question = Question { wanted, former };
        let asking = async move {
            let found = evidence.of(question).await;
            Done::Evidence { ticket, found }
        };
        self.work.push(asking.boxed());
    }

    pub(super) fn weigh_evidence(&mut self, ticket: Ticket, found: Option<Found>) {
        // Its channel was lost in the meantime.
        if !self.deliveries.contains_key(&ticket) {
            return;
        }
        let (evidence, result) = match found {
            Some(Found::Result(result)) => (Evidence::Result, Some(result)),
            Some(Found::Copy) => (Evidence::Copy, None),
            None => (Evidence::Nothing, None),
        };
        let resolved = self.lane.evidence(ticket, evidence, self.shared.now());
        if let Some(resolved) = resolved {
            self.carry_out(resolved, result);
        }
    }

    /// What waited is RabbitMQ's again; what is in flight is awaited.
    pub(super) fn channel_lost(&mut self) {
        self.claim = Claim::None;
        for delivery in self.unclaimed.drain(..) {
            delivery.give_back();
        }
        self.lane.channel_lost();
        let lane = &self.lane;
        let waited = |ticket: &Ticket, _: &mut Delivery| !lane.is_in_flight(*ticket);
        for (_, delivery) in self.deliveries.extract_if(waited) {
            delivery.give_back();
        }
    }

    /// What RabbitMQ has sent and the lane has not seen was not sent to the API either, and is to be told so. With nothing
    /// acknowledged since, no more comes than the prefetch allows.
    async fn take_what_is_on_its_way(&mut self) {
        self.consumer.finish_opening().await;
        let is_anothers = !self.unclaimed.is_empty() && self.claim.is_none();
        let clock = self.shared.concluder.clock;
        while self.consumer.is_open() {
            let held = self.deliveries.len() + self.unclaimed.len();
            let is_full = held >= usize::from(self.consumer.prefetch());
            let quiet = if is_full { ON_ITS_WAY } else { MORE_ON_ITS_WAY };
            let next = tokio::time::timeout(quiet, self.consumer.next(|| clock.now().mono));
            match next.await {
                Ok(Event::Delivered(delivery)) if is_anothers => self.unclaimed.push_back(delivery),
                Ok(Event::Delivered(delivery)) => self.arrive(delivery),
                Ok(Event::Reassigned) => {}
                // The channel is gone, or nothing comes: there is nothing to wait for.
                Ok(
                    Event::Opened { .. }
                    | Event::NotOpened(_)
                    | Event::Lost(_)
                    | Event::SessionChanged,
                )
                | Err(_) => break,
            }
        }
        // Whether the lane was ours yet or not: whoever gets them next must learn whose they were. Unless it is another's already.
        if self.claim.is_asked() {
            let legacy = self.claim.answered().await;
            self.took_over(legacy);
        }
        while let Some(delivery) = self.unclaimed.pop_front() {
            self.take(delivery);
        }
    }

    /// Closes the lane's channel: nothing is in flight, and RabbitMQ gets back what waits.
    pub(super) async fn leave(&mut self) {
        self.take_what_is_on_its_way().await;
        if self.claim.is_held() {
            self.tell_what_is_unsent().await;
        }
        let holds_some = !self.deliveries.is_empty() || !self.work.is_empty();
        let mut unread = vec![];
        if holds_some && self.consumer.give_back(&mut unread).await {
            self.lane.delivered_again();
            if self.claim.is_held() {
                self.tell_what_is_unsent().await;
            }
        }
        let told = self.lane.surely_unsent();
        let (is_closed, last) = self.consumer.close().await;
        unread.extend(last);
        if is_closed {
            self.lane.left();
        }
        self.channel_lost();
        let news = unsent_of_unread(told, unread.iter().map(unread_of));
        unread.into_iter().for_each(Delivery::give_back);
        if !news.is_empty() {
            // Whoever has the lane by now waits a moment before it doubts what was delivered before.
            self.tell(news).await;
        }
    }

    /// Told before RabbitMQ hands it to whoever takes the lane next.
    fn tell_what_is_unsent(&self) -> impl Future<Output = ()> + use<> {
        self.tell(self.lane.surely_unsent())
    }

    fn tell(&self, unsent: Unsent) -> impl Future<Output = ()> + use<> {
        let (shared, lane) = (self.shared.clone(), self.lane.id().clone());
        async move { shared.board.leave(&lane, unsent, LEAVE_PATIENCE).await }
    }
}

/// What RabbitMQ delivered as the lane was left.
fn unread_of(delivery: &Delivery) -> Unread {
    let inbound = delivery.inbound();
    let was_sent = inbound.history.possible_duplicate || inbound.history.copied_ms > 0;
    Unread {
        identity: Identity::new(delivery.id(), delivery.hops(), inbound.incarnation),
        delivery_count: inbound.delivery_count,
        is_doubtful: delivery.redelivered || was_sent,
    }
}
