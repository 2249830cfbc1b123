//! Confirmed, mandatory publishing. `Confirmed` is made here only: whoever holds one may acknowledge.

mod alone;
mod copies;
mod results;

use super::Sessions;
use super::aside::Aside;
use super::delivery::Delivery;
use super::headers::{self, Copy};
use super::refusals::Refusals;
use super::replies::Replies;
use super::results_log::FoundResult;
use super::session::{Session, is_not_found, is_of_a_channel};
use super::topology;
use super::unsettled::Writer;
use super::ways::{Courses, Way};
use crate::config::BrokerConfig;
use crate::core::ladder;
use crate::core::message::Message;
use crate::core::report::Report;
use crate::metrics::Metrics;
use lapin::options::BasicPublishOptions;
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Confirmation};
use results::{flag, result_key, result_properties};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for the supervisor to notice that a session is over.
const LOST_PAUSE: Duration = Duration::from_secs(1);

/// Of a publish that RabbitMQ answers by closing its channel.
const CLOSED: &str = "closed";

/// Proof that RabbitMQ confirmed what must outlive the delivery.
#[derive(Debug)]
pub struct Confirmed(());

impl Confirmed {
    /// For a delivery whose successor was confirmed earlier (a copy on the delay ladder).
    pub fn earlier() -> Self {
        Self(())
    }
}

/// What became of a publish.
#[must_use]
pub enum Published {
    Taken(Confirmed),
    /// RabbitMQ has the request again, and what was to be published was nothing that holds whoever has it now.
    GivenBack,
    /// It ends every connection that it is made on, also without what its caller wrote.
    Never,
}

impl Published {
    fn confirmed(self) -> Option<Confirmed> {
        match self {
            Self::Taken(confirmed) => Some(confirmed),
            Self::GivenBack | Self::Never => None,
        }
    }
}

