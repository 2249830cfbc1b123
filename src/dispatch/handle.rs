//! A lane as the rest of the process sees it: what is known of it, and how it is told something.

use crate::board::Orders;
use crate::broker::topology::lane_queue;
use crate::core::demand::Demand;
use crate::core::lane::View;
use crate::core::message::LaneId;
use crate::core::number::NumberState;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// What is known of a lane.
#[derive(Clone, Copy)]
pub struct Seen {
    pub view: View,
    /// This worker consumes its queue, active or waiting for its turn.
    pub is_subscribed: bool,
    /// It should: the lane is neither held nor paused.
    pub is_wanted: bool,
    /// Whether the last try to consume it worked. None before the first.
    pub last_try: Option<bool>,
    /// It has a connection of its own, because it ended one.
    pub is_apart: bool,
    /// It took the lane, and RabbitMQ delivers it here.
    pub is_owned: bool,
    pub demand: Demand,
    pub number: NumberState,
    /// Another worker reads how the API sees the number: this one does not know.
    pub is_read_elsewhere: bool,
}

impl Seen {
    /// Of a lane that has not begun.
    pub(super) fn new(view: View) -> Self {
        Self {
            view,
            is_subscribed: false,
            is_wanted: true,
            last_try: None,
            is_apart: false,
            is_owned: false,
            demand: Demand::default(),
            number: NumberState::default(),
            is_read_elsewhere: false,
        }
    }
}

/// A lane as the rest of the process sees it.
#[derive(Clone)]
pub struct LaneHandle {
    pub id: LaneId,
    pub waba_id: Arc<str>,
    /// What it is called in metrics: its id, unless there are too many lanes.
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
