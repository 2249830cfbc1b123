//! A caller of the dispatcher: publishes requests with all their properties, and reads queues.

use super::within;
use crate::amqp;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The lane of tests that need only one.
pub const NUMBER: &str = "111";

/// A request as a caller would publish it.
#[derive(Clone)]
pub struct Request {
    pub exchange: String,
    pub routing_key: String,
    pub body: Vec<u8>,
    pub headers: FieldTable,
    pub properties: BasicProperties,
}

impl Request {
    /// A text to somebody, for lane 111.
    pub fn text(id: &str, to: &str) -> Self {
        let body = json!({ "to": to, "type": "text", "text": { "body": "hello" } });
        Self::json(id, &body)
    }

    /// As many texts to as many people, for one lane, with ids that begin so.
    pub fn texts(name: &str, lane: &str, count: usize) -> Vec<Self> {
        let id = |n: usize| format!("{name}-{lane}-{n}");
        let text = |n: usize| Self::text(&id(n), &format!("3462{n:07}")).number(lane);
        (0..count).map(text).collect()
    }

    pub fn json(id: &str, body: &Value) -> Self {
        Self::raw(id, body.to_string().into_bytes())
    }

    pub fn raw(id: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            exchange: "wa.send".to_owned(),
            routing_key: NUMBER.to_owned(),
            body: body.into(),
            headers: FieldTable::default(),
            properties: amqp::persistent(id),
        }
    }

    pub fn id(&self) -> String {
        self.properties.message_id().clone().unwrap().to_string()
    }

    pub fn number(mut self, phone_number_id: &str) -> Self {
        self.routing_key = phone_number_id.to_owned();
        self
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.header_value(name, AMQPValue::LongString(value.into()))
    }

    pub fn header_value(mut self, name: &str, value: AMQPValue) -> Self {
        self.headers.insert(name.into(), value);
        self
    }

    pub fn with(mut self, change: impl FnOnce(BasicProperties) -> BasicProperties) -> Self {
        self.properties = change(self.properties);
        self
    }
}

/// A message that was read from a queue.
#[derive(Clone, Debug)]
pub struct Letter {
    pub routing_key: String,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

impl From<Delivery> for Letter {
    fn from(delivery: Delivery) -> Self {
        Self {
            routing_key: delivery.routing_key.to_string(),
            properties: delivery.properties,
            body: delivery.data,
        }
    }
}

impl Letter {
    pub fn id(&self) -> Option<String> {
        self.properties
            .message_id()
            .as_ref()
            .map(ToString::to_string)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A header as text, or its debug form if it is not text.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.properties.headers().as_ref()?.inner().get(name)?;
        let text = value.as_long_string().map(ToString::to_string);
        Some(text.unwrap_or_else(|| format!("{value:?}")))
    }
}

/// Everything that a queue has given, in order.
#[derive(Clone)]
pub struct Inbox {
    /// The queue's.
    pub name: String,
    letters: Arc<Mutex<Vec<Letter>>>,
    count: watch::Sender<usize>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Vec<Letter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn letters(&self) -> Vec<Letter> {
        self.lock().clone()
    }

    pub fn of(&self, id: &str) -> Vec<Letter> {
        let mut letters = self.letters();
        letters.retain(|letter| letter.id().as_deref() == Some(id));
        letters
    }

    /// Waits until the letters are what `wanted` asks for, and returns them.
    pub async fn until(&self, what: &str, wanted: impl Fn(&[Letter]) -> bool) -> Vec<Letter> {
        let mut count = self.count.subscribe();
        let waiting = async {
            loop {
                // Looked at where they are: with thousands of them a copy per look would be the test's main work.
                let is_there = wanted(&self.lock());
                if is_there {
                    return self.letters();
                }
                count.changed().await.unwrap();
            }
        };
        within(&format!("{what} in {}", self.name), waiting).await
    }

    /// The first letter with this id.
    pub async fn wait(&self, id: &str) -> Letter {
        self.several(id, 1).await.remove(0)
    }

    /// All letters with this id, once there are so many.
    pub async fn several(&self, id: &str, count: usize) -> Vec<Letter> {
        let is_it = |letter: &&Letter| letter.id().as_deref() == Some(id);
        let wanted = |letters: &[Letter]| {
            let found = letters.iter().filter(is_it).take(count);
            found.count() == count
        };
        self.until(&format!("{count} answers to {id}"), wanted)
            .await;
        self.of(id)
    }

