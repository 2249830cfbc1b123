//! The lane's consumer: what it delivers, and what becomes of that when it is lost or left.

use super::conclude::seconds_between;
use super::consumer::Event;
use super::{Done, LaneTask};
use crate::broker::consume::Ended;
use crate::broker::delivery::Delivery;
use crate::core::intake::intake;
use crate::core::lane::{Joined, Ticket};
use futures_util::FutureExt;

impl LaneTask {
    pub(super) fn heed(&mut self, event: Event) {
        let phone_number_id = self.lane.id();
        match event {
            Event::Delivered(delivery) => self.take_all_ready(delivery),
            Event::Opened { prefetch } => {
                self.observer.metrics.subscribed.set(1);
                self.lane.rejoined(prefetch, self.shared.now());
            }
            Event::NotOpened(error) => {
                tracing::warn!(%phone_number_id, %error, "cannot subscribe to the lane: trying again");
            }
            Event::Lost(reason) => self.consumer_lost(&reason),
            Event::SessionChanged => self.channel_lost(),
        }
    }

    fn take_all_ready(&mut self, first: Delivery) {
        self.take(first);
        let clock = self.shared.concluder.clock;
        while let Some(next) = self.consumer.next_now(|| clock.now().mono) {
            match next {
                Event::Delivered(delivery) => self.take(delivery),
                other @ (Event::Opened { .. }
                | Event::NotOpened(_)
                | Event::Lost(_)
                | Event::SessionChanged) => {
                    return self.heed(other);
                }
            }
        }
    }

    fn take(&mut self, delivery: Delivery) {
        let now = self.shared.now();
        if delivery.redelivered {
            self.shared.concluder.metrics.redelivered.inc();
        }
        let inbound = delivery.inbound();
        let message = match intake(delivery.body.clone(), inbound, &self.shared.intake, now) {
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
            Joined::Decided(resolved) => {
                self.deliveries.insert(ticket, delivery);
                self.carry_out(resolved);
            }
            // The delivery it was sent under is void: this one will be settled in its place.
            Joined::InFlight(original) => {
                if let Some(void) = self.deliveries.insert(original, delivery) {
                    void.give_back();
                }
            }
        }
    }

    fn consumer_lost(&mut self, reason: &Ended) {
        self.observer.metrics.resubscriptions.inc();
        let phone_number_id = self.lane.id();
        tracing::warn!(%phone_number_id, %reason, "the lane lost its consumer: subscribing again");
        self.channel_lost();
    }

    /// What waited is RabbitMQ's again; what is in flight is awaited.
    pub(super) fn channel_lost(&mut self) {
        self.observer.metrics.subscribed.set(0);
        self.lane.channel_lost();
        let lane = &self.lane;
        let waited = |ticket: &Ticket, _: &mut Delivery| !lane.is_in_flight(*ticket);
        for (_, delivery) in self.deliveries.extract_if(waited) {
            delivery.give_back();
        }
    }

    /// Closes the lane's channel: nothing is in flight, and RabbitMQ gets back what waits.
    pub(super) async fn leave(&mut self) {
        self.consumer.close().await;
        self.channel_lost();
    }
}
