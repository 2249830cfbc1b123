//! Acknowledgements that a worker keeps back for a moment, as `broker/acknowledge.rs` does.

use super::Us;
use super::broker::ChannelId;
use super::flaws::Flaw;
use super::publishing::Held;
use super::results_log::Unsettled;
use super::worker::Who;
use super::world::{Event, Simulation};

/// Longest that an acknowledgement is kept back.
const GATHER: Us = 100_000;

/// A delivery that is done, with what is unsettled until RabbitMQ is told.
pub(crate) type Done = (Who, Held, Unsettled);

impl Simulation {
    /// Keeps an acknowledgement back for a moment, together with others of the channel.
    pub(super) fn gather(&mut self, done: Done) {
        let (who, channel) = (done.0, done.1.channel);
        let gathered = self.gathered.entry(channel).or_default();
        gathered.push(done);
        if gathered.len() == 1 {
            let kept_back = self.chance.within(0..=GATHER);
            self.after(kept_back, Event::Flush(who, channel));
        }
    }

    /// Writes the acknowledgements that were kept back.
    pub(super) fn flush(&mut self, channel: ChannelId) {
        for (who, held, unsettled) in self.gathered.remove(&channel).unwrap_or_default() {
            let is_valid = self.shell_mut(who).channel == Some(channel);
            self.is_settled(who.worker, unsettled, is_valid);
            if self.flaw != Some(Flaw::AcknowledgesFirst) {
                self.acknowledge(who, &held);
            }
        }
    }

    pub(super) fn acknowledge(&mut self, who: Who, held: &Held) {
        if self.shell_mut(who).channel == Some(held.channel) {
            let at = self.frame(held.channel, false);
            self.at(at, Event::Ack(held.channel, held.tag));
        } else {
            self.tally.count("settled void");
        }
    }

    /// A process has ended: what it kept back is written by nobody.
    pub(super) fn drop_gathered(&mut self, worker: usize) {
        for gathered in self.gathered.values_mut() {
            gathered.retain(|(who, ..)| who.worker != worker);
        }
    }
}
