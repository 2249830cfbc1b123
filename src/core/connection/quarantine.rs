//! Which connection each lane is consumed on. RabbitMQ closes a whole connection when it cannot put one message into a delivery, and
//! does so again at each delivery of that message; so a lane that ends connections must have one of its own.
//!
//! All lanes share one connection at first, and nobody can know which of them ended it. A first end changes nothing: networks do that.
//! After a second one soon after, its lanes go on in groups on connections of their own; the group that ends its connection again is
//! split again. A lane that ends a connection which it had for itself stays apart, and opens after a pause that grows. The groups
//! that held go back to the shared connection. Nobody but a lane apart ever waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Two ends of the shared connection within this time have one cause.
const REPEATED_WITHIN: Duration = Duration::from_secs(60);

/// A group whose connection held so long did not end the one before.
const CLEARED_AFTER: Duration = Duration::from_secs(60);

/// Parts that lanes are split into: a thousand are told apart in four steps.
const PARTS: usize = 8;

/// Most groups at a time.
const GROUPS_MAX: usize = 128;

/// Most connections for lanes apart; with more of those, some share one.
const APART_MAX: u32 = 32;

/// First and longest pause before a lane apart is opened again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(120));

/// First deliveries since it last ended its connection which show that the message that did is gone: RabbitMQ delivers what was
/// returned to it before what is new, and what is returned again behind what else was returned (seen with 4.0.5 and 4.3.6), so that
/// deliveries of those show nothing.
const PROOF: u32 = 10;

/// How long a lane stays apart after its last end, once it is shown that the cause is gone: the next may be like it.
const APART_PROVEN: Duration = Duration::from_secs(600);

/// The same without proof: no message came, or another worker has the lane.
const APART_UNPROVEN: Duration = Duration::from_secs(3_600);

/// A connection that lanes are consumed on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LinkId {
    /// The connection of all lanes that nothing speaks against.
    Shared,
    /// A connection of some lanes that were on one which ended.
    Group(u32),
    /// The connection of a lane that ends connections.
    Apart(u32),
}

/// How a lane is to be consumed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assignment {
    pub link: LinkId,
    /// One delivery at a time: what comes ahead of the one that ends the connection gets through, and RabbitMQ's count of
    /// deliveries grows for that one only.
    pub one_by_one: bool,
    /// Not opened before this (monotonic time).
    pub not_before: Duration,
}

impl Assignment {
    /// Whether a lane that is consumed as `before` says has to move.
    pub fn moves_from(self, before: Self) -> bool {
        self.link != before.link || self.one_by_one != before.one_by_one
    }

    /// How many deliveries the lane may hold, if it wants so many.
    pub fn at_most(self, prefetch: u16) -> u16 {
        if self.one_by_one { 1 } else { prefetch }
    }
}

/// The consequence of an end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing yet.
    Noted,
    /// The connection's lanes go on in so many groups.
    Split(usize),
    /// These lanes have a connection of their own now.
    Apart(Vec<Arc<str>>),
}

#[derive(Clone, Copy, Debug)]
enum Seat {
    Group {
        number: u32,
        since: Duration,
        not_before: Duration,
    },
    Apart {
        slot: u32,
        /// Since it was last shown to be well.
        ends: u32,
        last_end: Duration,
        not_before: Duration,
        /// First deliveries since the last end.
        delivered: u32,
    },
}

/// A lane apart, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Apart {
    /// Connections that it has ended; 0 again once ten new requests came (`PROOF`).
    pub ends: u32,
    pub last_end: Duration,
    pub not_before: Duration,
}

/// The assignment of lanes to connections. Lanes are known by their phone number's id; a queue that all workers share, by its name.
#[derive(Clone, Default, Debug)]
pub struct Quarantine {
    /// Lanes that are not on the shared connection.
    seats: BTreeMap<Arc<str>, Seat>,
    /// When the shared connection last ended by itself.
    shared_end: Option<Duration>,
    next_group: u32,
}

impl Quarantine {
    pub fn assignment(&self, lane: &str) -> Assignment {
        match self.seats.get(lane) {
            None => Assignment {
                link: LinkId::Shared,
                one_by_one: false,
                not_before: Duration::ZERO,
            },
            Some(Seat::Group {
                number, not_before, ..
            }) => Assignment {
                link: LinkId::Group(*number),
                one_by_one: false,
                not_before: *not_before,
            },
            Some(Seat::Apart {
                slot,
                not_before,
                delivered,
                ..
            }) => Assignment {
                link: LinkId::Apart(*slot),
                one_by_one: *delivered < PROOF,
                not_before: *not_before,
            },
        }
    }

    /// A lane that has a connection of its own because it ended one.
    pub fn apart(&self, lane: &str) -> Option<Apart> {
        match self.seats.get(lane)? {
            Seat::Apart {
                ends,
                last_end,
                not_before,
                ..
            } => Some(Apart {
                ends: *ends,
                last_end: *last_end,
                not_before: *not_before,
            }),
            Seat::Group { .. } => None,
        }
    }

