//! Confirmed, mandatory publishing. `Confirmed` is made here only: whoever holds one may acknowledge.

mod copies;

use super::Sessions;
use super::delivery::Delivery;
use super::headers::{self, Copy};
use super::refusals::Refusals;
use super::replies::Replies;
use super::results_log::FoundResult;
use super::session::{Session, is_not_found, is_of_a_channel};
use super::topology;
use super::ways::{Courses, Way};
use crate::config::BrokerConfig;
use crate::core::ladder;
use crate::core::message::Message;
use crate::core::report::Report;
use crate::metrics::Metrics;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Confirmation};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

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

enum NotConfirmed {
    /// The session is over; the next one may do better.
    Lost,
    /// RabbitMQ had nowhere to put it, or said no.
    Refused(&'static str),
}

/// What is published, wherever it goes.
struct Letter<'a> {
    way: Way,
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
    courses: Arc<Courses>,
    refusals: Arc<Refusals>,
    replies: Arc<Replies>,
    metrics: Arc<Metrics>,
}

impl Publisher {
    /// `served`: the numbers of this worker.
    pub fn new(
        config: BrokerConfig,
        sessions: Sessions,
        metrics: Arc<Metrics>,
        served: HashSet<String>,
    ) -> Self {
        Self {
            sessions,
            courses: Arc::new(Courses::new(served.iter())),
            refusals: Arc::new(Refusals::new(metrics.clone(), served)),
            replies: Replies::new(config, metrics.clone()),
            metrics,
        }
    }

    /// RabbitMQ does not take this lane's results, or does not say that it has.
    pub fn is_stuck(&self, lane: &str) -> bool {
        self.refusals.is_stuck(lane)
    }

    /// RabbitMQ refuses some lane's results.
    pub fn is_any_refused(&self) -> bool {
        self.refusals.is_any_refused()
    }

    /// Until no reply is under way any more, or their time is over.
    pub async fn replied(&self) {
        self.replies.sent().await;
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
            way: self.courses.of(delivery.lane()),
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
        found: &FoundResult,
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
            way: self.courses.of(delivery.lane()),
            exchange: topology::RESULTS,
            routing_key: &found.routing_key,
            body: &body,
            properties,
            outlives_delivery: false,
        };
        self.answer(delivery, letter).await
    }

    async fn answer(&self, delivery: &Delivery, mut letter: Letter<'_>) -> Option<Confirmed> {
        let confirmed = self.publish(delivery, &mut letter).await?;
        // Not awaited: what the request is settled by is confirmed.
        if let Some(reply_to) = delivery.properties.reply_to() {
            let (body, properties) = (letter.body, letter.properties);
            self.replies.send(reply_to.as_str(), body, properties);
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
        let mut history = headers::history(&message.history);
        history.push(headers::incarnation(message.incarnation));
        let rung = ladder::entry(delay_s);
        let mut letter = Letter {
            way: Way::Rung(rung),
            exchange: &topology::rung(rung),
            routing_key: &ladder::routing_key(delay_s, delivery.lane()),
            body: &delivery.body,
            properties: headers::copied(&delivery.properties, Copy::Delayed, history),
            outlives_delivery: false,
        };
        self.publish(delivery, &mut letter).await
    }

    /// The whole request into `wa.dead`; with fewer headers if they left no room for ours. `flagged`: it may have been sent; `now_ms`:
    /// when it was kept. `None`: RabbitMQ has it again.
    pub async fn dead(
        &self,
        delivery: &Delivery,
        reason: &str,
        code: Option<i64>,
        flagged: bool,
        now_ms: u64,
    ) -> Option<Confirmed> {
        let mut epitaph = headers::epitaph(reason, code, delivery.lane(), flagged, now_ms);
        epitaph.extend(delivery.left_out_bytes.map(headers::body_bytes));
        let mut letter = Letter {
            way: Way::Dead,
            exchange: topology::DEAD,
            routing_key: delivery.lane(),
            body: &delivery.body,
            properties: headers::copied(&delivery.properties, Copy::Dead, epitaph),
            outlives_delivery: false,
        };
        self.publish(delivery, &mut letter).await
    }

    async fn publish(&self, delivery: &Delivery, letter: &mut Letter<'_>) -> Option<Confirmed> {
        let Some(span) = delivery.publishing(letter.exchange, letter.routing_key) else {
            return self.until_confirmed(delivery, letter).await;
        };
        let headers = headers::traced(letter.properties.headers().as_ref(), span.trace());
        letter.properties = letter.properties.clone().with_headers(headers);
        let published = self.until_confirmed(delivery, letter).await;
        span.ends(published.is_some());
        published
    }

    async fn until_confirmed(&self, delivery: &Delivery, letter: &Letter<'_>) -> Option<Confirmed> {
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
            match self.over(&session, delivery.lane(), letter).await {
                Ok(confirmed) => return Some(confirmed),
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

    /// For as long as the session takes: a confirm that is late concerns its own letter, and whoever waits behind it on its way.
    async fn over(
        &self,
        session: &Session,
        lane: &str,
        letter: &Letter<'_>,
    ) -> Result<Confirmed, NotConfirmed> {
        let publishing = publish_on(session, letter);
        tokio::pin!(publishing);
        let mut late = None;
        loop {
            let published = tokio::select! {
                published = tokio::time::timeout(session.confirm_timeout(), &mut publishing) => published,
                reason = session.ended() => {
                    tracing::debug!(reason, "session ended before a confirm");
                    return Err(NotConfirmed::Lost);
                }
            };
            return match published {
                Ok(Ok(confirmation)) => confirmed(confirmation),
                Ok(Err(error)) => Err(failed(session, &error)),
                // A blocked publisher is told to wait: its confirm may come hours later.
                Err(_) if session.is_blocked() => continue,
                Err(_) => {
                    late.get_or_insert_with(|| self.refusals.late(lane, letter.exchange));
                    continue;
                }
            };
        }
    }
}

async fn publish_on(session: &Session, letter: &Letter<'_>) -> Result<Confirmation, lapin::Error> {
    let track = session.ways.track(letter.way);
    // Never closed.
    let _room = track.room().await;
    let channel = session.publishing_channel(track).await?;
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
    sent.await?.await
}

fn confirmed(confirmation: Confirmation) -> Result<Confirmed, NotConfirmed> {
    match confirmation {
        Confirmation::Ack(None) => Ok(Confirmed(())),
        Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => {
            Err(NotConfirmed::Refused("unroutable"))
        }
        Confirmation::Nack(None) => Err(NotConfirmed::Refused("nack")),
        Confirmation::NotRequested => Err(NotConfirmed::Refused("unconfirmed")),
    }
}

/// What RabbitMQ answers by closing the channel is about one letter, and those that were on the way with it; unless an exchange is
/// missing, which the next session declares.
fn failed(session: &Session, error: &lapin::Error) -> NotConfirmed {
    if is_of_a_channel(error) && !is_not_found(error) && session.publishes() {
        return NotConfirmed::Refused("closed");
    }
    session.end(&format!("publishing: {error}"));
    NotConfirmed::Lost
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
    let incarnation = headers::incarnation(delivery.incarnation());
    headers::copied(&delivery.properties, Copy::Result, [incarnation])
        .with_content_type("application/json".into())
}
