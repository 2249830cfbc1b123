//! Lanes and accounts as they are at one moment.

use crate::core::fleet::number::{NumberState, TemplateCounts};
use crate::core::lane::View;
use crate::core::lane::demand::{Demand, Work};
use std::sync::Arc;

/// A lane as it is known outside of its task.
#[derive(Clone, Copy)]
pub struct Seen {
    pub view: View,
    /// This worker consumes its queue, active or waiting for its turn.
    pub is_subscribed: bool,
    /// This worker should consume the queue: the lane is neither held nor paused.
    pub is_wanted: bool,
    /// Whether the last try to consume it worked. None before the first.
    pub last_try: Option<bool>,
    /// The lane has a connection of its own, because it ended one.
    pub is_apart: bool,
    /// This worker took the lane, and RabbitMQ delivers it here.
    pub is_owned: bool,
    pub demand: Demand,
    pub number: NumberState,
    /// Another worker reads how the API sees the number: this one does not know.
    pub is_read_elsewhere: bool,
}

impl Seen {
    /// Describes a lane that has not begun.
    pub fn new(view: View) -> Self {
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

pub struct LaneSample {
    pub label: Arc<str>,
    pub waba_id: Arc<str>,
    pub seen: Seen,
    pub work: Work,
}

pub struct AccountSample {
    pub waba_id: Arc<str>,
    pub is_token_valid: bool,
    /// Unix seconds; 0: never, or not known.
    pub token_expires_at: u64,
    pub templates: TemplateCounts,
    pub templates_held: usize,
}
