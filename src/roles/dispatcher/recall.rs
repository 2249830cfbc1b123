//! Reads the log of results forwards for requests that say `dedupe`: what a lane has to know of ids when it begins to remember them, and the
//! result of an earlier request, to answer by. What is asked at about the same time is read at once. Nothing is collected: however much
//! there is, it is handed over as it comes.

use crate::broker::results_log::{FoundResult, Replay, Replayed, Unread};
use crate::config::BrokerConfig;
use crate::contract::result::ResultDocument;
use crate::contract::words::Status;
use crate::core::lane::dedupe::{Note, Read, Recalled, Word, key};
use crate::core::request::message::LaneId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// Questions that come so soon after another are answered with it.
const GATHER: Duration = Duration::from_millis(100);

/// By so much the clocks of workers and RabbitMQ may differ.
const SLACK_S: u64 = 30;

/// Passes at the same time: one that reads a day must not keep others waiting.
const PASSES_MAX: usize = 4;

/// Longest that requests wait in the lane until the log was read; then they wait on the delay ladder.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest that a request waits for the result that it is answered by; then it looks again later.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Notes that a lane is handed at once.
const BATCH: usize = 1_000;

/// Batches that a lane has not taken yet.
const BATCHES_AHEAD: usize = 2;

/// A lane that takes nothing for so long is not waited for: others read with it.
const TAKES_WITHIN: Duration = Duration::from_secs(10);

/// The log's answer to who looks for an earlier result.
pub enum Recall {
    Result(FoundResult),
    /// The log has been read, and has it no longer.
    Nothing,
    Unread,
}

/// The parts of the log that a lane has not been handed yet.
pub struct Parts {
    parts: mpsc::Receiver<Recalled>,
    /// The time at which nobody waits for it in the lane any more; `None`: that was said.
    late_at: Option<Instant>,
}

impl Parts {
    pub async fn next(&mut self) -> Recalled {
        let next = self.parts.recv();
        let part = match self.late_at {
            Some(at) => match timeout_at(at, next).await {
                Ok(part) => part,
                Err(_) => {
                    self.late_at = None;
                    return Recalled::Late;
                }
            },
            None => next.await,
        };
        // Parts that end before the whole: the log could not be read.
        part.unwrap_or(Recalled::Failed)
    }
}

enum Asked {
    Notes {
        lane: LaneId,
        read: Read,
        answer: mpsc::Sender<Recalled>,
    },
    Result {
        lane: Arc<str>,
        id: Arc<str>,
        status: Status,
        at_s: u64,
        answer: oneshot::Sender<Recall>,
    },
}

impl Asked {
    fn begins_s(&self) -> u64 {
        let from_s = match self {
            Self::Notes { read, .. } => read.from_s.into(),
            Self::Result { at_s, .. } => *at_s,
        };
        from_s.saturating_sub(SLACK_S)
    }
}

/// Asks.
#[derive(Clone)]
pub struct Memory(mpsc::UnboundedSender<Asked>);

/// Answers.
pub struct Reader {
    questions: mpsc::UnboundedReceiver<Asked>,
    broker: Arc<BrokerConfig>,
}

/// Both ends.
pub fn memory(broker: BrokerConfig) -> (Memory, Reader) {
    // Bounded by what the lanes may have delivered.
    let (sender, questions) = mpsc::unbounded_channel();
    let broker = Arc::new(broker);
    (Memory(sender), Reader { questions, broker })
}

impl Memory {
    /// Hands over what the log has of a lane, in parts.
    pub fn notes(&self, lane: LaneId, read: Read) -> Parts {
        let (answer, parts) = mpsc::channel(BATCHES_AHEAD);
        drop(self.0.send(Asked::Notes { lane, read, answer }));
        let late_at = Some(Instant::now() + PATIENCE);
        Parts { parts, late_at }
    }

    /// The result of the earlier request that `report` is the rest of. Bounded in time.
    pub async fn result(&self, report: &ResultDocument) -> Recall {
        let (answer, answered) = oneshot::channel();
        let Some(id) = report.id.clone() else {
            return Recall::Nothing;
        };
        let asked = Asked::Result {
            lane: report.target().into(),
            id,
            status: report.status,
            at_s: report.completed_at / 1000,
            answer,
        };
        drop(self.0.send(asked));
        let answer = timeout(ANSWERS_WITHIN, answered).await;
        answer.map_or(Recall::Unread, |answer| answer.unwrap_or(Recall::Unread))
    }
}

impl Reader {
    /// For a thread of its own, as what it reads may be as much as all lanes do together; ends when nobody can ask any more.
    pub async fn run(mut self) {
        let passes = Arc::new(Semaphore::new(PASSES_MAX));
        while let Some(first) = self.questions.recv().await {
            tokio::time::sleep(GATHER).await;
            // The semaphore is never closed.
            let permit = passes.clone().acquire_owned().await;
            let mut asked = vec![first];
            while let Ok(question) = self.questions.try_recv() {
                asked.push(question);
            }
            let broker = self.broker.clone();
            tokio::spawn(async move {
                Pass::new(asked).read(&broker).await;
                drop(permit);
            });
        }
    }
}

