//! A lane is left, step by step as its driver says. Nothing else happens to the lane meanwhile.

use super::allowance::us;
use super::broker::ChannelId;
use super::checks::Checked;
use super::flaws::Flaw;
use super::plan::RequestNo;
use super::publishing::Held;
use super::worker::Who;
use super::world::{Event, Simulation};
use std::collections::BTreeSet;
use whatsapp_dispatcher::core::fleet::holds::News;
use whatsapp_dispatcher::core::fleet::tenure::{Legacy, Unread, Unsent};
use whatsapp_dispatcher::core::lane::driver::{Command, LeaveStep};
use whatsapp_dispatcher::core::request::recent::Identity;

/// As in `lane_task/leave.rs` and `lane_task/consumer.rs`.
const TELL_PATIENCE: u64 = 1_000_000;
const LEAVE_PATIENCE: u64 = 10_000_000;
const COMES_AGAIN: u64 = 500_000;
const ALL_CAME_AGAIN: u64 = 10_000;

/// What a lane that leaves has to remember.
#[derive(Default)]
pub(crate) struct Leaving {
    /// Which step it waits for.
    pub(super) step: u64,
    /// The channel is being closed: what was delivered on it meanwhile is read by nobody.
    closing: Option<ChannelId>,
    unread: Vec<Unread>,
    /// All that came while it was being left, by the second account: request, hops, returns.
    pub(super) came: BTreeSet<(RequestNo, u32, u64)>,
    /// The worker ends with it.
    pub(super) is_final: bool,
    /// What nobody does before the lane is left.
    pub(super) later: Vec<Command<Held>>,
}

impl Simulation {
    pub(super) fn waits_for_the_end_of_leaving(
        &mut self,
        who: Who,
        command: &Command<Held>,
    ) -> bool {
        let waits = match command {
            Command::Refuse { .. } | Command::Ask { .. } | Command::Conclude { .. } => true,
            Command::Claim
            | Command::Check(_)
            | Command::Recall(_)
            | Command::Upload(_)
            | Command::Send(_)
            | Command::Void(_)
            | Command::Found(_)
            | Command::ReadLimit
            | Command::Overruled
            | Command::NoDelivery(_) => false,
        };
        waits && self.shell_mut(who).driver.is_leaving()
    }

    /// Goes on until it has to wait for something.
    pub(super) fn leave_on(&mut self, who: Who) -> Checked {
        while let Some(wait) = self.leave_step(who)? {
            if wait == Wait::Nothing {
                self.perform_all(who)?;
                continue;
            }
            if let Wait::Until(at) = wait {
                let step = self.shell_mut(who).leaving.step;
                self.at(at, Event::Leave(who, step));
            }
            return Ok(());
        }
        self.left(who)
    }

    /// `None`: it is over.
    fn leave_step(&mut self, who: Who) -> Result<Option<Wait>, super::checks::Violation> {
        let now = self.now_us;
        let shell = self.shell_mut(who);
        shell.leaving.step += 1;
        let step = shell.driver.leave_step(shell.opening_prefetch);
        Ok(Some(match step {
            LeaveStep::TellHolds => {
                if !self.has_told(who) {
                    return Ok(Some(Wait::Until(now + TELL_PATIENCE)));
                }
                self.shell_mut(who).driver.others_told();
                Wait::Nothing
            }
            LeaveStep::FinishOpening => {
                if shell.is_opening {
                    return Ok(Some(Wait::ForOthers));
                }
                shell.driver.opening_finished();
                Wait::Nothing
            }
            LeaveStep::Listen { quiet } => {
                if shell.channel.is_some() {
                    return Ok(Some(Wait::Until(now + us(quiet))));
                }
                shell.driver.heard_out();
                Wait::Nothing
            }
            LeaveStep::AwaitClaim => {
                let until = shell.driver.claim_until().map_or(now, us);
                Wait::Until(until.max(now))
            }
            LeaveStep::TellUnsent(unsent) => {
                self.tell_unsent(who, unsent);
                let is_hasty = self.flaw == Some(Flaw::ClosesUntold);
                if is_hasty || self.has_told(who) {
                    self.shell_mut(who).driver.others_told();
                    return Ok(Some(Wait::Nothing));
                }
                Wait::Until(now + LEAVE_PATIENCE)
            }
            LeaveStep::GiveBack => {
                self.check_told_if_held(who)?;
                self.give_back(who);
                Wait::Until(now + COMES_AGAIN)
            }
            LeaveStep::Close => {
                self.check_told_if_held(who)?;
                self.close(who)
            }
            LeaveStep::Left => return Ok(None),
        }))
    }

