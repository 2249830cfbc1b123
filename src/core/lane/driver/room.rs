//! Deliveries that have no room in the worker's memory, as the shell asks for them; the lane's verbs of the same names say what they do.

use super::Driver;
use crate::contract::request::Inbound;
use crate::core::Now;
use crate::core::lane::Room;
use crate::core::lane::window::Load;

impl<D> Driver<D> {
    /// Without room, the shell answers [`super::Command::Check`] with [`Driver::turn_back`].
    pub fn take_room<'a>(
        &mut self,
        bytes: usize,
        loads: (Load, Load),
        delivery: impl FnOnce() -> Inbound<'a>,
        now: Now,
    ) -> Room {
        self.lane.take_room(bytes, loads, delivery, now)
    }

    pub fn turn_back(&mut self, delivery: &Inbound<'_>) {
        self.lane.turn_back(delivery);
    }
}
