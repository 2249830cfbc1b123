//! The board's way to the other workers: reading their logs back, following them, writing to them.

use super::Board;
use crate::broker::delays;
use crate::broker::session::Session;
use crate::broker::workers_log::{self, Entry, Log, LogError, Pen, Tail, WRITE_TIMEOUT};
use crate::core::fleet::holds::{Read, Record};
use crate::core::fleet::missed::Missed;
use backoff::backoff::Backoff;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use tokio::time::Instant;

/// Longest that lanes wait for a log to be read back that is not needed: of holds what was read before counts, of tenures only doubts
/// depend. The first time there may be much of it.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for a log to be opened, and for the next record while it is read back: RabbitMQ sends what it has. Without it a
/// request of ours that RabbitMQ does not answer would keep a worker from beginning for ever.
const STALLED: Duration = Duration::from_secs(10);

/// Before a log is opened again that broke off.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Before a log is tried again that could not be used, at first and at most: after a restart of RabbitMQ it is back in a moment,
/// a right that is missing takes longer.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The same while all lanes wait for it.
const RETRY_WAITING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Records of one log that are on their way at once.
const UNDER_WAY_MAX: usize = 256;

/// Records that are folded before others have a turn of the thread. Source: measured, some 2 ms.
const FOLDED_TOGETHER: u64 = 256;

/// Between two lines that say how far the log was read.
const PROGRESS: Duration = Duration::from_secs(10);

type Opened = Option<(Tail, Pen)>;

impl Board {
    /// Reads both logs, each from where it was read before. `None`: this worker is on its own.
    pub(super) async fn catch_up(&self, session: &Session) -> (Opened, Opened) {
        tokio::join!(
            self.catch_up_on_holds(session),
            self.try_to_catch_up(session, Log::Tenures)
        )
    }

    /// A worker that does not know which lanes are paused must not begin, however long it takes to learn it. If it may not know, it goes on
    /// alone; and what it knew when it lost the log is better than nothing.
    async fn catch_up_on_holds(&self, session: &Session) -> Opened {
        let mut pauses = delays(RETRY_WAITING.0, RETRY_WAITING.1);
        while !self.lock().log(Log::Holds).has_read {
            let error = match self.read_back(session, Log::Holds, Duration::MAX).await {
                Ok(log) => return Some(log),
                Err(error) => error,
            };
            if error.is_forbidden() {
                self.is_of_no_use(Log::Holds, &error);
                return None;
            }
            tracing::warn!(%error, "wa.lanes.log cannot be read: no lane begins before it is known which are paused");
            tokio::time::sleep(pauses.next_backoff().unwrap_or(RETRY_WAITING.1)).await;
        }
        self.try_to_catch_up(session, Log::Holds).await
    }

    async fn try_to_catch_up(&self, session: &Session, log: Log) -> Opened {
        let patience = match self.lock().log(log).has_read {
            true => CATCH_UP_TIMEOUT,
            false => FIRST_CATCH_UP_TIMEOUT,
        };
        match self.read_back(session, log, patience).await {
            Ok(log) => Some(log),
            Err(error) => {
                self.is_of_no_use(log, &error);
                None
            }
        }
    }

    fn is_of_no_use(&self, log: Log, error: &LogError) {
        self.is_available(log, false);
        match log {
            Log::Holds => tracing::warn!(
                %error,
                "wa.lanes.log cannot be used: this worker neither hears of pauses and blocks nor tells of its own"
            ),
            Log::Tenures => tracing::warn!(
                %error,
                "wa.tenures.log cannot be used: what one worker gives back and another gets counts as perhaps sent"
            ),
        }
    }