/// One time that the log is read.
#[derive(Default)]
struct Pass {
    from_s: u64,
    notes: HashMap<LaneId, Vec<Noting>>,
    results: HashMap<Arc<str>, Vec<Looking>>,
    /// Results that were not found yet.
    missing: usize,
}

struct Noting {
    read: Read,
    batch: Vec<Note>,
    answer: mpsc::Sender<Recalled>,
    /// The lane waits for it.
    is_wanted: bool,
}

impl Noting {
    fn new(read: Read, answer: mpsc::Sender<Recalled>) -> Self {
        Self {
            read,
            batch: vec![],
            answer,
            is_wanted: true,
        }
    }

    async fn add(&mut self, note: Note) {
        let only = self.read.only.as_ref();
        if only.is_none_or(|only| only.contains(&note.key)) {
            self.batch.push(note);
        }
        if self.batch.len() >= BATCH {
            self.hand_over().await;
        }
    }

    async fn hand_over(&mut self) {
        let batch = Recalled::Notes(std::mem::take(&mut self.batch));
        let taken = self.answer.send_timeout(batch, TAKES_WITHIN).await;
        self.is_wanted &= taken.is_ok();
    }

    async fn end(mut self) {
        self.hand_over().await;
        if self.is_wanted {
            // A lane that has lost its channel does not listen any more.
            drop(
                self.answer
                    .send_timeout(Recalled::Whole, TAKES_WITHIN)
                    .await,
            );
        }
    }
}

struct Looking {
    lane: Arc<str>,
    status: Status,
    at_s: u64,
    found: Option<FoundResult>,
    answer: oneshot::Sender<Recall>,
}

impl Pass {
    fn new(asked: Vec<Asked>) -> Self {
        let mut pass = Self {
            from_s: asked.iter().map(Asked::begins_s).min().unwrap_or(0),
            ..Self::default()
        };
        for asked in asked {
            match asked {
                Asked::Notes { lane, read, answer } => {
                    let noting = Noting::new(read, answer);
                    pass.notes.entry(lane).or_default().push(noting);
                }
                Asked::Result {
                    lane,
                    id,
                    status,
                    at_s,
                    answer,
                } => {
                    let looking = Looking {
                        lane,
                        status,
                        at_s,
                        found: None,
                        answer,
                    };
                    pass.missing += 1;
                    pass.results.entry(id).or_default().push(looking);
                }
            }
        }
        pass
    }

    async fn read(mut self, broker: &BrokerConfig) {
        let read = self.read_all(broker).await;
        if let Err(why) = &read {
            tracing::warn!(%why, "wa.results.log cannot be read: requests with dedupe wait");
        }
        let is_whole = read.is_ok();
        for noting in self.notes.into_values().flatten().filter(|_| is_whole) {
            noting.end().await;
        }
        for looking in self.results.into_values().flatten() {
            drop(looking.answer.send(match looking.found {
                Some(found) => Recall::Result(found),
                None if is_whole => Recall::Nothing,
                None => Recall::Unread,
            }));
        }
    }

    /// Until the end, or until nobody wants more.
    async fn read_all(&mut self, broker: &BrokerConfig) -> Result<(), Unread> {
        let mut replay = Replay::open(broker, self.from_s).await?;
        let mut read: usize = 0;
        while let Some(entry) = replay.next().await? {
            read += 1;
            if read.is_multiple_of(BATCH) {
                self.forget_who_left();
            }
            if !self.notes.is_empty() {
                self.note(&entry).await;
            }
            if self.missing > 0 {
                self.find(&entry);
            }
            if self.notes.is_empty() && self.missing == 0 {
                break;
            }
        }
        replay.close().await;
        Ok(())
    }

    /// Nobody waits for ever, and what nobody waits for is not read for.
    fn forget_who_left(&mut self) {
        self.notes.retain(|_, reads| {
            reads.retain(|noting| !noting.answer.is_closed());
            !reads.is_empty()
        });
        self.results.retain(|_, looking| {
            looking.retain(|looking| !looking.answer.is_closed());
            !looking.is_empty()
        });
        let looking = self.results.values().flatten();
        self.missing = looking.filter(|looking| looking.found.is_none()).count();
    }

    async fn note(&mut self, entry: &Replayed) {
        let Some(reads) = self.notes.get_mut(entry.lane()) else {
            return;
        };
        let note = Note {
            key: key(entry.id()),
            at_s: u32::try_from(entry.at_s()).unwrap_or(u32::MAX),
            word: entry.status.map_or(Word::Away, Word::of),
        };
        for noting in &mut *reads {
            noting.add(note).await;
        }
        reads.retain(|noting| noting.is_wanted);
        if reads.is_empty() {
            self.notes.remove(entry.lane());
        }
    }

    fn find(&mut self, entry: &Replayed) {
        let Some(status) = entry.status else {
            return;
        };
        for looking in self.results.get_mut(entry.id()).into_iter().flatten() {
            let is_it = looking.status == status && looking.at_s == entry.at_s();
            if looking.found.is_none() && is_it && *looking.lane == *entry.lane() {
                looking.found = Some(entry.result());
                self.missing -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