    fn tell_unsent(&mut self, who: Who, mut unsent: Unsent) {
        if self.flaw == Some(Flaw::TellsNothingUnsent) {
            unsent.clear();
        }
        // So that a seed replays to the letter.
        unsent.sort_by(|one, other| {
            let key = |(identity, count): &(Identity, u64)| {
                (identity.id().to_owned(), identity.hops(), *count)
            };
            key(one).cmp(&key(other))
        });
        self.note_unsent(who, &unsent);
        let now = self.now_of(who.worker);
        let Some(board) = &mut self.processes[who.worker].board else {
            return;
        };
        let Some(reach) = board.reach(who.lane) else {
            return;
        };
        let record = board.holds.record(reach, News::Left { unsent }, now);
        self.share(who.worker, record);
    }

    fn check_told_if_held(&mut self, who: Who) -> Checked {
        let channel = self.shell_mut(who).channel;
        match channel.is_some_and(|channel| self.broker.holds_some(channel)) {
            true => self.check_told(who),
            false => Ok(()),
        }
    }

    /// All that the channel holds goes back, while it is open.
    fn give_back(&mut self, who: Who) {
        if let Some(channel) = self.shell_mut(who).channel {
            self.flush(channel);
            let at = self.frame(channel, false);
            self.at(at, Event::GivenBack(channel));
        }
    }

    fn close(&mut self, who: Who) -> Wait {
        if let Some(channel) = self.shell_mut(who).channel {
            self.flush(channel);
        }
        let Some(channel) = self.shell_mut(who).channel.take() else {
            let shell = self.shell_mut(who);
            shell.claim = None;
            shell.driver.closed(false, vec![]);
            shell.conduct.channel_lost();
            return Wait::Nothing;
        };
        self.note(|| format!("{who} gives its lane back"));
        self.tally.count("lane given back");
        let at = self.frame(channel, false);
        self.at(at, Event::ChannelClosed(channel));
        self.shell_mut(who).leaving.closing = Some(channel);
        // Behind all that was delivered.
        let back = self.plan.network.broker_us + self.hop();
        Wait::Until(at + back)
    }

    /// What the lane waited for has come, or its patience is over.
    pub(super) fn leave_goes_on(&mut self, who: Who, step: u64) -> Checked {
        let is_current = self.is_alive(who) && self.shell_mut(who).leaving.step == step;
        if !is_current || !self.shell_mut(who).driver.is_leaving() {
            return Ok(());
        }
        self.finish_step(who, true);
        self.perform_all(who)?;
        self.leave_on(who)
    }

    fn finish_step(&mut self, who: Who, in_order: bool) {
        let now = self.now();
        let shell = self.shell_mut(who);
        match shell.driver.leave_step(shell.opening_prefetch) {
            LeaveStep::TellHolds | LeaveStep::TellUnsent(_) => shell.driver.others_told(),
            LeaveStep::FinishOpening => shell.driver.opening_finished(),
            LeaveStep::Listen { .. } => shell.driver.heard_out(),
            LeaveStep::AwaitClaim => shell.driver.claimed(Legacy::default(), now),
            LeaveStep::GiveBack => {
                let unread = std::mem::take(&mut shell.leaving.unread);
                let is_noticed = shell.flaw != Some(Flaw::TellsOnce);
                shell
                    .driver
                    .given_back(if is_noticed { unread } else { vec![] });
            }
            LeaveStep::Close => {
                shell.leaving.closing = None;
                shell.claim = None;
                let unread = std::mem::take(&mut shell.leaving.unread);
                if in_order {
                    shell.conduct.left();
                }
                shell.conduct.channel_lost();
                shell.driver.closed(in_order, unread);
            }
            LeaveStep::Left => {}
        }
    }

