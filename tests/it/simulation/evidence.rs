//! Deliveries that somebody else may have sent, until the log of results has been read.

use super::checks::{Checked, ensure};
use super::conduct::Conduct;
use whatsapp_dispatcher::core::lane::Ticket;

impl Conduct {
    /// It waits for what the log of results has of it, and its person's others wait with it.
    pub(crate) fn asks(&mut self, ticket: Ticket) {
        self.asked.insert(ticket);
    }

    /// P3: what has ended is not sent again.
    pub(crate) fn evident(&mut self, ticket: Ticket, is_decided: bool, has_ended: bool) -> Checked {
        let was_asked = self.asked.remove(&ticket);
        ensure(was_asked && (is_decided || !has_ended), "P3", || {
            format!("ticket {ticket} has ended, and is not answered again")
        })?;
        if is_decided && let Some(item) = self.waiting.remove(&ticket) {
            self.settling.insert(ticket, item);
        }
        Ok(())
    }
}
