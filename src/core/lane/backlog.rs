//! The backlog of a lane: a line per recipient, and the order in which recipients get their turn.
//!
//! At most one request per person is in flight, in order, so what is ready to go are recipients and not requests. High goes before
//! bulk, and every n-th turn is bulk's. A recipient whose pair limit is used up is parked and wakes by itself.

use crate::contract::words::Priority;
use crate::core::Now;
use crate::core::lane::pacing::Spacing;
use crate::core::request::message::Message;
use crate::core::request::recent::Identity;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

mod allowance;
mod asked;
mod away;
mod leaving;
mod line;

use allowance::Allowances;
use away::Away;
pub(super) use away::{Back, Leaves};
pub use line::Ticket;
pub(super) use line::{Key, Waiting};
use line::{Line, Parking};

pub(super) struct Backlog {
    bulk_every: u32,
    lines: HashMap<Key, Line>,
    allowances: Allowances,
    away: Away,
    ready_high: VecDeque<Key>,
    ready_bulk: VecDeque<Key>,
    /// By the moment the pair limit lets go.
    parked: BTreeMap<Parking, (Key, Priority)>,
    parkings: u64,
    waiting: usize,
    /// Requests that are asked about, of those that wait.
    asked: HashMap<Ticket, (Key, Priority)>,
    /// Lines whose first waits for what is known of its id, or for its files.
    held: Vec<(Key, Priority)>,
    high_in_a_row: u32,
}

impl Backlog {
    pub(super) fn new(pair: Spacing, pairs_max: usize, bulk_every: u32) -> Self {
        Self {
            bulk_every,
            lines: HashMap::new(),
            allowances: Allowances::new(pair, pairs_max),
            away: Away::new(pairs_max),
            ready_high: VecDeque::new(),
            ready_bulk: VecDeque::new(),
            parked: BTreeMap::new(),
            parkings: 0,
            waiting: 0,
            asked: HashMap::new(),
            held: vec![],
            high_in_a_row: 0,
        }
    }

    /// People whose pair limit is remembered.
    pub(super) fn people(&self) -> usize {
        self.allowances.people()
    }

    /// When the pair limit lets the next message to this person go.
    pub(super) fn pair_not_before(&self, key: &Key) -> Duration {
        self.allowances.not_before(key)
    }

    /// Charges the pair limit: the API may have counted a message.
    pub(super) fn count_pair(&mut self, key: &Key, now: Now) {
        self.allowances.count(key, now);
    }

    /// Notes that the API refuses this person until then, whatever we had counted.
    pub(super) fn forbid_pair(&mut self, key: &Key, until: Duration) {
        self.allowances.forbid(key, until);
    }

    /// Forgets pair limits that are not in use, a few at a time.
    pub(super) fn forget_some(&mut self, now: Now) {
        self.allowances.forget_some(now);
    }

    /// Requests waiting.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// Lines held by their pair limit, one per person and priority.
    pub(super) fn parked(&self) -> usize {
        self.parked.len()
    }

    pub(super) fn push(
        &mut self,
        message: Message,
        ticket: Ticket,
        awaits_evidence: bool,
        now: Now,
    ) {
        let key = message
            .recipient
            .clone()
            .map_or(Key::Nobody(ticket), Key::Person);
        let priority = message.priority;
        let waiting = Waiting {
            message,
            ticket,
            accepted_at: now.mono,
            awaits_evidence,
            awaits_word: false,
        };
        if awaits_evidence {
            self.asked.insert(ticket, (key.clone(), priority));
        }
        let queue = &mut self.line(&key).rank_mut(priority).queue;
        // Most people have one message waiting: no room for more is made in advance.
        queue.reserve_exact(usize::from(queue.is_empty()));
        queue.push_back(waiting);
        self.waiting += 1;
        // The new request may make the line too long: its turn decides.
        self.unpark_rank(&key, priority);
        self.make_ready(&key, priority, false);
    }

    fn line(&mut self, key: &Key) -> &mut Line {
        self.lines.entry(key.clone()).or_default()
    }