enum NotConfirmed {
    /// The session is over; the next one may do better.
    Lost,
    /// RabbitMQ had nowhere to put it, or said no.
    Refused(&'static str),
    /// The connection that it had for itself ended, and the session did not.
    Ended,
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

impl Letter<'_> {
    /// Without what its caller wrote.
    fn make_plain(&mut self) {
        let is_for_later = matches!(self.way, Way::Rung(_));
        self.properties = headers::plain(&self.properties, is_for_later);
    }
}

/// Publishes for all lanes, over whichever session there is. What RabbitMQ does not take is tried again until it does.
#[derive(Clone)]
pub struct Publisher {
    sessions: Sessions,
    courses: Arc<Courses>,
    refusals: Arc<Refusals>,
    replies: Arc<Replies>,
    aside: Arc<Aside>,
    metrics: Arc<Metrics>,
    writer: Arc<Writer>,
}

impl Publisher {
    /// `served`: the numbers of this worker.
    pub fn new(
        config: BrokerConfig,
        sessions: Sessions,
        metrics: Arc<Metrics>,
        served: HashSet<String>,
        writer: Arc<Writer>,
    ) -> Self {
        Self {
            writer,
            sessions,
            courses: Arc::new(Courses::new(served.iter())),
            refusals: Arc::new(Refusals::new(metrics.clone(), served)),
            replies: Replies::new(config.clone(), metrics.clone()),
            aside: Arc::new(Aside::new(config)),
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

    /// The result on `wa.results`, and to `reply_to` if the request named one.
    pub async fn result(&self, delivery: &Delivery, report: &Report) -> Published {
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

    /// The result that another worker had published, once more: for its own reader may have died as well.
    pub async fn again(
        &self,
        delivery: &Delivery,
        found: &FoundResult,
        flagged: bool,
    ) -> Published {
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

    async fn answer(&self, delivery: &Delivery, mut letter: Letter<'_>) -> Published {
        let published = self.publish(delivery, &mut letter).await;
        // Not awaited: what the request is settled by is confirmed.
        if let (Published::Taken(_), Some(to)) = (&published, delivery.properties.reply_to()) {
            let (body, properties) = (letter.body, letter.properties);
            self.replies.send(to.as_str(), body, properties);
        }
        published
    }

    /// The request, for later, onto the delay ladder. Given back: RabbitMQ has the original again, and a second copy would be a second
    /// send.
    pub async fn delayed(&self, delivery: &Delivery, message: &Message, delay_s: u32) -> Published {
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
        let epitaph = headers::epitaph(reason, code, delivery.lane(), flagged, now_ms);
        self.kept(delivery, epitaph, false).await
    }

    /// The whole request into `wa.dead`, in place of what is never taken: its result (`outlives_delivery` as that), or its copy for later.
    pub async fn unpublishable(
        &self,
        delivery: &Delivery,
        outlives_delivery: bool,
        now_ms: u64,
    ) -> Option<Confirmed> {
        let epitaph = headers::epitaph("unpublishable", None, delivery.lane(), true, now_ms);
        self.kept(delivery, epitaph, outlives_delivery).await
    }

    async fn kept(
        &self,
        delivery: &Delivery,
        mut epitaph: Vec<(&'static str, AMQPValue)>,
        outlives_delivery: bool,
    ) -> Option<Confirmed> {
        epitaph.extend(delivery.left_out_bytes.map(headers::body_bytes));
        let mut letter = Letter {
            way: Way::Dead,
            exchange: topology::DEAD,
            routing_key: delivery.lane(),
            body: &delivery.body,
            properties: headers::copied(&delivery.properties, Copy::Dead, epitaph),
            outlives_delivery,
        };
        self.publish(delivery, &mut letter).await.confirmed()
    }

    async fn publish(&self, delivery: &Delivery, letter: &mut Letter<'_>) -> Published {
        let Some(span) = delivery.publishing(letter.exchange, letter.routing_key) else {
            return self.until_confirmed(delivery, letter).await;
        };
        let headers = headers::traced(letter.properties.headers().as_ref(), span.trace());
        letter.properties = letter.properties.clone().with_headers(headers);
        let published = self.until_confirmed(delivery, letter).await;
        span.ends(matches!(published, Published::Taken(_)));
        published
    }

    async fn until_confirmed(&self, delivery: &Delivery, letter: &mut Letter<'_>) -> Published {
        let (lane, id, exchange) = (delivery.lane(), delivery.id(), letter.exchange);
        let mut sessions = self.sessions.clone();
        let (mut refused, mut is_plain) = (None, false);
        loop {
            let Some(session) = session_for(letter, delivery, &mut sessions).await else {
                return Published::GivenBack;
            };
            let goes_alone = is_plain || self.aside.suspects().goes_alone(lane, id);
            let published = if goes_alone {
                self.alone(&session, delivery, letter).await
            } else {
                self.over(&session, delivery, letter).await
            };
            let why = match published {
                Ok(confirmed) => {
                    self.aside.suspects().cleared(lane, id);
                    return Published::Taken(confirmed);
                }
                Err(NotConfirmed::Lost) if !letter.outlives_delivery => {
                    return Published::GivenBack;
                }
                // Give the supervisor its turn, or this loop would spin on a session that is ending.
                Err(NotConfirmed::Lost) => {
                    drop(tokio::time::timeout(LOST_PAUSE, sessions.changed()).await);
                    continue;
                }
                Err(NotConfirmed::Ended) if !is_plain => {
                    is_plain = true;
                    letter.make_plain();
                    continue;
                }
                Err(NotConfirmed::Ended) if letter.way != Way::Dead => return Published::Never,
                // There is nowhere else to keep it. Where it is tried it harms nobody.
                Err(NotConfirmed::Ended) => CLOSED,
                Err(NotConfirmed::Refused(why)) => why,
            };
            self.metrics.publish_refused.with_label_values(&[why]).inc();
            let refused = refused.get_or_insert_with(|| self.refusals.refused(lane, exchange, why));
            tokio::select! {
                () = refused.wait() => {}
                // Whether it is to be tried again at all is another question then. lapin says of a channel first that it is closed, also
                // where that is its connection's end.
                _ = session.ended() => if why == CLOSED {
                    self.lost(delivery, false);
                }
            }
        }
    }

    /// For as long as the session takes: a confirm that is late concerns its own letter, and whoever waits behind it on its way.
    async fn over(
        &self,
        session: &Session,
        delivery: &Delivery,
        letter: &Letter<'_>,
    ) -> Result<Confirmed, NotConfirmed> {
        let lane = delivery.lane();
        let publishing = publish_on(session, letter, &self.writer);
        tokio::pin!(publishing);
        let (mut late, mut is_late) = (None, false);
        loop {
            let published = tokio::select! {
                published = tokio::time::timeout(session.confirm_timeout(), &mut publishing) => published,
                reason = session.ended() => {
                    tracing::debug!(reason, "session ended before a confirm");
                    return Err(self.lost(delivery, is_late || session.is_blocked()));
                }
            };
            return match published {
                Ok(Ok(confirmation)) => confirmed(confirmation),
                Ok(Err(error)) if is_refusal(session, &error) => Err(NotConfirmed::Refused(CLOSED)),
                Ok(Err(error)) => {
                    session.end(&format!("publishing: {error}"));
                    Err(self.lost(delivery, is_late || session.is_blocked()))
                }
                Err(_) => {
                    is_late = true;
                    // A blocked publisher is told to wait: its confirm may come hours later, and is not to be reported.
                    if !session.is_blocked() {
                        late.get_or_insert_with(|| self.refusals.late(lane, letter.exchange));
                    }
                    continue;
                }
            };
        }
    }

    /// A session ended before this was confirmed.
    fn lost(&self, delivery: &Delivery, is_late: bool) -> NotConfirmed {
        // RabbitMQ fails at once at what it fails at.
        if !is_late {
            let mut suspects = self.aside.suspects();
            suspects.session_ended(delivery.lane(), delivery.id());
        }
        NotConfirmed::Lost
    }
}

/// `None`: it is not to be published any more.
async fn session_for(
    letter: &Letter<'_>,
    delivery: &Delivery,
    sessions: &mut Sessions,
) -> Option<Arc<Session>> {
    if !letter.outlives_delivery {
        let is_valid = delivery.is_valid();
        return is_valid
            .then(|| sessions.borrow_and_update().clone())
            .flatten();
    }
    let session = sessions.wait_for(Option::is_some).await;
    let session = session.ok().and_then(|session| session.clone());
    if session.is_none() {
        // The supervisor is gone: this process ends, and RabbitMQ delivers again to another.
        return std::future::pending().await;
    }
    session
}

async fn publish_on(
    session: &Session,
    letter: &Letter<'_>,
    writer: &Writer,
) -> Result<Confirmation, lapin::Error> {
    let track = session.ways.track(letter.way);
    // Never closed.
    let _room = track.room().await;
    let channel = session.publishing_channel(track).await?;
    publish_by(&channel, letter, writer).await
}

async fn publish_by(
    channel: &Channel,
    letter: &Letter<'_>,
    writer: &Writer,
) -> Result<Confirmation, lapin::Error> {
    let mut properties = letter.properties.clone();
    if letter.exchange == topology::RESULTS {
        properties = headers::stamped(properties, writer.stamp());
    }
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let sent = channel.basic_publish(
        letter.exchange.into(),
        letter.routing_key.into(),
        options,
        letter.body,
        properties,
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
fn is_refusal(session: &Session, error: &lapin::Error) -> bool {
    is_of_a_channel(error) && !is_not_found(error) && session.publishes()
}
