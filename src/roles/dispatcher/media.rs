//! Uploads: lanes ask for the files that their messages name by link, and for operations that carry a file. On a thread of its own: a file
//! of 100 MB is read, hashed and sent without a lane's noticing.

mod asked;
mod work;

use work::Parts;
pub use work::Work;

use crate::config::Config;
use crate::core::media::upload::{Failure, Uploaded, Wanted};
use crate::core::operation::Operation;
use crate::core::operation::call::Call;
use crate::core::outcome::Rules;
use crate::core::outcome::answer::Reply;
use crate::core::request::message::LaneId;
use crate::credentials::Token;
use crate::graph::Graph;
use crate::graph::source::SourceClient;
use crate::metrics::Metrics;
use anyhow::Context;
use asked::Asked;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Longest that messages wait for an upload in their lane; then they wait on the delay ladder.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks.
#[derive(Clone)]
pub struct Uploads(mpsc::UnboundedSender<Asked>);

/// An upload that is under way.
pub struct Uploading {
    answer: oneshot::Receiver<Uploaded>,
    /// When nobody waits for it in the lane any more; `None`: that was said.
    late_at: Option<Instant>,
}

/// Both ends. Uploads have connections to the API of their own: those of messages do not wait for their thread.
pub fn uploads(config: &Config, metrics: Arc<Metrics>) -> anyhow::Result<(Uploads, Work)> {
    let parts = Parts {
        graph: Graph::new(&config.graph)?,
        source: SourceClient::new(&config.media)?,
        rules: Rules::new(config.outcomes.clone()),
        operation: Operation::of_type("media_upload").context("no operation media_upload")?,
        broker: config.broker.clone(),
        metrics,
        timeout: config.media.timeout,
    };
    // Bounded by what the lanes may have in hand.
    let (sender, asked) = mpsc::unbounded_channel();
    Ok((Uploads(sender), Work::new(parts, asked)))
}

impl Uploads {
    /// Has a file uploaded for a number.
    pub fn upload(&self, lane: LaneId, wanted: Wanted, token: Arc<Token>) -> Uploading {
        let (answer, answered) = oneshot::channel();
        drop(self.0.send(Asked::Upload {
            lane,
            wanted,
            token,
            answer,
        }));
        Uploading {
            answer: answered,
            late_at: Some(Instant::now() + PATIENCE),
        }
    }

    /// Makes a request that carries a file.
    pub async fn send(&self, call: Call, token: Arc<Token>) -> Reply {
        let (answer, answered) = oneshot::channel();
        let call = Box::new(call);
        drop(self.0.send(Asked::Send {
            call,
            token,
            answer,
        }));
        answered.await.unwrap_or(Reply::NoAnswer("ended"))
    }
}

impl Uploading {
    /// Waits for what comes of it, or says that this takes long: then there is more to come.
    pub async fn next(mut self) -> (Uploaded, Option<Self>) {
        let answer = &mut self.answer;
        let uploaded = match self.late_at {
            Some(at) => match timeout_at(at, answer).await {
                Ok(uploaded) => uploaded,
                Err(_) => {
                    self.late_at = None;
                    return (Uploaded::Late, Some(self));
                }
            },
            None => answer.await,
        };
        let ended = |_| Uploaded::Failed(Failure::transient("the worker ended"));
        (uploaded.unwrap_or_else(ended), None)
    }
}
