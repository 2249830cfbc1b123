//! What a team would write by hand: lapin, governor and reqwest in one loop per number, with the guarantee that counts, a
//! confirmed result before the acknowledgement. No validation, classes, retries, pair limit, metrics or hand-over.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use governor::{Quota, RateLimiter};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// `sidebyside bare AMQP API LANES MPS IN_FLIGHT PREFETCH`, as [`super::candidate`] starts it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [amqp, api, lanes, mps, in_flight, prefetch] = arguments else {
        anyhow::bail!("bare takes six arguments");
    };
    let (mps, in_flight, prefetch) = (mps.parse()?, in_flight.parse()?, prefetch.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let consuming = Connection::connect(amqp, ConnectionProperties::default()).await?;
        let publishing = Connection::connect(amqp, ConnectionProperties::default()).await?;
        let results = publishing.create_channel().await?;
        results
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(std::time::Duration::from_secs(30))
            .pool_max_idle_per_host(usize::MAX)
            .build()?;
        let mut running = vec![];
        for lane in lanes.split(',') {
            let sender = Arc::new(Sender {
                client: client.clone(),
                url: format!("{api}/v26.0/{lane}/messages"),
                lane: lane.to_owned(),
                results: results.clone(),
            });
            let channel = consuming.create_channel().await?;
            running.push(tokio::spawn(one_lane(
                channel, sender, mps, in_flight, prefetch,
            )));
        }
        for lane in running {
            lane.await??;
        }
        Ok(())
    })
}

async fn one_lane(
    channel: Channel,
    sender: Arc<Sender>,
    mps: u32,
    in_flight: usize,
    prefetch: u16,
) -> Result<()> {
    let quota =
        Quota::per_second(NonZeroU32::new(mps).context("mps")?).allow_burst(NonZeroU32::MIN);
    let limiter = RateLimiter::direct(quota);
    let slots = Arc::new(Semaphore::new(in_flight));
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let queue = format!("wa.lane.{}", sender.lane);
    let consume = channel.basic_consume(
        queue.into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut deliveries = consume.await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        let slot = slots.clone().acquire_owned().await?;
        limiter.until_ready().await;
        let sender = sender.clone();
        tokio::spawn(async move {
            if let Err(error) = sender.send(delivery).await {
                eprintln!("bare: {error:#}");
                std::process::exit(1);
            }
            drop(slot);
        });
    }
    Ok(())
}

struct Sender {
    client: reqwest::Client,
    url: String,
    lane: String,
    results: Channel,
}

impl Sender {
    async fn send(&self, delivery: lapin::message::Delivery) -> Result<()> {
        let request = self.client.post(&self.url).bearer_auth("token");
        let request = request
            .header("content-type", "application/json")
            .body(delivery.data);
        let answer = request.send().await?.bytes().await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let wamid = answer.pointer("/messages/0/id");
        let status = if wamid.is_some() {
            "accepted"
        } else {
            "rejected"
        };
        let id = delivery
            .properties
            .message_id()
            .clone()
            .context("message_id")?;
        let result = json!({"id": id.as_str(), "phone_number_id": self.lane, "status": status, "wamid": wamid});
        let key = format!("{status}.{}", self.lane);
        let properties = BasicProperties::default()
            .with_message_id(id)
            .with_delivery_mode(2);
        let mandatory = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let body = result.to_string();
        let confirm = self.results.basic_publish(
            "wa.results".into(),
            key.into(),
            mandatory,
            body.as_bytes(),
            properties,
        );
        let confirmed = confirm.await?.await?;
        anyhow::ensure!(
            confirmed == Confirmation::Ack(None),
            "a result was not confirmed"
        );
        delivery.acker.ack(BasicAckOptions::default()).await?;
        Ok(())
    }
}
