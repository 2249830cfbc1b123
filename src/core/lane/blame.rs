//! A lane's memory of refusals that may be one request's own fault.

use super::backlog::Key;
use crate::core::request::message::{Message, MessageId};

#[derive(Default)]
pub(super) struct Blame {
    /// The request that met the last one, if nothing has passed since.
    witness: Option<(Key, MessageId)>,
    /// The code with which a request was refused that tried whether a hold is over, while another one tries.
    pub(super) tried: Option<Option<i64>>,
    /// A code that stopped the lane, and was one request's own fault.
    pub(super) disproved: Option<Option<i64>>,
}

impl Blame {
    /// Whether nobody else has met it. Requests of nobody (receipts) are told from each other by their ids.
    pub(super) fn is_first(&self, key: &Key, message: &Message) -> bool {
        let witness = self.witness.as_ref();
        witness.is_none_or(|(person, id)| person == key || *id == message.id)
    }

    pub(super) fn note_witness(&mut self, key: &Key, message: &Message) {
        self.witness = Some((key.clone(), message.id.clone()));
    }

    /// Notes that the refusal is not one request's alone.
    pub(super) fn clear(&mut self) {
        self.witness = None;
        self.tried = None;
    }

    /// The API had something to say about a request itself.
    pub(super) fn passed(&mut self, message: &Message) {
        let is_another = |(_, id): &(Key, MessageId)| *id != message.id;
        if let Some(code) = self.tried.take()
            && self.witness.as_ref().is_some_and(is_another)
        {
            self.disproved = Some(code);
        }
        self.witness = None;
    }

    /// Nothing said of another token counts.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
