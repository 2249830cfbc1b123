//! The scenarios: their names, what they do, and what they promise.

use super::bounds::Bounds;

/// Meta's limit of an ordinary number, in messages per second.
pub(crate) const LIMIT: usize = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Scale,
    Kill,
    Scheduled,
    Evidence,
    Stop,
    BrokerTerm,
    BrokerKill,
    Rolling,
    AlarmMemory,
    AlarmDisk,
    LaneDeleted,
    ConnectionsClosed,
    ConsumerTimeout,
    Api(Ailment, Reach),
    Partition,
    ClusterNode,
    ClusterLeader,
    Descriptors,
    Clock,
    RejectPublish,
    StuckReader,
    Credentials,
    SlowConfirms,
    Panic,
    Drain,
    Quick,
    Mix,
}

/// What the API does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ailment {
    Refused,
    Hanging,
    Slow,
    ResetBefore,
    ResetAfter,
    BadGateway,
    Truncated,
    Huge,
    Trickle,
    Tls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    One,
    All,
}

impl Ailment {
    /// Those that a script of the simulator's can cause.
    pub(crate) const SCRIPTED: [Self; 9] = [
        Self::Refused,
        Self::Hanging,
        Self::Slow,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::BadGateway,
        Self::Truncated,
        Self::Huge,
        Self::Trickle,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Hanging => "hanging",
            Self::Slow => "slow",
            Self::ResetBefore => "reset-before",
            Self::ResetAfter => "reset-after",
            Self::BadGateway => "502",
            Self::Truncated => "truncated",
            Self::Huge => "huge",
            Self::Trickle => "trickle",
            Self::Tls => "tls",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Refused => "the API refuses connections",
            Self::Hanging => "the API takes requests and never answers",
            Self::Slow => "the API answers 3 s later",
            Self::ResetBefore => "the API resets connections before it took the message",
            Self::ResetAfter => "the API resets connections after it took the message",
            Self::BadGateway => "502 with HTML instead of the API",
            Self::Truncated => "answers whose JSON is cut in half",
            Self::Huge => "answers of 64 MB",
            Self::Trickle => "answers that trickle in over 40 s",
            Self::Tls => "the API shows a certificate that nobody trusts",
        }
    }
}

impl Scenario {
    const PLAIN: [Self; 13] = [
        Self::Scale,
        Self::Kill,
        Self::Scheduled,
        Self::Evidence,
        Self::Stop,
        Self::BrokerTerm,
        Self::BrokerKill,
        Self::Rolling,
        Self::AlarmMemory,
        Self::AlarmDisk,
        Self::LaneDeleted,
        Self::ConnectionsClosed,
        Self::ConsumerTimeout,
    ];
    /// Those with three nodes last: a change of their number takes half a minute.
    const LATER: [Self; 11] = [
        Self::Partition,
        Self::Credentials,
        Self::SlowConfirms,
        Self::Panic,
        Self::Descriptors,
        Self::Clock,
        Self::RejectPublish,
        Self::Drain,
        Self::StuckReader,
        Self::ClusterLeader,
        Self::ClusterNode,
    ];

    pub(crate) fn all() -> Vec<Self> {
        let mut all = Self::PLAIN.to_vec();
        for ailment in Ailment::SCRIPTED.into_iter().chain([Ailment::Tls]) {
            // Of one number the API cannot refuse connections: it does not know yet whose they are.
            if ailment != Ailment::Refused && ailment != Ailment::Tls {
                all.push(Self::Api(ailment, Reach::One));
            }
            all.push(Self::Api(ailment, Reach::All));
        }
        all.extend(Self::LATER);
        all.extend([Self::Quick, Self::Mix]);
        all
    }

    /// Whether it runs when no name is given.
    pub(crate) fn is_usual(self) -> bool {
        self != Self::Quick && self != Self::Mix
    }

