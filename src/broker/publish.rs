//! Confirmed, mandatory publishing. `Confirmed` is made here only: whoever holds one may acknowledge.

use super::Sessions;
use super::delivery::Delivery;
use super::headers::{self, Copy};
use super::refusals::Refusals;
use super::results_log::Found;
use super::session::Session;
use super::topology;
use crate::config::BrokerConfig;
use crate::core::ladder;
use crate::core::message::Message;
use crate::core::report::Report;
use crate::metrics::Metrics;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long to wait for the supervisor to notice that a session is over.
const LOST_PAUSE: Duration = Duration::from_secs(1);

/// Proof that RabbitMQ confirmed what must outlive the delivery.
#[derive(Debug)]
pub struct Confirmed(());

impl Confirmed {
    /// For a delivery whose successor was confirmed earlier (a copy on the delay ladder).
    pub fn earlier() -> Self {
        Self(())
    }
}

/// The publishing side of a session.
pub struct PublishChannel {
    channel: Channel,
    /// Direct replies go their own way: RabbitMQ closes a channel that may not publish there, and results must not suffer.
    reply: Mutex<Option<Channel>>,
    confirm_timeout: Duration,
}

enum NotConfirmed {
    /// The session is over; the next one may do better.
    Lost,
    /// RabbitMQ had nowhere to put it, or said no.
    Refused(&'static str),
}

impl PublishChannel {
    pub(super) async fn open(
        connection: &Connection,
        config: &BrokerConfig,
    ) -> Result<Self, lapin::Error> {
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Self {
            channel,
            reply: Mutex::new(None),
            confirm_timeout: config.confirm_timeout,
        })
    }
}

/// What is published, wherever it goes.
struct Letter<'a> {
    exchange: &'a str,
    routing_key: &'a str,
    body: &'a [u8],
    properties: BasicProperties,
    /// Over as many sessions as it takes. Else no longer than RabbitMQ leaves the request to this worker: after that another
    /// may have it, who has the say.
    outlives_delivery: bool,
}

/// Publishes for all lanes, over whichever session there is. What RabbitMQ does not take is tried again until it does.
#[derive(Clone)]
pub struct Publisher {
    sessions: Sessions,
    refusals: Arc<Refusals>,
    metrics: Arc<Metrics>,
}

impl Publisher {
    /// `served`: the numbers of this worker.
    pub fn new(sessions: Sessions, metrics: Arc<Metrics>, served: HashSet<String>) -> Self {
        Self {
            sessions,
            refusals: Arc::new(Refusals::new(metrics.clone(), served)),
            metrics,
        }
    }

    /// RabbitMQ does not take this lane's results.
    pub fn is_refused(&self, lane: &str) -> bool {
        self.refusals.is_refused(lane)
    }

    /// RabbitMQ does not take some lane's results.
    pub fn is_any_refused(&self) -> bool {
        self.refusals.any()
    }

    /// The result on `wa.results`, and to `reply_to` if the request named one. `None`: RabbitMQ has the request again, and the result
    /// was nothing that holds whoever has it now.
    pub async fn result(&self, delivery: &Delivery, report: &Report) -> Option<Confirmed> {
        let Ok(body) = serde_json::to_vec(report) else {
            // A struct of strings and numbers cannot fail to serialise.
            tracing::error!("a result could not be written as JSON");
            return std::future::pending().await;
        };
        let letter = Letter {
            exchange: topology::RESULTS,
            routing_key: &result_key(report),
            body: &body,
            properties: result_properties(delivery).with_timestamp(report.completed_at / 1000),
            outlives_delivery: report.is_the_apis(),
        };
        self.answer(delivery, letter).await
    }

    /// The result that another worker had published, once more: for its own reader may have died as well. `None` as in [`Self::result`].
    pub async fn again(
        &self,
        delivery: &Delivery,
        found: &Found,
        flagged: bool,
    ) -> Option<Confirmed> {
        let body = if flagged {
            flag(&found.body)
        } else {
            found.body.to_vec()
        };
        let mut properties = result_properties(delivery);
        if let Some(timestamp_s) = found.timestamp_s {
            properties = properties.with_timestamp(timestamp_s);
        }
        let letter = Letter {
            exchange: topology::RESULTS,
            routing_key: &found.routing_key,
            body: &body,
            properties,
            outlives_delivery: false,
        };
        self.answer(delivery, letter).await
    }

