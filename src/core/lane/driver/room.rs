//! Deliveries that have no room in the worker's memory; see [`crate::core::lane::window`].

use super::Driver;
use crate::core::Now;
use crate::core::lane::window::Load;
use crate::core::request::intake::Inbound;

impl<D> Driver<D> {
    /// Says whether a body has room beside what the lane and its worker hold.
    pub fn has_room(&mut self, bytes: usize, loads: (Load, Load)) -> bool {
        self.lane.has_room(bytes, loads)
    }

    /// Something had no room since the lane subscribed.
    pub fn is_crowded(&self) -> bool {
        self.lane.is_crowded()
    }

    /// A delivery has no room: its body need not be kept, and the shell answers [`super::Command::Check`] with [`Driver::turn_back`]. False:
    /// it stays all the same, as what it asks for is in flight here.
    pub fn crowd_out(
        &mut self,
        delivery: &Inbound<'_>,
        bytes: usize,
        loads: (Load, Load),
        now: Now,
    ) -> bool {
        self.lane.crowd_out(delivery, bytes, loads, now)
    }

    /// RabbitMQ has it again once the lane's channel is closed.
    pub fn turn_back(&mut self, delivery: &Inbound<'_>) {
        self.lane.turn_back(delivery);
    }
}
