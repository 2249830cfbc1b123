//! The requests that a lane carries. A `Message` is only built by [`crate::core::request::intake`], so whoever holds one need not check it
//! again.

use crate::contract::fault::Fault;
use crate::contract::names;
use crate::contract::request::History;
use crate::contract::words::{OnUnknown, Priority};
use crate::core::Now;
use crate::core::media::links::{Link, put_ids};
use crate::core::operation::Recipient;
use crate::core::operation::body::{Added, splice};
use crate::core::operation::call::{Address, Call};
use crate::core::operation::lifetime::Lifetime;
use crate::core::operation::{Operation, Repeat};
use bytes::Bytes;
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Everything paced, throttled, halted and drained together: a business phone number by its id, or `account.<waba_id>`, an account's
/// operations.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LaneId(pub(crate) Arc<str>);

impl LaneId {
    pub fn new(phone_number_id: &str) -> Self {
        Self(phone_number_id.into())
    }

    /// The lane of an account's operations.
    pub fn of_account(waba_id: &str) -> Self {
        Self(names::account_lane(waba_id).into())
    }

    /// The account, if it is an account's lane.
    pub fn waba_id(&self) -> Option<&str> {
        self.0.strip_prefix(names::ACCOUNT_LANE)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lanes are looked up by their number, too.
impl Borrow<str> for LaneId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The request's id: AMQP `message_id`, 1 to 128 characters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MessageId(pub(crate) Arc<str>);

impl MessageId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl History {
    /// Notes that a former holder may have copied it onto the ladder.
    fn doubt_copies(&mut self, now: Now) {
        if self.copied_ms == 0 {
            self.copied_ms = now.wall_ms;
        }
    }

    /// Others of its id are what others wait for, and not this one; unless it was on the ladder as that, which it stays: it would wait for
    /// itself.
    pub fn may_follow(&mut self) {
        self.follows |= self.hops == 0;
    }

    /// Takes over what an earlier delivery of the same request has been through since this copy was made.
    fn take_over(&mut self, earlier: &Self) {
        self.throttles = self.throttles.max(earlier.throttles);
        self.possible_duplicate |= earlier.possible_duplicate;
        self.blamed |= earlier.blamed;
    }
}

/// A request that passed intake.
#[derive(Clone)]
pub struct Message {
    pub id: MessageId,
    /// Absent where the operation names no person: no pair limit and no order apply.
    pub recipient: Option<Recipient>,
    pub priority: Priority,
    /// The body as it was published.
    pub body: Bytes,
    /// Members that the body lacks.
    pub added: Vec<Added>,
    /// The body may say how long the message lives, and does not.
    pub lifetime: Option<Lifetime>,
    pub operation: Operation,
    /// Links in the body whose files are uploaded, to be sent by id: header `media`.
    pub links: Option<Arc<[Link]>>,
    /// The names in its path, of an operation that is no message.
    pub address: Option<Arc<Address>>,
    /// `None`: the request does not say. A lost answer is then reported, and of a redelivery `redelivery.policy` decides.
    pub on_unknown: Option<OnUnknown>,
    pub enqueued_at_ms: Option<u64>,
    pub expires_at_ms: Option<u64>,
    /// Header `dedupe`, in seconds.
    pub dedupe_s: Option<u32>,
    pub not_before_ms: Option<u64>,
    /// The name of the message template, if it is made from one.
    pub template: Option<Arc<str>>,
    /// The body's own `biz_opaque_callback_data`, kept and echoed.
    pub own_opaque: Option<Arc<str>>,
    /// Deviations of the body from what Meta documents, if there are any.
    pub warnings: Option<Arc<[Fault]>>,
    /// RabbitMQ delivered it before, so an earlier holder may have sent it.
    pub redelivered: bool,
    /// Tells this publication of the id from others, if anything does: milliseconds since the epoch, of when it was published, or kept
    /// in `wa.dead` before it was published again. Where only the second is known, the last three digits are made of the body.
    pub incarnation: Option<u64>,
    /// How often RabbitMQ had handed it out before (`x-acquired-count`, before 4.3 `x-delivery-count`).
    pub delivery_count: u64,
    pub history: History,
}

impl Message {
    /// The body, byte for byte as it was published but for the members we add.
    pub fn completed(&self) -> Bytes {
        self.spliced(self.body.clone(), &self.added)
    }

    fn spliced(&self, body: Bytes, added: &[Added]) -> Bytes {
        splice(body, added, self.id.as_str())
    }

    /// The same, with what is left of `expires-at` where the API can be told: what is no longer of use then must not arrive later.
    fn completed_at(&self, media_ids: &[Arc<str>], now: Now) -> Bytes {
        let body = match &self.links {
            Some(links) => put_ids(&self.body, links, media_ids),
            None => self.body.clone(),
        };
        let Some((lifetime, expires_at_ms)) = self.lifetime.zip(self.expires_at_ms) else {
            return self.spliced(body, &self.added);
        };
        let left_ms = expires_at_ms.saturating_sub(now.wall_ms);
        let mut added = self.added.clone();
        added.push(Added::lifetime(lifetime, left_ms));
        self.spliced(body, &added)
    }

    /// From then on it is not sent: its `expires-at`, or earlier where the API would go on delivering it beyond that.
    pub fn send_before_ms(&self) -> Option<u64> {
        let beyond_ms = self.lifetime.map_or(0, Lifetime::beyond_ms);
        Some(self.expires_at_ms?.saturating_sub(beyond_ms))
    }

    /// The request to the API, with these ids in the place of its links. Made when it is sent: what waits is held once.
    pub fn to_send(&self, lane: &LaneId, media_ids: &[Arc<str>], now: Now) -> Call {
        let body = self.completed_at(media_ids, now);
        match &self.address {
            None => self.operation.to_number(lane.as_str(), body),
            Some(address) => self.operation.to_account(address, body, self.may_be_done()),
        }
    }

    /// Until when the API keeps the file that it uploads as media, if it does that.
    pub fn media_expires_ms(&self, sent_at_ms: u64) -> Option<u64> {
        let address = self.address.as_ref()?;
        let minutes = address.keeps_media_minutes(self.operation, &self.body)?;
        Some(sent_at_ms.saturating_add(minutes.saturating_mul(60_000)))
    }

    /// Whether an earlier request to the API may have done it.
    fn may_be_done(&self) -> bool {
        self.redelivered || self.history.attempts + self.history.uncharged > 0
    }

    /// The lane that the log of results knows it by: an operation's is not its lane's but what it is for.
    pub fn logged_as(&self, lane: &LaneId) -> String {
        match &self.address {
            Some(address) => names::account_lane(&address.target),
            None => lane.as_str().to_owned(),
        }
    }

    /// True if repeating it reaches nobody twice.
    pub fn is_harmless_to_repeat(&self) -> bool {
        self.operation.facts().repeat == Repeat::Harmless
    }

    /// Notes that an earlier send may have reached the person: its result says so. Of what reaches nobody twice it need not.
    pub fn may_have_been_sent(&mut self) {
        self.history.possible_duplicate |= !self.is_harmless_to_repeat();
    }

    /// Notes that whoever had it before may have sent it, or copied it onto the ladder.
    pub fn may_have_been_handled(&mut self, now: Now) {
        self.may_have_been_sent();
        if !self.is_harmless_to_repeat() {
            self.history.doubt_copies(now);
        }
    }

    /// Whether what has its id and incarnation is the same request, for all one can see. Else it may be another publication of the id.
    pub fn is_named(&self) -> bool {
        self.incarnation.is_some() || self.history.copied_ms > 0
    }

    /// Whether this one came off the ladder as a copy of `earlier`.
    pub fn is_copy_of(&self, earlier: &Self) -> bool {
        let is_same = self.id == earlier.id && self.incarnation == earlier.incarnation;
        self.is_named() && is_same && self.history.hops > earlier.history.hops
    }

    /// Puts its own copy in its place. Returns the earlier one.
    pub fn replace(&mut self, mut copy: Self) -> Self {
        copy.history.take_over(&self.history);
        std::mem::replace(self, copy)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("priority", &self.priority)
            .field("body_bytes", &self.body.len())
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