    /// Opens a log and reads what it has. After an error the next try goes on from where this one came to.
    async fn read_back(
        &self,
        session: &Session,
        log: Log,
        patience: Duration,
    ) -> Result<(Tail, Pen), LogError> {
        let after = self.lock().log(log).offset;
        let mut missed = Missed::default();
        let reading = async {
            let opening =
                tokio::time::timeout(STALLED, workers_log::open(session, log, after)).await;
            let (mut tail, pen) = opening.map_err(|_| LogError::Stalled(STALLED))??;
            let now_ms = self.clock.now().wall_ms;
            let mark = format!(
                r#"{{"mark":"{}-{}-{now_ms}"}}"#,
                self.worker_id, session.epoch
            );
            let written = pen.write(mark.as_bytes()).await?;
            let written = tokio::time::timeout(WRITE_TIMEOUT, written).await;
            written.map_err(|_| LogError::NotConfirmed)??;
            let end = self
                .read_up_to(&mut tail, log, mark.as_bytes(), &mut missed)
                .await?;
            // Places are counted from the beginning: this is another log, of which nothing was read.
            if after.is_some_and(|after| end <= after) {
                return Err(LogError::Anew);
            }
            Ok((tail, pen, end))
        };
        let read = tokio::time::timeout(patience, reading).await;
        let read = read.unwrap_or(Err(LogError::Late(patience)));
        let is_anew = match &read {
            Ok(_) => false,
            Err(LogError::Anew) => true,
            // The log may be another by then.
            Err(_) => missed.is_empty() && after.is_some(),
        };
        self.fold(log, missed).await;
        if is_anew {
            self.lock().log(log).offset = None;
        }
        if let Err(LogError::Anew) = read {
            return Box::pin(self.read_back(session, log, patience)).await;
        }
        let (tail, pen, end) = read?;
        self.has_read(log, end);
        self.is_available(log, true);
        Ok((tail, pen))
    }

    /// A log that ends before what was read of it already is another one: it does not say what that said.
    fn has_read(&self, log: Log, end: u64) {
        let (mut inner, now) = (self.lock(), self.clock.now());
        let state = inner.log(log);
        let is_anew = state.end.is_some_and(|before| end <= before);
        state.end = Some(end);
        state.has_read = true;
        if is_anew && log == Log::Holds {
            inner.holds.log_lost(now);
            self.to_probe.notify_one();
        }
    }

