//! The bench's side of RabbitMQ: a virtual host per run, a backlog, and a count of results.

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use harness::amqp::{self, Window};
use harness::broker::VirtualHost;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use whatsapp_dispatcher::broker::declare::{Mode, declare};
use whatsapp_dispatcher::broker::topology::{LaneQueue, Topology};

const WINDOW: usize = 500;

pub(crate) struct Broker {
    amqp: String,
    vhost: VirtualHost,
    connection: Connection,
}

impl Broker {
    /// A virtual host with nothing but the topology of `lanes`.
    pub(crate) async fn fresh(lanes: &[String]) -> Result<Self> {
        let vhost = VirtualHost::anew("bench");
        let amqp = vhost.url(&VirtualHost::address());
        let connection = amqp::connect(&amqp).await?;
        let broker = Self {
            amqp,
            vhost,
            connection,
        };
        broker.declare(lanes).await?;
        Ok(broker)
    }

    /// More lanes.
    pub(crate) async fn declare(&self, lanes: &[String]) -> Result<()> {
        let channel = amqp::channel(&self.connection).await?;
        let lanes = lanes.iter().map(|lane| LaneQueue::of_number(lane));
        let lanes = lanes.collect();
        let objects = Topology { lanes }.objects();
        Ok(declare(&channel, objects, Mode::Declare).await?)
    }

    pub(crate) fn amqp(&self) -> &str {
        &self.amqp
    }

    pub(crate) async fn publisher(&self) -> Result<Publisher> {
        Ok(Publisher {
            channel: amqp::confirming(&self.connection).await?,
            window: Window::of(WINDOW),
            published: 0,
            dedupe_s: None,
            uploads_media: false,
        })
    }

    /// Counts results from now on.
    pub(crate) async fn results(&self) -> Result<Results> {
        let mut consumer = amqp::results(&self.connection).await?;
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
        let ask = |path: &str| self.vhost.manage("GET", path, None).json();
        // One that has just started does not tell its process yet.
        let pids = loop {
            let nodes = ask("/api/nodes");
            let nodes = nodes.as_array().context("nodes")?.iter();
            let pids = nodes.map(|node| node["os_pid"].as_str()?.parse().ok());
            if let Some(pids) = pids.collect::<Option<Vec<u32>>>() {
                break pids;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let totals = &ask("/api/overview")["object_totals"];
        let count = |what: &str| totals[what].as_u64().unwrap_or(0);
        Ok((pids, ["channels", "consumers", "queues"].map(count)))
    }
}

pub(crate) struct Publisher {
    channel: Channel,
    window: Window,
    published: usize,
    /// Header `dedupe` of what is published from now on.
    pub(crate) dedupe_s: Option<i32>,
    /// Likewise header `media`.
    pub(crate) uploads_media: bool,
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
        let properties = amqp::persistent(&self.published.to_string()).with_headers(headers);
        self.published += 1;
        let (to, body) = (("wa.results.log", key), br#"{"status":"accepted"}"#);
        let publishing = amqp::publish(&self.channel, to, body, properties);
        self.window.push(publishing.await?).await
    }

    /// An operation for one lane's account, with an id of its own: it changes nothing, however often it is done.
    pub(crate) async fn publish_operation(&mut self, lane: &str, n: usize) -> Result<()> {
        let properties =
            amqp::persistent(&format!("operation-{n}")).with_type("profile_update".into());
        let (to, body) = (
            ("wa.operations", lane),
            br#"{"about":"Open from nine to five"}"#,
        );
        let publishing = amqp::publish(&self.channel, to, body, properties);
        self.window.push(publishing.await?).await
    }

    /// What no API would take.
    pub(crate) async fn publish_garbage(&mut self, lane: &str) -> Result<()> {
        let n = self.published;
        self.published += 1;
        self.send(lane, n, "[not a message", 0).await
    }

    async fn send(&mut self, lane: &str, n: usize, body: &str, priority: u8) -> Result<()> {
        let properties = amqp::persistent(&n.to_string())
            .with_priority(priority)
            .with_timestamp(amqp::now_s());
        let mut headers = FieldTable::default();
        if let Some(dedupe_s) = self.dedupe_s {
            headers.insert("dedupe".into(), AMQPValue::LongInt(dedupe_s));
        }
        if self.uploads_media {
            headers.insert("media".into(), AMQPValue::LongString("upload".into()));
        }
        let properties = match headers.inner().is_empty() {
            true => properties,
            false => properties.with_headers(headers),
        };
        let to = ("wa.send", lane);
        let publishing = amqp::publish(&self.channel, to, body.as_bytes(), properties);
        self.window.push(publishing.await?).await
    }

    pub(crate) fn skip_to(&mut self, n: usize) {
        self.published = n;
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.window.flush().await
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
