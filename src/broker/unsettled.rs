//! Requests that are about to end, from before anything is published of them until their acknowledgement is written: what of them RabbitMQ
//! may not know yet, and what each worker says of that when it publishes.

use crate::clock::Clock;
use crate::core::evidence::search::Stamp;
use crate::core::evidence::settling::Settling;
use crate::core::ms;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The writer of what this worker publishes.
pub struct Writer {
    run: u64,
    clock: Clock,
    lookback: Duration,
    settling: Mutex<Settling>,
}

impl Writer {
    /// `run`: this life of this worker, as in `wa.tenures.log`; `lookback`: for how long what was published of a request that RabbitMQ has
    /// again may be looked for.
    pub fn new(run: u64, clock: Clock, lookback: Duration) -> Arc<Self> {
        Arc::new(Self {
            run,
            clock,
            lookback,
            settling: Mutex::default(),
        })
    }

    fn settling(&self) -> MutexGuard<'_, Settling> {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.clock.now().mono
    }

    /// Returns the stamp of this moment: who writes, when, and until when it has settled all.
    pub(super) fn stamp(&self) -> Stamp {
        let now = self.now();
        Stamp {
            run: self.run,
            at_ms: ms(now),
            settled_ms: ms(self.settling().settled(now)),
        }
    }

    /// A connection on which requests come, until it is dropped.
    pub(super) fn connected(self: &Arc<Self>) -> Connected {
        let connection = self.settling().opened(self.now());
        Connected {
            writer: self.clone(),
            connection,
        }
    }
}

/// One such connection.
pub(super) struct Connected {
    writer: Arc<Writer>,
    connection: u64,
}

impl Connected {
    /// Returns what a probe on it that is sent now will prove.
    pub(super) fn to_prove(&self) -> Duration {
        let now = self.writer.now();
        self.writer.settling().to_prove(self.connection, now)
    }

    pub(super) fn proven(&self, proof: Duration) {
        self.writer.settling().proven(self.connection, proof);
    }

    pub(super) fn ends(&self) -> Unsettled {
        let now = self.writer.now();
        let number = self.writer.settling().begin(self.connection, now);
        Unsettled {
            writer: self.writer.clone(),
            connection: self.connection,
            number: Some(number),
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let until = self.writer.now() + self.writer.lookback;
        self.writer.settling().ended(self.connection, until);
    }
}

/// One such request. Dropped without an acknowledgement, RabbitMQ delivers it again: it counts for as long as somebody may look for what
/// was published of it.
pub struct Unsettled {
    writer: Arc<Writer>,
    connection: u64,
    number: Option<u64>,
}

impl Unsettled {
    pub(super) fn acknowledged(mut self) {
        if let Some(number) = self.number.take() {
            let connection = self.connection;
            self.writer.settling().acknowledged(connection, number);
        }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            let until = self.writer.now() + self.writer.lookback;
            let connection = self.connection;
            self.writer.settling().given_back(connection, number, until);
        }
    }
}
