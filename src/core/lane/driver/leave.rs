//! How a lane is left: its channel is closed with nothing in flight, and RabbitMQ gets back what waits. Whoever gets it next must know what
//! of it was surely not sent, and know that before RabbitMQ hands it out.

use super::leaving::{LeaveStep, Leaving, Stage};
use super::{Command, Driver};
use crate::core::fleet::tenure::{Unread, unsent_of_unread};
use std::time::Duration;

/// How long nothing may come before nothing is on its way: to a lane that holds as much as RabbitMQ may have given it, and to one that
/// holds less, which more may reach as long as RabbitMQ is busy with hundreds that leave together.
const ON_ITS_WAY: Duration = Duration::from_millis(10);
const MORE_ON_ITS_WAY: Duration = Duration::from_millis(250);

impl<D> Driver<D> {
    /// The lane gives its messages back.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// The lane has drained, and is left for good.
    pub fn leave(&mut self) {
        self.leaving = Some(Leaving::at(Stage::Opening));
    }

    /// Says what comes next. `prefetch`: what the channel was opened with.
    pub fn leave_step(&mut self, prefetch: u16) -> LeaveStep {
        let turned_back = self.lane.turned_back();
        if self.deliveries.is_empty() && self.under_way == 0 && turned_back == 0 {
            self.go_on(Stage::GivingBack, Stage::Closing);
        }
        let Some(leaving) = &self.leaving else {
            return LeaveStep::Left;
        };
        match leaving.stage {
            Stage::Holds => LeaveStep::TellHolds,
            Stage::Opening => LeaveStep::FinishOpening,
            Stage::Listening => {
                // With nothing acknowledged since, no more comes than the prefetch allows.
                let held = self.deliveries.len() + self.unclaimed.len() + turned_back;
                let is_full = held >= usize::from(prefetch);
                let quiet = if is_full { ON_ITS_WAY } else { MORE_ON_ITS_WAY };
                LeaveStep::Listen { quiet }
            }
            Stage::Claiming => LeaveStep::AwaitClaim,
            Stage::Unsent | Stage::UnsentAgain => LeaveStep::TellUnsent(self.lane.surely_unsent()),
            Stage::GivingBack => LeaveStep::GiveBack,
            Stage::Closing => LeaveStep::Close,
            // The next owner waits a moment before it doubts what was delivered before.
            Stage::Unread => LeaveStep::TellUnsent(leaving.news.clone()),
        }
    }

    fn is_at(&self, stage: Stage) -> bool {
        let leaving = self.leaving.as_ref();
        leaving.is_some_and(|leaving| leaving.stage == stage)
    }

    fn go_on(&mut self, from: Stage, to: Stage) -> bool {
        match &mut self.leaving {
            Some(leaving) if leaving.stage == from => {
                leaving.stage = to;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The consumer is open or is not, and is not being opened.
    pub fn opening_finished(&mut self) {
        let is_anothers = !self.unclaimed.is_empty() && self.ownership.is_none();
        if self.go_on(Stage::Opening, Stage::Listening)
            && let Some(leaving) = &mut self.leaving
        {
            leaving.is_anothers = is_anothers;
        }
    }

    /// Nothing has come for long enough, or the channel is gone.
    pub fn heard_out(&mut self) {
        if self.go_on(Stage::Listening, Stage::Claiming) && !self.ownership.is_asked() {
            self.leave_once_claimed();
        }
    }

    /// Whether the lane was ours yet or not: whoever gets its deliveries next must learn whose they were. Unless it is another's already.
    pub(super) fn leave_once_claimed(&mut self) {
        if !self.go_on(Stage::Claiming, Stage::Unsent) {
            return;
        }
        let unclaimed = self.unclaimed.drain(..).map(Command::Check);
        self.commands.extend(unclaimed);
        if !self.ownership.is_held() {
            self.go_on(Stage::Unsent, Stage::GivingBack);
        }
    }

    /// The others can know, or patience is over.
    pub fn told(&mut self) {
        if self.is_at(Stage::Unread) {
            self.leaving = None;
        }
        let _ = self.go_on(Stage::Holds, Stage::Opening)
            || self.go_on(Stage::Unsent, Stage::GivingBack)
            || self.go_on(Stage::UnsentAgain, Stage::Closing);
    }

    /// RabbitMQ has back what the channel held. `came_again`: and has delivered it here once more, as nobody else waits for it. `unread`:
    /// what came meanwhile, in order.
    pub fn given_back(&mut self, came_again: bool, unread: Vec<Unread>) {
        self.note_unread(unread);
        if came_again {
            self.lane.delivered_again();
        }
        let next = if came_again && self.ownership.is_held() {
            Stage::UnsentAgain
        } else {
            Stage::Closing
        };
        self.go_on(Stage::GivingBack, next);
    }

    fn note_unread(&mut self, unread: Vec<Unread>) {
        if let Some(leaving) = &mut self.leaving {
            leaving.unread.extend(unread);
        }
    }

    /// The channel is closed. `in_order`: RabbitMQ says so, and so has every acknowledgement. `unread`: what it had delivered meanwhile.
    pub fn closed(&mut self, in_order: bool, unread: Vec<Unread>) {
        self.note_unread(unread);
        let told = self.lane.surely_unsent();
        if in_order {
            self.lane.left();
        }
        self.channel_lost();
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        leaving.news = unsent_of_unread(told, std::mem::take(&mut leaving.unread));
        leaving.stage = Stage::Unread;
        if leaving.news.is_empty() {
            self.leaving = None;
        }
    }
}
