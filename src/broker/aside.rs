//! A connection beside the session's, for publishes that may be what ends sessions ([`crate::core::connection::suspects`]), one at a time:
//! when it ends, it is known over which.

use super::connect::{SessionError, connect};
use crate::config::BrokerConfig;
use crate::core::connection::suspects::Suspects;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// Most connections that publishes whose confirm is late keep for themselves. With more of those, all others that go alone wait.
const KEPT_MAX: usize = 16;

/// One channel, and its connection.
#[derive(Clone)]
pub(super) struct Line {
    connection: Arc<Connection>,
    pub(super) channel: Channel,
}

impl Line {
    pub(super) fn is_open(&self) -> bool {
        self.connection.status().connected()
    }
}

pub(super) struct Aside {
    config: BrokerConfig,
    suspects: Mutex<Suspects>,
    /// Held by the one that is published; open while all goes well.
    pub(super) turn: tokio::sync::Mutex<Option<Line>>,
    /// A permit for each that keeps its connection.
    pub(super) kept: Semaphore,
}

impl Aside {
    pub(super) fn new(config: BrokerConfig) -> Self {
        Self {
            config,
            suspects: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            kept: Semaphore::new(KEPT_MAX),
        }
    }

    pub(super) fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line that is open, or (true) a new one.
    pub(super) async fn line(&self, turn: &mut Option<Line>) -> Result<(Line, bool), SessionError> {
        if let Some(open) = turn
            .as_ref()
            .filter(|line| line.channel.status().connected())
        {
            return Ok((open.clone(), false));
        }
        *turn = None;
        let opening = tokio::time::timeout(self.config.connect_timeout, self.open());
        let line = opening.await.map_err(|_| SessionError::ConnectTimeout)??;
        *turn = Some(line.clone());
        Ok((line, true))
    }

    async fn open(&self) -> Result<Line, SessionError> {
        let connection = Arc::new(connect(&self.config, "suspects").await?);
        let channel = connection.create_channel().await;
        let channel = channel.map_err(SessionError::Channel)?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default());
        confirming.await.map_err(SessionError::Channel)?;
        Ok(Line {
            connection,
            channel,
        })
    }
}
