//! Acknowledgements of a subscription, gathered and written: each frame costs this worker and RabbitMQ as much as a small message.

use super::unsettled::Unsettled;
use crate::core::connection::acknowledgements::{Acknowledgement, Acknowledgements};
use crate::metrics::Metrics;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use lapin::Channel;
use lapin::options::BasicAckOptions;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest that an acknowledgement is kept back. Should the worker die meanwhile, RabbitMQ delivers so much again, and the log of results
/// says how it ended.
const GATHER: Duration = Duration::from_millis(100);

/// How often acknowledgements that wait to be written look whether their channel is still there: one that is gone never writes them.
const LOOKS: Duration = Duration::from_millis(200);

/// Longest wait for that.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How settling went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// The acknowledgement is written within a moment.
    Acknowledged,
    /// The channel was gone: RabbitMQ will deliver it again.
    Void,
}

struct Gathered {
    acknowledgements: Acknowledgements,
    /// Notes about the deliveries that are done, kept until their acknowledgement is written.
    unsettled: Vec<Option<Unsettled>>,
    /// A task will write what is gathered.
    is_timed: bool,
}

/// The acknowledgements of one channel.
pub(super) struct Acknowledger {
    channel: Arc<Channel>,
    gathered: Mutex<Gathered>,
    metrics: Arc<Metrics>,
}

impl Acknowledger {
    pub(super) fn new(channel: Arc<Channel>, prefetch: u16, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            channel,
            gathered: Mutex::new(Gathered {
                acknowledgements: Acknowledgements::new(prefetch),
                unsettled: vec![],
                is_timed: false,
            }),
            metrics,
        })
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn delivered(&self, tag: u64) {
        self.gathered().acknowledgements.delivered(tag);
    }

    /// Has a delivery acknowledged, soon.
    pub(super) fn done(self: &Arc<Self>, tag: u64, unsettled: Option<Unsettled>) -> Settled {
        let mut gathered = self.gathered();
        if !self.channel.status().connected() || !gathered.acknowledgements.done(tag) {
            return Settled::Void;
        }
        gathered.unsettled.push(unsettled);
        self.metrics.acknowledgements_pending.inc();
        if gathered.acknowledgements.is_full() {
            drop(gathered);
            self.flush();
        } else if !std::mem::replace(&mut gathered.is_timed, true) {
            let acknowledger = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(GATHER).await;
                acknowledger.gathered().is_timed = false;
                acknowledger.flush();
            });
        }
        Settled::Acknowledged
    }

    /// Writes what is gathered, ahead of whatever is asked of the channel next: a worker is one thread, on which lapin's loop over the socket
    /// is a task as well, so nothing else runs until the frames are queued.
    pub(super) fn flush(&self) {
        let (due, unsettled) = {
            let mut gathered = self.gathered();
            let due = gathered.acknowledgements.take();
            (due, std::mem::take(&mut gathered.unsettled))
        };
        if due.is_empty() {
            return;
        }
        let mut writing: Vec<_> = due.into_iter().map(|due| self.write(due)).collect();
        for acknowledgement in &mut writing {
            // The client queues a frame when it is first asked for it.
            if let Some(written) = acknowledgement.as_mut().now_or_never() {
                *acknowledgement = std::future::ready(written).boxed();
            }
        }
        let (channel, metrics) = (self.channel.clone(), self.metrics.clone());
        tokio::spawn(async move {
            let written = tokio::select! {
                biased;
                written = join_all(writing) => written.iter().all(|is_written| *is_written),
                () = gone(&channel) => false,
            };
            let count = unsettled.len();
            metrics
                .acknowledgements_pending
                .sub(count.try_into().unwrap_or(0));
            if written {
                let unsettled = unsettled.into_iter().flatten();
                unsettled.for_each(Unsettled::acknowledged);
            } else {
                metrics.settled_void.inc_by(count.try_into().unwrap_or(0));
            }
        });
    }

    /// Everything that is not done is RabbitMQ's again.
    pub(super) fn given_back(&self) {
        self.gathered().acknowledgements.given_back();
    }

    fn write(&self, due: Acknowledgement) -> BoxFuture<'static, bool> {
        let channel = self.channel.clone();
        let Acknowledgement { tag, multiple } = due;
        let writing = async move {
            let options = BasicAckOptions { multiple };
            channel.basic_ack(tag, options).await.is_ok()
        };
        writing.boxed()
    }
}

/// Until the channel is gone, or nothing more is to be expected of it.
async fn gone(channel: &Channel) {
    let until = tokio::time::Instant::now() + TIMEOUT;
    while channel.status().connected() && tokio::time::Instant::now() < until {
        tokio::time::sleep(LOOKS).await;
    }
}
