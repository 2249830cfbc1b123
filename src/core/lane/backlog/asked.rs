//! Requests of which it is being found out whether they were sent already.

use super::{Backlog, Key, Ticket, Waiting};
use crate::contract::words::Priority;
use crate::core::Now;
use crate::core::request::message::Message;

impl Backlog {
    /// Returns the request that is asked about under this ticket.
    pub(in crate::core) fn asked(&self, ticket: Ticket) -> Option<&Message> {
        let (key, priority) = self.asked.get(&ticket)?;
        let line = self.lines.get(key)?;
        let rank = match priority {
            Priority::High => &line.high,
            Priority::Bulk => &line.bulk,
        };
        let waiting = rank.queue.iter().find(|waiting| waiting.ticket == ticket);
        waiting.map(|waiting| &waiting.message)
    }

    /// The place of one that waits, and is not asked about, is its copy's from now on. Returns its ticket, and the earlier one.
    pub(in crate::core) fn replace(
        &mut self,
        copy: &Message,
        awaits_evidence: bool,
    ) -> Option<(Ticket, Message)> {
        let key = Key::Person(copy.recipient.clone()?);
        let line = self.lines.get_mut(&key)?;
        let ranks = [&mut line.high, &mut line.bulk].into_iter();
        let mut waiting = ranks.flat_map(|rank| &mut rank.queue);
        let waiting = waiting.find(|w| !w.awaits_evidence && copy.is_copy_of(&w.message))?;
        let (ticket, priority) = (waiting.ticket, waiting.message.priority);
        waiting.awaits_evidence = awaits_evidence;
        let earlier = waiting.message.replace(copy.clone());
        if awaits_evidence {
            self.asked.insert(ticket, (key, priority));
        }
        Some((ticket, earlier))
    }

    /// Nothing shows that it was sent, or copied onto the ladder: it may go. `doubted`: when nobody could say that it was not sent, which
    /// flags it.
    pub(in crate::core) fn release(&mut self, ticket: Ticket, doubted: Option<Now>) {
        let Some((key, priority)) = self.asked.remove(&ticket) else {
            return;
        };
        let queue = &mut self.line(&key).rank_mut(priority).queue;
        if let Some(waiting) = queue.iter_mut().find(|waiting| waiting.ticket == ticket) {
            waiting.awaits_evidence = false;
            if let Some(now) = doubted {
                waiting.message.may_have_been_handled(now);
            }
        }
        self.make_ready(&key, priority, false);
    }

    /// Out of its line, wherever it stands, if it is asked about.
    pub(in crate::core) fn take_asked(&mut self, ticket: Ticket) -> Option<Waiting> {
        let (key, priority) = self.asked.remove(&ticket)?;
        let queue = &mut self.lines.get_mut(&key)?.rank_mut(priority).queue;
        let place = queue.iter().position(|waiting| waiting.ticket == ticket)?;
        let waiting = queue.remove(place)?;
        self.waiting -= 1;
        self.make_ready(&key, priority, false);
        self.drop_if_idle(&key);
        Some(waiting)
    }

    /// Lines whose first waits for a word of others.
    pub(in crate::core) fn held(&self) -> usize {
        self.held.len()
    }

    /// The first of this line waits until what is known of its id was read, or until its files are uploaded.
    pub(in crate::core) fn hold(&mut self, key: &Key, priority: Priority) {
        let queue = &mut self.line(key).rank_mut(priority).queue;
        if let Some(first) = queue.front_mut() {
            first.awaits_word = true;
            self.held.push((key.clone(), priority));
        }
    }

    /// All that wait for that may look again.
    pub(in crate::core) fn release_held(&mut self) {
        for (key, priority) in std::mem::take(&mut self.held).into_iter().rev() {
            if let Some(line) = self.lines.get_mut(&key) {
                let queue = &mut line.rank_mut(priority).queue;
                queue
                    .iter_mut()
                    .for_each(|waiting| waiting.awaits_word = false);
            }
            self.make_ready(&key, priority, true);
        }
    }

    /// Lists what waits and is not asked about.
    pub(in crate::core) fn sure(&self) -> impl Iterator<Item = &Message> {
        let ranks = self
            .lines
            .values()
            .flat_map(|line| [&line.high, &line.bulk]);
        let waiting = ranks.flat_map(|rank| &rank.queue);
        waiting
            .filter(|waiting| !waiting.awaits_evidence)
            .map(|waiting| &waiting.message)
    }

    /// Whether another of this person's requests waits of which this is true.
    pub(in crate::core) fn has_other(
        &self,
        message: &Message,
        ticket: Ticket,
        is_it: impl Fn(&Waiting) -> bool,
    ) -> bool {
        let key = message.recipient.clone().map(Key::Person);
        let line = key.and_then(|key| self.lines.get(&key));
        let ranks = line.into_iter().flat_map(|line| [&line.high, &line.bulk]);
        let mut waiting = ranks.flat_map(|rank| &rank.queue);
        waiting.any(|waiting| waiting.ticket != ticket && is_it(waiting))
    }
}
