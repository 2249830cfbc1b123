//! How much a lane has to do, how much of that it may do now, and what a worker can carry: what workers are scaled by.
//!
//! A backlog by itself is no reason for another worker: a lane sends at its limit and no faster, however many there are, and one that
//! is throttled or blocked sends nothing. So what counts is the rate at which a lane may send now.

use crate::core::lane::{HeldBy, State, View};
use std::time::Duration;

/// Longest time to drain that is told: messages are not kept for longer, and a backlog that grows takes for ever.
pub const DRAIN_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Within this, most of a change shows.
const SMOOTHING: Duration = Duration::from_secs(15);

/// A reading of a lane's queue, and of what has come out of it.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub at: Duration,
    /// Requests that this worker was given, ever.
    pub taken: u64,
    /// Requests that wait in RabbitMQ.
    pub ready: u64,
}

/// The demand on one lane: what comes in, and what waits in RabbitMQ.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// The last of this worker's time with the lane.
    last: Option<Reading>,
    ready: u64,
    arrival_mps: Smoothed,
}

/// The work of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Requests that wait for their turn, in RabbitMQ and in this worker.
    pub backlog: u64,
    /// Requests that come in per second.
    pub arrival_mps: f64,
    /// Requests that may be sent per second, as of now.
    pub allowed_mps: f64,
    /// How long the backlog takes; of a lane that must not send, once it may.
    pub drain: Duration,
}

impl Demand {
    pub fn read(&mut self, reading: Reading) {
        self.ready = reading.ready;
        if let Some(last) = self.last.replace(reading) {
            let over = reading.at.saturating_sub(last.at);
            if over.is_zero() {
                return;
            }
            let came = as_f64(reading.taken) - as_f64(last.taken) + as_f64(reading.ready)
                - as_f64(last.ready);
            let now_mps = came.max(0.0) / over.as_secs_f64();
            self.arrival_mps.add(now_mps, over);
        }
    }

    /// Returns what waits in RabbitMQ, as it was read last.
    pub fn ready(&self) -> u64 {
        self.ready
    }

    /// The next reading is the first of this worker's time with the lane: what has come meanwhile cannot be told from it.
    pub fn is_new(&self) -> bool {
        self.last.is_none()
    }

    /// The lane is not this worker's (any more): only what waits is known, if that.
    pub fn not_ours(&mut self, ready: Option<u64>) {
        *self = Self {
            ready: ready.unwrap_or(0),
            ..Self::default()
        };
    }

    /// `target`: within this a backlog should be gone.
    pub fn work(&self, view: &View, is_owned: bool, target: Duration) -> Work {
        let waiting = u64::try_from(view.waiting).unwrap_or(u64::MAX);
        let backlog = self.ready.saturating_add(waiting);
        let rate_mps = view.bucket.rate_mps;
        let arrival_mps = self.arrival_mps.0.filter(|_| is_owned).unwrap_or(0.0);
        let may_send = is_owned && view.state == State::Flowing && view.held_by != HeldBy::Broker;
        let due_mps = if view.held_by == HeldBy::Pair {
            // All that wait are for people who must not be written to yet.
            arrival_mps
        } else {
            arrival_mps + as_f64(backlog) / target.as_secs_f64()
        };
        Work {
            backlog,
            arrival_mps,
            allowed_mps: if may_send { due_mps.min(rate_mps) } else { 0.0 },
            drain: drain(backlog, rate_mps - arrival_mps),
        }
    }
}

fn drain(backlog: u64, net_mps: f64) -> Duration {
    if backlog == 0 {
        return Duration::ZERO;
    }
    let seconds = as_f64(backlog) / net_mps.max(f64::MIN_POSITIVE);
    Duration::from_secs_f64(seconds.min(DRAIN_MAX.as_secs_f64()))
}

/// The capacity of a worker, in messages per second of its one thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capacity(Smoothed);

/// Until it is measured: what a worker carries on half of a slow core.
const CAPACITY_MPS: f64 = 1_000.0;

/// Below this share of its time a worker is busy with other things than messages.
const BUSY_MIN: f64 = 0.1;

impl Capacity {
    /// The thread was `busy` for so long of the time `over`, and sent so many messages meanwhile.
    pub fn measured(&mut self, messages: u64, busy: Duration, over: Duration) {
        let is_loaded = busy >= over.mul_f64(BUSY_MIN) && !over.is_zero();
        if is_loaded && messages > 0 {
            let now_mps = as_f64(messages) / busy.as_secs_f64();
            // A worker that has just come is also busy with subscribing to its lanes: it is not to seem weak for that.
            if self.0.0.is_none() && now_mps < CAPACITY_MPS {
                self.0.add(CAPACITY_MPS, over);
            }
            self.0.add(now_mps, over);
        }
    }

    pub fn mps(self) -> f64 {
        self.0.0.unwrap_or(CAPACITY_MPS)
    }
}

/// A rate without its jumps, once there is one. The first is taken as it is: of a worker or a lane that has just come nothing is known
/// yet, and a guess that faded slowly would have whoever scales workers undo what it has just done.
#[derive(Clone, Copy, Debug, Default)]
struct Smoothed(Option<f64>);

impl Smoothed {
    fn add(&mut self, now: f64, over: Duration) {
        let weight = 1.0 - (-over.as_secs_f64() / SMOOTHING.as_secs_f64()).exp();
        self.0 = Some(
            self.0
                .map_or(now, |before| before + (now - before) * weight),
        );
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "messages in one queue: far below 2^52"
)]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// How busy this worker's thread was, ever, and what it can carry.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    pub busy: Duration,
    pub capacity: Capacity,
}

#[cfg(test)]
mod tests;
