//! The load: a publisher that keeps every lane supplied and a reader of results. Both outlive the loss of the broker.

use crate::book::Book;
use crate::broker::Shared;
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use harness::amqp::{self, connect, patient};
use harness::answer::Answer;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Confirmation, Connection, PublisherConfirm};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Publishes that may await their confirm at once: what becomes doubtful when the broker goes.
const WINDOW: usize = 100;
/// Between two attempts to get the broker back.
const PAUSE: Duration = Duration::from_millis(300);
/// A reader that hears nothing for so long connects anew.
const SILENCE: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(5);
/// Longer than any alarm of the suite: a publish that waits out an alarm is no doubtful one.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(40);
const QUEUE: &str = "chaos.results";
/// Every so many requests ask for a repeat when their answer is lost.
const RESEND_EVERY: usize = 4;

pub(crate) struct Load {
    pub(crate) amqp: String,
    pub(crate) lanes: Vec<String>,
    /// Requests without an answer that each lane is kept supplied with: more than workers hold ready.
    pub(crate) backlog: usize,
}

pub(crate) struct Traffic {
    pub(crate) book: Shared,
    stop: watch::Sender<bool>,
    publisher: JoinSet<()>,
    _reader: JoinSet<()>,
}

impl Traffic {
    pub(crate) async fn start(load: Load, prefix: String) -> Result<Self> {
        let book = Shared::new(Book::new(prefix));
        // The queue must be bound before the first result.
        let reading = Reading::open(&load.amqp).await?;
        let (stop, stopped) = watch::channel(false);
        let (mut publisher, mut reader) = (JoinSet::new(), JoinSet::new());
        reader.spawn(read(reading, load.amqp.clone(), book.clone()));
        publisher.spawn(publish(load, book.clone(), stopped));
        Ok(Self {
            book,
            stop,
            publisher,
            _reader: reader,
        })
    }

    /// Beside the load: so many over all lanes in turn, all due at the same second, which is returned.
    pub(crate) async fn publish_scheduled(
        &self,
        amqp: &str,
        lanes: &[String],
        count: usize,
        due_in_s: u64,
    ) -> Result<u64> {
        let due_s = amqp::now_s() + due_in_s;
        let connection = connect(amqp).await?;
        let channel = amqp::confirming(&connection).await?;
        let mut unconfirmed = VecDeque::new();
        for (lane, number) in lanes.iter().enumerate().cycle().take(count) {
            let (index, id) = note_one(&self.book, lane);
            let confirm = publish_one(&channel, number, index, id, Some(due_s)).await?;
            unconfirmed.push_back((index, Some(confirm)));
            if unconfirmed.len() >= WINDOW {
                confirm_oldest(&mut unconfirmed, WINDOW / 2, &self.book).await?;
            }
        }
        confirm_oldest(&mut unconfirmed, WINDOW, &self.book).await?;
        close(connection).await;
        Ok(due_s)
    }

    /// No new requests; what was published is confirmed or doubtful when this ends.
    pub(crate) async fn stop_publishing(&mut self) -> Result<()> {
        self.stop.send_replace(true);
        timeout(CONFIRM_PATIENCE * 2, self.publisher.join_next())
            .await
            .context("the publisher did not end")?;
        Ok(())
    }
}

async fn publish(load: Load, book: Shared, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let mut unconfirmed = VecDeque::new();
        if publish_until_lost(&load, &book, &stopped, &mut unconfirmed)
            .await
            .is_err()
        {
            for (index, _) in unconfirmed.drain(..) {
                book.lock().doubt(index);
            }
            sleep(PAUSE).await;
        }
    }
}

type Unconfirmed = VecDeque<(usize, Option<PublisherConfirm>)>;

async fn publish_until_lost(
    load: &Load,
    book: &Shared,
    stopped: &watch::Receiver<bool>,
    unconfirmed: &mut Unconfirmed,
) -> Result<()> {
    let connection = connect(&load.amqp).await?;
    let channel = amqp::confirming(&connection).await?;
    while !*stopped.borrow() {
        for (lane, number) in load.lanes.iter().enumerate() {
            while unconfirmed.len() < WINDOW && book.lock().open_of(lane) < load.backlog {
                let (index, id) = note_one(book, lane);
                // Noted before it is written: a write that fails half way is doubtful too.
                unconfirmed.push_back((index, None));
                let confirm = publish_one(&channel, number, index, id, None).await?;
                if let Some(last) = unconfirmed.back_mut() {
                    last.1 = Some(confirm);
                }
            }
        }
        if unconfirmed.is_empty() {
            sleep(TICK).await;
        }
        confirm_oldest(unconfirmed, WINDOW / 2, book).await?;
    }
    confirm_oldest(unconfirmed, WINDOW, book).await?;
    close(connection).await;
    Ok(())
}