    /// Back to the head of its line: it keeps its place.
    pub(super) fn put_back(&mut self, key: &Key, waiting: Waiting) {
        let priority = waiting.message.priority;
        self.line(key).rank_mut(priority).queue.push_front(waiting);
        self.waiting += 1;
    }

    /// Takes whose turn it is out of the ready queue. That line may turn out to be held or empty by now.
    pub(super) fn pick(&mut self) -> Option<(Key, Priority)> {
        let bulk_is_due = self.high_in_a_row + 1 >= self.bulk_every && !self.ready_bulk.is_empty();
        let priority = if self.ready_high.is_empty() || bulk_is_due {
            Priority::Bulk
        } else {
            Priority::High
        };
        let key = self.ready(priority).pop_front()?;
        if let Some(line) = self.lines.get_mut(&key) {
            line.rank_mut(priority).is_ready = false;
        }
        Some((key, priority))
    }

    /// The turn could not be used: it stays the next.
    pub(super) fn unpick(&mut self, key: &Key, priority: Priority) {
        self.make_ready(key, priority, true);
    }

    /// The request at the head, unless the line is held.
    pub(super) fn front(&self, key: &Key, priority: Priority) -> Option<&Waiting> {
        self.lines.get(key)?.free(priority)?.queue.front()
    }

    /// How many requests to this person wait.
    pub(super) fn waiting_for(&self, key: &Key) -> u32 {
        self.lines.get(key).map_or(0, |line| {
            let waiting = line.high.queue.len() + line.bulk.queue.len();
            u32::try_from(waiting).unwrap_or(u32::MAX)
        })
    }

    /// How many requests of this person and class wait.
    pub(super) fn waiting_in(&self, key: &Key, priority: Priority) -> usize {
        let line = self.lines.get(key);
        line.map_or(0, |line| line.rank(priority).queue.len())
    }

    /// How many requests wait for their pair limits.
    pub(super) fn parked_requests(&self) -> usize {
        let lines = self.parked.values();
        lines
            .map(|(key, priority)| self.waiting_in(key, *priority))
            .sum()
    }

    /// Since when nothing but its turn kept this one from being sent, if it waited for the one before it in its line.
    pub(super) fn turn_since(&self, key: &Key, waiting: &Waiting) -> Option<Duration> {
        let answered_at = self.lines.get(key)?.answered_at;
        (answered_at > waiting.accepted_at).then_some(answered_at)
    }

    /// Whether requests wait that are not to this person.
    pub(super) fn has_others(&self, key: &Key) -> bool {
        u32::try_from(self.waiting).unwrap_or(u32::MAX) > self.waiting_for(key)
    }

    /// Out of the line for good, unsent.
    pub(super) fn take(&mut self, key: &Key, priority: Priority) -> Option<Waiting> {
        let waiting = self.pop(key, priority)?;
        self.make_ready(key, priority, false);
        self.drop_if_idle(key);
        Some(waiting)
    }

    /// All of one class out of the line for good, unsent; up to the first that is asked about.
    pub(super) fn take_line(&mut self, key: &Key, priority: Priority) -> Vec<Waiting> {
        let line = self.lines.get_mut(key).into_iter();
        let taken: Vec<Waiting> = line
            .flat_map(|line| {
                let queue = &mut line.rank_mut(priority).queue;
                let asked = queue.iter().position(|waiting| waiting.awaits_evidence);
                queue.drain(..asked.unwrap_or(queue.len()))
            })
            .collect();
        self.waiting -= taken.len();
        self.drop_if_idle(key);
        taken
    }

    /// Out of the line to be sent: the line is held until [`Backlog::answered`].
    pub(super) fn take_to_send(&mut self, key: &Key, priority: Priority) -> Option<Waiting> {
        let waiting = self.pop(key, priority)?;
        self.high_in_a_row = match priority {
            Priority::High => self.high_in_a_row.saturating_add(1),
            Priority::Bulk => 0,
        };
        self.lines.get_mut(key)?.in_flight = true;
        Some(waiting)
    }