    /// Until the log says `mark`; returns where that stands.
    async fn read_up_to(
        &self,
        tail: &mut Tail,
        log: Log,
        mark: &[u8],
        missed: &mut Missed,
    ) -> Result<u64, LogError> {
        let mut told = Instant::now();
        loop {
            let next = tokio::time::timeout(STALLED, tail.next()).await;
            let entry = next.map_err(|_| LogError::Stalled(STALLED))??;
            if entry.body == mark {
                return Ok(entry.offset);
            }
            missed.read(entry.offset, entry.body.len());
            match Record::from_json(&entry.body) {
                Some(record) if record.is_of_tenure() => {
                    // Tenures are a matter of order.
                    let now = self.clock.now();
                    let lanes = self.lock().apply_tenure(&record, log, now);
                    missed.lanes.extend(lanes);
                }
                Some(record) => {
                    let (mut inner, now) = (self.lock(), self.clock.now());
                    // Each of them is waited for, not the last alone.
                    if inner.holds.is_own(&record) {
                        self.apply_hold(&mut inner, record.clone(), Read::Missed, now);
                    }
                    missed.note(record);
                }
                None => {}
            }
            if missed.count.is_multiple_of(FOLDED_TOGETHER) {
                tokio::task::yield_now().await;
            }
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                tracing::info!(queue = log.name(), count = missed.count, "still reading");
            }
        }
    }

    /// Acts on what was missed: on the last word on each thing. What came before it is over.
    async fn fold(&self, log: Log, missed: Missed) {
        let (words, end) = missed.last_words();
        let bytes_before = {
            let mut inner = self.lock();
            let state = inner.log(log);
            state.offset = state.offset.max(end.offset);
            let before = state.read_bytes;
            state.read_bytes += end.bytes;
            before
        };
        for words in words.chunks(64) {
            self.fold_some(log, words, bytes_before);
            tokio::task::yield_now().await;
        }
        let inner = self.lock();
        for lane in &end.lanes {
            inner.order_owner(lane);
        }
        self.to_probe.notify_one();
    }

    fn fold_some(&self, log: Log, words: &[(u64, Record)], bytes_before: u64) {
        let (mut inner, now) = (self.lock(), self.clock.now());
        for (bytes, record) in words {
            if log == Log::Holds {
                inner.holds.has_read(bytes_before + bytes);
            }
            self.apply_hold(&mut inner, record.clone(), Read::Missed, now);
        }
    }

    /// Follows a log and writes to it, until the session ends.
    pub(super) async fn keep_log(&self, session: &Session, log: Log, mut opened: Opened) {
        let mut pauses = delays(RETRY.0, RETRY.1);
        loop {
            let Some((mut tail, pen)) = opened.take() else {
                tokio::time::sleep(pauses.next_backoff().unwrap_or(RETRY.1)).await;
                opened = self.try_to_catch_up(session, log).await;
                continue;
            };
            pauses.reset();
            let error = tokio::select! {
                error = self.follow(log, &mut tail) => error,
                error = self.write_all(log, &pen) => error,
            };
            self.is_available(log, false);
            tracing::warn!(queue = log.name(), %error, "the workers' log broke off: opening it again");
            drop((tail, pen));
            tokio::time::sleep(REOPEN_PAUSE).await;
            opened = self.try_to_catch_up(session, log).await;
        }
    }

    async fn follow(&self, log: Log, tail: &mut Tail) -> LogError {
        let mut count = 0_u64;
        loop {
            match tail.next().await {
                Ok(entry) => self.apply_entry(log, &entry),
                Err(error) => return error,
            }
            count += 1;
            if count.is_multiple_of(FOLDED_TOGETHER) {
                tokio::task::yield_now().await;
            }
        }
    }

    fn apply_entry(&self, log: Log, entry: &Entry) {
        let record = Record::from_json(&entry.body);
        let (mut inner, now) = (self.lock(), self.clock.now());
        let state = inner.log(log);
        state.offset = state.offset.max(Some(entry.offset));
        state.end = state.end.max(Some(entry.offset));
        state.read_bytes += u64::try_from(entry.body.len()).unwrap_or(0);
        if log == Log::Holds {
            let bytes = state.read_bytes;
            inner.holds.has_read(bytes);
            if inner.holds.is_due(now) {
                self.to_probe.notify_one();
            }
        }
        let Some(record) = record else { return };
        self.namesake_seen(&mut inner, &record, now);
        inner.readers.heard(&record.worker, now);
        if record.is_of_tenure() {
            for lane in inner.apply_tenure(&record, log, now) {
                inner.order_owner(&lane);
            }
        } else {
            self.apply_hold(&mut inner, record, Read::Live, now);
        }
    }

    async fn write_all(&self, log: Log, pen: &Pen) -> LogError {
        let mut confirming = FuturesUnordered::new();
        let mut progress = Instant::now();
        loop {
            while confirming.len() < UNDER_WAY_MAX {
                let Some((number, record)) = self.lock().log(log).outbox.take() else {
                    break;
                };
                if confirming.is_empty() {
                    progress = Instant::now();
                }
                match pen.write(&record.to_json()).await {
                    Ok(written) => confirming.push(async move { (number, written.await) }),
                    Err(error) => return error,
                }
            }
            let is_confirming = !confirming.is_empty();
            tokio::select! {
                Some((number, written)) = confirming.next(), if is_confirming => {
                    if let Err(error) = written {
                        return error;
                    }
                    progress = Instant::now();
                    for waiting in self.lock().log(log).outbox.confirmed(number) {
                        // Dropped: who waits no longer needs no answer.
                        waiting.send(()).ok();
                    }
                }
                () = self.to_write(log).notified() => {}
                () = tokio::time::sleep_until(progress + WRITE_TIMEOUT), if is_confirming => {
                    return LogError::NotConfirmed;
                }
            }
        }
    }

    fn is_available(&self, log: Log, is_available: bool) {
        let mut inner = self.lock();
        let state = inner.log(log);
        state.is_available = is_available;
        if is_available {
            state.outbox.opened();
        } else {
            state.outbox.broke_off();
            if log == Log::Tenures {
                // RabbitMQ's word has to do for whose a lane is: there is no other.
                inner.claims.clear();
            }
        }
        let are_both = inner.holds_log.is_available && inner.tenures_log.is_available;
        self.metrics.lanes_log_available.set(are_both.into());
    }
}