    pub(crate) fn name(self) -> String {
        let name = match self {
            Self::Scale => "scale",
            Self::Kill => "kill",
            Self::Scheduled => "scheduled",
            Self::Evidence => "evidence",
            Self::Stop => "stop",
            Self::BrokerTerm => "broker-term",
            Self::BrokerKill => "broker-kill",
            Self::Rolling => "rolling",
            Self::AlarmMemory => "alarm-memory",
            Self::AlarmDisk => "alarm-disk",
            Self::LaneDeleted => "channel-deleted",
            Self::ConnectionsClosed => "channel-closed",
            Self::ConsumerTimeout => "channel-timeout",
            Self::Api(ailment, Reach::One) => return format!("api-{}-one", ailment.name()),
            Self::Api(ailment, Reach::All) => return format!("api-{}-all", ailment.name()),
            Self::Partition => "partition",
            Self::ClusterNode => "cluster-node",
            Self::ClusterLeader => "cluster-leader",
            Self::Descriptors => "fd",
            Self::Clock => "clock",
            Self::RejectPublish => "reject-publish",
            Self::StuckReader => "stuck-reader",
            Self::Credentials => "credentials",
            Self::SlowConfirms => "slow-confirms",
            Self::Panic => "panic",
            Self::Drain => "drain",
            Self::Quick => "quick",
            Self::Mix => "mix",
        };
        name.to_owned()
    }

    pub(crate) fn about(self) -> String {
        let about = match self {
            Self::Scale => "1, then 3, then 1 workers",
            Self::Kill => "two of three workers are killed",
            Self::Scheduled => {
                "one of two workers is killed while it moves 3,000 scheduled requests to the ladder"
            }
            Self::Evidence => "a worker is killed at 3,000 results a second",
            Self::Stop => "a worker is stopped for 45 s and goes on",
            Self::BrokerTerm => "RabbitMQ is restarted in order",
            Self::BrokerKill => "RabbitMQ is killed and started again",
            Self::Rolling => "all workers are restarted in order, one after the other",
            Self::AlarmMemory => "RabbitMQ has no memory for 15 s",
            Self::AlarmDisk => "RabbitMQ has no disk space for 15 s",
            Self::LaneDeleted => "a lane's queue is deleted, with what is in it",
            Self::ConnectionsClosed => "RabbitMQ closes all connections",
            Self::ConsumerTimeout => "RabbitMQ loses patience with consumers for 10 s",
            Self::Api(ailment, Reach::One) => {
                return format!("{}, for one number, for 60 s", ailment.about());
            }
            Self::Api(ailment, Reach::All) => {
                return format!("{}, for 60 s", ailment.about());
            }
            Self::Partition => "nothing passes between a worker and RabbitMQ for 45 s",
            Self::ClusterNode => "three nodes: the one that leads most lanes is killed",
            Self::ClusterLeader => "three nodes: every lane gets another leader",
            Self::Descriptors => "a worker with hardly any file descriptors",
            Self::Clock => "a worker's clock is set an hour forth, and back",
            Self::RejectPublish => "somebody's full queue refuses results for 15 s",
            Self::StuckReader => {
                "somebody's queue for one number's results hangs for 40 s, and for 15"
            }
            Self::Credentials => "the workers' password is changed for 15 s",
            Self::SlowConfirms => "all between workers and RabbitMQ is 300 ms late, for 20 s",
            Self::Panic => "a lane of a worker panics",
            Self::Drain => {
                "700 lanes, nothing in doubt is sent: one of two workers leaves in order"
            }
            Self::Quick => "a worker and RabbitMQ are killed, the workers restarted; for the tests",
            Self::Mix => "many faults in a row, drawn with the seed",
        };
        about.to_owned()
    }

