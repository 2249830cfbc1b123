//! The work of uploading: what is known of a source, the fetch, the check, and the request to the API.

use super::asked::Asked;
use crate::broker::media_log::{Entry, MediaLog};
use crate::broker::workers_log::LogError;
use crate::clock::wall_ms;
use crate::config::BrokerConfig;
use crate::contract::record::UploadRecord;
use crate::contract::result::ErrorDocument;
use crate::contract::words::Class;
use crate::core::media::content::{self, HEAD_BYTES};
use crate::core::media::known::{FRESH_FOR, Known, Look, Validators};
use crate::core::media::upload::{Failure, Uploaded, Wanted};
use crate::core::operation::Operation;
use crate::core::operation::call::{Address, Call, Content};
use crate::core::operation::file::{FileFrom, FileOf, FileToUpload};
use crate::core::outcome::answer::Reply;
use crate::core::outcome::{Effect, Outcome, Rules};
use crate::core::request::message::LaneId;
use crate::credentials::Token;
use crate::graph::Graph;
use crate::graph::source::{Fetched, Found, SourceClient, name_of};
use crate::graph::upload::{Bulk, Checked};
use crate::metrics::Metrics;
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};

/// Files that are fetched or sent at once: each may take 100 MB of disk.
const AT_ONCE: usize = 4;

/// Uploads that are remembered, of all numbers together: some 60 MB if all are.
const KNOWN_MAX: usize = 100_000;

/// Longest wait for what other workers have uploaded. Without it, at worst a file is uploaded once more.
const LOG_WITHIN: Duration = Duration::from_secs(5);

/// Pause before the log is opened again.
const LOG_PAUSE: Duration = Duration::from_secs(5);

/// Records that wait for the log.
const UNWRITTEN_MAX: usize = 1_000;

/// How long an id is used whose source cannot be asked just now.
const STALE_FOR: Duration = Duration::from_secs(60);

/// The parts that uploads are made with.
pub(super) struct Parts {
    pub(super) graph: Graph,
    pub(super) source: SourceClient,
    pub(super) rules: Rules,
    /// The operation by which files are uploaded.
    pub(super) operation: Operation,
    pub(super) broker: BrokerConfig,
    pub(super) metrics: Arc<Metrics>,
    /// `media.timeout_ms`
    pub(super) timeout: Duration,
}

/// Answers.
pub struct Work {
    asked: mpsc::UnboundedReceiver<Asked>,
    uploader: Uploader,
    unwritten: mpsc::Receiver<UploadRecord>,
    has_read: watch::Sender<bool>,
}

impl Work {
    pub(super) fn new(parts: Parts, asked: mpsc::UnboundedReceiver<Asked>) -> Self {
        let (to_write, unwritten) = mpsc::channel(UNWRITTEN_MAX);
        let (has_read, log_is_read) = watch::channel(false);
        let uploader = Uploader {
            parts: Arc::new(parts),
            known: Arc::new(Mutex::new(Known::new(KNOWN_MAX))),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            to_write,
            log_is_read,
        };
        Self {
            asked,
            uploader,
            unwritten,
            has_read,
        }
    }

    /// For a thread of its own; ends when nobody can ask any more.
    pub async fn run(self) {
        let Self {
            mut asked,
            uploader,
            unwritten,
            has_read,
        } = self;
        let mut log = Some((unwritten, has_read));
        while let Some(asked) = asked.recv().await {
            let uploader = uploader.clone();
            match asked {
                Asked::Upload {
                    lane,
                    wanted,
                    token,
                    answer,
                } => {
                    if let Some((unwritten, has_read)) = log.take() {
                        tokio::spawn(keep_log(uploader.clone(), unwritten, has_read));
                    }
                    tokio::spawn(async move {
                        let uploaded = uploader.upload(&lane, wanted, &token).await;
                        // A lane that has ended does not listen any more.
                        drop(answer.send(uploaded));
                    });
                }
                Asked::Send {
                    call,
                    token,
                    answer,
                } => {
                    tokio::spawn(async move {
                        drop(answer.send(uploader.send(&call, &token).await));
                    });
                }
            }
        }
    }
}

#[derive(Clone)]
struct Uploader {
    parts: Arc<Parts>,
    known: Arc<Mutex<Known>>,
    slots: Arc<Semaphore>,
    to_write: mpsc::Sender<UploadRecord>,
    log_is_read: watch::Receiver<bool>,
}

