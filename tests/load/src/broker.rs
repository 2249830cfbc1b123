//! The AMQP side: a confirmed publisher with a window, and a reader of results.

use crate::book::Book;
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use harness::amqp::{Window, confirming, now_s, persistent, publish};
use harness::answer::Answer;
use lapin::{Channel, Connection, Consumer};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Publishes that may await their confirm at once.
const WINDOW: usize = 200;

/// The book as publisher and reader share it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Book>>);

impl Shared {
    pub(crate) fn new(book: Book) -> Self {
        Self(Arc::new(Mutex::new(book)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request to publish.
pub(crate) struct Request {
    /// Index into the numbers of this load.
    pub(crate) number: usize,
    pub(crate) priority: u8,
    pub(crate) body: Vec<u8>,
}

/// From this priority on a request is of the high class.
const HIGH: u8 = 5;

/// Publishes to `wa.send` and keeps the book.
pub(crate) struct Publisher {
    channel: Channel,
    numbers: Vec<String>,
    window: Window,
    book: Shared,
}

impl Publisher {
    pub(crate) async fn new(
        connection: &Connection,
        numbers: Vec<String>,
        book: Shared,
    ) -> Result<Self> {
        Ok(Self {
            channel: confirming(connection).await?,
            numbers,
            window: Window::of(WINDOW),
            book,
        })
    }

    /// So many publishes may await their confirm at once: more where confirms take long.
    pub(crate) fn with_window(self, size: usize) -> Self {
        let window = Window::of(size);
        Self { window, ..self }
    }

    pub(crate) async fn publish(&mut self, request: &Request) -> Result<()> {
        let Some(number) = self.numbers.get(request.number) else {
            bail!("no number {}", request.number)
        };
        // Noted before it is published: its result may be faster than its confirm.
        let id = self
            .book
            .lock()
            .publish(request.number, request.priority >= HIGH, Instant::now());
        let properties = persistent(&id)
            .with_content_type("application/json".into())
            .with_priority(request.priority)
            .with_timestamp(now_s());
        let publishing = publish(
            &self.channel,
            ("wa.send", number),
            &request.body,
            properties,
        );
        self.window.push(publishing.await?).await
    }

    /// Awaits what is not confirmed yet.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.window.flush().await
    }
}

/// Enters results into the book until the broker hangs up, which is an error.
pub(crate) async fn read_results(mut consumer: Consumer, book: Shared) -> Result<()> {
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.context("AMQP: reading results")?;
        let now = Instant::now();
        let Some(id) = delivery.properties.message_id() else {
            continue;
        };
        let answer: Answer = serde_json::from_slice(&delivery.data)
            .with_context(|| format!("the result of {id} cannot be read"))?;
        book.lock().answer(id.as_str(), answer, now);
    }
    bail!("the broker ended the queue of results")
}
