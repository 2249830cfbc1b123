//! A caller of the dispatcher: publishes requests with all their properties, and reads queues.

use super::within;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A request as a caller would publish it.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: FieldTable,
    pub(crate) properties: BasicProperties,
}

impl Request {
    /// A text to somebody, for lane 111.
    pub(crate) fn text(id: &str, to: &str) -> Self {
        let body = json!({ "to": to, "type": "text", "text": { "body": "hello" } });
        Self::json(id, &body)
    }

    pub(crate) fn json(id: &str, body: &Value) -> Self {
        Self::raw(id, body.to_string().into_bytes())
    }

    pub(crate) fn raw(id: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            exchange: "wa.send".to_owned(),
            routing_key: super::NUMBER.to_owned(),
            body: body.into(),
            headers: FieldTable::default(),
            properties: BasicProperties::default()
                .with_message_id(id.into())
                .with_delivery_mode(2),
        }
    }

    pub(crate) fn id(&self) -> String {
        self.properties.message_id().clone().unwrap().to_string()
    }

    pub(crate) fn number(mut self, phone_number_id: &str) -> Self {
        self.routing_key = phone_number_id.to_owned();
        self
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        self.header_value(name, AMQPValue::LongString(value.into()))
    }

    pub(crate) fn header_value(mut self, name: &str, value: AMQPValue) -> Self {
        self.headers.insert(name.into(), value);
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(BasicProperties) -> BasicProperties) -> Self {
        self.properties = change(self.properties);
        self
    }
}

/// A message that was read from a queue.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) routing_key: String,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
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
    pub(crate) fn id(&self) -> Option<String> {
        self.properties
            .message_id()
            .as_ref()
            .map(ToString::to_string)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A header as text, or its debug form if it is not text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let value = self.properties.headers().as_ref()?.inner().get(name)?;
        let text = value.as_long_string().map(ToString::to_string);
        Some(text.unwrap_or_else(|| format!("{value:?}")))
    }
}

/// Everything that a queue has given, in order.
#[derive(Clone)]
pub(crate) struct Inbox {
    /// The queue's.
    pub(crate) name: String,
    letters: Arc<Mutex<Vec<Letter>>>,
    count: watch::Sender<usize>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Vec<Letter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.lock().clone()
    }

    pub(crate) fn of(&self, id: &str) -> Vec<Letter> {
        let mut letters = self.letters();
        letters.retain(|letter| letter.id().as_deref() == Some(id));
        letters
    }

    /// Waits until the letters are what `wanted` asks for, and returns them.
    pub(crate) async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&[Letter]) -> bool,
    ) -> Vec<Letter> {
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
    pub(crate) async fn wait(&self, id: &str) -> Letter {
        let has = |letter: &&Letter| letter.id().as_deref() == Some(id);
        let letters = self
            .until(&format!("an answer to {id}"), |letters| {
                letters.iter().any(|letter| has(&letter))
            })
            .await;
        letters.iter().find(has).cloned().unwrap()
    }
}

/// A connection of the test's own, never through a proxy.
pub(crate) struct Client {
    connection: Connection,
    channel: Channel,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Self {
        let connecting = Connection::connect(url, ConnectionProperties::default());
        let connection = within("the test's connection to RabbitMQ", connecting)
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        Self {
            connection,
            channel,
        }
    }

    /// Publishes all of them, and returns when RabbitMQ has confirmed every one.
    pub(crate) async fn publish(&self, requests: impl IntoIterator<Item = Request>) {
        let mut confirms = vec![];
        for request in requests {
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let properties = request.properties.with_headers(request.headers);
            let confirm = self
                .channel
                .basic_publish(
                    request.exchange.as_str().into(),
                    request.routing_key.as_str().into(),
                    options,
                    &request.body,
                    properties,
                )
                .await;
            confirms.push(confirm.unwrap());
        }
        for confirm in confirms {
            let confirmation = within("a confirm", confirm).await.unwrap();
            assert_eq!(
                confirmation,
                Confirmation::Ack(None),
                "not routed or refused"
            );
        }
    }

    /// A queue of this connection alone, bound as asked; returns its name.
    pub(crate) async fn queue(&self, binding: Option<(&str, &str)>) -> String {
        let options = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let declaring = self
            .channel
            .queue_declare("".into(), options, FieldTable::default());
        let name = declaring.await.unwrap().name().clone();
        if let Some((exchange, key)) = binding {
            self.bind(name.as_str(), exchange, key).await;
        }
        name.to_string()
    }

    pub(crate) async fn bind(&self, queue: &str, exchange: &str, key: &str) {
        let options = QueueBindOptions::default();
        let binding = self.channel.queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            options,
            FieldTable::default(),
        );
        binding.await.unwrap();
    }

    /// Takes one delivery of a queue and ends its channel: the queue has it again, delivered before.
    pub(crate) async fn take_and_drop(&self, queue: &str) {
        let channel = self.connection.create_channel().await.unwrap();
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = channel.basic_consume(queue.into(), "".into(), options, arguments);
        let mut consumer = consuming.await.unwrap();
        within("a delivery", consumer.next())
            .await
            .unwrap()
            .unwrap();
        channel.close(200, "OK".into()).await.unwrap();
    }

    /// Publishes with RabbitMQ's direct reply-to, as RPC clients do, and returns the reply.
    pub(crate) async fn call_directly(&self, request: Request) -> Letter {
        const PSEUDO_QUEUE: &str = "amq.rabbitmq.reply-to";
        let channel = self.connection.create_channel().await.unwrap();
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consuming = channel.basic_consume(
            PSEUDO_QUEUE.into(),
            "".into(),
            options,
            FieldTable::default(),
        );
        let mut consumer = consuming.await.unwrap();
        let publishing = channel.basic_publish(
            request.exchange.as_str().into(),
            request.routing_key.as_str().into(),
            BasicPublishOptions::default(),
            &request.body,
            request.properties.with_reply_to(PSEUDO_QUEUE.into()),
        );
        publishing.await.unwrap();
        let delivery = within("a direct reply", consumer.next()).await;
        Letter::from(delivery.unwrap().unwrap())
    }

    pub(crate) async fn unbind(&self, inbox: &Inbox, exchange: &str, key: &str) {
        let unbinding = self.channel.queue_unbind(
            inbox.name.as_str().into(),
            exchange.into(),
            key.into(),
            FieldTable::default(),
        );
        unbinding.await.unwrap();
    }

    /// A consumer that goes before all others and acknowledges nothing. Closing the channel ends it.
    pub(crate) async fn contend(&self, queue: &str) -> Channel {
        let channel = self.connection.create_channel().await.unwrap();
        let mut arguments = FieldTable::default();
        arguments.insert("x-priority".into(), AMQPValue::LongInt(i32::MAX));
        let options = BasicConsumeOptions::default();
        let consuming = channel.basic_consume(queue.into(), "".into(), options, arguments);
        consuming.await.unwrap().set_delegate(|_| async {});
        channel
    }

    /// Reads a queue until the connection ends.
    pub(crate) async fn read(&self, queue: &str) -> Inbox {
        let channel = self.connection.create_channel().await.unwrap();
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consuming =
            channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let mut consumer = consuming.await.unwrap();
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
