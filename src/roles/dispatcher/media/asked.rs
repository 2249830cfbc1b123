//! Wishes of lanes to the uploader.

use crate::core::media::upload::{Uploaded, Wanted};
use crate::core::operation::call::Call;
use crate::core::outcome::answer::Reply;
use crate::core::request::message::LaneId;
use crate::credentials::Token;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A wish of a lane's, and where the answer goes.
pub(super) enum Asked {
    Upload {
        lane: LaneId,
        wanted: Wanted,
        token: Arc<Token>,
        answer: oneshot::Sender<Uploaded>,
    },
    Send {
        call: Box<Call>,
        token: Arc<Token>,
        answer: oneshot::Sender<Reply>,
    },
}
