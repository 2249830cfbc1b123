//! Requests that are decided, and whose end is not confirmed yet.

use crate::contract::result::ResultDocument;
use crate::core::request::recent::{Identity, Over};
use std::sync::Arc;

/// Decided, and not settled yet.
pub(super) struct Settling {
    pub(super) identity: Identity,
    pub(super) delivery_count: u64,
    /// The request's result, unless it ends on the ladder.
    pub(super) report: Option<Arc<ResultDocument>>,
    /// The request is being answered by the result of an earlier one of its id, which has to be read first.
    pub(super) is_answer: bool,
    /// The request waits on the ladder for an earlier one of its id.
    pub(super) follows: bool,
    /// Deliveries that are over then; `None`: none, it is let go because of another.
    pub(super) over: Option<Over>,
    /// The session that delivered it is gone; RabbitMQ will deliver it again.
    pub(super) orphaned: bool,
}
