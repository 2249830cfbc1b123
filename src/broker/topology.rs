//! The exchanges and queues of the contract, as data: declared idempotently at every session's start, or printed as a
//! definitions file for brokers where workers may not declare.
//!
//! A queue's arguments can never change once it exists, so only what must be an argument is one; limits that operators tune
//! (lengths, timeouts) are policies.

use crate::config::AccountConfig;
use crate::contract::names::{
    DEAD, DELAY_OUT, EVENTS, LANES_LOG, MEDIA_LOG, OPERATIONS, RESULTS, RESULTS_LOG, SEND,
    TENURES_LOG, UNROUTED, account_lane, lane_queue, rung,
};
use crate::core::request::ladder;
use serde_json::{Map, Value, json};

/// Where an exchange hands what it cannot route.
const ALTERNATE: &str = "alternate-exchange";

/// Meta keeps messages for 30 days at most, and so do we.
const DAYS_30_MS: i64 = 30 * 24 * 3600 * 1000;
/// High enough never to be met: RabbitMQ 4 would otherwise drop or dead-letter after 20 redeliveries.
const DELIVERY_LIMIT: i64 = 1_000_000;

/// An argument of a queue or an exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    Text(String),
    Int(i64),
    Flag(bool),
}

pub type Arguments = Vec<(&'static str, Argument)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
}

/// One thing to declare. All are durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Exchange {
        name: String,
        kind: ExchangeKind,
        arguments: Arguments,
    },
    Queue {
        name: String,
        arguments: Arguments,
    },
    QueueBinding {
        queue: String,
        exchange: String,
        key: String,
    },
    ExchangeBinding {
        destination: String,
        source: String,
        key: String,
    },
}

impl Object {
    /// The object's name; of a binding, what it is made on.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Exchange { name, .. } | Self::Queue { name, .. } => name,
            Self::QueueBinding { queue, .. } => queue,
            Self::ExchangeBinding { source, .. } => source,
        }
    }
}

fn exchange(name: &str, kind: ExchangeKind, arguments: Arguments) -> Object {
    Object::Exchange {
        name: name.to_owned(),
        kind,
        arguments,
    }
}

fn queue(name: &str, arguments: Arguments) -> Object {
    Object::Queue {
        name: name.to_owned(),
        arguments,
    }
}

fn bind(queue: &str, exchange: &str, key: &str) -> Object {
    Object::QueueBinding {
        queue: queue.to_owned(),
        exchange: exchange.to_owned(),
        key: key.to_owned(),
    }
}

fn text(name: &'static str, value: &str) -> (&'static str, Argument) {
    (name, Argument::Text(value.to_owned()))
}

fn int(name: &'static str, value: i64) -> (&'static str, Argument) {
    (name, Argument::Int(value))
}

fn quorum() -> (&'static str, Argument) {
    text("x-queue-type", "quorum")
}

/// The queue of a lane, and what it takes in.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneQueue {
    /// The lane's id.
    pub lane: String,
    exchange: &'static str,
    /// Routing keys of that exchange.
    keys: Vec<String>,
}

impl LaneQueue {
    /// The queue of a number's messages.
    pub fn of_number(phone_number_id: &str) -> Self {
        Self {
            lane: phone_number_id.to_owned(),
            exchange: SEND,
            keys: vec![phone_number_id.to_owned()],
        }
    }

    /// The queue of an account's operations, whether they name the account or one of its numbers.
    pub fn of_account<'a>(waba_id: &'a str, numbers: impl Iterator<Item = &'a str>) -> Self {
        let keys = std::iter::once(waba_id).chain(numbers);
        Self {
            lane: account_lane(waba_id),
            exchange: OPERATIONS,
            keys: keys.map(str::to_owned).collect(),
        }
    }

    /// All of it, also for declaring it again in case somebody deleted it.
    pub(super) fn objects(&self, retention: Retention) -> Vec<Object> {
        let name = lane_queue(&self.lane);
        let mut arguments = vec![
            quorum(),
            ("x-single-active-consumer", Argument::Flag(true)),
            // Requests that a caller's `expiration` ends (or the delivery limit, if it were ever met) are answered there too.
            text("x-dead-letter-exchange", UNROUTED),
            int("x-delivery-limit", DELIVERY_LIMIT),
        ];
        if retention == Retention::Days30 {
            arguments.push(int("x-message-ttl", DAYS_30_MS));
        }
        let mut objects = vec![queue(&name, arguments)];
        let keys = self.keys.iter();
        objects.extend(keys.map(|key| bind(&name, self.exchange, key)));
        objects.push(bind(&name, DELAY_OUT, &format!("#.{}", self.lane)));
        objects
    }
}

/// The lanes of this worker; everything else is the same everywhere.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    pub lanes: Vec<LaneQueue>,
}

