//! `wa.media.log`: what workers have uploaded, read from its beginning and then followed. Over a connection of its own, which is opened when
//! the first message says `media`: most installations have none that do.

use super::connect::connect;
use super::declare::{Mode, declare, explain};
use super::topology;
use super::workers_log::{LogError, Pen, Tail, WRITE_TIMEOUT, open_on};
use crate::config::BrokerConfig;
use crate::contract::names;
use crate::contract::record::UploadRecord;
use lapin::Connection;

/// The log, open.
pub struct MediaLog {
    connection: Connection,
    tail: Tail,
    pen: Pen,
    mark: String,
    last: Option<u64>,
}

/// An entry of the log.
pub enum Entry {
    Upload(UploadRecord),
    /// All that stood in the log when it was opened has been read.
    Read,
}

impl MediaLog {
    /// Opens the log behind the record `after`, or at its beginning.
    ///
    /// # Errors
    /// Why it cannot be used; without it, uploads are known to nobody but who made them.
    pub async fn open(config: &BrokerConfig, after: Option<u64>) -> Result<Self, LogError> {
        let connection = connect(config, "media").await?;
        let named = |error| explain(names::MEDIA_LOG, error);
        let reading = connection.create_channel().await.map_err(named)?;
        if config.declare {
            declare(&reading, topology::media_log(), Mode::Declare).await?;
        }
        let writing = connection.create_channel().await.map_err(named)?;
        let (tail, pen) = open_on((&reading, writing), names::MEDIA_LOG, after).await?;
        let mark = format!("\"mark-{:x}\"", fastrand::u64(..));
        let log = Self {
            connection,
            tail,
            pen,
            mark,
            last: after,
        };
        log.write_bytes(log.mark.as_bytes()).await?;
        Ok(log)
    }

    /// The next entry, whenever it comes.
    ///
    /// # Errors
    /// The log has to be opened again, behind [`Self::last`].
    pub async fn next(&mut self) -> Result<Entry, LogError> {
        loop {
            let entry = self.tail.next().await?;
            self.last = Some(entry.offset);
            if entry.body == self.mark.as_bytes() {
                return Ok(Entry::Read);
            }
            // Marks of others are none, nor is what another version writes.
            if let Ok(record) = serde_json::from_slice(&entry.body) {
                return Ok(Entry::Upload(record));
            }
        }
    }

    /// The record that was read last.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Writes a record, and waits until it is confirmed.
    ///
    /// # Errors
    /// The record may be missing, and the log has to be opened again.
    pub async fn write(&self, record: &UploadRecord) -> Result<(), LogError> {
        let json = serde_json::to_vec(record).unwrap_or_default();
        self.write_bytes(&json).await
    }

    async fn write_bytes(&self, body: &[u8]) -> Result<(), LogError> {
        let writing = async { self.pen.write(body).await?.await };
        let written = tokio::time::timeout(WRITE_TIMEOUT, writing).await;
        written.unwrap_or(Err(LogError::NotConfirmed))
    }

    pub async fn close(self) {
        drop(self.connection.close(200, "OK".into()).await);
    }
}