    /// A connection ended while RabbitMQ answered on others. `lanes`: those that were open or being opened on it.
    pub fn ended(&mut self, link: LinkId, lanes: &[Arc<str>], now: Duration) -> Verdict {
        match link {
            LinkId::Shared => {
                let last = self.shared_end.replace(now);
                if last.is_none_or(|at| now.saturating_sub(at) > REPEATED_WITHIN) {
                    return Verdict::Noted;
                }
                self.shared_end = None;
                self.split(lanes, now)
            }
            LinkId::Group(_) if lanes.len() > 1 => self.split(lanes, now),
            LinkId::Group(_) | LinkId::Apart(_) => self.set_apart(lanes, now),
        }
    }

    /// Sets lanes apart that are known to have ended a connection, or must: what was half open on it cannot be closed.
    pub fn set_apart(&mut self, lanes: &[Arc<str>], now: Duration) -> Verdict {
        for lane in lanes {
            let (slot, ends) = match self.seats.get(lane) {
                Some(Seat::Apart { slot, ends, .. }) => (*slot, ends.saturating_add(1)),
                Some(Seat::Group { .. }) | None => (self.emptiest_slot(), 1),
            };
            let seat = Seat::Apart {
                slot,
                ends,
                last_end: now,
                not_before: now + pause(ends),
                delivered: 0,
            };
            self.seats.insert(lane.clone(), seat);
        }
        Verdict::Apart(lanes.to_vec())
    }

    /// A lane that comes one by one got a message for the first time. True if it may have more at a time from now on.
    pub fn delivered_first(&mut self, lane: &str) -> bool {
        match self.seats.get_mut(lane) {
            Some(Seat::Apart {
                delivered, ends, ..
            }) => {
                *delivered = delivered.saturating_add(1);
                if *delivered == PROOF {
                    *ends = 0;
                }
                *delivered == PROOF
            }
            Some(Seat::Group { .. }) | None => false,
        }
    }

    /// Sends those back to the shared connection whose time is over. True if there were any.
    pub fn clear(&mut self, now: Duration) -> bool {
        let before = self.seats.len();
        self.seats.retain(|_, seat| seat.until() > now);
        self.seats.len() < before
    }

    /// When to clear next.
    pub fn clear_at(&self) -> Option<Duration> {
        self.seats.values().map(Seat::until).min()
    }

    fn split(&mut self, lanes: &[Arc<str>], now: Duration) -> Verdict {
        let mut groups: Vec<u32> = self
            .seats
            .iter()
            .filter(|(lane, _)| !lanes.contains(lane))
            .filter_map(|(_, seat)| seat.group())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let room = GROUPS_MAX.saturating_sub(groups.len()).clamp(1, PARTS);
        // With no room to tell them apart, they wait until there is.
        let not_before = if room == 1 { now + CLEARED_AFTER } else { now };
        let size = lanes.len().div_ceil(room).max(1);
        let parts = lanes.chunks(size);
        let count = parts.len();
        for part in parts {
            let number = self.next_group;
            self.next_group = self.next_group.wrapping_add(1);
            for lane in part {
                // One that is apart for other reasons stays so.
                if self.apart(lane).is_none() {
                    let seat = Seat::Group {
                        number,
                        since: now,
                        not_before,
                    };
                    self.seats.insert(lane.clone(), seat);
                }
            }
        }
        Verdict::Split(count)
    }

    fn emptiest_slot(&self) -> u32 {
        let taken = |slot: &u32| {
            let slots = self.seats.values().filter_map(Seat::slot);
            slots.filter(|other| other == slot).count()
        };
        (0..APART_MAX).min_by_key(taken).unwrap_or(0)
    }
}

impl Seat {
    fn until(&self) -> Duration {
        match self {
            Self::Group {
                since, not_before, ..
            } => *since.max(not_before) + CLEARED_AFTER,
            Self::Apart {
                last_end,
                delivered,
                ..
            } if *delivered >= PROOF => *last_end + APART_PROVEN,
            Self::Apart { last_end, .. } => *last_end + APART_UNPROVEN,
        }
    }

    fn group(&self) -> Option<u32> {
        match self {
            Self::Group { number, .. } => Some(*number),
            Self::Apart { .. } => None,
        }
    }

    fn slot(&self) -> Option<u32> {
        match self {
            Self::Apart { slot, .. } => Some(*slot),
            Self::Group { .. } => None,
        }
    }
}

/// Doubles with each end.
fn pause(ends: u32) -> Duration {
    let doubled = 2_u32.checked_pow(ends.saturating_sub(1));
    doubled
        .and_then(|factor| PAUSE.0.checked_mul(factor))
        .unwrap_or(PAUSE.1)
        .min(PAUSE.1)
}

#[cfg(test)]
mod tests;
