//! The share of the lane that one person may hold. A person's requests are sent one at a time, so a burst of them would fill all that
//! RabbitMQ hands out at once, and everybody else would wait behind it. What is beyond waits in RabbitMQ, on the delay ladder, in order.

use super::{Joined, Lane, Step, Ticket, Waiting};
use crate::contract::words::Priority;
use crate::core::Now;
use crate::core::lane::backlog::{Back, Key, Leaves};
use crate::core::outcome::Outcome;
use crate::core::request::decide::Decision;
use crate::core::request::message::Message;
use std::time::Duration;

/// Weight of the latest turn in the running mean: one part in so many.
const TURN_SHARE: u32 = 8;

impl Lane {
    pub(super) fn took_its_turn(&mut self, outcome: &Outcome, since: Option<Duration>, now: Now) {
        let is_sent = !matches!(outcome, Outcome::NotSent { .. });
        if let Some(since) = since.filter(|_| is_sent) {
            let took = now.mono.saturating_sub(since);
            self.turn = (self.turn * (TURN_SHARE - 1) + took) / TURN_SHARE;
        }
    }

    /// Between two that leave: a little more than it takes to send one, not so many at once that they have no room here, and what the
    /// pair limit asks for once the allowance is used up.
    fn spacing(&self, key: &Key, now: Now) -> Duration {
        let at_once = u32::try_from(self.config.person_max(self.window.most())).unwrap_or(u32::MAX);
        let spacing = (self.turn * 5 / 4).max(Duration::from_secs(1) / at_once.max(1));
        if self.backlog.pair_not_before(key) > now.mono {
            spacing.max(self.config.pair.interval)
        } else {
            spacing
        }
    }

    /// How a delivery leaves for whose person there is no room. `None`: there is.
    pub(super) fn turn_away(
        &mut self,
        message: &Message,
        back: Option<Back>,
        ticket: Ticket,
        now: Now,
    ) -> Option<Joined> {
        let key = Key::Person(message.recipient.clone()?);
        let most = self.config.person_max(self.window.most());
        let leaves = self.backlog.has_to_leave(message, back, most)?;
        let here = self.backlog.waiting_in(&key, message.priority);
        let here = u32::try_from(here).unwrap_or(u32::MAX);
        let start = self.standing.paused_until(now).unwrap_or(now.mono);
        let mut wanted = start + self.turn * (here + 1);
        let allowed = self.backlog.pair_not_before(&key);
        if allowed > now.mono {
            wanted = wanted.max(allowed + self.config.pair.interval * here);
        }
        let decision = self.leave(&key, message, leaves, wanted, now);
        let resolved = self.decided(ticket, message.clone(), decision);
        Some(Joined::Decided(resolved))
    }

    /// The person's allowance is used up: the line waits here; or on the ladder, if its last would have to wait for long, or too many
    /// wait here for their allowances.
    pub(super) fn wait_for_pair(
        &mut self,
        key: &Key,
        priority: Priority,
        not_before: Duration,
        now: Now,
    ) -> Option<Step> {
        let behind = self.backlog.waiting_for(key).saturating_sub(1);
        let last = not_before + self.config.pair.interval.saturating_mul(behind);
        let is_soon = last <= now.mono + self.config.pair_wait_max;
        let parked = self.backlog.parked_requests() + self.backlog.waiting_in(key, priority);
        if is_soon && parked <= self.config.parked_max(self.window.most()) {
            self.backlog.park(key, priority, not_before);
            return None;
        }
        // As a whole: whatever waits here comes before all that is away.
        let leaving = self.backlog.take_line(key, priority);
        let first = self.backlog.place_before_all(&leaving);
        let leave = |(waiting, place): (Waiting, i64)| {
            let decision = self.leave(key, &waiting.message, Leaves::At(place), not_before, now);
            self.decided(waiting.ticket, waiting.message, decision)
        };
        Some(Step::Decide(
            leaving.into_iter().zip(first..).map(leave).collect(),
        ))
    }

    /// Sends a request to wait in RabbitMQ until it is wanted here again, and behind those of its line that left before.
    fn leave(
        &mut self,
        key: &Key,
        message: &Message,
        leaves: Leaves,
        wanted: Duration,
        now: Now,
    ) -> Decision {
        let spacing = self.spacing(key, now);
        let mut how = self.backlog.departure(message, wanted, spacing, now);
        let mut message = message.clone();
        // As long as nothing was tried it does not age: what it waits for is its turn.
        if message.history.attempts == 0 {
            message.history.first_seen_ms = now.wall_ms + u64::from(how.delay_s) * 1000;
        }
        let message = &message;
        let decision = self.terms(now, 0.0).later(message, how.delay_s, None);
        if let Decision::Delay { delay_s, .. } = decision {
            how.delay_s = delay_s;
            self.backlog.leaves(message, leaves, how, now);
        }
        decision
    }
}
