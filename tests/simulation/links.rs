//! Connections that lanes are consumed on, and a delivery that ends the one it comes on; as `broker/links.rs` sees to them.

use super::Us;
use super::allowance::us;
use super::broker::{ChannelId, Copy, Tag};
use super::chance::Chance;
use super::checks::{Checked, ensure};
use super::flaws::Flaw;
use super::worker::Who;
use super::world::Simulation;
use std::sync::Arc;

/// What a new connection and its judgement take.
const RECONNECT: Us = 20_000;

/// How often a lane may lose its connection by another's delivery, in a worker's life: so few lanes are each alone after two ends.
const DISTURBED_MAX: u32 = 2;

/// From then until then the broker closes the connection at each delivery of a lane.
pub(crate) struct Undeliverable {
    pub(crate) lane: usize,
    pub(crate) from: Us,
    pub(crate) to: Us,
}

/// In some seeds. Drawn apart from all else, which stays as it was.
pub(crate) fn undeliverable(lanes: usize, span: Us, seed: u64) -> Option<Undeliverable> {
    let mut chance = Chance::new(seed ^ 0x011e_5cb1);
    if chance.percent(70) {
        return None;
    }
    let from = chance.within(0..=span);
    Some(Undeliverable {
        lane: chance.within(0..=lanes as u64 - 1) as usize,
        from,
        to: chance.within(from..=span),
    })
}

impl Simulation {
    pub(super) fn delivered(
        &mut self,
        who: Who,
        channel: ChannelId,
        tag: Tag,
        copy: Copy,
    ) -> Checked {
        let is_open = self.is_alive(who) && self.shell_mut(who).channel == Some(channel);
        if is_open && self.is_undeliverable(who.lane) {
            return self.end_link(who);
        }
        self.take(who, channel, tag, copy)
    }

    /// The broker cannot make this lane's next delivery.
    fn is_undeliverable(&self, lane: usize) -> bool {
        let of = self.plan.undeliverable.as_ref();
        of.is_some_and(|of| of.lane == lane && (of.from..of.to).contains(&self.now_us))
    }

    /// It closes the connection instead, with all lanes on it.
    fn end_link(&mut self, who: Who) -> Checked {
        self.tally.count("connection ended by a delivery");
        self.note(|| format!("a delivery of {who} ends its connection"));
        let (now, now_us) = (self.now().mono, self.now_us);
        let ids: Vec<Arc<str>> = self
            .plan
            .lanes
            .iter()
            .map(|lane| lane.id.as_str().into())
            .collect();
        let process = &self.processes[who.worker];
        let link_of = |lane: usize| process.quarantine.assignment(&ids[lane]).link;
        let link = link_of(who.lane);
        let is_member = |other: &Who| {
            let shell = &process.shells[other.lane];
            link_of(other.lane) == link && (shell.channel.is_some() || shell.is_opening)
        };
        let members: Vec<Who> = self
            .whos(who.worker)
            .into_iter()
            .filter(is_member)
            .collect();
        let lanes: Vec<Arc<str>> = members.iter().map(|who| ids[who.lane].clone()).collect();
        if self.flaw != Some(Flaw::SharesForEver) {
            self.processes[who.worker]
                .quarantine
                .ended(link, &lanes, now);
        }
        for member in &members {
            if member.lane != who.lane {
                let shell = self.shell_mut(*member);
                shell.disturbed += 1;
                let times = shell.disturbed;
                ensure(times <= DISTURBED_MAX, "isolation", || {
                    format!("{member} lost its connection {times} times by another's delivery")
                })?;
            }
            if let Some(channel) = self.shell_mut(*member).channel {
                self.channel_gone_unseen(channel);
            }
            let assigned = self.processes[who.worker]
                .quarantine
                .assignment(&ids[member.lane]);
            self.lose_channel(*member, us(assigned.not_before).max(now_us + RECONNECT))?;
        }
        if self.processes[who.worker]
            .quarantine
            .apart(&ids[who.lane])
            .is_some()
        {
            self.tally.count("lane apart");
        }
        for member in members {
            self.turn(member)?;
        }
        Ok(())
    }

    /// What was on its way counts as delivered, and the worker has not seen it: it cannot tell that from another's having had it.
    fn channel_gone_unseen(&mut self, channel: ChannelId) {
        for (tag, request) in self.broker.close(channel) {
            let is_scheduled = self.scheduled.contains(&tag);
            self.fates.lost_sight(request, is_scheduled);
            if self.broker.has_several(request) {
                self.fates.has_twin(request);
            }
        }
        self.deliver_everywhere();
    }

    /// How many deliveries a lane may hold on the connection that it is on.
    pub(super) fn ready_on_link(&self, who: Who, prefetch: u16) -> u16 {
        let id = &self.plan.lanes[who.lane].id;
        let assigned = self.processes[who.worker].quarantine.assignment(id);
        assigned.at_most(prefetch)
    }
}
