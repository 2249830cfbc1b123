//! Words between a lane and the shell.

use super::{State, Ticket};
use crate::contract::words::{Priority, words};
use crate::core::fleet::holds::Finding;
use crate::core::lane::dedupe::Read;
use crate::core::lane::pacing::Bucket;
use crate::core::media::upload::Wanted;
use crate::core::operation::call::Call;
use crate::core::request::decide::Decision;
use std::fmt;
use std::time::Duration;

/// The shell's next step.
#[derive(Debug)]
pub enum Step {
    Send(Attempt),
    /// Decided without asking the API: publish and settle, in this order.
    Decide(Vec<Resolved>),
    /// Read this of the log of results: [`super::Lane::recalled`] follows.
    Recall(Read),
    /// Have this uploaded: [`super::Lane::uploaded`] follows.
    Upload(Wanted),
    /// Nothing to do before this moment (or before something happens).
    Wait(Duration),
    /// Nothing to do before something happens.
    Idle,
    /// Nothing is in flight and the lane must not hold its messages: close its channel.
    Leave,
}

/// A request to the API. The body is never printed.
pub struct Attempt {
    pub ticket: Ticket,
    pub call: Call,
    pub priority: Priority,
    /// From its delivery to now.
    pub waited: Duration,
    /// `pacing.shadow_mps` would have had it wait.
    pub would_wait: bool,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("ticket", &self.ticket)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub struct Resolved {
    pub ticket: Ticket,
    pub priority: Priority,
    pub decision: Decision,
}

/// The result of an answer.
#[derive(Debug, Default)]
pub struct Verdict {
    /// `None`: the message stays in the lane.
    pub resolved: Option<Resolved>,
    /// To be told to whoever keeps the holds, who then says what holds the lane.
    pub finding: Option<Finding>,
}

words! {
    /// The reason why the next message is not sent.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum HeldBy {
        /// No message waits.
        Nothing = "nothing",
        /// The number's throughput.
        Rate = "rate",
        /// As many requests in flight as there may be.
        InFlight = "in_flight",
        /// All that wait are for persons whose pair limit is used up.
        Pair = "pair",
        /// The state says why.
        State = "throttle",
        /// There is no session with the broker, it may be over, or it takes no results.
        Broker = "broker",
    }
}

/// The place that an accepted delivery took.
#[derive(Debug)]
pub enum Joined {
    Waits,
    /// The request waits for [`super::Lane::evidence`]: another worker may have sent it.
    Asks,
    Decided(Resolved),
    /// The delivery is the redelivered original of a request still in flight under that ticket, whose outcome settles it.
    InFlight(Ticket),
    /// The delivery is the copy of one that waits here, or is in flight, under ticket `earlier`: that place and ticket are the copy's from
    /// now on. The earlier delivery has the copy's ticket instead, and is let go. `asks`: the copy waits there for
    /// [`super::Lane::evidence`].
    Replaces {
        earlier: Ticket,
        let_go: Resolved,
        asks: bool,
    },
}

/// The log of results on a request that [`Joined::Asks`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evidence {
    Nothing,
    /// The request has ended.
    Result,
    /// The request's copy is on the ladder, or came off it.
    Copy,
}

/// The chance that a decision needs, drawn by the shell.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// In [0, 1]: where in its range a retry's delay falls.
    pub jitter: f64,
    /// How long to hold the lane if nothing could be sent.
    pub quick_pause: Duration,
}

/// A snapshot for `/lanes` and the metrics.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub state: State,
    pub held_by: HeldBy,
    pub limit_mps: f64,
    /// The limit's share that the configuration wants used.
    pub configured_mps: f64,
    /// With the rate that it is paced at: the configured one, or less where the API was found to allow less.
    pub bucket: Bucket,
    /// Requests that it was given to send, ever.
    pub taken: u64,
    /// Unacknowledged deliveries at most.
    pub prefetch: u16,
    pub waiting: usize,
    pub in_flight: usize,
    pub in_flight_max: usize,
    pub pair_parked: usize,
    /// Recipients whose pair limit is remembered.
    pub pairs: usize,
    /// Ids that are remembered because requests say `dedupe`.
    pub ids: usize,
}
