//! Deliveries that have no room in the worker's memory go back with the lane's channel, unread, and the lane asks for fewer messages.

use super::{Known, Lane, Settling};
use crate::contract::request::Inbound;
use crate::core::Now;
use crate::core::lane::window::{AGAIN, Load, fits};
use crate::core::request::recent::Identity;
use std::time::Duration;

/// Room for a body in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// The body is kept.
    Taken,
    /// The body need not be kept: the delivery is [`Lane::turn_back`]'s once the lane is this worker's. `is_first`: since it subscribed.
    None { is_first: bool },
}

impl Lane {
    /// Takes room for a body beside what the lane and its worker hold. What else comes before the lane has left has none either: it would
    /// only go back; unless what it asks for is in flight here.
    pub fn take_room<'a>(
        &mut self,
        bytes: usize,
        loads: (Load, Load),
        delivery: impl FnOnce() -> Inbound<'a>,
        now: Now,
    ) -> Room {
        let is_first = !self.is_crowded();
        if is_first && fits(bytes, loads.0, loads.1) {
            self.window.holds(bytes, loads.0, loads.1);
            return Room::Taken;
        }
        let identity = Identity::of_inbound(&delivery());
        if identity.is_some_and(|identity| self.orphans.contains_key(&identity)) {
            return Room::Taken;
        }
        if is_first {
            let asked_for = self.asked_for.unwrap_or_else(|| self.prefetch());
            self.window.narrow(bytes, loads, asked_for, now.mono);
            let pause = if loads.0.deliveries == 0 {
                AGAIN
            } else {
                Duration::ZERO
            };
            self.crowd.rejoin_at = Some(now.mono + pause);
        }
        Room::None { is_first }
    }

    /// RabbitMQ has it again once the lane's channel is closed: what is known of it goes on, one delivery later.
    pub fn turn_back(&mut self, delivery: &Inbound<'_>) {
        self.crowd.count += 1;
        let Some(identity) = Identity::of_inbound(delivery) else {
            return;
        };
        let (delivery_count, history) = (delivery.delivery_count, &delivery.history);
        let unsent = |possible_duplicate: bool| Known::Unsent {
            delivery_count,
            possible_duplicate: possible_duplicate | history.possible_duplicate,
        };
        let known = if delivery.redelivered {
            match self.recent.recall(&identity, delivery_count) {
                // Ended stays known.
                Some(Known::Ended) => return,
                Some(Known::Decided { report, .. }) => Known::Decided {
                    delivery_count,
                    report,
                },
                Some(Known::Unsent {
                    possible_duplicate, ..
                }) => unsent(possible_duplicate),
                None if self.inherited.is_unsent(&identity, delivery_count) => unsent(false),
                None => return self.count_for_settling(&identity, delivery_count),
            }
        } else if identity.hops() > 0 && self.is_over(&identity, history.copied_ms) {
            return;
        } else {
            self.orphans.remove(&identity);
            self.recent.forget(&identity);
            if self.recent.doubted_ms(&identity) > 0 {
                // The original is in doubt, which is looked up when this one comes again.
                return;
            }
            unsent(false)
        };
        self.crowd.returning.push((identity, known));
    }

    /// Counts the delivery for a decision whose result is not confirmed yet.
    fn count_for_settling(&mut self, identity: &Identity, delivery_count: u64) {
        let mut settling = self.settling.values_mut();
        let is_it = |settling: &&mut Settling| {
            let is_next = settling.delivery_count + 1 == delivery_count;
            settling.orphaned && is_next && settling.identity == *identity
        };
        if let Some(settling) = settling.find(is_it) {
            settling.delivery_count = delivery_count;
        }
    }

    /// Something had no room since the lane subscribed.
    fn is_crowded(&self) -> bool {
        self.crowd.rejoin_at.is_some()
    }

    /// Deliveries that were turned back since the lane subscribed.
    pub fn turned_back(&self) -> usize {
        self.crowd.count
    }
}
