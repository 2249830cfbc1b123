//! How many messages wait in a queue, asked by declaring it passively: that needs no right but one on the queue.

use super::session::Session;
use crate::contract::names::{DELAY, WATCHED, rung};
use crate::core::request::ladder;
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks on a channel of its own, which an answer such as "no such queue" ends.
#[derive(Default)]
pub struct Depths {
    /// With the session that it is of.
    channel: Option<(u64, Channel)>,
}

impl Depths {
    /// Messages that are ready to be delivered; `None` if RabbitMQ does not say.
    pub async fn read(&mut self, session: &Session, queue: &str) -> Option<u64> {
        let asking = self.ask(session, queue);
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(depth)) => Some(depth),
            Ok(Err(error)) => {
                tracing::debug!(queue, %error, "its depth cannot be read");
                self.channel = None;
                None
            }
            Err(_) => {
                self.channel = None;
                None
            }
        }
    }

    async fn ask(&mut self, session: &Session, queue: &str) -> Result<u64, lapin::Error> {
        let kept = self.channel.take();
        let kept =
            kept.filter(|(epoch, channel)| *epoch == session.epoch && channel.status().connected());
        let channel = match kept {
            Some((_, channel)) => channel,
            None => session.reading_channel().await?,
        };
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default());
        let depth = declared.await?.message_count();
        self.channel = Some((session.epoch, channel));
        Ok(depth.into())
    }
}

/// The queues of each of [`WATCHED`].
pub fn watched() -> [(&'static str, Vec<String>); WATCHED.len()] {
    WATCHED.map(|name| match name {
        DELAY => (name, (0..ladder::RUNGS).map(rung).collect()),
        queue => (name, vec![queue.to_owned()]),
    })
}
