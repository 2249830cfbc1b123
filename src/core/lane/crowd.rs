//! Deliveries that had no room in the worker's memory, until the lane has subscribed anew.

use crate::core::request::recent::{Identity, Known};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Crowd {
    /// The lane subscribes anew, then.
    pub(super) rejoin_at: Option<Duration>,
    /// Requests of which something is known.
    pub(super) returning: Vec<(Identity, Known)>,
    pub(super) count: usize,
}

impl Crowd {
    /// Counts one more delivery of those that came again. `is_next`: by identity, and how often it was delivered before.
    pub(super) fn recount(&mut self, is_next: impl Fn(&Identity, u64) -> bool) {
        for (identity, known) in &mut self.returning {
            match known {
                Known::Unsent { delivery_count, .. } | Known::Decided { delivery_count, .. } => {
                    *delivery_count += u64::from(is_next(identity, *delivery_count));
                }
                Known::Ended => {}
            }
        }
    }

    /// Requests that were surely not sent.
    pub(super) fn unsent(&self) -> impl Iterator<Item = (Identity, u64)> {
        self.returning
            .iter()
            .filter_map(|(identity, known)| match known {
                Known::Unsent {
                    delivery_count,
                    possible_duplicate: false,
                } => Some((identity.clone(), *delivery_count)),
                Known::Unsent { .. } | Known::Decided { .. } | Known::Ended => None,
            })
    }
}