    async fn answer(&self, delivery: &Delivery, mut letter: Letter<'_>) -> Option<Confirmed> {
        let (session, confirmed) = self.publish(delivery, &mut letter).await?;
        if let Some(reply_to) = delivery.properties.reply_to() {
            self.reply(&session, reply_to.clone(), letter).await;
        }
        Some(confirmed)
    }

    /// The request, for later, onto the delay ladder. `None`: RabbitMQ has the original again, and a second copy would be a second send.
    pub async fn delayed(
        &self,
        delivery: &Delivery,
        message: &Message,
        delay_s: u32,
    ) -> Option<Confirmed> {
        let history = headers::history(&message.history);
        let mut letter = Letter {
            exchange: &topology::rung(ladder::entry(delay_s)),
            routing_key: &ladder::routing_key(delay_s, delivery.lane()),
            body: &delivery.body,
            properties: headers::copied(&delivery.properties, Copy::Delayed, history),
            outlives_delivery: false,
        };
        let (_, confirmed) = self.publish(delivery, &mut letter).await?;
        Some(confirmed)
    }

    /// The whole request into `wa.dead`; with fewer headers if they left no room for ours. `flagged`: it may have been sent. `None`:
    /// RabbitMQ has it again.
    pub async fn dead(
        &self,
        delivery: &Delivery,
        reason: &str,
        code: Option<i64>,
        flagged: bool,
    ) -> Option<Confirmed> {
        let epitaph = headers::epitaph(reason, code, delivery.lane(), flagged);
        let mut letter = Letter {
            exchange: topology::DEAD,
            routing_key: delivery.lane(),
            body: &delivery.body,
            properties: headers::copied(&delivery.properties, Copy::Dead, epitaph),
            outlives_delivery: false,
        };
        let (_, confirmed) = self.publish(delivery, &mut letter).await?;
        Some(confirmed)
    }

    async fn publish(
        &self,
        delivery: &Delivery,
        letter: &mut Letter<'_>,
    ) -> Option<(Arc<Session>, Confirmed)> {
        let Some(span) = delivery.publishing(letter.exchange, letter.routing_key) else {
            return self.until_confirmed(delivery, letter).await;
        };
        let headers = headers::traced(letter.properties.headers().as_ref(), span.trace());
        letter.properties = letter.properties.clone().with_headers(headers);
        let published = self.until_confirmed(delivery, letter).await;
        span.ends(published.is_some());
        published
    }

    async fn until_confirmed(
        &self,
        delivery: &Delivery,
        letter: &Letter<'_>,
    ) -> Option<(Arc<Session>, Confirmed)> {
        let mut sessions = self.sessions.clone();
        let mut refused = None;
        loop {
            let session = if letter.outlives_delivery {
                let session = sessions.wait_for(Option::is_some).await;
                session.ok().and_then(|session| session.clone())
            } else if delivery.is_valid() {
                sessions.borrow_and_update().clone()
            } else {
                return None;
            };
            let Some(session) = session else {
                if letter.outlives_delivery {
                    // The supervisor is gone: this process ends, and RabbitMQ delivers again to another.
                    return std::future::pending().await;
                }
                return None;
            };
            match self.over(&session, letter).await {
                Ok(confirmed) => return Some((session, confirmed)),
                Err(NotConfirmed::Lost) if !letter.outlives_delivery => return None,
                // Give the supervisor its turn, or this loop would spin on a session that is ending.
                Err(NotConfirmed::Lost) => {
                    drop(tokio::time::timeout(LOST_PAUSE, sessions.changed()).await);
                }
                Err(NotConfirmed::Refused(why)) => {
                    self.metrics.publish_refused.with_label_values(&[why]).inc();
                    let (lane, exchange) = (delivery.lane(), letter.exchange);
                    let refused =
                        refused.get_or_insert_with(|| self.refusals.refused(lane, exchange, why));
                    tokio::select! {
                        () = refused.wait() => {}
                        // Whether it is to be tried again at all is another question then.
                        _ = session.ended() => {}
                    }
                }
            }
        }
    }

