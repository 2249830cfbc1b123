//! The search for evidence: reads the log of results for requests that RabbitMQ delivers again. Lanes ask for their own; what is asked at
//! about the same time, as when a worker has died, is looked for at once.

use crate::broker::results_log::{self, Found};
use crate::config::BrokerConfig;
use crate::core::evidence::search::{FIRST_STEP, Question, Scan, Wanted};
use crate::metrics::Metrics;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How long a question waits: a worker that lives and has lost no more than its connection has another by then, and has published
/// what the API had answered.
const WAIT: Duration = Duration::from_secs(1);

/// Questions that come so soon after another are answered with it.
const GATHER: Duration = Duration::from_millis(200);

/// Longest search: what is not found by then counts as not found.
const PATIENCE: Duration = Duration::from_secs(10);

struct Asked {
    question: Question,
    at: Instant,
    answer: oneshot::Sender<Option<Found>>,
}

impl Asked {
    fn by_now(&self) -> Question {
        let mut question = self.question.clone();
        if let Some(former) = &mut question.former {
            former.gone += self.at.elapsed();
        }
        question
    }
}

/// Asks.
#[derive(Clone)]
pub struct Evidence {
    questions: mpsc::UnboundedSender<Asked>,
}

/// Answers.
pub struct Search {
    questions: mpsc::UnboundedReceiver<Asked>,
    broker: BrokerConfig,
    metrics: Arc<Metrics>,
}

/// Both ends.
pub fn evidence(broker: BrokerConfig, metrics: Arc<Metrics>) -> (Evidence, Search) {
    // Bounded by what the lanes may have delivered.
    let (sender, questions) = mpsc::unbounded_channel();
    let evidence = Evidence { questions: sender };
    let search = Search {
        questions,
        broker,
        metrics,
    };
    (evidence, search)
}

impl Evidence {
    /// Returns what the log has of a request, if anything.
    pub async fn of(&self, question: Question) -> Option<Found> {
        let (answer, answered) = oneshot::channel();
        let at = Instant::now();
        let asked = Asked {
            question,
            at,
            answer,
        };
        self.questions.send(asked).ok()?;
        answered.await.ok()?
    }
}

/// Returns the next question, those in hand first.
async fn next(
    asked: &mut VecDeque<Asked>,
    questions: &mut mpsc::UnboundedReceiver<Asked>,
) -> Option<Asked> {
    match asked.pop_front() {
        Some(question) => Some(question),
        None => questions.recv().await,
    }
}

impl Search {
    /// For a thread of its own, as what it reads may be as much as all lanes do together; ends when nobody can ask any more.
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
            let (found, is_whole) = self.find(&questions).await;
            for Asked {
                question, answer, ..
            } in questions
            {
                let result = found.get(&question.wanted).cloned();
                let word = match &result {
                    Some(_) => "found",
                    None if is_whole => "nothing",
                    None => "unavailable",
                };
                self.metrics.evidence.with_label_values(&[word]).inc();
                // A lane that has lost its channel meanwhile does not listen any more.
                drop(answer.send(result));
            }
        }
    }

    /// Returns what was found, and whether all was read that should be.
    async fn find(&self, asked: &[Asked]) -> (HashMap<Wanted, Found>, bool) {
        let questions = asked.iter().map(Asked::by_now);
        let mut scan = Scan::new(questions.collect(), self.broker.lookback(), FIRST_STEP);
        let began = Instant::now();
        let finding = results_log::find(&self.broker, &mut scan);
        let why = match tokio::time::timeout(PATIENCE, finding).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("not read within {PATIENCE:?}")),
        };
        let (is_whole, read, took_ms) =
            (why.is_none(), scan.entries(), began.elapsed().as_millis());
        let found = scan.into_found();
        let (asked, found_count) = (asked.len(), found.len());
        tracing::debug!(
            asked,
            found_count,
            is_whole,
            read,
            took_ms,
            "wa.results.log searched"
        );
        if let Some(why) = why {
            tracing::warn!(
                why,
                "wa.results.log cannot be read: requests delivered again count as perhaps sent"
            );
        }
        (found, is_whole)
    }
}
