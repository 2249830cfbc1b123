//! Whether a lane may send, and if not, why and until when.

use super::LaneConfig;
use crate::core::Now;
use crate::core::outcome::Scope;
use std::time::Duration;

/// Longest that a lane sits on unacknowledged messages without sending. RabbitMQ's consumer timeout is far longer, but a
/// lane held here is a lane that no other worker can take over.
pub const HOLD_MAX: Duration = Duration::from_secs(30);

/// The API cannot be reached: how soon a lane that gave its messages back looks again, doubling per failure.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(2);

/// Why a lane does not send, for `/lanes`, the log and the metrics. Holds codes, never texts of the API.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cause {
    pub scope: Scope,
    pub code: Option<i64>,
    /// Not a pause that the API asked for: nobody can send until something changes.
    pub is_block: bool,
    pub remedy: &'static str,
    pub since_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum State {
    Flowing,
    /// Nothing is sent until then; the messages stay here.
    Cooling {
        until: Duration,
    },
    /// The messages go back to RabbitMQ and the lane is left alone until then.
    Away {
        until: Duration,
        cause: Cause,
    },
    /// Back from `Away`: one request in flight decides whether to flow again.
    Probing {
        cause: Cause,
    },
    /// The messages go back to RabbitMQ, to be fetched from then on with the prefetch of a new limit.
    Rejoining {
        at: Duration,
    },
    /// An operator said so; until an operator says otherwise.
    Paused {
        since_ms: u64,
    },
    Draining,
}

impl State {
    /// Every word of the `state` label.
    pub const WORDS: [&'static str; 7] = [
        "flowing",
        "cooling",
        "away",
        "probing",
        "rejoining",
        "paused",
        "draining",
    ];

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Flowing => "flowing",
            Self::Cooling { .. } => "cooling",
            Self::Away { .. } => "away",
            Self::Probing { .. } => "probing",
            Self::Rejoining { .. } => "rejoining",
            Self::Paused { .. } => "paused",
            Self::Draining => "draining",
        }
    }
}