impl Topology {
    /// The lanes of the configuration's accounts: each account's own, and those of its numbers.
    pub fn of(accounts: &[AccountConfig]) -> Self {
        let lanes = accounts.iter().flat_map(|account| {
            let numbers = account.numbers.iter();
            let ids = numbers.map(|number| number.phone_number_id.as_str());
            let own = LaneQueue::of_account(&account.waba_id, ids.clone());
            ids.map(LaneQueue::of_number).chain([own])
        });
        Self {
            lanes: lanes.collect(),
        }
    }

    /// The queue of that lane.
    pub(super) fn lane(&self, lane: &str) -> Option<&LaneQueue> {
        self.lanes.iter().find(|queue| queue.lane == lane)
    }

    /// Everything, in an order in which it can be declared.
    pub fn objects(&self) -> Vec<Object> {
        let mut objects = common();
        objects.extend(media_log());
        for lane in &self.lanes {
            objects.extend(lane.objects(Retention::Days30));
        }
        objects
    }

    /// A definitions file for RabbitMQ: `rabbitmqctl import_definitions`, or a POST to the management API's
    /// `/api/definitions/<vhost>`.
    pub fn definitions(&self, vhost: &str) -> Value {
        let (mut exchanges, mut queues, mut bindings) = (vec![], vec![], vec![]);
        for object in self.objects() {
            match object {
                Object::Exchange {
                    name,
                    kind,
                    arguments,
                } => exchanges.push(json!({
                    "vhost": vhost, "name": name, "type": kind.as_str(), "durable": true, "auto_delete": false,
                    "internal": false, "arguments": as_json(arguments),
                })),
                Object::Queue { name, arguments } => queues.push(json!({
                    "vhost": vhost, "name": name, "durable": true, "auto_delete": false, "arguments": as_json(arguments),
                })),
                Object::QueueBinding {
                    queue,
                    exchange,
                    key,
                } => bindings.push(json!({
                    "vhost": vhost, "source": exchange, "destination": queue, "destination_type": "queue",
                    "routing_key": key, "arguments": {},
                })),
                Object::ExchangeBinding {
                    destination,
                    source,
                    key,
                } => bindings.push(json!({
                    "vhost": vhost, "source": source, "destination": destination, "destination_type": "exchange",
                    "routing_key": key, "arguments": {},
                })),
            }
        }
        // For queues and exchanges that are there already, whose arguments cannot change.
        let retention = json!({
            "vhost": vhost, "name": "wa-retention", "pattern": "^wa\\.(lane\\..*|account\\..*|unrouted)$", "apply-to": "queues",
            "definition": { "message-ttl": DAYS_30_MS }, "priority": 0,
        });
        let strays = json!({
            "vhost": vhost, "name": "wa-strays", "pattern": "^wa\\.delay\\.[0-9]+$", "apply-to": "exchanges",
            "definition": { ALTERNATE: UNROUTED }, "priority": 0,
        });
        let policies = [retention, strays];
        json!({ "exchanges": exchanges, "queues": queues, "bindings": bindings, "policies": policies })
    }
}

impl ExchangeKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
        }
    }
}

