//! Whether a lane may send, and if not, why and until when.

use crate::core::Now;
use crate::core::fleet::holds::{Finding, Held, Hold, Why};
use std::time::Duration;

/// Longest that a lane sits on unacknowledged messages without sending. RabbitMQ's consumer timeout is far longer, but a
/// lane held here is a lane that no other worker can take over.
pub const HOLD_MAX: Duration = Duration::from_secs(30);

/// How long a lifted hold is remembered by a lane that has no message to try with.
const PROBING_MAX: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum State {
    Flowing,
    /// Nothing is sent until then; the messages stay here.
    Cooling {
        until: Duration,
    },
    /// The messages go back to RabbitMQ, and the lane is left alone until the hold is lifted.
    Away {
        hold: Hold,
    },
    /// Back from `Away`: one request in flight decides whether to flow again.
    Probing {
        hold: Hold,
    },
    /// The messages go back to RabbitMQ, to be fetched anew from then on.
    Rejoining {
        at: Duration,
        /// Carefully, as this hold was lifted.
        lifted: Option<Hold>,
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

    /// Returns what keeps the lane from sending.
    pub fn hold(&self) -> Option<Hold> {
        match self {
            Self::Away { hold } => Some(*hold),
            Self::Flowing
            | Self::Cooling { .. }
            | Self::Probing { .. }
            | Self::Rejoining { .. }
            | Self::Paused { .. }
            | Self::Draining => None,
        }
    }

    /// Returns what kept it from sending until a moment ago: one request has to show that it is over.
    pub fn lifted(&self) -> Option<Hold> {
        match self {
            Self::Probing { hold } => Some(*hold),
            Self::Rejoining { lifted, .. } => *lifted,
            Self::Flowing
            | Self::Cooling { .. }
            | Self::Away { .. }
            | Self::Paused { .. }
            | Self::Draining => None,
        }
    }
}

/// The state, with what its transitions must remember.
#[derive(Debug)]
pub(super) struct Standing {
    state: State,
    /// The end of the longest pause so far. It outlives states that a lane passes through without sending.
    paused_until: Duration,
    /// Since when nothing has reached the API.
    unreachable_since: Option<Duration>,
    /// Requests that failed in a row, without a word of the API about one of them.
    failing: usize,
    /// Since when one request may try whether a hold is over.
    probing_since: Duration,
    /// The last hold ended because the API says that all is well.
    is_said_to_be_well: bool,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self {
            state: State::Flowing,
            paused_until: Duration::ZERO,
            unreachable_since: None,
            failing: 0,
            probing_since: Duration::ZERO,
            is_said_to_be_well: false,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// The hold whose end one request is trying.
    pub(super) fn probes(&self) -> Option<Hold> {
        match self.state {
            State::Probing { hold } => Some(hold),
            State::Flowing
            | State::Cooling { .. }
            | State::Away { .. }
            | State::Rejoining { .. }
            | State::Paused { .. }
            | State::Draining => None,
        }
    }

    pub(super) fn is_said_to_be_well(&self) -> bool {
        self.is_said_to_be_well
    }

    /// Ends a pause that is over.
    pub(super) fn wake(&mut self, now: Now) {
        if let State::Cooling { until } = self.state
            && now.mono >= until
        {
            self.state = State::Flowing;
        }
        // Nothing came to try with: what was lifted that long ago says nothing about now.
        if let State::Probing { .. } = self.state
            && now.mono.saturating_sub(self.probing_since) > PROBING_MAX
        {
            self.state = State::Flowing;
        }
    }

    /// The end of a pause that a probe has to wait for as well.
    pub(super) fn paused_until(&self, now: Now) -> Option<Duration> {
        Some(self.paused_until).filter(|until| now.mono < *until)
    }

    /// Nothing is sent before `until`. Never shortens a pause, never ends a state that is stronger.
    pub(super) fn cool(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
        match &mut self.state {
            State::Flowing | State::Cooling { .. } => {
                self.state = State::Cooling {
                    until: self.paused_until,
                };
            }
            State::Probing { .. }
            | State::Away { .. }
            | State::Rejoining { .. }
            | State::Paused { .. }
            | State::Draining => {}
        }
    }

    /// Something was found that stops the lane at once. False if that is no news.
    pub(super) fn stop(&mut self, finding: &Finding, now: Now) -> bool {
        if let State::Away { hold } = self.state
            && (hold.scope, hold.why, hold.code) == (finding.scope, finding.why, finding.code)
        {
            return false;
        }
        match self.state {
            State::Flowing
            | State::Cooling { .. }
            | State::Probing { .. }
            | State::Rejoining { .. } => {
                let hold = Hold {
                    scope: finding.scope,
                    why: finding.why,
                    code: finding.code,
                    remedy: finding.remedy,
                    since_ms: finding.since_ms(now),
                    // Said by whoever keeps the holds, in a moment.
                    until_ms: now.steady_ms,
                    failed_probes: finding.before.map_or(0, |before| before.failed_probes),
                };
                self.state = State::Away { hold };
            }
            State::Away { .. } | State::Paused { .. } | State::Draining => {}
        }
        true
    }

    /// All that holds the lane, as of now.
    pub(super) fn held(&mut self, held: Held, now: Now) {
        match (self.state, held.paused_since_ms, held.hold) {
            (State::Draining, _, _) => {}
            (_, Some(since_ms), _) => self.state = State::Paused { since_ms },
            (_, None, Some(hold)) => self.hold(hold, now),
            (State::Paused { .. }, None, None) => self.state = self.flowing(now),
            (State::Away { hold }, None, None) => {
                self.failing = 0;
                self.unreachable_since = None;
                self.is_said_to_be_well = held.is_said_to_be_well;
                self.state = State::Rejoining {
                    at: now.mono,
                    lifted: Some(hold),
                };
            }
            (
                State::Flowing
                | State::Cooling { .. }
                | State::Probing { .. }
                | State::Rejoining { .. },
                None,
                None,
            ) => {}
        }
    }

    /// Free to send, once the pause is over that the API has asked for.
    fn flowing(&self, now: Now) -> State {
        match self.paused_until(now) {
            Some(until) => State::Cooling { until },
            None => State::Flowing,
        }
    }

    fn hold(&mut self, hold: Hold, now: Now) {
        let left = Duration::from_millis(hold.until_ms.saturating_sub(now.steady_ms));
        let flows = matches!(self.state, State::Flowing | State::Cooling { .. });
        // Short enough to be sat out with the messages in hand.
        if hold.why == Why::Throttle && left <= HOLD_MAX && flows {
            self.cool(now.mono + left);
        } else {
            self.state = State::Away { hold };
        }
    }

    /// Nothing reached the API. Short outages are sat out in pauses of `pause`; true once that has lasted for too long.
    pub(super) fn unreachable(&mut self, pause: Duration, now: Now) -> bool {
        let since = *self.unreachable_since.get_or_insert(now.mono);
        let is_long = now.mono.saturating_sub(since) > HOLD_MAX;
        if !is_long {
            self.cool(now.mono + pause);
        }
        is_long || self.probes().is_some()
    }

    /// A request failed, and nothing shows that it is its own fault. True if that is the `most`th in a row. One that fails again and
    /// again counts each time: it costs the lane a pause of seconds, and a few quiet requests must not use up their attempts.
    pub(super) fn failed(&mut self, most: usize) -> bool {
        self.failing += 1;
        let is_outage = self.failing >= most || self.probes().is_some();
        if is_outage {
            self.failing = 0;
        }
        is_outage
    }

    /// Something answered, so it can be reached.
    pub(super) fn reached(&mut self) {
        self.unreachable_since = None;
    }

    /// The API had something to say about a request: it works.
    pub(super) fn works(&mut self) {
        self.failing = 0;
    }

    /// An answer about the message itself shows that the lane can send.
    pub(super) fn proved_well(&mut self, now: Now) {
        if let State::Probing { .. } = self.state {
            self.state = self.flowing(now);
        }
    }

    /// Subscribed (again): carefully, if the lane was held.
    pub(super) fn rejoined(&mut self, now: Now) {
        let State::Rejoining { lifted, .. } = self.state else {
            return;
        };
        self.state = match lifted {
            Some(hold) => {
                self.probing_since = now.mono;
                State::Probing { hold }
            }
            None => self.flowing(now),
        };
    }

    pub(super) fn rejoin(&mut self, at: Duration) {
        match self.state {
            State::Flowing | State::Cooling { .. } => {
                self.state = State::Rejoining { at, lifted: None };
            }
            State::Rejoining { lifted, .. } => self.state = State::Rejoining { at, lifted },
            // These subscribe anew anyway, or not at all; a probe is worth more than a better prefetch.
            State::Away { .. } | State::Probing { .. } | State::Paused { .. } | State::Draining => {
            }
        }
    }

    /// Something came that must go back with all that waits.
    pub(super) fn make_room(&mut self, at: Duration) {
        match self.state {
            State::Probing { hold } => {
                let lifted = Some(hold);
                self.state = State::Rejoining { at, lifted };
            }
            State::Flowing
            | State::Cooling { .. }
            | State::Rejoining { .. }
            | State::Away { .. }
            | State::Paused { .. }
            | State::Draining => self.rejoin(at),
        }
    }

    pub(super) fn drain(&mut self) {
        self.state = State::Draining;
    }

    /// When a lane that gave its messages back wants them again; `None` while it does not.
    pub(super) fn rejoin_at(&self) -> Option<Duration> {
        match self.state {
            State::Rejoining { at, .. } => Some(at),
            State::Flowing | State::Cooling { .. } | State::Probing { .. } => Some(Duration::ZERO),
            State::Away { .. } | State::Paused { .. } | State::Draining => None,
        }
    }
}
