//! Until when a worker has settled all that it published: so far back nobody need look for a result of its that RabbitMQ may ask for again.
//!
//! A result is in the log before its request is acknowledged, and the acknowledgement may be lost on its way. A probe that RabbitMQ
//! answers on the same connection proves that it has all that was acknowledged before the probe was sent.

use std::collections::BTreeMap;
use std::time::Duration;

struct Connection {
    /// Since when, and until when if RabbitMQ has it again. In order of the first.
    open: BTreeMap<u64, (Duration, Option<Duration>)>,
    /// All that began before is settled.
    proven: Duration,
    /// The connection is over, and nobody looks for what was settled on it any more from then on.
    until: Option<Duration>,
}

/// Over all connections on which requests come.
#[derive(Default)]
pub struct Settling {
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

impl Settling {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// There is one more connection.
    pub fn opened(&mut self, now: Duration) -> u64 {
        let number = self.number();
        let connection = Connection {
            open: BTreeMap::new(),
            proven: now,
            until: None,
        };
        self.connections.insert(number, connection);
        number
    }

    /// A connection is over: what was not proven to be settled never will be, and may be looked for until then.
    pub fn ended(&mut self, connection: u64, until: Duration) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.until = Some(until);
        }
    }

    /// Something is about to be published by which a request ends.
    pub fn begin(&mut self, connection: u64, now: Duration) -> u64 {
        let number = self.number();
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.open.insert(number, (now, None));
        }
        number
    }

    /// Notes that the request was acknowledged, or at least that this was written.
    pub fn acknowledged(&mut self, connection: u64, number: u64) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.open.remove(&number);
        }
    }

    /// Notes that the request was not acknowledged: RabbitMQ delivers it again, and whoever gets it may look for what was published until
    /// then.
    pub fn given_back(&mut self, connection: u64, number: u64, until: Duration) {
        let connection = self.connections.get_mut(&connection);
        if let Some((_, is_open_until)) = connection.and_then(|c| c.open.get_mut(&number)) {
            *is_open_until = Some(until);
        }
    }

    /// Returns what a probe that is sent now proves to be settled, once it is answered: all that began before.
    pub fn to_prove(&mut self, connection: u64, now: Duration) -> Duration {
        let Some(connection) = self.connections.get_mut(&connection) else {
            return Duration::ZERO;
        };
        let is_open = |until: &Option<Duration>| until.is_none_or(|until| until > now);
        connection.open.retain(|_, (_, until)| is_open(until));
        let oldest = connection.open.first_key_value();
        oldest.map_or(now, |(_, (began, _))| *began)
    }

    /// A probe was answered.
    pub fn proven(&mut self, connection: u64, proof: Duration) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.proven = connection.proven.max(proof);
        }
    }

    /// Requests that began later may be unsettled.
    pub fn settled(&mut self, now: Duration) -> Duration {
        let counts = |connection: &Connection| connection.until.is_none_or(|until| until > now);
        self.connections.retain(|_, connection| counts(connection));
        let connections = self.connections.values();
        let proven = connections.map(|connection| connection.proven).min();
        proven.unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What is settled after a probe at 20 s, of one that began at 10 s and to which this happened.
    fn check(happens: impl FnOnce(&mut Settling, u64, u64), expected: u64) {
        let mut settling = Settling::default();
        let connection = settling.opened(at(1));
        let number = settling.begin(connection, at(10));
        happens(&mut settling, connection, number);
        let proof = settling.to_prove(connection, at(20));
        assert_eq!(settling.settled(at(21)), at(1), "not answered yet");
        settling.proven(connection, proof);
        assert_eq!(settling.settled(at(21)), at(expected));
    }

    #[test]
    fn what_was_acknowledged_before_an_answered_probe_is_settled() {
        check(|settling, c, number| settling.acknowledged(c, number), 20);
    }

    #[test]
    fn what_is_under_way_is_not() {
        check(|_, _, _| {}, 10);
    }

    #[test]
    fn what_was_given_back_is_not_until_its_time_is_over() {
        check(
            |settling, c, number| settling.given_back(c, number, at(30)),
            10,
        );
        check(
            |settling, c, number| settling.given_back(c, number, at(15)),
            20,
        );
    }

    #[test]
    fn a_probe_says_nothing_of_what_was_acknowledged_after_it() {
        let mut settling = Settling::default();
        let connection = settling.opened(at(1));
        let number = settling.begin(connection, at(10));
        let proof = settling.to_prove(connection, at(11));
        settling.acknowledged(connection, number);
        settling.proven(connection, proof);
        assert_eq!(settling.settled(at(12)), at(10));
    }

    #[test]
    fn a_connection_that_is_over_counts_for_as_long_as_anybody_looks() {
        let mut settling = Settling::default();
        assert_eq!(settling.settled(at(3)), at(3), "nothing was published");
        let (lost, other) = (settling.opened(at(1)), settling.opened(at(2)));
        settling.ended(lost, at(60));
        settling.proven(other, at(50));
        assert_eq!(settling.settled(at(59)), at(1));
        assert_eq!(settling.settled(at(60)), at(50));
    }
}