    /// Its channel is gone: whatever it waits for will not come.
    pub(super) fn leave_at_once(&mut self, who: Who) -> Checked {
        self.shell_mut(who).channel = None;
        self.shell_mut(who).is_opening = false;
        while self.shell_mut(who).driver.is_leaving() {
            self.finish_step(who, false);
            self.perform_all(who)?;
        }
        self.end_of_leaving(who)
    }

    /// What waited for that. True if the worker ends with it.
    fn end_of_leaving(&mut self, who: Who) -> Checked {
        let later = std::mem::take(&mut self.shell_mut(who).leaving.later);
        if !self.shell_mut(who).leaving.is_final {
            for command in later {
                self.perform(who, command)?;
            }
            return Ok(());
        }
        for command in later {
            if let Command::Conclude { delivery, .. } = command {
                self.fates.let_go(delivery.request);
            }
        }
        self.shell_mut(who).drained = true;
        self.lane_drained(who);
        Ok(())
    }

    fn left(&mut self, who: Who) -> Checked {
        self.shell_mut(who).leaving.came.clear();
        self.perform_all(who)?;
        self.end_of_leaving(who)?;
        if !self.is_alive(who) || self.shell_mut(who).drained {
            return Ok(());
        }
        // What a shell did that asked only before it left.
        if self.flaw == Some(Flaw::NeverRejoins) {
            return self.rest(who, None);
        }
        self.obey(who)?;
        self.turn(who)
    }

    /// Something was delivered to a lane that leaves.
    pub(super) fn take_while_leaving(&mut self, who: Who, held: Held) -> Checked {
        let now = self.now();
        let unread = self.unread_of(&held);
        let shell = self.shell_mut(who);
        let copy = &held.copy;
        let came = (copy.request, copy.history.hops, copy.returns);
        shell.leaving.came.insert(came);
        if shell.leaving.closing == Some(held.channel) {
            shell.leaving.unread.push(unread);
            return Ok(());
        }
        if shell.channel != Some(held.channel) {
            return Ok(());
        }
        match shell.driver.leave_step(shell.opening_prefetch) {
            LeaveStep::GiveBack => {
                shell.conduct.came_again(&held.copy);
                shell.leaving.unread.push(unread);
                if held.copy.redelivered {
                    let step = shell.leaving.step;
                    self.tally.count("came again as it was given back");
                    self.at(self.now_us + ALL_CAME_AGAIN, Event::Leave(who, step));
                }
                Ok(())
            }
            LeaveStep::Listen { .. } | LeaveStep::FinishOpening => {
                shell.driver.delivered(held, now);
                self.perform_all(who)?;
                self.leave_on(who)
            }
            // It is read when the client is asked for the next delivery, which is as the channel is closed.
            LeaveStep::TellHolds
            | LeaveStep::AwaitClaim
            | LeaveStep::TellUnsent(_)
            | LeaveStep::Close
            | LeaveStep::Left => {
                shell.leaving.unread.push(unread);
                Ok(())
            }
        }
    }

    fn unread_of(&self, held: &Held) -> Unread {
        let (facts, history) = (&self.plan.requests[held.request], &held.copy.history);
        let id = facts.id.as_deref().unwrap_or_default();
        Unread {
            identity: Identity::new(id, history.hops, facts.incarnation),
            delivery_count: held.copy.returns,
            is_doubtful: held.copy.redelivered
                || history.possible_duplicate
                || history.copied_ms > 0,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// It goes on at once.
    Nothing,
    /// For something, but no longer than until then.
    Until(u64),
    /// For something that surely comes.
    ForOthers,
}