fn as_json(arguments: Arguments) -> Value {
    let pairs = arguments.into_iter().map(|(name, value)| {
        let value = match value {
            Argument::Text(text) => Value::from(text),
            Argument::Int(int) => Value::from(int),
            Argument::Flag(flag) => Value::from(flag),
        };
        (name.to_owned(), value)
    });
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// Lists what all lanes need, in an order in which it can be declared.
pub(super) fn common() -> Vec<Object> {
    let mut objects = shared();
    objects.extend(ladder());
    objects
}

/// As it is where an earlier version has declared it, whose rungs had no alternate exchange: only a policy can give them one.
pub(super) fn common_before() -> Vec<Object> {
    let rungs: Vec<String> = (0..ladder::RUNGS).map(rung).collect();
    let mut objects = common();
    for object in &mut objects {
        if let Object::Exchange {
            name, arguments, ..
        } = object
            && rungs.contains(name)
        {
            arguments.clear();
        }
    }
    objects
}

/// Lists what a worker publishes to and consumes from beside its lanes: it must exist where workers may not declare.
pub(super) fn used() -> Vec<Object> {
    let rungs: Vec<String> = (0..ladder::RUNGS).map(rung).collect();
    let is_used = |object: &Object| match object {
        Object::Exchange { name, .. } => {
            [RESULTS, DEAD, LANES_LOG, RESULTS_LOG].contains(&name.as_str()) || rungs.contains(name)
        }
        Object::Queue { name, .. } => [UNROUTED, LANES_LOG, RESULTS_LOG].contains(&name.as_str()),
        Object::QueueBinding { .. } | Object::ExchangeBinding { .. } => false,
    };
    common().into_iter().filter(is_used).collect()
}

/// The workers' memory, which one without rights on it does without.
pub(super) fn is_log(name: &str) -> bool {
    name.ends_with(".log")
}

/// Exchanges that a worker publishes requests and results to. Without one of them a request would be sent, and sent again.
pub(super) fn written() -> Vec<String> {
    let rungs = (0..ladder::RUNGS).map(rung);
    rungs.chain([DEAD, RESULTS].map(str::to_owned)).collect()
}

fn shared() -> Vec<Object> {
    let unrouted = || vec![text(ALTERNATE, UNROUTED)];
    let limit = int("x-delivery-limit", DELIVERY_LIMIT);
    let mut objects = vec![
        exchange(UNROUTED, ExchangeKind::Fanout, vec![]),
        exchange(SEND, ExchangeKind::Direct, unrouted()),
        exchange(OPERATIONS, ExchangeKind::Direct, unrouted()),
        exchange(DELAY_OUT, ExchangeKind::Topic, unrouted()),
        exchange(RESULTS, ExchangeKind::Topic, vec![]),
        exchange(DEAD, ExchangeKind::Fanout, vec![]),
        exchange(EVENTS, ExchangeKind::Topic, vec![]),
        queue(UNROUTED, vec![quorum(), limit.clone()]),
        bind(UNROUTED, UNROUTED, ""),
        queue(
            DEAD,
            vec![quorum(), limit, int("x-message-ttl", DAYS_30_MS)],
        ),
        bind(DEAD, DEAD, ""),
        stream(RESULTS_LOG, "7D", 4_000_000_000, 100_000_000),
        bind(RESULTS_LOG, RESULTS, "#"),
        // For the marks that show its end to who reads it back.
        exchange(RESULTS_LOG, ExchangeKind::Fanout, vec![]),
        bind(RESULTS_LOG, RESULTS_LOG, ""),
    ];
    objects.extend(lanes_log());
    objects.extend(tenures_log());
    objects
}

/// The log in which workers tell each other of pauses and holds; also for declaring it again in case somebody deleted it.
pub(super) fn lanes_log() -> [Object; 3] {
    workers_log(LANES_LOG, "30D", 64_000_000)
}

/// The log of what was uploaded. Meta keeps what is uploaded for 30 days, and 64 MB are some 150,000 uploads.
pub(super) fn media_log() -> [Object; 3] {
    workers_log(MEDIA_LOG, "30D", 64_000_000)
}

/// The log of who took or left which lane: of no use to anybody after some hours, and large while thousands of lanes change hands.
/// 100 MB are 14,000 lanes that leave 117 requests each.
pub(super) fn tenures_log() -> [Object; 3] {
    workers_log(TENURES_LOG, "6h", 100_000_000)
}

fn workers_log(name: &str, max_age: &str, max_bytes: i64) -> [Object; 3] {
    [
        exchange(name, ExchangeKind::Fanout, vec![]),
        stream(name, max_age, max_bytes, 4_000_000),
        bind(name, name, ""),
    ]
}

fn stream(name: &str, max_age: &str, max_bytes: i64, segment_bytes: i64) -> Object {
    let arguments = vec![
        text("x-queue-type", "stream"),
        text("x-max-age", max_age),
        int("x-max-length-bytes", max_bytes),
        // Retention drops whole segments only.
        int("x-stream-max-segment-size-bytes", segment_bytes),
    ];
    queue(name, arguments)
}

/// See [`crate::core::request::ladder`].
fn ladder() -> Vec<Object> {
    let mut objects = vec![];
    for number in 0..ladder::RUNGS {
        let name = rung(number);
        let below = number.checked_sub(1).map_or(DELAY_OUT.to_owned(), rung);
        let arguments = vec![
            quorum(),
            int("x-message-ttl", 1000 << number),
            text("x-dead-letter-exchange", &below),
            text("x-dead-letter-strategy", "at-least-once"),
            // At-least-once dead-lettering demands it.
            text("x-overflow", "reject-publish"),
        ];
        // A message that somebody put there and that fits no rung would stay in the queue for ever, and what comes behind it with it.
        let stray = vec![text(ALTERNATE, UNROUTED)];
        objects.push(exchange(&name, ExchangeKind::Topic, stray));
        objects.push(queue(&name, arguments));
        objects.push(bind(&name, &name, &ladder::pattern(number, true)));
        objects.push(Object::ExchangeBinding {
            destination: below,
            source: name,
            key: ladder::pattern(number, false),
        });
    }
    objects
}

/// Whether a lane's queue ends what waits in it for too long. Those that were declared before there was an end do not, and can only
/// be given one by a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Retention {
    Days30,
    Unlimited,
}

#[cfg(test)]
mod tests;
