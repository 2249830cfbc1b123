//! The bench's side of RabbitMQ: a virtual host per run, a backlog, and a count of results.

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use whatsapp_dispatcher::broker::declare::{Mode, declare};
use whatsapp_dispatcher::broker::topology::Topology;

const VHOST: &str = "bench";
const WINDOW: usize = 500;

pub(crate) struct Broker {
    amqp: String,
    management: String,
    client: reqwest::Client,
    connection: Connection,
}

impl Broker {
    /// A virtual host with nothing but the topology of `lanes`.
    pub(crate) async fn fresh(lanes: &[String]) -> Result<Self> {
        let from_env = |name| {
            std::env::var(name)
                .with_context(|| format!("{name} is not set: run `deploy/dev bench`"))
        };
        let (base, management) = (
            from_env("DISPATCHER_TEST_AMQP")?,
            from_env("DISPATCHER_TEST_MANAGEMENT")?,
        );
        let client = reqwest::Client::builder().no_proxy().build()?;
        let vhost = format!("{management}/api/vhosts/{VHOST}");
        client.delete(&vhost).send().await?;
        client.put(&vhost).send().await?.error_for_status()?;
        let rights = format!("{management}/api/permissions/{VHOST}/guest");
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        client
            .put(&rights)
            .body(all)
            .send()
            .await?
            .error_for_status()?;
        let amqp = format!("{base}/{VHOST}");
        let connection = Connection::connect(&amqp, ConnectionProperties::default()).await?;
        let phone_number_ids = lanes.to_vec();
        let topology = Topology { phone_number_ids };
        let channel = connection.create_channel().await?;
        declare(&channel, topology.objects(), Mode::Declare).await?;
        Ok(Self {
            amqp,
            management,
            client,
            connection,
        })
    }

    /// One more lane.
    pub(crate) async fn add_lane(&self, lane: &str) -> Result<()> {
        let phone_number_ids = vec![lane.to_owned()];
        let channel = self.connection.create_channel().await?;
        let objects = Topology { phone_number_ids }.objects();
        Ok(declare(&channel, objects, Mode::Declare).await?)
    }

    pub(crate) fn amqp(&self) -> &str {
        &self.amqp
    }

