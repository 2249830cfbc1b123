//! How much of a worker's memory the bodies that it holds may take, and each lane's part in that.
//!
//! RabbitMQ counts what it hands out in messages, whatever their size: its quorum queues know no bound in bytes. So a delivery that has no
//! room goes back at once, and its lane asks for fewer messages; and for more again once they are small.

use std::time::Duration;

/// Bytes that all lanes share. Source: a worker of two thousand lanes takes 195 MB under load, its container has 512 MiB (`deploy/k8s`), and what
/// is being written to the API is there twice.
const SHARED: usize = 64 << 20;

/// Bytes of bodies that all lanes may have taken in, with what each may have in any case. The process takes more: what RabbitMQ has sent and no
/// lane has taken yet, and copies on their way to the API or to RabbitMQ, are not counted.
const ALL: usize = 128 << 20;

/// Bytes that a lane may have in any case, or one body, however large; as long as all are within [`ALL`].
const OWN: usize = 64 << 10;

/// How long a lane asks for few messages before it tries more: at first, and where trying more went wrong again and again.
const CALM: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));

/// Before a lane that holds nothing asks again for what there is no room for in the whole worker.
pub const AGAIN: Duration = Duration::from_secs(1);

/// Deliveries that are held: by one lane, or by all of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Load {
    pub deliveries: usize,
    pub bytes: usize,
}

impl Load {
    fn with(self, bytes: usize) -> Self {
        Self {
            deliveries: self.deliveries + 1,
            bytes: self.bytes.saturating_add(bytes),
        }
    }
}

/// Whether a lane may hold one more body of so many bytes. As long as it holds no more than would then be free it may: so one lane takes half
/// of what is shared, ten take a tenth each, and as much is always left for others. (This is how switches share their memory: Choudhury and
/// Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.)
pub fn fits(bytes: usize, lane: Load, worker: Load) -> bool {
    let (lane, worker) = (lane.with(bytes), worker.with(bytes));
    let is_own = lane.deliveries == 1 || lane.bytes <= OWN;
    lane.bytes <= SHARED.saturating_sub(worker.bytes) || is_own && worker.bytes <= ALL
}

/// Bytes that the lane could hold if it and what is free shared by halves.
fn part(lane: Load, worker: Load) -> usize {
    let others = worker.bytes.saturating_sub(lane.bytes);
    (SHARED.saturating_sub(others) / 2).max(OWN)
}

/// How many messages a lane asks for, as long as that is fewer than its rate would have it ask for.
///
/// The lane asks for so many that they take three quarters of its part, and for more only when what it holds would take half of it at most. Should
/// that be wrong, as others ask for more as well, it waits twice as long before it tries again.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    most: Option<u16>,
    /// The largest share of its part that it has held since.
    fullest: f64,
    since: Duration,
    calm: Duration,
    /// The lane asked for more, last.
    is_trying: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            most: None,
            fullest: 0.0,
            since: Duration::ZERO,
            calm: CALM.0,
            is_trying: false,
        }
    }
}

impl Window {
    /// `None`: as many as its rate asks for.
    pub fn most(&self) -> Option<u16> {
        self.most
    }

    /// A body is taken, beside what is held.
    pub fn holds(&mut self, bytes: usize, lane: Load, worker: Load) {
        if self.most.is_some() {
            let share = share(lane.with(bytes), worker.with(bytes));
            self.fullest = self.fullest.max(share);
        }
    }

    /// One had no room. `asked_for`: when the lane subscribed.
    pub fn narrow(
        &mut self,
        bytes: usize,
        (lane, worker): (Load, Load),
        asked_for: u16,
        now: Duration,
    ) {
        let with_it = lane.with(bytes);
        let each = (with_it.bytes / with_it.deliveries).max(1);
        let fitting = part(lane, worker) / 4 * 3 / each;
        let fewer = usize::from(asked_for)
            .saturating_sub(1)
            .min(lane.deliveries);
        let most = u16::try_from(fitting.min(fewer).max(1)).unwrap_or(u16::MAX);
        let has_failed = self.is_trying && now < self.since + self.calm;
        *self = Self {
            most: Some(self.most.map_or(most, |before| before.min(most))),
            fullest: 0.0,
            since: now,
            calm: match (self.is_trying, has_failed) {
                (true, true) => (2 * self.calm).min(CALM.1),
                (true, false) => CALM.0,
                (false, _) => self.calm,
            },
            is_trying: false,
        };
    }

    /// Asks for more once some time has shown that there is room. `wanted`: what its rate asks for.
    pub fn widen(&mut self, wanted: u16, now: Duration) {
        let Some(most) = self.most.filter(|_| now >= self.since + self.calm) else {
            return;
        };
        let more = f64::from(most) / (2.0 * self.fullest);
        let is_all = more >= f64::from(wanted);
        let is_more = is_all || more >= 2.0 * f64::from(most);
        *self = Self {
            most: match (is_all, is_more) {
                (true, _) => None,
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "less than what is wanted, and not negative"
                )]
                (false, true) => Some(more as u16),
                (false, false) => Some(most),
            },
            fullest: 0.0,
            since: now,
            calm: self.calm,
            is_trying: is_more,
        };
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes in memory are far below 2^52"
)]
fn share(lane: Load, worker: Load) -> f64 {
    lane.bytes as f64 / part(lane, worker) as f64
}

#[cfg(test)]
mod tests;