impl Uploader {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, result: &str) {
        let uploads = &self.parts.metrics.media_uploads;
        uploads.with_label_values(&[result]).inc();
    }

    async fn upload(mut self, lane: &LaneId, wanted: Wanted, token: &Token) -> Uploaded {
        let read = self.log_is_read.wait_for(|is_read| *is_read);
        drop(tokio::time::timeout(LOG_WITHIN, read).await);
        let kind = wanted.source.kind;
        let source = name_of(kind.as_str(), &wanted.source.url);
        if let Some(gone) = wanted.gone {
            self.known().forget(lane.as_str(), &gone);
        }
        let look = self.known().look(lane.as_str(), &source, wall_ms());
        let stale = match look {
            Look::Fresh {
                media_id,
                fresh_for,
            } => return ready(media_id, fresh_for),
            Look::Stale {
                media_id,
                validators,
            } => Some((media_id, validators)),
            Look::Nothing => None,
        };
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        let no_validators = Validators::default();
        let validators = stale
            .as_ref()
            .map_or(&no_validators, |(_, validators)| validators);
        let most = content::most_bytes(Some(kind));
        let found = self
            .parts
            .source
            .fetch(&wanted.source.url, most, validators)
            .await;
        let fetched = match (found, stale) {
            (Ok(Found::File(fetched)), _) => fetched,
            (Ok(Found::Same), Some((media_id, _))) => {
                self.count("unchanged");
                self.known().check(lane.as_str(), &source, wall_ms());
                return ready(media_id, FRESH_FOR);
            }
            (Err(failure), Some((media_id, _))) if !failure.is_final => {
                self.count("failed");
                return ready(media_id, STALE_FOR);
            }
            (Ok(Found::Same), None) => {
                return self.failed(Failure::transient(
                    "its source says that it has not changed",
                ));
            }
            (Err(failure), _) => return self.failed(failure),
        };
        self.take(lane, source, &wanted.source.url, kind, fetched, token)
            .await
    }

    /// Takes a file that was fetched: uploads it, unless the same was uploaded from elsewhere.
    async fn take(
        &self,
        lane: &LaneId,
        source: String,
        url: &str,
        kind: content::Kind,
        fetched: Box<Fetched>,
        token: &Token,
    ) -> Uploaded {
        let declared = fetched.declared.as_deref();
        let checked = content::check(&fetched.head, fetched.bytes, declared, Some(kind));
        let mime = match checked {
            Ok(found) => found.mime,
            Err(wrong) => return self.failed(Failure::invalid(&wrong.to_string())),
        };
        let content = name_of(kind.as_str(), &fetched.sha256);
        let same = self
            .known()
            .find_content(lane.as_str(), &content, wall_ms())
            .cloned();
        let (at_ms, media_id) = match same {
            Some(same) => {
                self.count("known");
                (same.at_ms, same.media_id)
            }
            None => {
                let bulk = Bulk::File {
                    file: fetched.file,
                    bytes: fetched.bytes,
                };
                let at_ms = wall_ms();
                match self
                    .upload_as_media(lane, url, Checked { bulk, mime }, token)
                    .await
                {
                    Ok(media_id) => {
                        self.count("uploaded");
                        self.parts
                            .metrics
                            .media_uploaded_bytes
                            .inc_by(fetched.bytes);
                        (at_ms, media_id)
                    }
                    Err(failure) => return self.failed(failure),
                }
            }
        };
        let record = UploadRecord {
            at_ms,
            lane: lane.as_str().to_owned(),
            source,
            content,
            media_id,
            etag: fetched.validators.etag,
            last_modified: fetched.validators.last_modified,
        };
        let media_id = record.media_id.as_str().into();
        self.known().learn(record.clone(), wall_ms());
        // A record that the log does not get costs other workers an upload.
        drop(self.to_write.try_send(record));
        ready(media_id, FRESH_FOR)
    }

    async fn upload_as_media(
        &self,
        lane: &LaneId,
        url: &str,
        file: Checked,
        token: &Token,
    ) -> Result<String, Failure> {
        let operation = self.parts.operation;
        let upload = FileToUpload {
            of: FileOf::Media,
            from: FileFrom::Link(url.into()),
            name: None,
            declared: None,
            ttl_minutes: None,
            uploads_path: None,
        };
        let path = Address::of_number(lane.as_str()).path_of(operation);
        let Parts { graph, timeout, .. } = &*self.parts;
        let reply = graph
            .upload(operation, &path, &upload, file, token, *timeout)
            .await;
        match self.parts.rules.judge_of(operation, reply) {
            Outcome::Accepted(accepted) => {
                let id = accepted.whole.and_then(|whole| whole.response.member("id"));
                id.ok_or_else(|| Failure::transient("the API's answer names no id"))
            }
            Outcome::NotSent { error } => Err(of_the_api(false, error)),
            Outcome::Failed(effect, error) => {
                Err(of_the_api(matches!(effect, Effect::Refused { .. }), error))
            }
        }
    }

    fn failed(&self, failure: Failure) -> Uploaded {
        self.count(if failure.is_final {
            "refused"
        } else {
            "failed"
        });
        Uploaded::Failed(failure)
    }

    /// Makes a request that carries a file.
    async fn send(&self, call: &Call, token: &Token) -> Reply {
        let Some(Content::File(upload)) = &call.body else {
            return Reply::NotSent("request");
        };
        let _slot = self.slots.acquire().await;
        let file = match &upload.from {
            FileFrom::Body(bytes) => check_bytes(upload, bytes),
            FileFrom::Link(link) => self.fetch_for(upload, link).await,
        };
        let Parts { graph, timeout, .. } = &*self.parts;
        match file {
            Ok(file) => {
                graph
                    .upload(call.operation, &call.path, upload, file, token, *timeout)
                    .await
            }
            Err(failure) => Reply::NoFile(failure),
        }
    }

    async fn fetch_for(&self, upload: &FileToUpload, link: &str) -> Result<Checked, Failure> {
        let most = upload.of.most_bytes();
        let found = self
            .parts
            .source
            .fetch(link, most, &Validators::default())
            .await?;
        let Found::File(fetched) = found else {
            return Err(Failure::transient(
                "its source says that it has not changed",
            ));
        };
        let declared = fetched.declared.as_deref();
        let mime = upload.of.check(&fetched.head, fetched.bytes, declared);
        let mime = mime.map_err(|wrong| Failure::invalid(&wrong.to_string()))?;
        let bulk = Bulk::File {
            file: fetched.file,
            bytes: fetched.bytes,
        };
        Ok(Checked { bulk, mime })
    }
}

