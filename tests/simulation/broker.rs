//! RabbitMQ as far as a lane can tell: queues with one active consumer each, the delay ladder, results and `wa.dead`.
//!
//! As measured on 4.x: returned messages keep the head, in order, flagged as redelivered; two high for one bulk; a consumer
//! of higher priority takes over once the active one holds nothing; what a lost channel held comes back.

use super::Us;
use super::checks::Violation;
use super::plan::RequestNo;
use std::collections::{BTreeMap, VecDeque};
use whatsapp_dispatcher::contract::request::History;

pub(crate) type ChannelId = u64;
pub(crate) type Tag = u64;

/// A request on its way: what the broker keeps of it.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) request: RequestNo,
    pub(crate) lane: usize,
    pub(crate) high: bool,
    /// Our own headers.
    pub(crate) history: History,
    pub(crate) redelivered: bool,
    /// How often it was returned.
    pub(crate) returns: u64,
    /// Its place in the queue; kept when it is returned.
    pub(crate) position: u64,
}

impl Copy {
    /// Returned.
    fn again(self) -> Self {
        Self {
            redelivered: true,
            returns: self.returns + 1,
            ..self
        }
    }
}

pub(crate) struct Delivery {
    pub(crate) worker: usize,
    pub(crate) channel: ChannelId,
    pub(crate) tag: Tag,
    pub(crate) copy: Copy,
}

struct Consumer {
    channel: ChannelId,
    worker: usize,
    priority: i32,
    prefetch: usize,
    unacked: BTreeMap<Tag, Copy>,
}

#[derive(Default)]
struct Queue {
    returned: BTreeMap<u64, Copy>,
    high: VecDeque<Copy>,
    bulk: VecDeque<Copy>,
    high_in_a_row: u32,
    /// In the order in which they subscribed.
    consumers: Vec<Consumer>,
    active: Option<ChannelId>,
}

pub(crate) struct Broker {
    lanes: Vec<Queue>,
    on_ladder: usize,
    /// How many copies of each request stand in a queue, are unacknowledged, or wait on the ladder.
    copies: Vec<u32>,
    /// Has a final result.
    ended: Vec<bool>,
    channels: u64,
    tags: u64,
    positions: u64,
}

impl Broker {
    pub(crate) fn new(lanes: usize, requests: usize) -> Self {
        Self {
            lanes: (0..lanes).map(|_| Queue::default()).collect(),
            on_ladder: 0,
            copies: vec![0; requests],
            ended: vec![false; requests],
            channels: 0,
            tags: 0,
            positions: 0,
        }
    }

    /// Into the lane, from a producer or off the ladder.
    pub(crate) fn enqueue(&mut self, mut copy: Copy) {
        self.positions += 1;
        copy.position = self.positions;
        copy.redelivered = false;
        copy.returns = 0;
        self.copies[copy.request] += 1;
        let queue = &mut self.lanes[copy.lane];
        match copy.high {
            true => queue.high.push_back(copy),
            false => queue.bulk.push_back(copy),
        }
    }

    pub(crate) fn climb(&mut self, request: RequestNo) {
        self.copies[request] += 1;
        self.on_ladder += 1;
    }

    /// Off the ladder and into the lane, in one step: dead-lettering is at-least-once.
    pub(crate) fn descend(&mut self, copy: Copy) {
        let request = copy.request;
        self.enqueue(copy);
        self.on_ladder -= 1;
        self.copies[request] -= 1;
    }

    pub(crate) fn has_several(&self, request: RequestNo) -> bool {
        self.copies[request] > 1
    }

    pub(crate) fn end(&mut self, request: RequestNo) {
        self.ended[request] = true;
    }

    pub(crate) fn subscribe(
        &mut self,
        lane: usize,
        worker: usize,
        priority: i32,
        prefetch: u16,
    ) -> ChannelId {
        self.channels += 1;
        let channel = self.channels;
        self.lanes[lane].consumers.push(Consumer {
            channel,
            worker,
            priority,
            prefetch: prefetch.into(),
            unacked: BTreeMap::new(),
        });
        channel
    }

    /// The channel is gone: what it held is back at the head.
    pub(crate) fn close(&mut self, channel: ChannelId) -> Vec<(Tag, RequestNo)> {
        for queue in &mut self.lanes {
            let Some(index) = queue.consumers.iter().position(|c| c.channel == channel) else {
                continue;
            };
            let consumer = queue.consumers.remove(index);
            let mut returned = vec![];
            for (tag, copy) in consumer.unacked {
                returned.push((tag, copy.request));
                queue.returned.insert(copy.position, copy.again());
            }
            return returned;
        }
        vec![]
    }

