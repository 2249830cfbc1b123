//! Events of the lane's consumer, and what it delivers.

use super::LaneTask;
use super::consumer::Event;
use crate::broker::consume::Ended;
use crate::broker::delivery::Delivery;
use crate::core::Now;
use crate::core::lane::Room;
use crate::core::lane::driver::Budget;

impl LaneTask {
    pub(super) fn on_consumer_event(&mut self, event: Event) {
        let phone_number_id = self.driver.id();
        match event {
            Event::Delivered(delivery) => return self.take_all_ready(delivery),
            Event::Opened { prefetch } => self.driver.subscribed(prefetch, self.common.clock.now()),
            Event::NotOpened(error) => {
                tracing::warn!(%phone_number_id, %error, "cannot subscribe to the lane: trying again");
            }
            Event::Lost(reason) => {
                // The loss of a connection is told once, where it is watched.
                if !matches!(reason, Ended::WithItsConnection) {
                    self.observer.metrics.resubscriptions.inc();
                    tracing::warn!(%phone_number_id, %reason, "the lane lost its consumer: subscribing again");
                }
                self.driver.channel_lost();
            }
            Event::Reassigned => {}
            Event::SessionChanged => self.session_changed(),
        }
        self.perform();
    }

    pub(super) fn session_changed(&mut self) {
        // The owner of the lane is told before the session is.
        if self.orders.has_changed().unwrap_or(false) {
            self.apply_orders();
        }
        let now = self.common.clock.now();
        self.driver.session_changed(self.consumer.is_back(), now);
    }

    /// Takes what is ready, as far as one turn goes.
    fn take_all_ready(&mut self, first: Delivery) {
        let clock = self.common.clock;
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
                ) => return self.on_consumer_event(other),
                None => return,
            }
        }
    }

    pub(super) fn arrive(&mut self, mut delivery: Delivery) {
        delivery.bound_body(self.common.intake.max_body_bytes);
        let now = self.common.clock.now();
        self.find_room(&mut delivery, now);
        self.driver.delivered(delivery, now);
        self.perform();
    }

    /// Takes what was delivered before the lane was this worker's, as far as one turn goes.
    pub(super) fn read_all_unread(&mut self) {
        let clock = self.common.clock;
        let mut budget = Budget::new(clock.now().mono);
        while let Some(delivery) = self.driver.unread() {
            let bytes = delivery.body.len();
            self.driver.read();
            self.perform();
            if !budget.spend(bytes, clock.now().mono) {
                self.is_cut_short = true;
                return;
            }
        }
    }

    /// Keeps the body in memory if there is room for it; else the delivery goes back with the lane's channel.
    fn find_room(&mut self, delivery: &mut Delivery, now: Now) {
        let (bytes, loads) = (delivery.body.len(), self.bodies.load());
        let inbound = || delivery.inbound();
        match self.driver.take_room(bytes, loads, inbound, now) {
            Room::Taken => delivery.hold(&self.bodies),
            Room::None { is_first } => {
                delivery.turn_back();
                if is_first {
                    let (phone_number_id, size_bytes) = (self.driver.id(), bytes);
                    let count = self.driver.prefetch();
                    tracing::info!(%phone_number_id, size_bytes, count, "no room for another body in memory: the lane asks for fewer at once");
                }
            }
        }
    }
}