    pub(crate) fn bounds(self) -> Bounds {
        match self {
            Self::Scale => Bounds::new(4, 4),
            Self::Kill => Bounds::new(4, 6).twice(),
            // None is due before all is well again.
            Self::Scheduled => Bounds::new(0, 0).untimed(),
            Self::Evidence => Bounds::new(4, 6).twice(),
            // It sleeps longer than it waits for an answer.
            Self::Stop => Bounds::new(35, 5).twice().unknown(),
            Self::BrokerTerm | Self::BrokerKill => Bounds::new(45, 25).twice(),
            Self::Rolling => Bounds::new(4, 4),
            Self::AlarmMemory | Self::AlarmDisk => Bounds::new(20, 5).twice(),
            Self::LaneDeleted => Bounds::new(20, 20).twice().other(),
            Self::ConnectionsClosed => Bounds::new(8, 8).twice(),
            Self::ConsumerTimeout => Bounds::new(20, 10).twice(),
            Self::Api(ailment, _) => {
                let bounds = Bounds::new(100, 40);
                match ailment {
                    Ailment::Slow => bounds,
                    // An outage begins with the reset of what is in flight.
                    Ailment::Refused
                    | Ailment::Hanging
                    | Ailment::ResetBefore
                    | Ailment::ResetAfter
                    | Ailment::BadGateway
                    | Ailment::Truncated
                    | Ailment::Huge
                    | Ailment::Trickle
                    | Ailment::Tls => bounds.unknown().twice(),
                }
            }
            Self::Partition => Bounds::new(35, 5).twice(),
            Self::ClusterNode => Bounds::new(20, 20).twice(),
            Self::ClusterLeader => Bounds::new(5, 5).twice(),
            Self::Descriptors => Bounds::new(60, 10),
            Self::Clock => Bounds::new(2, 2),
            Self::RejectPublish => Bounds::new(25, 10).twice(),
            Self::StuckReader => Bounds::new(50, 5),
            Self::Credentials => Bounds::new(35, 15).twice(),
            Self::SlowConfirms => Bounds::new(5, 5),
            Self::Panic => Bounds::new(4, 6).twice(),
            Self::Drain => Bounds::new(45, 45).untimed(),
            Self::Quick => Bounds::new(45, 25).twice().untimed(),
            Self::Mix => Bounds::new(90, 60).twice().unknown(),
        }
    }

    /// Of each lane, in messages per second.
    pub(crate) fn limit(self) -> usize {
        if self == Self::Drain { 1 } else { LIMIT }
    }

    /// What the workers' config says that it does not say elsewhere.
    pub(crate) fn config(self) -> &'static str {
        if self == Self::Drain {
            // A worker holds 11 requests of each lane.
            "[redelivery]\npolicy = \"report\"\n[lanes]\nbuffer_ms = 10000\n"
        } else if self == Self::Evidence {
            "[log]\nlevel = \"info,whatsapp_dispatcher::roles::dispatcher::evidence=debug\"\n"
        } else {
            ""
        }
    }

    pub(crate) fn nodes(self) -> u16 {
        if self == Self::ClusterNode || self == Self::ClusterLeader {
            3
        } else {
            1
        }
    }

    /// Workers from the start, and lanes.
    pub(crate) fn size(self) -> (usize, usize) {
        match self {
            Self::Scale => (1, 6),
            Self::Quick => (2, 3),
            Self::Drain => (2, 700),
            Self::Scheduled => (2, 6),
            Self::Kill
            | Self::Evidence
            | Self::Stop
            | Self::BrokerTerm
            | Self::BrokerKill
            | Self::Rolling
            | Self::AlarmMemory
            | Self::AlarmDisk
            | Self::LaneDeleted
            | Self::ConnectionsClosed
            | Self::ConsumerTimeout
            | Self::Api(..)
            | Self::Partition
            | Self::ClusterNode
            | Self::ClusterLeader
            | Self::Descriptors
            | Self::Clock
            | Self::RejectPublish
            | Self::StuckReader
            | Self::Credentials
            | Self::SlowConfirms
            | Self::Panic
            | Self::Mix => (3, 6),
        }
    }
}

/// By name or by the start of some; without any, the usual ones.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Scenario>, String> {
    let all = Scenario::all();
    if names.is_empty() {
        return Ok(all.into_iter().filter(|one| one.is_usual()).collect());
    }
    let mut chosen = vec![];
    for name in names {
        let exact = all.iter().filter(|one| one.name() == *name);
        let begin = all
            .iter()
            .filter(|one| one.name().starts_with(name.as_str()));
        let mut found: Vec<_> = exact.copied().collect();
        if found.is_empty() {
            found = begin.copied().collect();
        }
        if found.is_empty() {
            return Err(format!("no scenario is called {name}; --list names them"));
        }
        chosen.extend(found);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> Vec<String> {
        let of: Vec<_> = of.iter().map(|&name| name.to_owned()).collect();
        let chosen = chosen(&of).unwrap();
        chosen.into_iter().map(Scenario::name).collect()
    }

    #[test]
    fn a_name_or_the_start_of_some_chooses() {
        assert_eq!(
            names(&["kill", "alarm"]),
            ["kill", "alarm-memory", "alarm-disk"]
        );
        assert_eq!(names(&["api-502"]), ["api-502-one", "api-502-all"]);
        assert!(!names(&[]).contains(&"mix".to_owned()));
        assert!(chosen(&["nothing".to_owned()]).is_err());
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Scenario::all().into_iter().map(Scenario::name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
