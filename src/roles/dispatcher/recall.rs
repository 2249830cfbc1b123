//! Reads the log of results forwards for requests that say `dedupe`: what a lane has to know of ids when it begins to remember them, and the
//! result of an earlier request, to answer by. What is asked at about the same time is read at once.

use crate::broker::results_log::{self, FoundResult, Replayed};
use crate::config::BrokerConfig;
use crate::contract::result::ResultDocument;
use crate::contract::words::Status;
use crate::core::lane::dedupe::{Note, Read, Recalled, Word, key};
use crate::core::request::message::LaneId;
use futures_util::FutureExt;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Questions that come so soon after another are answered with it.
const GATHER: Duration = Duration::from_millis(100);

/// By so much the clocks of workers and RabbitMQ may differ.
const SLACK_S: u64 = 30;

/// Passes at the same time: one that reads a day must not keep others waiting.
const PASSES_MAX: usize = 4;

/// The log's answer to who looks for an earlier result.
pub enum Recall {
    Result(FoundResult),
    /// The log has been read, and has it no longer.
    Nothing,
    Unread,
}

enum Asked {
    Notes {
        lane: LaneId,
        read: Read,
        answer: oneshot::Sender<Recalled>,
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
    /// Returns what the log has of a lane.
    pub fn notes(&self, lane: LaneId, read: Read) -> impl Future<Output = Recalled> + use<> {
        let (answer, answered) = oneshot::channel();
        // Nobody answers: as if it could not be read.
        drop(self.0.send(Asked::Notes { lane, read, answer }));
        answered.map(|answer| answer.unwrap_or(Recalled::Failed))
    }

    /// The result of the earlier request that `report` is the rest of.
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
        answered.await.unwrap_or(Recall::Unread)
    }
}

impl Reader {
    /// Runs on a thread of its own, as what it reads may be as much as all lanes do together; ends when nobody can ask any more.
    pub fn run_apart(self) -> std::io::Result<impl Future<Output = ()>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (ends, ended) = oneshot::channel::<()>();
        let reading = move || {
            runtime.block_on(self.run());
            drop(ends);
        };
        std::thread::Builder::new()
            .name("dedupe".to_owned())
            .spawn(reading)?;
        Ok(ended.map(|_| ()))
    }

    async fn run(mut self) {
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
    notes: Vec<Note>,
    answer: oneshot::Sender<Recalled>,
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
                    let notes = vec![];
                    let noting = Noting {
                        read,
                        notes,
                        answer,
                    };
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
        let from_s = self.from_s;
        let read = results_log::replay(broker, from_s, |entry| self.take(entry)).await;
        if let Err(why) = &read {
            tracing::warn!(%why, "wa.results.log cannot be read: requests with dedupe wait");
        }
        let is_whole = read.is_ok();
        // A lane that has lost its channel does not listen any more.
        for noting in self.notes.into_values().flatten() {
            let notes = is_whole.then_some(Recalled::Notes(noting.notes));
            drop(noting.answer.send(notes.unwrap_or(Recalled::Failed)));
        }
        for looking in self.results.into_values().flatten() {
            drop(looking.answer.send(match looking.found {
                Some(found) => Recall::Result(found),
                None if is_whole => Recall::Nothing,
                None => Recall::Unread,
            }));
        }
    }

    fn take(&mut self, entry: &Replayed<'_>) -> ControlFlow<()> {
        if !self.notes.is_empty() {
            self.note(entry);
        }
        if self.missing > 0 {
            self.find(entry);
        }
        if self.notes.is_empty() && self.missing == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn note(&mut self, entry: &Replayed<'_>) {
        let Some(reads) = self.notes.get_mut(entry.lane) else {
            return;
        };
        let note = Note {
            key: key(entry.id),
            at_s: u32::try_from(entry.at_s).unwrap_or(u32::MAX),
            word: entry.status.map_or(Word::Away, Word::of),
        };
        for noting in reads {
            let only = noting.read.only.as_ref();
            if only.is_none_or(|only| only.contains(&note.key)) {
                noting.notes.push(note);
            }
        }
    }

    fn find(&mut self, entry: &Replayed<'_>) {
        let Some(status) = entry.status else {
            return;
        };
        for looking in self.results.get_mut(entry.id).into_iter().flatten() {
            let is_it = looking.status == status && looking.at_s == entry.at_s;
            if looking.found.is_none() && is_it && *looking.lane == *entry.lane {
                looking.found = Some(entry.result());
                self.missing -= 1;
            }
        }
    }
}
