//! A lane as the rest of the process sees it: what is known of it, and how it is told something.

use crate::contract::names::lane_queue;
use crate::core::lane::View;
use crate::core::request::message::LaneId;
use crate::metrics::Seen;
use crate::roles::dispatcher::board::Orders;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// A lane as the rest of the process sees it.
#[derive(Clone)]
pub struct LaneHandle {
    pub id: LaneId,
    pub waba_id: Arc<str>,
    /// The lane's label in metrics: its id, unless there are too many lanes.
    pub label: Arc<str>,
    pub orders: watch::Sender<Orders>,
    /// The number's limit may have changed.
    pub limit_is_stale: Arc<Notify>,
    pub(super) seen: Arc<Mutex<Seen>>,
}

impl LaneHandle {
    pub fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn view(&self) -> View {
        self.seen().view
    }

    pub fn update(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn queue(&self) -> String {
        lane_queue(self.id.as_str())
    }
}