    /// All letters, once there are so many.
    pub async fn all(&self, count: usize) -> Vec<Letter> {
        let wanted = |letters: &[Letter]| letters.len() >= count;
        self.until(&format!("{count} letters"), wanted).await
    }
}

/// A connection of the test's own, never through a proxy.
pub struct Client {
    connection: Connection,
    channel: Channel,
}

impl Client {
    pub async fn connect(url: &str) -> Self {
        let connection = amqp::connect(url).await.unwrap();
        let channel = amqp::confirming(&connection).await.unwrap();
        Self {
            connection,
            channel,
        }
    }

    /// With all results from now on.
    pub async fn with_results(url: &str) -> (Self, Inbox) {
        let client = Self::connect(url).await;
        let queue = client.queue(Some(("wa.results", "#"))).await;
        let results = client.read(&queue).await;
        (client, results)
    }

    /// Publishes all of them, and returns when RabbitMQ has confirmed every one.
    pub async fn publish(&self, requests: impl IntoIterator<Item = Request>) {
        let mut confirms = vec![];
        for request in requests {
            let properties = request.properties.with_headers(request.headers);
            let to = (request.exchange.as_str(), request.routing_key.as_str());
            let confirm = amqp::publish(&self.channel, to, &request.body, properties).await;
            confirms.push(confirm.unwrap());
        }
        for confirm in confirms {
            let confirmation = amqp::patient("confirm", confirm).await.unwrap();
            amqp::taken(&confirmation).unwrap();
        }
    }

    /// A queue of this connection alone, bound as asked; returns its name.
    pub async fn queue(&self, binding: Option<(&str, &str)>) -> String {
        let name = amqp::own_queue(&self.channel).await.unwrap();
        if let Some((exchange, key)) = binding {
            self.bind(&name, exchange, key).await;
        }
        name
    }

    pub async fn bind(&self, queue: &str, exchange: &str, key: &str) {
        let binding = amqp::bind(&self.channel, queue, exchange, key);
        binding.await.unwrap();
    }

    /// Takes one delivery of a queue and ends its channel: the queue has it again, delivered before.
    pub async fn take_and_drop(&self, queue: &str) {
        let channel = amqp::channel(&self.connection).await.unwrap();
        let mut consumer = amqp::consume(&channel, queue, true).await.unwrap();
        let delivery = within("a delivery", consumer.next()).await;
        delivery.unwrap().unwrap();
        let closing = channel.close(200, "OK".into());
        amqp::patient("close", closing).await.unwrap();
    }

    /// Publishes with RabbitMQ's direct reply-to, as RPC clients do, and returns the reply.
    pub async fn call_directly(&self, request: Request) -> Letter {
        const PSEUDO_QUEUE: &str = "amq.rabbitmq.reply-to";
        let channel = amqp::channel(&self.connection).await.unwrap();
        let consuming = amqp::consume(&channel, PSEUDO_QUEUE, false);
        let mut consumer = consuming.await.unwrap();
        let publishing = channel.basic_publish(
            request.exchange.as_str().into(),
            request.routing_key.as_str().into(),
            BasicPublishOptions::default(),
            &request.body,
            request
                .properties
                .with_headers(request.headers)
                .with_reply_to(PSEUDO_QUEUE.into()),
        );
        amqp::patient("publish", publishing).await.unwrap();
        let delivery = within("a direct reply", consumer.next()).await;
        Letter::from(delivery.unwrap().unwrap())
    }

    pub async fn unbind(&self, inbox: &Inbox, exchange: &str, key: &str) {
        let unbinding = self.channel.queue_unbind(
            inbox.name.as_str().into(),
            exchange.into(),
            key.into(),
            FieldTable::default(),
        );
        amqp::patient("unbind", unbinding).await.unwrap();
    }

    /// A consumer that goes before all others and acknowledges nothing. Closing the channel ends it.
    pub async fn contend(&self, queue: &str) -> Channel {
        let channel = amqp::channel(&self.connection).await.unwrap();
        let mut arguments = FieldTable::default();
        arguments.insert("x-priority".into(), AMQPValue::LongInt(i32::MAX));
        let options = BasicConsumeOptions::default();
        let consuming = channel.basic_consume(queue.into(), "".into(), options, arguments);
        let consumer = amqp::patient("consume", consuming).await.unwrap();
        consumer.set_delegate(|_| async {});
        channel
    }

    /// Reads a queue until the connection ends.
    pub async fn read(&self, queue: &str) -> Inbox {
        let channel = amqp::channel(&self.connection).await.unwrap();
        let mut consumer = amqp::consume(&channel, queue, false).await.unwrap();
        let inbox = Inbox {
            name: queue.to_owned(),
            letters: Arc::default(),
            count: watch::Sender::new(0),
        };
        let filled = inbox.clone();
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                filled.lock().push(delivery.into());
                filled.count.send_modify(|count| *count += 1);
            }
            drop(channel);
        });
        inbox
    }
}
