//! The board's way to the other workers: reading `wa.lanes.log` back, following it, writing to it.

use super::Board;
use crate::broker::delays;
use crate::broker::lanes_log::{self, Entry, LogError, Pen, Tail};
use crate::broker::session::Session;
use crate::core::holds::Record;
use backoff::backoff::Backoff;
use std::collections::HashMap;
use std::time::Duration;

/// Longest that lanes wait for the log to be read back; without it a worker finds blocks out by itself.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// Before the log is opened again that broke off.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Before the log is tried again that could not be used, at first and at most: after a restart of RabbitMQ it is back in a moment,
/// a right that is missing takes longer.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Board {
    /// Opens the log and reads what it has. `None`: this worker is on its own.
    pub(super) async fn catch_up(&self, session: &Session) -> Option<(Tail, Pen)> {
        let after = self.lock().offset;
        let mut read = vec![];
        let reading = async {
            let (mut tail, pen) = lanes_log::open(session, after).await?;
            let mark = format!(
                r#"{{"mark":"{}-{}-{}"}}"#,
                self.worker_id,
                session.epoch,
                self.clock.now().wall_ms
            );
            pen.write(mark.as_bytes()).await?;
            tail.read_up_to(mark.as_bytes(), |entry| read.push(entry))
                .await?;
            Ok::<_, LogError>((tail, pen))
        };
        let why = match tokio::time::timeout(CATCH_UP_TIMEOUT, reading).await {
            Ok(Ok(log)) => {
                self.heard_all(read);
                self.is_available(true);
                return Some(log);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not read within {CATCH_UP_TIMEOUT:?}"),
        };
        self.is_available(false);
        if read.is_empty() {
            // It may be another log by then.
            self.lock().offset = None;
        }
        // The next try goes on from here.
        self.heard_all(read);
        tracing::warn!(
            why,
            "wa.lanes.log cannot be used: this worker neither hears of pauses and blocks nor tells of its own"
        );
        None
    }

    fn is_available(&self, is_available: bool) {
        self.metrics.lanes_log_available.set(is_available.into());
        self.told.send_modify(|told| told.is_mute = !is_available);
    }

    /// What was missed. Only the last word on each thing is acted on: what came before it is over.
    fn heard_all(&self, entries: Vec<Entry>) {
        let mut last = HashMap::new();
        for entry in entries {
            if let Some(record) = Record::from_json(&entry.body) {
                let is_own = self.lock().holds.is_own(&record);
                // Who had a lane when is a matter of order.
                if is_own || record.is_of_tenure() {
                    self.heard(&entry);
                }
                if record.is_of_tenure() {
                    continue;
                }
                last.insert(record.slot(), entry);
            } else {
                self.lock().offset = Some(entry.offset);
            }
        }
        let mut last: Vec<Entry> = last.into_values().collect();
        last.sort_by_key(|entry| entry.offset);
        for entry in last {
            self.heard(&entry);
        }
    }

    /// Follows the log and writes to it, until the session ends.
    pub(super) async fn keep_log(&self, session: &Session, mut log: Option<(Tail, Pen)>) {
        let mut pauses = delays(RETRY.0, RETRY.1);
        loop {
            let Some((mut tail, pen)) = log.take() else {
                tokio::time::sleep(pauses.next_backoff().unwrap_or(RETRY.1)).await;
                log = self.catch_up(session).await;
                continue;
            };
            pauses.reset();
            let error = tokio::select! {
                error = self.follow(&mut tail) => error,
                error = self.write_all(&pen) => error,
            };
            self.is_available(false);
            tracing::warn!(%error, "wa.lanes.log broke off: opening it again");
            drop((tail, pen));
            tokio::time::sleep(REOPEN_PAUSE).await;
            log = self.catch_up(session).await;
        }
    }

    async fn follow(&self, tail: &mut Tail) -> LogError {
        loop {
            match tail.next().await {
                Ok(entry) => self.heard(&entry),
                Err(error) => return error,
            }
        }
    }

    async fn write_all(&self, pen: &Pen) -> LogError {
        loop {
            let record = self.next_to_write().await;
            if let Err(error) = pen.write(&record.to_json()).await {
                return error;
            }
            self.lock().outgoing.pop_front();
            self.told.send_modify(|told| told.count += 1);
        }
    }

    async fn next_to_write(&self) -> Record {
        loop {
            let next = self.lock().outgoing.front().cloned();
            match next {
                Some(record) => return record,
                None => self.to_write.notified().await,
            }
        }
    }
}
