//! Deliveries that have no room in the worker's memory, as the shell asks for them; the lane's verbs of the same names say what they do.

use super::Driver;
use crate::contract::request::Inbound;
use crate::core::Now;
use crate::core::lane::window::Load;

impl<D> Driver<D> {
    pub fn has_room(&mut self, bytes: usize, loads: (Load, Load)) -> bool {
        self.lane.has_room(bytes, loads)
    }

    pub fn is_crowded(&self) -> bool {
        self.lane.is_crowded()
    }

    /// If true, the shell answers [`super::Command::Check`] with [`Driver::turn_back`].
    pub fn crowd_out(
        &mut self,
        delivery: &Inbound<'_>,
        bytes: usize,
        loads: (Load, Load),
        now: Now,
    ) -> bool {
        self.lane.crowd_out(delivery, bytes, loads, now)
    }

    pub fn turn_back(&mut self, delivery: &Inbound<'_>) {
        self.lane.turn_back(delivery);
    }
}
