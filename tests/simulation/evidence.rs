//! What a process must know of requests that come again, and what it has to find out.

use super::broker::Copy;
use super::checks::{Checked, Violation, ensure};
use super::conduct::{Conduct, Item};
use super::plan::RequestNo;
use whatsapp_dispatcher::contract::words::POISON;
use whatsapp_dispatcher::core::lane::Ticket;
use whatsapp_dispatcher::core::request::decide::Decision;

impl Conduct {
    /// It waits for what the log of results has of it, and its person's others wait with it.
    pub(crate) fn asks(&mut self, ticket: Ticket) {
        self.doubted.insert(ticket);
        self.asked.insert(ticket);
        let item = self.waiting.get(&ticket);
        self.ever_doubted.extend(item.map(Item::identity));
    }

    /// The copy has the place of an earlier delivery that waits or is in flight. That one is let go, under the copy's ticket.
    pub(crate) fn replaced(
        &mut self,
        earlier: Ticket,
        copy: Item,
        ticket: Ticket,
        decision: &Decision,
    ) -> Checked {
        let is_asked = self.asked.contains(&earlier) || self.orphans.contains(&earlier);
        let place = self.waiting.get_mut(&earlier);
        let place = place.or(self.flights.get_mut(&earlier));
        let is_its = |place: &&mut Item| {
            let (was, is) = (place.identity(), copy.identity());
            !is_asked && was.0 == is.0 && was.1 < is.1
        };
        let Some(place) = place.filter(is_its) else {
            let what = format!("request {} replaces what is not its own", copy.request);
            return Violation::of("P1", what);
        };
        let copy = Item {
            token: place.token,
            ..copy
        };
        let before = std::mem::replace(place, copy);
        self.settle(ticket, before, decision);
        Ok(())
    }

    /// P3: what has ended is not sent again.
    pub(crate) fn evident(
        &mut self,
        ticket: Ticket,
        decision: Option<&Decision>,
        has_ended: bool,
    ) -> Checked {
        let was_asked = self.asked.remove(&ticket);
        ensure(
            was_asked && (decision.is_some() || !has_ended),
            "P3",
            || format!("ticket {ticket} has ended, and is not answered again"),
        )?;
        let Some(decision) = decision else {
            return Ok(());
        };
        let Some(item) = self.waiting.remove(&ticket) else {
            return Ok(());
        };
        let is_often = item.copy.returns >= self.max_deliveries();
        let fits = match decision {
            Decision::Delay { message, .. } => is_often && message.history.suspected,
            Decision::Bury(report) if report.dead_reason() == POISON => {
                is_often && item.copy.history.suspected
            }
            Decision::Finish(_)
            | Decision::Bury(_)
            | Decision::Repeat { .. }
            | Decision::Duplicate { .. }
            | Decision::Forget
            | Decision::Abandon => true,
        };
        ensure(fits, "P1", || {
            format!("request {} was suspected too early", item.request)
        })?;
        self.settle(ticket, item, decision);
        Ok(())
    }

    /// What waits under this ticket.
    pub(crate) fn copy(&self, ticket: Ticket) -> Option<Copy> {
        let item = self.waiting.get(&ticket);
        item.map(|item| item.copy.clone())
    }

    pub(super) fn max_deliveries(&self) -> u64 {
        self.config.redelivery.max_deliveries
    }

    pub(super) fn settle(&mut self, ticket: Ticket, item: Item, decision: &Decision) {
        match decision {
            Decision::Finish(_) | Decision::Bury(_) => drop(self.reported.insert(ticket)),
            // Because of another, which may come again.
            Decision::Forget => drop(self.let_go.insert(ticket)),
            // Whoever answers it again looks again.
            Decision::Duplicate { .. } => {
                self.let_go.insert(ticket);
                self.duplicates.answering.insert(ticket);
            }
            Decision::Delay { .. } | Decision::Repeat { .. } | Decision::Abandon => {}
        }
        self.settling.insert(ticket, item);
    }

    pub(super) fn has_decided(&self, item: &Item) -> bool {
        self.decided.get(&item.identity()) == Some(&item.copy.returns)
    }

    pub(super) fn has_ended(&self, item: &Item) -> bool {
        self.ended.contains(&item.identity())
    }

    pub(super) fn is_settling(&self, item: &Item) -> bool {
        let mut settling = self.settling.values();
        settling.any(|settling| settling.identity() == item.identity())
    }

    /// Ended lately enough that the process must still know it.
    pub(super) fn must_know(&self, item: &Item) -> bool {
        let lately = self.ended.iter().rev().take(2 * self.prefetch_max);
        lately.into_iter().any(|known| *known == item.identity())
    }

    pub(crate) fn settled(&mut self, ticket: Ticket, confirmed: bool) {
        let reported = self.reported.remove(&ticket);
        self.duplicates.answering.remove(&ticket);
        let Some(item) = self.settling.remove(&ticket) else {
            return;
        };
        let is_let_go = self.let_go.remove(&ticket);
        if confirmed && !is_let_go {
            self.ended.push(item.identity());
        } else if reported {
            self.decided.insert(item.identity(), item.copy.returns + 1);
        }
    }

    /// The channel was closed in order: nothing that has ended comes again.
    pub(crate) fn left(&mut self) {
        self.ended.clear();
    }

    /// Given back while its channel was open, this came once more, if it was what waits here.
    pub(crate) fn came_again(&mut self, copy: &Copy) {
        let is_it = |item: &&mut Item| {
            let is_same = item.request == copy.request;
            let is_next = item.copy.returns + 1 == copy.returns;
            is_same && item.copy.history.hops == copy.history.hops && is_next
        };
        if let Some(item) = self.waiting.values_mut().find(is_it) {
            item.copy.returns += 1;
        }
    }

    /// What waits and nobody can have sent: request, hops and count.
    pub(crate) fn surely_unsent(&self) -> Vec<(RequestNo, u32, u64)> {
        let waiting = self.waiting.iter();
        let sure = waiting.filter(|(ticket, item)| {
            let is_doubted =
                self.doubted.contains(ticket) || self.ever_doubted.contains(&item.identity());
            !is_doubted && !item.copy.history.possible_duplicate
        });
        sure.map(|(_, item)| (item.request, item.copy.history.hops, item.copy.returns))
            .collect()
    }

    pub(crate) fn channel_lost(&mut self) {
        self.duplicates.reading = None;
        self.orphans.extend(self.flights.keys());
        let asked = std::mem::take(&mut self.asked);
        for (ticket, item) in std::mem::take(&mut self.waiting) {
            if asked.contains(&ticket) {
                continue;
            }
            self.unsent.insert(item.identity(), item.copy.returns + 1);
        }
    }
}
