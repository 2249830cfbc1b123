//! Budgets of single operations, which are smaller than their account's: known ahead, so that no call is spent on a refusal.

use crate::core::Now;
use crate::core::operation::{Operation, Spans};
use crate::core::request::message::Message;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

const HOUR_MS: u64 = 3_600_000;

/// Nodes that are remembered at most.
const NODES_MAX: usize = 10_000;

/// Moments at which an operation with a budget of its own was asked for, within the last hour. Forgotten when another worker takes the
/// lane: then Meta refuses what is too many.
#[derive(Default)]
pub(super) struct Quotas {
    asked: Vec<(Operation, VecDeque<u64>)>,
}

impl Quotas {
    /// When one more may be asked for, in milliseconds of the steady clock; `None`: now.
    pub(super) fn used_until_ms(&mut self, operation: Operation, now: Now) -> Option<u64> {
        let most = operation.facts().hourly?;
        let (_, asked) = self.asked.iter_mut().find(|(of, _)| *of == operation)?;
        while asked
            .front()
            .is_some_and(|at| at + HOUR_MS <= now.steady_ms)
        {
            asked.pop_front();
        }
        let is_used_up = asked.len() >= usize::try_from(most).unwrap_or(usize::MAX);
        asked.front().filter(|_| is_used_up).map(|at| at + HOUR_MS)
    }

    pub(super) fn count(&mut self, operation: Operation, now: Now) {
        if operation.facts().hourly.is_none() {
            return;
        }
        match self.asked.iter_mut().find(|(of, _)| *of == operation) {
            Some((_, asked)) => asked.push_back(now.steady_ms),
            None => self
                .asked
                .push((operation, VecDeque::from([now.steady_ms]))),
        }
    }
}

/// Operations that were done to nodes lately, of those of which few may be done to one. Forgotten as the above.
#[derive(Default)]
pub(super) struct Done {
    at_ms: HashMap<(&'static str, Arc<str>), VecDeque<u64>>,
}

impl Done {
    /// Takes note of an operation that the API did.
    pub(super) fn note(&mut self, message: &Message, now: Now) {
        let Some((name, node, spans)) = limited(message) else {
            return;
        };
        let longest_ms = spans.iter().map(|(_, span_s)| span_s * 1000).max();
        let longest_ms = longest_ms.unwrap_or(0);
        let is_over = |at: &u64| at + longest_ms <= now.steady_ms;
        if self.at_ms.len() >= NODES_MAX {
            self.at_ms
                .retain(|_, at_ms| !at_ms.back().is_none_or(is_over));
        }
        if self.at_ms.len() < NODES_MAX {
            let at_ms = self.at_ms.entry((name, node.into())).or_default();
            while at_ms.front().is_some_and(is_over) {
                at_ms.pop_front();
            }
            at_ms.push_back(now.steady_ms);
        }
    }

    /// After how many seconds one more may be done, if so many were done that this may be why the API refuses it.
    pub(super) fn may_again_s(&self, message: &Message, now: Now) -> Option<u64> {
        let (name, node, spans) = limited(message)?;
        let at_ms = self.at_ms.get(&(name, node.into()))?;
        let wait_ms = spans.iter().filter_map(|(most, span_s)| {
            let oldest = at_ms.iter().rev().nth(most.checked_sub(1)?)?;
            let until_ms = oldest + span_s * 1000;
            until_ms.checked_sub(now.steady_ms).filter(|ms| *ms > 0)
        });
        Some(wait_ms.max()?.div_ceil(1000))
    }
}

fn limited(message: &Message) -> Option<(&'static str, &str, Spans)> {
    let facts = message.operation.facts();
    let node = message.address.as_ref()?.node.as_deref()?;
    (!facts.per_node.is_empty()).then_some((facts.name, node, facts.per_node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::request::{Header, Inbound};
    use crate::core::operation::IntakeConfig;
    use crate::core::request::intake::intake;
    use std::time::Duration;

    fn at(steady_ms: u64) -> Now {
        Now {
            mono: Duration::from_millis(steady_ms),
            wall_ms: steady_ms,
            steady_ms,
        }
    }

    #[test]
    fn no_sliding_hour_has_more_than_the_budget() {
        let create = Operation::of_type("template_create").unwrap();
        let list = Operation::of_type("template_list").unwrap();
        let mut quotas = Quotas::default();
        let mut taken = vec![];
        for minute in 0..300 {
            let now = at(minute * 60_000);
            for _ in 0..3 {
                match quotas.used_until_ms(create, now) {
                    None => {
                        quotas.count(create, now);
                        taken.push(now.steady_ms);
                    }
                    Some(until) => {
                        assert!(until > now.steady_ms && until <= now.steady_ms + HOUR_MS)
                    }
                }
                assert_eq!(quotas.used_until_ms(list, now), None);
                quotas.count(list, now);
            }
        }
        for first in &taken {
            let within = taken
                .iter()
                .filter(|at| (*first..first + HOUR_MS).contains(at));
            assert!(within.count() <= 100);
        }
        assert!(taken.len() >= 450, "{}", taken.len());
    }

    fn edit(node: &str) -> Message {
        let inbound = Inbound {
            account: Some("900"),
            target: "900",
            message_id: Some("id"),
            operation: Some("template_edit"),
            node: Some(Header::Text(node.as_bytes())),
            ..Inbound::default()
        };
        let body = bytes::Bytes::from_static(b"{}");
        intake(body, inbound, &IntakeConfig::OF_TESTS, at(0)).unwrap()
    }

    #[test]
    fn a_second_edit_of_a_template_may_be_too_many_for_a_day_and_the_eleventh_for_thirty() {
        const DAY_MS: u64 = 24 * HOUR_MS;
        let mut done = Done::default();
        assert_eq!(done.may_again_s(&edit("1"), at(0)), None);
        done.note(&edit("1"), at(0));
        assert_eq!(done.may_again_s(&edit("1"), at(HOUR_MS)), Some(23 * 3_600));
        assert_eq!(done.may_again_s(&edit("2"), at(HOUR_MS)), None);
        assert_eq!(done.may_again_s(&edit("1"), at(DAY_MS)), None);
        for day in 1..10 {
            done.note(&edit("1"), at(day * DAY_MS));
        }
        assert_eq!(
            done.may_again_s(&edit("1"), at(12 * DAY_MS)),
            Some(18 * 24 * 3_600)
        );
        assert_eq!(done.may_again_s(&edit("1"), at(30 * DAY_MS)), None);
    }
}
