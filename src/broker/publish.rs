//! Confirmed, mandatory publishing. `Confirmed` is made here only: whoever holds one may acknowledge.

mod alone;

use super::Sessions;
use super::aside::Aside;
use super::connect::{is_not_found, is_of_a_channel};
use super::headers;
use super::refusals::Refusals;
use super::replies::Replies;
use super::session::Session;
use super::unsettled::Writer;
use super::ways::{Courses, Way};
use crate::config::BrokerConfig;
use crate::contract::names;
use crate::metrics::Metrics;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Confirmation};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for the supervisor to notice that a session is over.
const LOST_PAUSE: Duration = Duration::from_secs(1);

/// The reason where RabbitMQ answers a publish by closing its channel.
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

/// The outcome of a publish.
#[must_use]
pub enum Published {
    Taken(Confirmed),
    /// RabbitMQ has the request again, and what was to be published was nothing that holds whoever has it now.
    GivenBack,
    /// The publish ends every connection that it is made on, also without what its caller wrote.
    Never,
}

impl Published {
    pub(super) fn confirmed(self) -> Option<Confirmed> {
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

/// A message to publish, wherever it goes.
pub(super) struct Letter<'a> {
    pub(super) way: Way,
    /// The lane that sends nothing while this is refused or late.
    pub(super) lane: &'a str,
    /// The id of the request that it is about: with the lane it tells publishes apart.
    pub(super) id: &'a str,
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
    pub(super) body: &'a [u8],
    pub(super) properties: BasicProperties,
    /// Says whether RabbitMQ leaves the request to this worker: after that another may have it, who has the say. `None`: it is
    /// published over as many sessions as it takes.
    pub(super) while_held: Option<&'a (dyn Fn() -> bool + Sync)>,
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

    /// The way of this lane's results.
    pub(super) fn way_of(&self, lane: &str) -> Way {
        self.courses.of(lane)
    }

    /// Sends a result to who asked for it there. Not awaited: what the request is settled by is confirmed.
    pub(super) fn reply(&self, to: &str, body: &[u8], properties: BasicProperties) {
        self.replies.send(to, body, properties);
    }

    /// Publishes until RabbitMQ confirms it, or it is not to be published any more.
    pub(super) async fn publish(&self, letter: &mut Letter<'_>) -> Published {
        let (lane, id, exchange) = (letter.lane, letter.id, letter.exchange);
        let mut sessions = self.sessions.clone();
        let (mut refused, mut is_plain) = (None, false);
        loop {
            let Some(session) = session_for(letter, &mut sessions).await else {
                return Published::GivenBack;
            };
            let goes_alone = is_plain || self.aside.suspects().goes_alone(lane, id);
            let published = if goes_alone {
                self.alone(&session, letter).await
            } else {
                self.over(&session, letter).await
            };
            let why = match published {
                Ok(confirmed) => {
                    self.aside.suspects().cleared(lane, id);
                    return Published::Taken(confirmed);
                }
                Err(NotConfirmed::Lost) if letter.while_held.is_some() => {
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
                    self.lost(letter, false);
                }
            }
        }
    }

    /// Publishes a record without a body, once. False if RabbitMQ did not take it, or there is no session.
    pub(super) async fn note(
        &self,
        way: Way,
        exchange: &str,
        routing_key: &str,
        properties: BasicProperties,
    ) -> Result<bool, lapin::Error> {
        let session = self.sessions.borrow().clone();
        let Some(session) = session else {
            return Ok(false);
        };
        let track = session.ways.track(way);
        let Ok(_room) = track.room().await else {
            return Ok(false);
        };
        let channel = session.publishing_channel(track).await?;
        let properties = headers::stamped(properties, self.writer.stamp());
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(
            exchange.into(),
            routing_key.into(),
            options,
            b"",
            properties,
        );
        Ok(sent.await?.await? == Confirmation::Ack(None))
    }

    /// For as long as the session takes: a confirm that is late concerns its own letter, and whoever waits behind it on its way.
    async fn over(
        &self,
        session: &Session,
        letter: &Letter<'_>,
    ) -> Result<Confirmed, NotConfirmed> {
        let lane = letter.lane;
        let publishing = publish_on(session, letter, &self.writer);
        tokio::pin!(publishing);
        let (mut late, mut is_late) = (None, false);
        loop {
            let published = tokio::select! {
                published = tokio::time::timeout(session.confirm_timeout(), &mut publishing) => published,
                reason = session.ended() => {
                    tracing::debug!(reason, "session ended before a confirm");
                    return Err(self.lost(letter, is_late || session.is_blocked()));
                }
            };
            return match published {
                Ok(Ok(confirmation)) => confirmed(confirmation),
                Ok(Err(error)) if is_refusal(session, &error) => Err(NotConfirmed::Refused(CLOSED)),
                Ok(Err(error)) => {
                    session.end(&format!("publishing: {error}"));
                    Err(self.lost(letter, is_late || session.is_blocked()))
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
    fn lost(&self, letter: &Letter<'_>, is_late: bool) -> NotConfirmed {
        // RabbitMQ fails at once at what it fails at.
        if !is_late {
            let mut suspects = self.aside.suspects();
            suspects.session_ended(letter.lane, letter.id);
        }
        NotConfirmed::Lost
    }
}

/// `None`: it is not to be published any more.
async fn session_for(letter: &Letter<'_>, sessions: &mut Sessions) -> Option<Arc<Session>> {
    if let Some(is_held) = letter.while_held {
        return is_held()
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
    // The semaphore is never closed.
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
    if letter.exchange == names::RESULTS {
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

/// True if RabbitMQ refuses a letter: by closing the channel it speaks of that one, and those that were on the way with it; unless an
/// exchange is missing, which the next session declares.
fn is_refusal(session: &Session, error: &lapin::Error) -> bool {
    is_of_a_channel(error) && !is_not_found(error) && session.publishes()
}