fn check_bytes(upload: &FileToUpload, bytes: &Bytes) -> Result<Checked, Failure> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    let mime = upload.of.check(head, length, upload.declared.as_deref());
    let mime = mime.map_err(|wrong| Failure::invalid(&wrong.to_string()))?;
    let bulk = Bulk::Bytes(bytes.clone());
    Ok(Checked { bulk, mime })
}

fn ready(media_id: Arc<str>, fresh_for: Duration) -> Uploaded {
    Uploaded::Ready {
        media_id,
        fresh_for,
    }
}

/// Turns the API's word on an upload into that of the message that wanted it.
fn of_the_api(is_final: bool, error: ErrorDocument) -> Failure {
    // The message was not sent, whatever became of the upload.
    let class = if error.class == Class::Ambiguous.as_str() {
        Class::Transient.as_str()
    } else {
        error.class
    };
    let error = ErrorDocument { class, ..error }.into();
    Failure { is_final, error }
}

/// Reads the log and follows it, and writes what is uploaded here, for as long as the worker runs.
async fn keep_log(
    uploader: Uploader,
    mut unwritten: mpsc::Receiver<UploadRecord>,
    has_read: watch::Sender<bool>,
) {
    let mut after = None;
    loop {
        let ended = follow_log(&uploader, &mut unwritten, &has_read, &mut after).await;
        tracing::warn!(why = %ended, "wa.media.log cannot be used: other workers may upload the same once more");
        tokio::time::sleep(LOG_PAUSE).await;
    }
}

async fn follow_log(
    uploader: &Uploader,
    unwritten: &mut mpsc::Receiver<UploadRecord>,
    has_read: &watch::Sender<bool>,
    after: &mut Option<u64>,
) -> LogError {
    let mut log = match MediaLog::open(&uploader.parts.broker, *after).await {
        Ok(log) => log,
        Err(error) => return error,
    };
    let error = loop {
        tokio::select! {
            entry = log.next() => match entry {
                Ok(Entry::Upload(record)) => {
                    let asked_ms = record.at_ms;
                    uploader.known().learn(record, asked_ms);
                }
                Ok(Entry::Read) => drop(has_read.send_replace(true)),
                Err(error) => break error,
            },
            Some(record) = unwritten.recv() => {
                if let Err(error) = log.write(&record).await {
                    break error;
                }
            }
        }
        *after = log.last();
    };
    log.close().await;
    error
}