    /// Something is delivered on the channel, and not acknowledged.
    pub(crate) fn holds_some(&self, channel: ChannelId) -> bool {
        let mut consumers = self.lanes.iter().flat_map(|queue| &queue.consumers);
        consumers.any(|c| c.channel == channel && !c.unacked.is_empty())
    }

    /// The channel stays open, and what it held is back at the head.
    pub(crate) fn give_back(&mut self, channel: ChannelId) {
        for queue in &mut self.lanes {
            let consumers = queue.consumers.iter_mut();
            let Some(consumer) = consumers.into_iter().find(|c| c.channel == channel) else {
                continue;
            };
            for (_, copy) in std::mem::take(&mut consumer.unacked) {
                queue.returned.insert(copy.position, copy.again());
            }
        }
    }

    /// Nothing happens if the channel is gone. P1 is checked here, where a copy ceases to exist. Returns the request if that was its last.
    pub(crate) fn ack(
        &mut self,
        channel: ChannelId,
        tag: Tag,
    ) -> Result<Option<RequestNo>, Violation> {
        let consumers = self.lanes.iter_mut().flat_map(|q| &mut q.consumers);
        let Some(consumer) = consumers.into_iter().find(|c| c.channel == channel) else {
            return Ok(None);
        };
        let Some(copy) = consumer.unacked.remove(&tag) else {
            return Violation::of("P1", format!("delivery {tag} was acknowledged twice"));
        };
        let left = &mut self.copies[copy.request];
        *left -= 1;
        if *left == 0 && !self.ended[copy.request] {
            return Violation::of(
                "P1",
                format!(
                    "request {} was acknowledged, and neither a result nor another copy exists",
                    copy.request
                ),
            );
        }
        Ok((*left == 0).then_some(copy.request))
    }

    /// The next delivery of a lane, if somebody may have one.
    pub(crate) fn deliver(&mut self, lane: usize) -> Option<Delivery> {
        let queue = &mut self.lanes[lane];
        let channel = queue.elect()?;
        let consumer = queue
            .consumers
            .iter()
            .position(|c| c.channel == channel)
            .filter(|index| {
                let consumer = &queue.consumers[*index];
                consumer.unacked.len() < consumer.prefetch
            })?;
        let copy = queue.pop()?;
        self.tags += 1;
        let consumer = &mut queue.consumers[consumer];
        consumer.unacked.insert(self.tags, copy.clone());
        Some(Delivery {
            worker: consumer.worker,
            channel,
            tag: self.tags,
            copy,
        })
    }

    /// What is left when all is over.
    pub(crate) fn left(&self) -> Option<String> {
        let waiting = |queue: &Queue| queue.returned.len() + queue.high.len() + queue.bulk.len();
        let unacked = |queue: &Queue| {
            queue
                .consumers
                .iter()
                .map(|c| c.unacked.len())
                .sum::<usize>()
        };
        let waiting: usize = self.lanes.iter().map(waiting).sum();
        let unacked: usize = self.lanes.iter().map(unacked).sum();
        let left = waiting + unacked + self.on_ladder;
        (left > 0).then(|| {
            format!(
                "{waiting} waiting, {unacked} unacknowledged, {} on the ladder",
                self.on_ladder
            )
        })
    }

    /// The first request that nothing keeps and nobody answered.
    pub(crate) fn lost(&self, published: impl Fn(RequestNo) -> bool) -> Option<RequestNo> {
        (0..self.copies.len()).find(|&r| published(r) && self.copies[r] == 0 && !self.ended[r])
    }
}

impl Queue {
    /// Who gets the next delivery. A superseded consumer keeps the lane until it holds nothing, and gets nothing more.
    fn elect(&mut self) -> Option<ChannelId> {
        let best = self
            .consumers
            .iter()
            .rev()
            .max_by_key(|consumer| consumer.priority)?;
        let (best, best_priority) = (best.channel, best.priority);
        let active = self
            .consumers
            .iter()
            .find(|consumer| Some(consumer.channel) == self.active);
        match active {
            Some(active) if active.priority >= best_priority => {}
            Some(active) if !active.unacked.is_empty() => return None,
            Some(_) | None => self.active = Some(best),
        }
        self.active
    }

    fn pop(&mut self) -> Option<Copy> {
        if let Some((_, copy)) = self.returned.pop_first() {
            return Some(copy);
        }
        let bulk_is_due = self.high_in_a_row >= 2 && !self.bulk.is_empty();
        if self.high.is_empty() || bulk_is_due {
            self.high_in_a_row = 0;
            return self.bulk.pop_front();
        }
        self.high_in_a_row += 1;
        self.high.pop_front()
    }
}

/// Milliseconds of the ladder, in the simulation's microseconds.
pub(crate) fn seconds(seconds: u32) -> Us {
    Us::from(seconds) * 1_000_000
}