/// A broker that is going may not answer.
async fn close(connection: Connection) {
    drop(timeout(PAUSE * 10, connection.close(200, "done".into())).await);
}

/// Its place and its id.
fn note_one(book: &Shared, lane: usize) -> (usize, String) {
    let mut book = book.lock();
    let id = book.publish(lane, false, Instant::now());
    (book.entries().len() - 1, id)
}

async fn publish_one(
    channel: &Channel,
    number: &str,
    index: usize,
    id: String,
    due_s: Option<u64>,
) -> Result<PublisherConfirm> {
    let mut headers = FieldTable::default();
    if index.is_multiple_of(RESEND_EVERY) {
        let resend = AMQPValue::LongString("resend".into());
        headers.insert("on-unknown".into(), resend);
    }
    if let Some(due_s) = due_s {
        headers.insert("not-before".into(), AMQPValue::Timestamp(due_s));
    }
    let properties = amqp::persistent(&id)
        .with_content_type("application/json".into())
        .with_headers(headers);
    // To one person each: the pair limit is not what is tested here.
    let to = 10_000_000 + index;
    let body = format!(r#"{{"to":"155{to}","type":"text","text":{{"body":"chaos {index}"}}}}"#);
    amqp::publish(channel, ("wa.send", number), body.as_bytes(), properties).await
}

/// Awaits up to `count` confirms, oldest first. What fails stays in front, with those behind it.
async fn confirm_oldest(unconfirmed: &mut Unconfirmed, count: usize, book: &Shared) -> Result<()> {
    for _ in 0..count {
        let Some((index, confirm)) = unconfirmed.front_mut() else {
            break;
        };
        let confirm = confirm.take().context("a publish that was not written")?;
        match timeout(CONFIRM_PATIENCE, confirm).await?? {
            Confirmation::Ack(None) => book.lock().confirm(*index),
            // Neither is a promise: it is published as something new next time.
            Confirmation::Ack(Some(_)) | Confirmation::Nack(_) => book.lock().doubt(*index),
            Confirmation::NotRequested => bail!("confirms are off"),
        }
        unconfirmed.pop_front();
    }
    Ok(())
}

/// A connection that reads results.
struct Reading {
    consumer: lapin::Consumer,
    _connection: Connection,
}

impl Reading {
    /// A durable queue: results wait there while this program has no connection.
    async fn open(amqp: &str) -> Result<Self> {
        let connection = connect(amqp).await?;
        let channel = amqp::channel(&connection).await?;
        let mut quorum = FieldTable::default();
        quorum.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let declare = channel.queue_declare(QUEUE.into(), durable, quorum);
        patient("declare a queue for results", declare).await?;
        amqp::bind(&channel, QUEUE, "wa.results", "#").await?;
        let prefetch = channel.basic_qos(500, BasicQosOptions::default());
        patient("qos", prefetch).await?;
        Ok(Self {
            consumer: amqp::consume(&channel, QUEUE, true).await?,
            _connection: connection,
        })
    }

    /// Also a silence counts as a loss: after some of them lapin's consumer neither yields nor ends.
    async fn read_until_lost(&mut self, book: &Shared) -> Result<()> {
        while let Some(delivery) = timeout(SILENCE, self.consumer.next()).await? {
            let delivery = delivery?;
            note(&delivery, book);
            timeout(SILENCE, delivery.ack(BasicAckOptions::default())).await??;
        }
        bail!("the broker ended the queue of results")
    }
}

fn note(delivery: &Delivery, book: &Shared) {
    let id = delivery.properties.message_id().as_ref();
    match (id, serde_json::from_slice::<Answer>(&delivery.data)) {
        (Some(id), Ok(answer)) => {
            let mut book = book.lock();
            book.answer_delivered(id.as_str(), answer, delivery.redelivered, Instant::now());
        }
        (None, _) | (_, Err(_)) => book.lock().strangers += 1,
    }
}

async fn read(first: Reading, amqp: String, book: Shared) {
    let mut reading = Some(first);
    loop {
        if let Some(reading) = &mut reading {
            drop(reading.read_until_lost(&book).await);
        }
        sleep(PAUSE).await;
        reading = Reading::open(&amqp).await.ok();
    }
}