    pub(crate) async fn publisher(&self) -> Result<Publisher> {
        let channel = self.connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Publisher {
            channel,
            unconfirmed: VecDeque::new(),
            published: 0,
        })
    }

    /// Counts results from now on.
    pub(crate) async fn results(&self) -> Result<Results> {
        let channel = self.connection.create_channel().await?;
        let own = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel
            .queue_declare("".into(), own, FieldTable::default())
            .await?
            .name()
            .clone();
        channel
            .queue_bind(
                queue.clone(),
                "wa.results".into(),
                "#".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
        let no_ack = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let mut consumer = channel
            .basic_consume(queue, "".into(), no_ack, FieldTable::default())
            .await?;
        let results = Results::default();
        let shared = results.0.clone();
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let status = delivery
                    .routing_key
                    .as_str()
                    .split('.')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let mut counted = shared.lock().unwrap_or_else(PoisonError::into_inner);
                counted.first.get_or_insert_with(Instant::now);
                counted.last = Some(Instant::now());
                *counted.by_status.entry(status).or_default() += 1;
            }
        });
        Ok(results)
    }

    /// RabbitMQ's processes, one per node, where they run on this machine; and how many channels, consumers and queues there are.
    pub(crate) async fn nodes(&self) -> Result<(Vec<u32>, [u64; 3])> {
        let ask = async |path: &str| -> Result<serde_json::Value> {
            let answer = self.client.get(format!("{}{path}", self.management));
            let text = answer.send().await?.error_for_status()?.text().await?;
            Ok(serde_json::from_str(&text)?)
        };
        // One that has just started does not tell its process yet.
        let pids = loop {
            let nodes = ask("/api/nodes").await?;
            let nodes = nodes.as_array().context("nodes")?.iter();
            let pids = nodes.map(|node| node["os_pid"].as_str()?.parse().ok());
            if let Some(pids) = pids.collect::<Option<Vec<u32>>>() {
                break pids;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let totals = &ask("/api/overview").await?["object_totals"];
        let count = |what: &str| totals[what].as_u64().unwrap_or(0);
        Ok((pids, ["channels", "consumers", "queues"].map(count)))
    }

    pub(crate) async fn drop_all(self) -> Result<()> {
        let vhost = format!("{}/api/vhosts/{VHOST}", self.management);
        self.client.delete(vhost).send().await?.error_for_status()?;
        Ok(())
    }
}

pub(crate) struct Publisher {
    channel: Channel,
    unconfirmed: VecDeque<lapin::PublisherConfirm>,
    published: usize,
}

impl Publisher {
    /// Publishes to one lane; the n-th has the id `n`, and a recipient of its own.
    pub(crate) async fn publish(&mut self, lane: &str, priority: u8) -> Result<()> {
        let to = format!("+1555{:07}", self.published);
        self.publish_to(lane, &to, priority).await
    }

    /// As [`Publisher::publish`], to somebody.
    pub(crate) async fn publish_to(&mut self, lane: &str, to: &str, priority: u8) -> Result<()> {
        let n = self.published;
        self.published += 1;
        let body = format!(
            r#"{{"messaging_product":"whatsapp","biz_opaque_callback_data":"{n}","to":"{to}","type":"text","text":{{"body":"Your parcel {n} is on its way."}}}}"#
        );
        self.send(lane, n, &body, priority).await
    }

    /// As it is, to one lane.
    pub(crate) async fn publish_body(&mut self, lane: &str, body: &str) -> Result<()> {
        let n = self.published;
        self.published += 1;
        self.send(lane, n, body, 0).await
    }

    /// A record in the log of results, which nobody looks for.
    pub(crate) async fn publish_result(&mut self, key: &str, headers_bytes: usize) -> Result<()> {
        let mut headers = FieldTable::default();
        let text = AMQPValue::LongString("x".repeat(headers_bytes).into());
        headers.insert("x-more".into(), text);
        let properties = BasicProperties::default()
            .with_message_id(self.published.to_string().into())
            .with_headers(headers);
        self.published += 1;
        let (exchange, options) = ("wa.results.log".into(), BasicPublishOptions::default());
        let publish = self.channel.basic_publish(
            exchange,
            key.into(),
            options,
            br#"{"status":"accepted"}"#,
            properties,
        );
        self.unconfirmed.push_back(publish.await?);
        if self.unconfirmed.len() >= WINDOW {
            return self.confirm_one().await;
        }
        Ok(())
    }

    /// What no API would take.
    pub(crate) async fn publish_garbage(&mut self, lane: &str) -> Result<()> {
        let n = self.published;
        self.published += 1;
        self.send(lane, n, "[not a message", 0).await
    }

    async fn send(&mut self, lane: &str, n: usize, body: &str, priority: u8) -> Result<()> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let properties = BasicProperties::default()
            .with_message_id(n.to_string().into())
            .with_delivery_mode(2)
            .with_priority(priority)
            .with_timestamp(seconds);
        let mandatory = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let publish = self.channel.basic_publish(
            "wa.send".into(),
            lane.into(),
            mandatory,
            body.as_bytes(),
            properties,
        );
        self.unconfirmed.push_back(publish.await?);
        if self.unconfirmed.len() >= WINDOW {
            self.confirm_one().await
        } else {
            Ok(())
        }
    }

    pub(crate) fn skip_to(&mut self, n: usize) {
        self.published = n;
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        while !self.unconfirmed.is_empty() {
            self.confirm_one().await?;
        }
        Ok(())
    }

    async fn confirm_one(&mut self) -> Result<()> {
        let Some(confirm) = self.unconfirmed.pop_front() else {
            return Ok(());
        };
        match confirm.await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested => {
                bail!("a request was not taken")
            }
        }
    }
}

#[derive(Default)]
struct Counted {
    first: Option<Instant>,
    last: Option<Instant>,
    by_status: HashMap<String, usize>,
}

#[derive(Clone, Default)]
pub(crate) struct Results(Arc<Mutex<Counted>>);

impl Results {
    pub(crate) fn total(&self) -> usize {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_status
            .values()
            .sum()
    }

    pub(crate) fn of(&self, status: &str) -> usize {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.by_status.get(status).copied().unwrap_or(0)
    }

    /// Results per second between the first and the last.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a bench are far below 2^52"
    )]
    pub(crate) fn rate(&self) -> f64 {
        let (first, last) = {
            let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (counted.first, counted.last)
        };
        let took = first
            .zip(last)
            .map_or(Duration::ZERO, |(first, last)| last - first);
        self.total().saturating_sub(1) as f64 / took.as_secs_f64()
    }

    pub(crate) async fn wait_for(&self, count: usize, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while self.total() < count {
            if Instant::now() > deadline {
                bail!(
                    "{} of {count} results within {} s",
                    self.total(),
                    patience.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}
