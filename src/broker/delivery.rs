//! One delivery, settled once.

use super::acknowledge::{Acknowledger, Settled};
use super::headers::{self, HOPS, Headers};
use super::held::{Held, HeldByLane};
use super::link::Link;
use super::publish::Confirmed;
use super::unsettled::Unsettled;
use crate::contract::names;
use crate::contract::request::Inbound;
use crate::contract::words::Priority;
use crate::core::request::ladder;
use crate::core::request::message::LaneId;
use crate::spans::{Arrival, End, Journey, Parent, Publishing, Spans};
use bytes::Bytes;
use lapin::{Acker, BasicProperties, Channel};
use std::borrow::Cow;
use std::sync::Arc;

/// A request as RabbitMQ delivered it.
pub struct Delivery {
    acker: Acker,
    pub body: Bytes,
    /// How large the body was, if it was larger than a request may be: it is not kept in memory.
    pub(super) left_out_bytes: Option<usize>,
    /// Share of the body in what this worker has in memory.
    held: Option<Held>,
    /// There was no room for its body: it goes back unread.
    is_turned_back: bool,
    pub redelivered: bool,
    /// The exchange that it was published to last.
    exchange: String,
    routing_key: String,
    /// Mark of this publication, which tells it from others of its id.
    incarnation: Option<u64>,
    /// The id of the lane it is for.
    lane: Arc<str>,
    pub(super) properties: BasicProperties,
    channel: Arc<Channel>,
    acknowledger: Arc<Acknowledger>,
    delivery_tag: u64,
    /// Where it came.
    link: Arc<Link>,
    /// If it is traced.
    journey: Option<Box<Journey>>,
    settled: bool,
}

impl Delivery {
    /// `lane`: whose queue it comes from, if that is a lane's. A caller's `CC` puts a request into more lanes than the one that its
    /// routing key names.
    pub(super) fn new(
        delivery: lapin::message::Delivery,
        channel: Arc<Channel>,
        acknowledger: Arc<Acknowledger>,
        lane: Option<&Arc<str>>,
        link: Arc<Link>,
    ) -> Self {
        let lane = lane.map_or_else(|| lane_of(&delivery).into(), Arc::clone);
        Self {
            lane,
            delivery_tag: delivery.delivery_tag,
            acker: delivery.acker,
            incarnation: headers::incarnation_of(&delivery.properties, &delivery.data),
            body: delivery.data.into(),
            left_out_bytes: None,
            held: None,
            is_turned_back: false,
            redelivered: delivery.redelivered,
            exchange: delivery.exchange.as_str().to_owned(),
            routing_key: delivery.routing_key.as_str().to_owned(),
            properties: delivery.properties,
            channel,
            acknowledger,
            link,
            journey: None,
            settled: false,
        }
    }

    /// Decides whether it is traced: as its caller did, else by chance, and that once, not again when it comes off the ladder. `queue`:
    /// where it comes from, without the number if it is a lane's.
    pub fn trace(&mut self, spans: &Spans, queue: &'static str) {
        let headers = Headers::of(&self.properties);
        let parent = headers.text("traceparent").and_then(Parent::read);
        let is_traced = match &parent {
            Some(parent) => parent.is_sampled,
            None => spans.draws() && !headers.has(HOPS),
        };
        if !is_traced {
            return;
        }
        let parent = parent.map(|parent| parent.with_state(headers.text("tracestate")));
        let (lane, key) = (self.lane(), self.routing_key.as_str());
        let is_of_a_lane = queue.ends_with('.');
        let whole_queue = if is_of_a_lane {
            names::lane_queue(lane)
        } else {
            queue.to_owned()
        };
        let arrival = Arrival {
            message_id: headers::id(&self.properties),
            exchange: if ladder::lane_of(key) != key {
                names::DELAY_OUT
            } else if self.is_of_an_account() {
                names::OPERATIONS
            } else {
                names::SEND
            },
            routing_key: is_of_a_lane.then_some(key),
            queue: &whole_queue,
            name: queue.trim_end_matches('.'),
            delivery_tag: self.delivery_tag,
            redelivered: self.redelivered,
            phone_number_id: is_of_a_lane.then_some(lane),
            priority: Priority::of(*self.properties.priority()).as_str(),
            attempt: headers.attempts() + 1,
        };
        self.journey = Some(spans.journey(parent.as_ref(), &arrival));
    }

    /// The delivery's spans, if it is traced.
    pub fn journey(&mut self) -> Option<&mut Journey> {
        self.journey.as_deref_mut()
    }

    pub(super) fn publishing(&self, exchange: &str, routing_key: &str) -> Option<Publishing> {
        let journey = self.journey.as_ref()?;
        Some(journey.publishing(exchange, routing_key))
    }

    /// False once its channel is gone or going: sending it would race the worker that gets it next. A connection that hangs while it
    /// is closed leaves the acker as it is.
    pub fn is_valid(&self) -> bool {
        self.acker.usable() && self.channel.status().connected()
    }

    /// Lets go of a body that is larger than a request may be: it is refused in any case, and many at once would fill the memory.
    pub fn bound_body(&mut self, most: usize) {
        if self.body.len() > most {
            self.left_out_bytes = Some(self.body.len());
            self.body = Bytes::new();
        }
    }

