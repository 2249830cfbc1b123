//! Which publishes may be what ends the connection that they are made on. RabbitMQ closes a connection over what it fails at, and does
//! not say over which of many publishes. So one that was not confirmed when its session ended, twice in a row, goes alone: on a
//! connection where it can end nothing of others'. Once one has ended that, all that its lane publishes goes alone until much of it went
//! well: its caller may have more like it.

use std::collections::HashMap;

/// Sessions in a row that a publish may end, or seem to.
const SESSIONS_MAX: u32 = 2;

/// Publishes of a lane that must be confirmed before it is trusted again.
const TRUSTED_AFTER: u32 = 1_000;

/// Most that is remembered; then all is forgotten, and what ends sessions ends two more.
const REMEMBERED: usize = 10_000;

/// Publishes are known by lane and id, as a request may come again: whatever is published of it.
#[derive(Default)]
pub struct Suspects {
    /// How many sessions in a row ended before it was confirmed.
    sessions: HashMap<(String, String), u32>,
    /// Lanes with one that has ended a connection of its own; how many must go well yet.
    lanes: HashMap<String, u32>,
}

impl Suspects {
    pub fn goes_alone(&self, lane: &str, id: &str) -> bool {
        if self.sessions.is_empty() && self.lanes.is_empty() {
            return false;
        }
        let sessions = self.sessions.get(&key(lane, id));
        self.lanes.contains_key(lane) || sessions.is_some_and(|ended| *ended >= SESSIONS_MAX)
    }

    /// A session ended, and this was not confirmed.
    pub fn session_ended(&mut self, lane: &str, id: &str) {
        if self.sessions.len() >= REMEMBERED {
            self.sessions.clear();
        }
        *self.sessions.entry(key(lane, id)).or_default() += 1;
    }

    /// A connection ended on which nothing else was.
    pub fn ended_alone(&mut self, lane: &str) {
        if self.lanes.len() >= REMEMBERED {
            self.lanes.clear();
        }
        self.lanes.insert(lane.to_owned(), TRUSTED_AFTER);
    }

    /// There is no connection that it could have for itself.
    pub fn forget(&mut self, lane: &str, id: &str) {
        self.sessions.remove(&key(lane, id));
        self.lanes.remove(lane);
    }

    /// Notes that the publish is confirmed, in whatever form.
    pub fn cleared(&mut self, lane: &str, id: &str) {
        if !self.sessions.is_empty() {
            self.sessions.remove(&key(lane, id));
        }
        if let Some(left) = self.lanes.get_mut(lane) {
            *left -= 1;
            if *left == 0 {
                self.lanes.remove(lane);
            }
        }
    }
}

fn key(lane: &str, id: &str) -> (String, String) {
    (lane.to_owned(), id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sessions_in_a_row_make_a_suspect() {
        let mut suspects = Suspects::default();
        suspects.session_ended("111", "a");
        assert!(!suspects.goes_alone("111", "a"));
        suspects.session_ended("111", "a");
        assert!(suspects.goes_alone("111", "a"));
        for (lane, id) in [("111", "b"), ("222", "a")] {
            assert!(!suspects.goes_alone(lane, id));
        }
        suspects.cleared("111", "a");
        assert!(!suspects.goes_alone("111", "a"));
    }

    #[test]
    fn a_confirm_in_between_clears_it() {
        let mut suspects = Suspects::default();
        suspects.session_ended("111", "a");
        suspects.cleared("111", "a");
        suspects.session_ended("111", "a");
        assert!(!suspects.goes_alone("111", "a"));
    }

    #[test]
    fn a_lane_with_a_guilty_one_goes_alone_until_much_of_it_went_well() {
        let mut suspects = Suspects::default();
        suspects.ended_alone("111");
        for n in 0..TRUSTED_AFTER {
            assert!(suspects.goes_alone("111", "any"), "after {n}");
            assert!(!suspects.goes_alone("222", "any"));
            suspects.cleared("111", "any");
        }
        assert!(!suspects.goes_alone("111", "any"));
    }

    #[test]
    fn so_many_are_remembered() {
        let mut suspects = Suspects::default();
        for n in 0..3 * REMEMBERED {
            suspects.session_ended("111", &n.to_string());
            suspects.ended_alone(&n.to_string());
        }
        assert!(suspects.sessions.len() <= REMEMBERED);
        assert!(suspects.lanes.len() <= REMEMBERED);
    }
}
