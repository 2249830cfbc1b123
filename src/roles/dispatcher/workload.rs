//! Reads, every few seconds, what waits in RabbitMQ and how busy this worker is: for the metrics, `/lanes` and whoever scales workers.

use crate::broker::Sessions;
use crate::broker::depth::{Depths, watched};
use crate::broker::session::Session;
use crate::clock::Clock;
use crate::core::lane::State;
use crate::core::lane::demand::{Effort, Reading};
use crate::metrics::{Metrics, Seen};
use crate::roles::dispatcher::lane_task::LaneHandle;
use crate::tasks::Rounds;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often lanes that have more than they hold are read.
pub const PERIOD: Duration = Duration::from_secs(5);

/// Longest that a round may take.
const ROUND_MAX: Duration = Duration::from_secs(15);

/// Rounds after which the queues that change slowly are read as well.
const SLOW: u32 = 3;

pub struct Workload {
    sessions: Sessions,
    clock: Clock,
    metrics: Arc<Metrics>,
    lanes: Arc<[LaneHandle]>,
    depths: Depths,
    effort: Arc<Mutex<Effort>>,
    /// Requests taken by all lanes, and when, at the last round.
    last: (u64, Duration),
}

impl Workload {
    pub fn new(
        sessions: Sessions,
        clock: Clock,
        metrics: Arc<Metrics>,
        lanes: Arc<[LaneHandle]>,
    ) -> (Self, Arc<Mutex<Effort>>) {
        let effort = Arc::<Mutex<Effort>>::default();
        let workload = Self {
            sessions,
            clock,
            metrics,
            lanes,
            depths: Depths::default(),
            effort: effort.clone(),
            last: (0, Duration::ZERO),
        };
        (workload, effort)
    }

    /// For ever.
    pub async fn run(mut self, rounds: Rounds) -> String {
        let mut round = 0_u32;
        loop {
            tokio::time::sleep(PERIOD).await;
            // A RabbitMQ that hangs must not have a thousand lanes wait one after the other.
            let reading = self.read_all(round.is_multiple_of(SLOW));
            drop(tokio::time::timeout(ROUND_MAX, reading).await);
            self.measure();
            round = round.wrapping_add(1);
            rounds.count();
        }
    }

    async fn read_all(&mut self, is_slow: bool) {
        let session = self.sessions.borrow().clone();
        for lane in self.lanes.clone().iter() {
            self.read(lane, session.as_deref(), is_slow).await;
        }
        if let Some(session) = session.filter(|_| is_slow) {
            self.read_others(&session).await;
        }
    }

    async fn read(&mut self, lane: &LaneHandle, session: Option<&Session>, is_slow: bool) {
        let seen = lane.seen();
        let wanted = wants_depth(&seen, is_slow);
        let ready = match session.filter(|_| wanted) {
            Some(session) => self.depths.read(session, &lane.queue()).await,
            None => None,
        };
        let at = self.clock.now().mono;
        lane.update(|now| {
            if now.is_owned {
                let taken = now.view.taken;
                // A depth that cannot be read is taken to be as before; a lane that holds less than it may has nothing more in RabbitMQ.
                let ready = if wanted {
                    ready.unwrap_or(now.demand.ready())
                } else {
                    0
                };
                now.demand.read(Reading { at, taken, ready });
            } else if is_slow || !may_wait(&now.view.state) {
                now.demand.not_ours(ready);
            }
        });
    }

    async fn read_others(&mut self, session: &Session) {
        for (label, queues) in watched() {
            let mut sum = Some(0);
            for queue in queues {
                let depth = self.depths.read(session, &queue).await;
                sum = sum.zip(depth).map(|(sum, depth)| sum + depth);
            }
            if let Some(sum) = sum {
                let gauge = &self.metrics.queue_messages;
                let sum = i64::try_from(sum).unwrap_or(i64::MAX);
                gauge.with_label_values(&[label]).set(sum);
            }
        }
    }

    fn measure(&mut self) {
        let taken = self.lanes.iter().map(|lane| lane.seen().view.taken).sum();
        let (before, then) = std::mem::replace(&mut self.last, (taken, self.clock.now().mono));
        let busy = busy();
        let mut effort = self.effort.lock().unwrap_or_else(PoisonError::into_inner);
        let (messages, over) = (taken.saturating_sub(before), self.last.1 - then);
        let busy_now = busy.saturating_sub(effort.busy);
        effort.capacity.measured(messages, busy_now, over);
        effort.busy = busy;
    }
}

/// How long the one thread was busy, ever.
pub fn busy() -> Duration {
    tokio::runtime::Handle::current()
        .metrics()
        .worker_total_busy_duration(0)
}

/// An owner that holds less than it may has all there is, but for the moment in which it has just got the lane. What waits of a lane that
/// is held is nobody's: every worker looks.
fn wants_depth(seen: &Seen, is_slow: bool) -> bool {
    let held = seen.view.waiting + seen.view.in_flight;
    // Some are on their way.
    let is_full = held * 4 >= usize::from(seen.view.prefetch) * 3;
    let is_owners = seen.is_owned && (is_full || seen.demand.is_new());
    is_owners || is_slow && may_wait(&seen.view.state)
}

fn may_wait(state: &State) -> bool {
    matches!(state, State::Away { .. } | State::Paused { .. })
}