    /// Counts its body as the lane's until it is settled or given back.
    pub fn hold(&mut self, by: &HeldByLane) {
        self.held = Some(by.hold(self.body.len()));
    }

    /// Lets go of its body: it will be given back.
    pub fn turn_back(&mut self) {
        self.is_turned_back = true;
        self.body = Bytes::new();
    }

    pub fn is_turned_back(&self) -> bool {
        self.is_turned_back
    }

    /// The request's id, if it has one.
    pub fn id(&self) -> &str {
        headers::id(&self.properties).unwrap_or_default()
    }

    /// Published for the memory of RabbitMQ only.
    pub fn is_transient(&self) -> bool {
        *self.properties.delivery_mode() != Some(2)
    }

    /// The id of the lane it came by; of what never was in one, the routing key that it was published with.
    pub fn lane(&self) -> &str {
        &self.lane
    }

    /// Gives it to a lane: it names one of its numbers, and came by no lane.
    pub fn assign(&mut self, lane: &LaneId) {
        self.lane = lane.as_str().into();
    }

    /// Whether it was published as an operation, and came from no lane's queue.
    pub fn is_stray_operation(&self) -> bool {
        self.exchange == names::OPERATIONS
    }

    /// The id to publish it for again: the lane's, which a caller's `CC` may have chosen, or that which an operation names.
    pub(super) fn published_for(&self) -> &str {
        match self.is_of_an_account() {
            true => self.target(),
            false => &self.lane,
        }
    }

    /// The lane that the log of results knows it by: an operation's is not its lane's but what it is for.
    pub(super) fn logged_as(&self) -> Cow<'_, str> {
        match self.is_of_an_account() {
            true => Cow::Owned(names::account_lane(self.target())),
            false => Cow::Borrowed(&self.lane),
        }
    }

    fn is_of_an_account(&self) -> bool {
        self.lane.starts_with(names::ACCOUNT_LANE)
    }

    /// The operation that it asks for, if it came by an account's lane.
    pub(super) fn operation(&self) -> Option<&str> {
        let kind = self.properties.kind().as_ref();
        let kind = kind.filter(|_| self.is_of_an_account());
        kind.map(|kind| kind.as_str())
    }

    /// The routing key that its caller published it with: an account's id, or one of its numbers'.
    fn target(&self) -> &str {
        let of_copy = self.headers().text(headers::TARGET);
        of_copy.unwrap_or_else(|| ladder::lane_of(&self.routing_key))
    }

    /// Notes that the request is about to end: said before anything is published of it, and kept until it is settled. `None`: nobody looks
    /// for it.
    pub fn ends(&self) -> Option<Unsettled> {
        self.link.ends()
    }

    /// Has it acknowledged, soon. Takes the proof that whatever must outlive the delivery is confirmed.
    pub fn settle(mut self, _confirmed: Confirmed, unsettled: Option<Unsettled>) -> Settled {
        self.settled = true;
        if !self.acker.usable() {
            return Settled::Void;
        }
        self.acknowledger.done(self.delivery_tag, unsettled)
    }

    /// RabbitMQ has (or gets) it again because its channel is closed.
    pub fn give_back(mut self) {
        self.settled = true;
        if let Some(journey) = &mut self.journey {
            let (status, error) = ("given_back", None);
            journey.ends(End { status, error });
        }
    }

    /// Why RabbitMQ took it out of its lane: `expired` for a caller's own AMQP `expiration`. `None` for what never was in one.
    pub fn dead_lettered(&self) -> Option<&str> {
        died_in(self.headers())?;
        self.headers().text("x-last-death-reason")
    }

    /// Tags that an operator counts the request by.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.headers().tags()
    }

    /// Returns what intake needs to know, without AMQP's types.
    pub fn inbound(&self) -> Inbound<'_> {
        Inbound {
            body_bytes: self.left_out_bytes.unwrap_or(self.body.len()),
            incarnation: self.incarnation,
            account: self.lane.strip_prefix(names::ACCOUNT_LANE),
            target: self.target(),
            ..headers::inbound(&self.properties, self.redelivered)
        }
    }

    /// How often it has come off the ladder.
    pub fn hops(&self) -> u32 {
        self.headers().hops()
    }

    /// Returns what tells this publication of its id from others.
    pub fn incarnation(&self) -> Option<u64> {
        self.incarnation
    }

    fn headers(&self) -> Headers<'_> {
        Headers::of(&self.properties)
    }
}

/// The lane that RabbitMQ took it out of.
fn died_in(headers: Headers<'_>) -> Option<String> {
    names::lane_of_queue(headers.text("x-last-death-queue")?)
}

/// The lane of a request that comes from no lane's queue.
fn lane_of(delivery: &lapin::message::Delivery) -> String {
    let died_in = died_in(Headers::of(&delivery.properties));
    died_in.unwrap_or_else(|| ladder::lane_of(delivery.routing_key.as_str()).to_owned())
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // Dropping never acknowledges: the message stays with RabbitMQ. An unsettled drop is a bug all the same, unless its channel is gone.
        if !self.settled && self.is_valid() && !std::thread::panicking() {
            tracing::error!("a delivery was dropped unsettled; it returns when its channel closes");
        }
    }
}