    async fn over(
        &self,
        session: &Session,
        letter: &Letter<'_>,
    ) -> Result<Confirmed, NotConfirmed> {
        let channel = &session.publisher.channel;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let sent = channel.basic_publish(
            letter.exchange.into(),
            letter.routing_key.into(),
            options,
            letter.body,
            letter.properties.clone(),
        );
        let confirming = async { sent.await?.await };
        tokio::pin!(confirming);
        loop {
            let answer = tokio::select! {
                answer = tokio::time::timeout(session.publisher.confirm_timeout, &mut confirming) => answer,
                reason = session.ended() => {
                    tracing::debug!(reason, "session ended before a confirm");
                    return Err(NotConfirmed::Lost);
                }
            };
            return match answer {
                Ok(Ok(Confirmation::Ack(None))) => Ok(Confirmed(())),
                Ok(Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))) => {
                    Err(NotConfirmed::Refused("unroutable"))
                }
                Ok(Ok(Confirmation::Nack(None))) => Err(NotConfirmed::Refused("nack")),
                Ok(Ok(Confirmation::NotRequested)) => Err(NotConfirmed::Refused("unconfirmed")),
                Ok(Err(error)) => {
                    session.end(&format!("publishing: {error}"));
                    Err(NotConfirmed::Lost)
                }
                // A blocked publisher is told to wait: its confirm may come hours later.
                Err(_) if session.is_blocked() => continue,
                Err(_) => {
                    session.end("no confirm within broker.confirm_timeout_ms");
                    Err(NotConfirmed::Lost)
                }
            };
        }
    }

    /// Best effort, on top of `wa.results`: a reply queue may be gone, or the default exchange forbidden.
    async fn reply(&self, session: &Session, reply_to: ShortString, letter: Letter<'_>) {
        let replying = async {
            let mut slot = session.publisher.reply.lock().await;
            if !slot
                .as_ref()
                .is_some_and(|channel| channel.status().connected())
            {
                let channel = session.reply_channel().await?;
                channel
                    .confirm_select(ConfirmSelectOptions::default())
                    .await?;
                *slot = Some(channel);
            }
            let Some(channel) = slot.clone() else {
                return Ok(false);
            };
            drop(slot);
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let confirmation = channel
                .basic_publish("".into(), reply_to, options, letter.body, letter.properties)
                .await?
                .await?;
            Ok::<_, lapin::Error>(confirmation == Confirmation::Ack(None))
        };
        let delivered = tokio::time::timeout(session.publisher.confirm_timeout, replying).await;
        if !matches!(delivered, Ok(Ok(true))) {
            self.metrics.replies_undelivered.inc();
            tracing::debug!("a reply_to queue did not take a result; it stands on wa.results");
        }
    }
}

/// A result that says `possible_duplicate`, whatever it said before.
fn flag(result: &[u8]) -> Vec<u8> {
    let Ok(mut report) = serde_json::from_slice::<serde_json::Value>(result) else {
        return result.to_vec();
    };
    report["possible_duplicate"] = true.into();
    report.to_string().into_bytes()
}

/// A request's routing key may be as long as AMQP allows, and the status comes before it: what is too long is cut, as the body
/// names the number too.
fn result_key(report: &Report) -> String {
    const MAX_BYTES: usize = 255;
    let mut key = format!("{}.{}", report.status.as_str(), report.phone_number_id);
    key.truncate(key.floor_char_boundary(MAX_BYTES));
    key
}

/// What every result of a request has.
fn result_properties(delivery: &Delivery) -> BasicProperties {
    headers::copied(&delivery.properties, Copy::Result, [])
        .with_content_type("application/json".into())
}
