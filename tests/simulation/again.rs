//! Requests as they are published, and ids that are published more than once.

use super::Us;
use super::broker::Copy;
use super::chance::Chance;
use super::plan::{Mishap, Plan, Request, RequestNo, WALL_START_MS};
use super::world::{Event, Simulation};
use whatsapp_dispatcher::contract::request::History;

/// Stamps some of the requests, and adds more of the same ids.
pub(crate) fn publish_again(plan: &mut Plan, span: Us, chance: &mut Chance) {
    let loses = |mishap: &Mishap| {
        matches!(
            mishap,
            Mishap::SessionLost { .. }
                | Mishap::ChannelLost { .. }
                | Mishap::Stopped { .. }
                | Mishap::BrokerLost { .. }
        )
    };
    // A delivery that ends its connection is lost with acknowledgements, and comes again although the worker has not seen it.
    let is_lossy =
        plan.undeliverable.is_some() || plan.mishaps.iter().any(|(_, mishap)| loses(mishap));
    let is_quiet = plan.workers == 1 && !is_lossy;
    let stamped = chance.pick(&[0, 50, 100]);
    for (no, request) in plan.requests.iter_mut().enumerate() {
        let is_stamped = chance.percent(stamped);
        request.incarnation = is_stamped.then(|| WALL_START_MS - 1 - no as u64);
    }
    let again = published_again(&plan.requests, is_quiet, span, chance);
    plan.requests.extend(again);
}

/// The same ids once more, by an upstream or from `wa.dead`: at any time if a stamp tells them apart. `is_quiet`: no acknowledgement is
/// ever lost but with all that its worker knew. Then nothing need tell them apart once the first has ended.
fn published_again(
    requests: &[Request],
    is_quiet: bool,
    span: Us,
    chance: &mut Chance,
) -> Vec<Request> {
    let percent = chance.pick(&[0, 0, 20]);
    let mut again = vec![];
    for (first, request) in requests.iter().enumerate() {
        if request.id.is_none() || !chance.percent(percent) {
            continue;
        }
        let waits = chance.percent(50);
        let is_stamped = !waits || !is_quiet || chance.percent(50);
        again.push(Request {
            after: waits.then_some(first),
            at: chance.within(0..=span),
            incarnation: is_stamped.then(|| WALL_START_MS + first as u64),
            ..request.clone()
        });
    }
    again
}

impl Simulation {
    pub(super) fn publish(&mut self, request: RequestNo) {
        let facts = &self.plan.requests[request];
        let copy = Copy {
            request,
            lane: facts.lane,
            high: facts.high,
            history: History::default(),
            redelivered: false,
            returns: 0,
            position: 0,
        };
        let lane = facts.lane;
        let name = format!("{:?}, stamped {:?}", facts.id, facts.incarnation);
        self.note(|| format!("request {request} ({name}) is published to lane {lane}"));
        self.broker.enqueue(copy);
        let publication = self.publications.len() as u64 + 1;
        self.publications.insert(request, publication);
        self.fates.published(request);
        self.deliver_all(lane);
    }

    /// Who waited for the end of the first publishes the same id once more.
    pub(super) fn publish_again_after(&mut self, ended: RequestNo) {
        for request in 0..self.plan.requests.len() {
            let is_next = self.plan.requests[request].after == Some(ended);
            if is_next && self.published_again.insert(request) {
                self.tally.count("published again");
                let later = self.chance.within(0..=2_000_000);
                self.after(later, Event::Publish(request));
            }
        }
    }
}
