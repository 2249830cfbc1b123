//! What the log of results says of requests that RabbitMQ delivers again. Lanes ask for their own; what is asked at about the same
//! time, as when a worker has died, is looked for at once.

use crate::broker::Sessions;
use crate::broker::results_log::{self, Found, Wanted};
use crate::metrics::Metrics;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How long a question waits: a worker that lives and has lost no more than its connection has another by then, and has published
/// what the API had answered.
const WAIT: Duration = Duration::from_secs(1);

/// What comes so soon after another question is answered with it.
const GATHER: Duration = Duration::from_millis(200);

/// Longest search: what is not found by then counts as not found.
const PATIENCE: Duration = Duration::from_secs(10);

struct Question {
    wanted: Wanted,
    at: Instant,
    answer: oneshot::Sender<Option<Found>>,
}

/// Asks.
#[derive(Clone)]
pub struct Evidence(mpsc::UnboundedSender<Question>);

/// Answers.
pub struct Search {
    questions: mpsc::UnboundedReceiver<Question>,
    sessions: Sessions,
    metrics: Arc<Metrics>,
    lookback: Duration,
}

/// `lookback`: how long before RabbitMQ delivers a request again its result may have been written.
pub fn evidence(
    sessions: Sessions,
    metrics: Arc<Metrics>,
    lookback: Duration,
) -> (Evidence, Search) {
    // Bounded by what the lanes may have delivered.
    let (sender, questions) = mpsc::unbounded_channel();
    let search = Search {
        questions,
        sessions,
        metrics,
        lookback,
    };
    (Evidence(sender), search)
}

impl Evidence {
    /// What the log has of a request, if anything.
    pub async fn of(&self, wanted: Wanted) -> Option<Found> {
        let (answer, answered) = oneshot::channel();
        let at = Instant::now();
        self.0.send(Question { wanted, at, answer }).ok()?;
        answered.await.ok()?
    }
}

/// Those in hand first.
async fn next(
    asked: &mut VecDeque<Question>,
    questions: &mut mpsc::UnboundedReceiver<Question>,
) -> Option<Question> {
    match asked.pop_front() {
        Some(question) => Some(question),
        None => questions.recv().await,
    }
}

impl Search {
    /// Until nobody can ask any more.
    pub async fn run(mut self) {
        let mut asked = VecDeque::new();
        while let Some(first) = next(&mut asked, &mut self.questions).await {
            tokio::time::sleep_until(first.at + WAIT + GATHER).await;
            let mut questions = vec![first];
            while let Ok(question) = self.questions.try_recv() {
                asked.push_back(question);
            }
            // A search takes a while: those that came meanwhile have waited as well.
            let now = Instant::now();
            while let Some(question) = asked.pop_front_if(|question| question.at + WAIT <= now) {
                questions.push(question);
            }
            let began = Instant::now();
            let (found, is_whole) = self.find(&questions).await;
            let (asked, found_count) = (questions.len(), found.len());
            let took_ms = began.elapsed().as_millis();
            tracing::debug!(
                asked,
                found_count,
                is_whole,
                took_ms,
                "wa.results.log searched"
            );
            for question in questions {
                let result = found.get(&question.wanted).cloned();
                let word = match &result {
                    Some(_) => "found",
                    None if is_whole => "nothing",
                    None => "unavailable",
                };
                self.metrics.evidence.with_label_values(&[word]).inc();
                // A lane that has lost its channel meanwhile does not listen any more.
                drop(question.answer.send(result));
            }
        }
    }

    /// What was found, and whether the log was read to its end.
    async fn find(&self, questions: &[Question]) -> (HashMap<Wanted, Found>, bool) {
        let mut found = HashMap::new();
        let session = self.sessions.borrow().clone();
        let Some(session) = session else {
            return (found, false);
        };
        let wanted: Vec<Wanted> = questions
            .iter()
            .map(|question| question.wanted.clone())
            .collect();
        let finding = results_log::find(&session, &wanted, self.lookback, &mut found);
        let why = match tokio::time::timeout(PATIENCE, finding).await {
            Ok(Ok(())) => return (found, true),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not read within {PATIENCE:?}"),
        };
        tracing::warn!(
            why,
            "wa.results.log cannot be read: requests delivered again count as perhaps sent"
        );
        (found, false)
    }
}
