//! Input and output of a driver: what it is given, and what it wants done.

use crate::core::evidence::search::Question;
use crate::core::fleet::holds::{Finding, Held};
use crate::core::fleet::tenure::Owner;
use crate::core::lane::dedupe::Read;
use crate::core::lane::{Attempt, Resolved, Ticket};
use crate::core::media::upload::Wanted;
use crate::core::request::intake::Refusal;
use crate::core::request::recent::Identity;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a driver, beside its lane's configuration.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// `worker.id`.
    pub worker: Arc<str>,
    /// How long after a loss of RabbitMQ a lane is left to the worker that had it.
    pub owner_first: Duration,
    /// How far back the log of results is read at most: longer than RabbitMQ may take to notice that a worker is gone.
    pub lookback: Duration,
    /// First and longest pause before trying again in place: `retry.quick_base_ms`, `retry.quick_max_ms`.
    pub quick: (Duration, Duration),
}

/// Orders of the process to the lane. Only the newest counts.
pub struct Orders<'a> {
    pub held: Held,
    /// Templates whose messages wait, until when, in steady milliseconds.
    pub templates: &'a [(Arc<str>, u64)],
    /// The lane's owner, by the log.
    pub owner: Option<&'a Owner>,
    /// Requests that others have surely not sent, as far as that was told since the lane was taken last.
    pub unsent: Arc<[(Identity, u64)]>,
    /// The number's limit, once the API has told it.
    pub limit_mps: Option<u32>,
    /// True if another token is used from now on.
    pub has_new_token: bool,
}

/// How the lane's consumer stands.
#[derive(Clone, Copy, Default, Debug)]
pub struct Consuming {
    pub has_session: bool,
    pub is_open: bool,
    /// RabbitMQ surely has not given the deliveries away, and takes results.
    pub may_send: bool,
    /// The lane belongs on another connection.
    pub is_misplaced: bool,
}

/// A command to the shell.
#[derive(Debug)]
pub enum Command<D> {
    /// Tell all other workers that this one takes the lane. [`Driver::claimed`] follows.
    Claim,
    /// Check whether this delivery is a request that can be sent. [`Driver::checked`] follows.
    Check(D),
    /// Publish why this delivery was refused, and settle it. [`Driver::refused`] follows.
    Refuse { delivery: D, refusal: Refusal },
    /// Look for what the log of results has of it. [`Driver::evidence`] follows.
    Ask { ticket: Ticket, question: Question },
    /// Send it to the API. [`Driver::answered`] follows.
    Send(Attempt),
    /// Publish what was decided, and settle the delivery. [`Driver::settled`] follows.
    Conclude { delivery: D, resolved: Resolved },
    /// Forget this delivery, which is void.
    Void(D),
    /// Read this of the log of results. [`Driver::recalled`] follows, for each part of it.
    Recall(Read),
    /// Have the file of this source uploaded. [`Driver::uploaded`] follows, twice if the first says that it takes long.
    Upload(Wanted),
    /// Tell whoever keeps the holds.
    Found(Finding),
    /// Read the number's limit from the API: it is another one now, or will be.
    ReadLimit,
    /// Another worker took the lane, and this one leaves it: for the log.
    Overruled,
    /// A decision has no delivery, which is a bug: for the log.
    NoDelivery(Ticket),
}
