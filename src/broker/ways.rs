//! The channels of the publishing connection. RabbitMQ works on what comes over a channel in turn, and a quorum queue that does not
//! answer makes its publishers wait: a channel that had not published there before stands for more than a minute, any other once it
//! is some hundred messages ahead, and then RabbitMQ reads the whole connection no more. So what goes different ways has different
//! channels, and none is ever that far ahead: whoever waits, waits for a queue of their own.
//!
//! Source: measured on RabbitMQ 4.0.5, `rabbit_fifo_client`'s registration and credit flow between reader and channel.

use crate::core::request::ladder;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{AcquireError, Mutex, Semaphore, SemaphorePermit};

/// Most publishes of a channel that are not confirmed. RabbitMQ reads a connection no more when one of its channels stands still and
/// has 400 messages before it, or only 200 if it had just worked on as many. Confirms come no faster with more on the way.
const ROOM: usize = 128;

/// Channels for results. With more lanes than that, some share one; each costs RabbitMQ some 60 kB.
const LANES: usize = 256;

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// To `wa.results`, on the channel of this number.
    Results(usize),
    Rung(u32),
    Dead,
    /// Records of copies on the ladder, to the log of results.
    Copies,
}

/// Which channel a lane's results go by: the same in every session.
pub(super) struct Courses(HashMap<String, usize>);

impl Courses {
    /// `served`: the numbers of this worker. All others share one channel.
    pub(super) fn new<'a>(served: impl Iterator<Item = &'a String>) -> Self {
        let numbered = served.enumerate();
        Self(
            numbered
                .map(|(n, lane)| (lane.clone(), n % LANES))
                .collect(),
        )
    }

    pub(super) fn of(&self, lane: &str) -> Way {
        Way::Results(self.0.get(lane).copied().unwrap_or(LANES))
    }
}

/// A channel, opened when it is first needed, and again when RabbitMQ has closed it.
pub(super) struct Track {
    room: Semaphore,
    channel: Mutex<Option<Arc<Channel>>>,
}

impl Track {
    fn new() -> Self {
        Self {
            room: Semaphore::new(ROOM),
            channel: Mutex::default(),
        }
    }

    /// Until one more may be on its way; kept until that is confirmed.
    pub(super) async fn room(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.room.acquire().await
    }

    pub(super) async fn channel(
        &self,
        connection: &Connection,
    ) -> Result<Arc<Channel>, lapin::Error> {
        let mut slot = self.channel.lock().await;
        if let Some(channel) = slot.as_ref().filter(|open| open.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let channel = Arc::new(channel);
        *slot = Some(channel.clone());
        Ok(channel)
    }
}

/// All channels of a session.
pub(super) struct Ways {
    results: Vec<Track>,
    rungs: Vec<Track>,
    dead: Track,
    copies: Track,
}

impl Ways {
    pub(super) fn new() -> Self {
        let tracks = |count: usize| (0..count).map(|_| Track::new()).collect();
        Self {
            results: tracks(LANES + 1),
            rungs: tracks(ladder::RUNGS as usize),
            dead: Track::new(),
            copies: Track::new(),
        }
    }

    pub(super) fn track(&self, way: Way) -> &Track {
        let track = match way {
            Way::Results(number) => self.results.get(number),
            Way::Rung(number) => self.rungs.get(number as usize),
            Way::Dead => None,
            Way::Copies => Some(&self.copies),
        };
        track.unwrap_or(&self.dead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_share_a_channel_only_where_there_are_more_than_channels() {
        let served: Vec<String> = (0..LANES + 2).map(|n| n.to_string()).collect();
        let courses = Courses::new(served.iter());
        let of = |n: usize| courses.of(&n.to_string());
        let mut first: Vec<Way> = (0..LANES).map(of).collect();
        first.dedup();
        assert_eq!(first.len(), LANES);
        assert_eq!((of(LANES), of(LANES + 1)), (of(0), of(1)));
        let strangers = courses.of("stranger");
        assert_eq!(strangers, courses.of("another"));
        assert!(!first.contains(&strangers));
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_stands_takes_so_many_and_no_other_waits() {
        let ways = Ways::new();
        let stuck = ways.track(Way::Results(3));
        let mut held = vec![];
        for _ in 0..ROOM {
            held.push(stuck.room().await.unwrap());
        }
        let soon = std::time::Duration::from_secs(60);
        assert!(tokio::time::timeout(soon, stuck.room()).await.is_err());
        for way in [Way::Results(4), Way::Rung(3), Way::Dead] {
            drop(ways.track(way).room().await.unwrap());
        }
        held.pop();
        drop(stuck.room().await.unwrap());
    }
}