    /// The request in flight was answered (and put back, if it stays): the next may go. `is_next`: before all others.
    pub(super) fn answered(&mut self, key: &Key, is_next: bool, now: Now) {
        if let Some(line) = self.lines.get_mut(key) {
            line.in_flight = false;
            line.answered_at = now.mono;
        }
        self.make_ready(key, Priority::High, is_next);
        self.make_ready(key, Priority::Bulk, is_next);
        self.drop_if_idle(key);
    }

    pub(super) fn park(&mut self, key: &Key, priority: Priority, until: Duration) {
        if let Some(line) = self.lines.get_mut(key) {
            self.parkings += 1;
            let place = (until, self.parkings);
            line.rank_mut(priority).parked = Some(place);
            self.parked.insert(place, (key.clone(), priority));
        }
    }

    pub(super) fn next_unpark(&self) -> Option<Duration> {
        self.parked.first_key_value().map(|((until, _), _)| *until)
    }

    pub(super) fn unpark(&mut self, now: Now) {
        while let Some(entry) = self
            .parked
            .first_entry()
            .filter(|entry| entry.key().0 <= now.mono)
        {
            let (key, priority) = entry.remove();
            self.unpark_rank(&key, priority);
        }
    }

    fn unpark_rank(&mut self, key: &Key, priority: Priority) {
        let rank = self.lines.get_mut(key).map(|line| line.rank_mut(priority));
        if let Some(place) = rank.and_then(|rank| rank.parked.take()) {
            self.parked.remove(&place);
            self.make_ready(key, priority, false);
        }
    }

    /// Counts one more delivery of what waits and came again. `is_next`: by identity, and how often it was delivered before.
    pub(super) fn recount(&mut self, is_next: impl Fn(&Identity, u64) -> bool) {
        for line in self.lines.values_mut() {
            let ranks = [&mut line.high, &mut line.bulk].into_iter();
            for waiting in ranks.flat_map(|rank| &mut rank.queue) {
                let message = &mut waiting.message;
                let came_again = is_next(&Identity::of(message), message.delivery_count);
                message.delivery_count += u64::from(came_again);
            }
        }
    }

    /// Everything that waited is RabbitMQ's again; returned is what was surely not sent. Debts stay: they are owed by the number, not
    /// by its deliveries.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Message> + use<> {
        self.ready_high.clear();
        self.ready_bulk.clear();
        self.parked.clear();
        self.asked.clear();
        self.held.clear();
        self.waiting = 0;
        let mut cleared: Vec<Waiting> = vec![];
        for line in self.lines.values_mut() {
            for rank in [&mut line.high, &mut line.bulk] {
                let waiting = std::mem::take(rank).queue;
                cleared.extend(waiting);
            }
        }
        self.lines.retain(|_, line| !line.is_idle());
        // As they came, not as the map happens to hold them: what is remembered of them must not depend on chance.
        cleared.sort_unstable_by_key(|waiting| waiting.ticket);
        let sure = cleared
            .into_iter()
            .filter(|waiting| !waiting.awaits_evidence);
        sure.map(|waiting| waiting.message)
    }

    fn ready(&mut self, priority: Priority) -> &mut VecDeque<Key> {
        match priority {
            Priority::High => &mut self.ready_high,
            Priority::Bulk => &mut self.ready_bulk,
        }
    }

    fn pop(&mut self, key: &Key, priority: Priority) -> Option<Waiting> {
        let waiting = self
            .lines
            .get_mut(key)?
            .rank_mut(priority)
            .queue
            .pop_front()?;
        self.waiting -= 1;
        Some(waiting)
    }

    fn make_ready(&mut self, key: &Key, priority: Priority, next: bool) {
        let line = self.lines.get_mut(key);
        let Some(line) = line.filter(|line| line.free(priority).is_some()) else {
            return;
        };
        let rank = line.rank_mut(priority);
        if rank.is_ready || rank.queue.is_empty() {
            return;
        }
        rank.is_ready = true;
        let ready = self.ready(priority);
        if next {
            ready.push_front(key.clone())
        } else {
            ready.push_back(key.clone())
        }
    }

    fn drop_if_idle(&mut self, key: &Key) {
        if self.lines.get(key).is_some_and(Line::is_idle) {
            self.lines.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
