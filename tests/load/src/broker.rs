//! The AMQP side: a confirmed publisher with a window, and a reader of results.

use crate::answer::Answer;
use crate::book::Book;
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer,
    PublisherConfirm,
};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A blocked connection confirms nothing, ever: nothing is awaited without an end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Publishes that may await their confirm at once.
const WINDOW: usize = 200;
const PERSISTENT: u8 = 2;

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

pub(crate) async fn connect(url: &str) -> Result<Connection> {
    // The URL holds a password: it stays out of the message.
    patient(
        "connect",
        Connection::connect(url, ConnectionProperties::default()),
    )
    .await
}

pub(crate) async fn patient<T>(
    what: &str,
    doing: impl Future<Output = lapin::Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(PATIENCE, doing).await {
        Ok(done) => done.with_context(|| format!("AMQP: {what}")),
        Err(_) => bail!("AMQP: {what}: no answer within {} s", PATIENCE.as_secs()),
    }
}

/// Publishes to `wa.send` and keeps the book.
pub(crate) struct Publisher {
    channel: Channel,
    numbers: Vec<String>,
    unconfirmed: VecDeque<PublisherConfirm>,
    window: usize,
    book: Shared,
}

impl Publisher {
    pub(crate) async fn new(
        connection: &Connection,
        numbers: Vec<String>,
        book: Shared,
    ) -> Result<Self> {
        let channel = patient("channel", connection.create_channel()).await?;
        patient(
            "confirm.select",
            channel.confirm_select(ConfirmSelectOptions::default()),
        )
        .await?;
        Ok(Self {
            channel,
            numbers,
            unconfirmed: VecDeque::new(),
            window: WINDOW,
            book,
        })
    }

    /// So many publishes may await their confirm at once: more where confirms take long.
    pub(crate) fn with_window(self, window: usize) -> Self {
        Self { window, ..self }
    }

    pub(crate) async fn publish(&mut self, request: &Request) -> Result<()> {
        if self.unconfirmed.len() >= self.window {
            self.confirm_oldest().await?;
        }
        let Some(number) = self.numbers.get(request.number) else {
            bail!("no number {}", request.number)
        };
        // Noted before it is published: its result may be faster than its confirm.
        let id = self
            .book
            .lock()
            .publish(request.number, request.priority >= HIGH, Instant::now());
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(id.into())
            .with_priority(request.priority)
            .with_timestamp(
                SystemTime::UNIX_EPOCH
                    .elapsed()
                    .unwrap_or_default()
                    .as_secs(),
            );
        let mandatory = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let publishing = self.channel.basic_publish(
            "wa.send".into(),
            number.as_str().into(),
            mandatory,
            &request.body,
            properties,
        );
        self.unconfirmed
            .push_back(patient("publish", publishing).await?);
        Ok(())
    }

    /// Awaits what is not confirmed yet.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        while !self.unconfirmed.is_empty() {
            self.confirm_oldest().await?;
        }
        Ok(())
    }

    async fn confirm_oldest(&mut self) -> Result<()> {
        let Some(confirm) = self.unconfirmed.pop_front() else {
            return Ok(());
        };
        match patient("confirm", confirm).await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => bail!("a request was returned: no queue takes it"),
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                bail!("the broker refused a request")
            }
        }
    }
}

/// Binds a queue of our own to all results.
pub(crate) async fn results(connection: &Connection) -> Result<Consumer> {
    let channel = patient("channel", connection.create_channel()).await?;
    let own = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let queue = patient(
        "declare a queue for results",
        channel.queue_declare("".into(), own, FieldTable::default()),
    )
    .await?;
    let name = queue.name().clone();
    let bind = channel.queue_bind(
        name.clone(),
        "wa.results".into(),
        "#".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    patient(
        "bind to wa.results (has a worker run on this virtual host?)",
        bind,
    )
    .await?;
    let unacked = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    patient(
        "consume results",
        channel.basic_consume(name, "load".into(), unacked, FieldTable::default()),
    )
    .await
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
