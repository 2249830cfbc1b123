//! The load: a publisher that keeps every lane supplied and a reader of results. Both outlive the loss of the broker.

use super::diary::Diary;
use crate::answer::Answer;
use crate::broker::{connect, patient};
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const PERSISTENT: u8 = 2;
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

/// The diary as publisher, reader and judge share it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Diary>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Diary> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Load {
    pub(crate) amqp: String,
    pub(crate) lanes: Vec<String>,
    /// Requests without an answer that each lane is kept supplied with: more than workers hold ready.
    pub(crate) backlog: usize,
}

pub(crate) struct Traffic {
    pub(crate) diary: Shared,
    stop: watch::Sender<bool>,
    publisher: JoinSet<()>,
    _reader: JoinSet<()>,
}

impl Traffic {
    pub(crate) async fn start(load: Load, prefix: String) -> Result<Self> {
        let diary = Shared(Arc::new(Mutex::new(Diary::new(prefix, load.lanes.len()))));
        // The queue must be bound before the first result.
        let reading = Reading::open(&load.amqp).await?;
        let (stop, stopped) = watch::channel(false);
        let (mut publisher, mut reader) = (JoinSet::new(), JoinSet::new());
        reader.spawn(read(reading, load.amqp.clone(), diary.clone()));
        publisher.spawn(publish(load, diary.clone(), stopped));
        Ok(Self {
            diary,
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let due_s = now.as_secs() + due_in_s;
        let connection = connect(amqp).await?;
        let channel = patient("channel", connection.create_channel()).await?;
        let select = channel.confirm_select(ConfirmSelectOptions::default());
        patient("confirm.select", select).await?;
        let mut unconfirmed = VecDeque::new();
        for (lane, number) in lanes.iter().enumerate().cycle().take(count) {
            let (index, id) = self.diary.lock().publish(lane);
            let confirm = publish_one(&channel, number, index, id, Some(due_s)).await?;
            unconfirmed.push_back((index, Some(confirm)));
            if unconfirmed.len() >= WINDOW {
                confirm_oldest(&mut unconfirmed, WINDOW / 2, &self.diary).await?;
            }
        }
        confirm_oldest(&mut unconfirmed, WINDOW, &self.diary).await?;
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

    /// Or until the patience is over.
    pub(crate) async fn all_answered(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.diary.lock().open_in_all() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn publish(load: Load, diary: Shared, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let mut unconfirmed = VecDeque::new();
        if publish_until_lost(&load, &diary, &stopped, &mut unconfirmed)
            .await
            .is_err()
        {
            for (index, _) in unconfirmed.drain(..) {
                diary.lock().doubt(index);
            }
            sleep(PAUSE).await;
        }
    }
}

type Unconfirmed = VecDeque<(usize, Option<PublisherConfirm>)>;

async fn publish_until_lost(
    load: &Load,
    diary: &Shared,
    stopped: &watch::Receiver<bool>,
    unconfirmed: &mut Unconfirmed,
) -> Result<()> {
    let connection = connect(&load.amqp).await?;
    let channel = patient("channel", connection.create_channel()).await?;
    let select = channel.confirm_select(ConfirmSelectOptions::default());
    patient("confirm.select", select).await?;
    while !*stopped.borrow() {
        for (lane, number) in load.lanes.iter().enumerate() {
            while unconfirmed.len() < WINDOW && diary.lock().open(lane) < load.backlog {
                let (index, id) = diary.lock().publish(lane);
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
        confirm_oldest(unconfirmed, WINDOW / 2, diary).await?;
    }
    confirm_oldest(unconfirmed, WINDOW, diary).await?;
    close(connection).await;
    Ok(())
}

/// A broker that is going may not answer.
async fn close(connection: Connection) {
    drop(timeout(PAUSE * 10, connection.close(200, "done".into())).await);
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
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.into())
        .with_headers(headers);
    // To one person each: the pair limit is not what is tested here.
    let to = 10_000_000 + index;
    let body = format!(r#"{{"to":"155{to}","type":"text","text":{{"body":"chaos {index}"}}}}"#);
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let publishing = channel.basic_publish(
        "wa.send".into(),
        number.into(),
        mandatory,
        body.as_bytes(),
        properties,
    );
    patient("publish", publishing).await
}

/// Awaits up to `count` confirms, oldest first. What fails stays in front, with those behind it.
async fn confirm_oldest(unconfirmed: &mut Unconfirmed, count: usize, diary: &Shared) -> Result<()> {
    for _ in 0..count {
        let Some((index, confirm)) = unconfirmed.front_mut() else {
            break;
        };
        let confirm = confirm.take().context("a publish that was not written")?;
        match timeout(CONFIRM_PATIENCE, confirm).await?? {
            Confirmation::Ack(None) => diary.lock().confirm(*index),
            // Neither is a promise: it is published as something new next time.
            Confirmation::Ack(Some(_)) | Confirmation::Nack(_) => diary.lock().doubt(*index),
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
        let channel = patient("channel", connection.create_channel()).await?;
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
        let bind = channel.queue_bind(
            QUEUE.into(),
            "wa.results".into(),
            "#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        patient("bind to wa.results", bind).await?;
        let prefetch = channel.basic_qos(500, BasicQosOptions::default());
        patient("qos", prefetch).await?;
        let consume = channel.basic_consume(
            QUEUE.into(),
            "chaos".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        Ok(Self {
            consumer: patient("consume results", consume).await?,
            _connection: connection,
        })
    }

    /// Also a silence counts as a loss: after some of them lapin's consumer neither yields nor ends.
    async fn read_until_lost(&mut self, diary: &Shared) -> Result<()> {
        while let Some(delivery) = timeout(SILENCE, self.consumer.next()).await? {
            let delivery = delivery?;
            note(&delivery, diary);
            timeout(SILENCE, delivery.ack(BasicAckOptions::default())).await??;
        }
        bail!("the broker ended the queue of results")
    }
}

fn note(delivery: &Delivery, diary: &Shared) {
    let id = delivery.properties.message_id().as_ref();
    match (id, serde_json::from_slice::<Answer>(&delivery.data)) {
        (Some(id), Ok(answer)) => {
            let mut diary = diary.lock();
            diary.answer(id.as_str(), answer, delivery.redelivered, Instant::now());
        }
        (None, _) | (_, Err(_)) => diary.lock().strangers += 1,
    }
}

async fn read(first: Reading, amqp: String, diary: Shared) {
    let mut reading = Some(first);
    loop {
        if let Some(reading) = &mut reading {
            drop(reading.read_until_lost(&diary).await);
        }
        sleep(PAUSE).await;
        reading = Reading::open(&amqp).await.ok();
    }
}