/// The state, with what its transitions must remember.
#[derive(Debug)]
pub(super) struct Standing {
    state: State,
    /// The end of the longest pause so far. It outlives states that a lane passes through without sending.
    paused_until: Duration,
    /// Pauses double per failed probe.
    failed_probes: u32,
    /// Since when nothing has reached the API.
    unreachable_since: Option<Duration>,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self {
            state: State::Flowing,
            paused_until: Duration::ZERO,
            failed_probes: 0,
            unreachable_since: None,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Ends a pause that is over.
    pub(super) fn wake(&mut self, now: Now) {
        if let State::Cooling { until } = self.state
            && now.mono >= until
        {
            self.state = State::Flowing;
        }
    }

    /// Nothing is sent before `until`. Never shortens a pause, never ends a state that is stronger.
    pub(super) fn cool(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
        match &mut self.state {
            State::Flowing | State::Probing { .. } | State::Cooling { .. } => {
                self.state = State::Cooling {
                    until: self.paused_until,
                };
            }
            State::Away { until, .. } => *until = self.paused_until.max(*until),
            State::Rejoining { .. } | State::Paused { .. } | State::Draining => {}
        }
    }

    /// The API asked for a pause. A long one is not sat out with the messages in hand.
    pub(super) fn throttle(&mut self, pause: Duration, cause: Cause, now: Now) {
        self.cool(now.mono + pause);
        if pause > HOLD_MAX {
            self.leave(now.mono + pause, cause);
        }
    }

    /// Blocked: away, longer each time a probe fails.
    pub(super) fn halt(&mut self, cause: Cause, config: &LaneConfig, now: Now) {
        self.leave_for(config.halt_probe, config.halt_probe_max, cause, now);
    }

    /// Nothing reached the API. Short outages are sat out in pauses of `pause`; after [`HOLD_MAX`] the messages go back.
    pub(super) fn unreachable(
        &mut self,
        pause: Duration,
        cause: Cause,
        config: &LaneConfig,
        now: Now,
    ) {
        let since = *self.unreachable_since.get_or_insert(now.mono);
        let is_probe = matches!(self.state, State::Probing { .. });
        if is_probe || now.mono.saturating_sub(since) > HOLD_MAX {
            self.leave_for(
                UNREACHABLE_PAUSE.min(config.halt_probe),
                config.halt_probe,
                cause,
                now,
            );
        } else {
            self.cool(now.mono + pause);
        }
    }

    fn leave_for(&mut self, first: Duration, longest: Duration, mut cause: Cause, now: Now) {
        if let State::Probing { cause: earlier } = self.state {
            cause.since_ms = earlier.since_ms;
        }
        let pause = first
            .saturating_mul(1 << self.failed_probes.min(16))
            .min(longest);
        if self.leave(now.mono + pause, cause) {
            self.failed_probes += 1;
        }
    }

    fn leave(&mut self, until: Duration, cause: Cause) -> bool {
        match self.state {
            State::Flowing
            | State::Probing { .. }
            | State::Cooling { .. }
            | State::Rejoining { .. } => {
                let until = until.max(self.paused_until);
                self.state = State::Away { until, cause };
                true
            }
            State::Away { .. } | State::Paused { .. } | State::Draining => false,
        }
    }

    /// Something answered, so it can be reached.
    pub(super) fn reached(&mut self) {
        self.unreachable_since = None;
    }

    /// An answer about the message itself shows that the lane can send.
    pub(super) fn proved_well(&mut self) {
        self.failed_probes = 0;
        if let State::Probing { .. } = self.state {
            self.state = State::Flowing;
        }
    }

    /// Subscribed (again): carefully, if the lane was blocked.
    pub(super) fn rejoined(&mut self, now: Now) {
        match self.state {
            // Asked for before the block began: not wanted any more.
            State::Away { until, .. } if now.mono < until => {}
            State::Away { cause, .. } => self.state = State::Probing { cause },
            State::Rejoining { .. } if now.mono < self.paused_until => {
                self.state = State::Cooling {
                    until: self.paused_until,
                };
            }
            State::Rejoining { .. } => self.state = State::Flowing,
            State::Flowing
            | State::Cooling { .. }
            | State::Probing { .. }
            | State::Paused { .. }
            | State::Draining => {}
        }
    }

    pub(super) fn rejoin(&mut self, at: Duration) {
        match self.state {
            State::Flowing | State::Cooling { .. } | State::Rejoining { .. } => {
                self.state = State::Rejoining { at };
            }
            // These subscribe anew anyway, or not at all; a probe is worth more than a better prefetch.
            State::Away { .. } | State::Probing { .. } | State::Paused { .. } | State::Draining => {
            }
        }
    }

    pub(super) fn pause(&mut self, now: Now) {
        match self.state {
            State::Draining | State::Paused { .. } => {}
            State::Flowing
            | State::Cooling { .. }
            | State::Away { .. }
            | State::Probing { .. }
            | State::Rejoining { .. } => {
                self.state = State::Paused {
                    since_ms: now.wall_ms,
                };
            }
        }
    }

    /// What blocked the lane may be mended: a block is probed now. A pause that the API asked for goes on.
    pub(super) fn try_again(&mut self, now: Now) {
        if let State::Away { until, cause } = &mut self.state
            && cause.is_block
        {
            *until = now.mono;
            self.paused_until = now.mono;
            self.failed_probes = 0;
        }
    }

    /// Ends a pause and a block alike.
    pub(super) fn resume(&mut self) {
        match self.state {
            State::Draining | State::Rejoining { .. } => {}
            State::Flowing
            | State::Cooling { .. }
            | State::Away { .. }
            | State::Probing { .. }
            | State::Paused { .. } => {
                self.state = State::Flowing;
                self.paused_until = Duration::ZERO;
                self.failed_probes = 0;
                self.unreachable_since = None;
            }
        }
    }

    pub(super) fn drain(&mut self) {
        self.state = State::Draining;
    }

    /// When a lane that gave its messages back wants them again; `None` while it does not.
    pub(super) fn rejoin_at(&self) -> Option<Duration> {
        match self.state {
            State::Away { until, .. } => Some(until),
            State::Rejoining { at } => Some(at),
            State::Flowing | State::Cooling { .. } | State::Probing { .. } => Some(Duration::ZERO),
            State::Paused { .. } | State::Draining => None,
        }
    }
}
