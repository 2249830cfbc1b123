//! How a lane is left: its channel is closed with nothing in flight, and RabbitMQ gets back what waits. Whoever gets it next must know what
//! of it was surely not sent, and know that before RabbitMQ hands it out.

use super::leaving::{LeaveStep, Leaving, Stage};
use super::{Command, Driver};
use crate::core::fleet::tenure::{UNSENT_MAX, Unread, Unsent, unsent_of_unread};
use crate::core::request::recent::Identity;
use std::collections::HashSet;
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
            Stage::Unsent => LeaveStep::TellUnsent(self.lane.surely_unsent()),
            Stage::GivingBack => LeaveStep::GiveBack,
            Stage::Closing => LeaveStep::Close,
            // At the last, the next owner waits a moment before it doubts what was delivered before.
            Stage::UnsentAgain | Stage::Unread => LeaveStep::TellUnsent(leaving.news.clone()),
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
    pub fn others_told(&mut self) {
        if self.is_at(Stage::Unread) {
            self.leaving = None;
        }
        let _ = self.go_on(Stage::Holds, Stage::Opening)
            || self.go_on(Stage::Unsent, Stage::GivingBack)
            || self.go_on(Stage::UnsentAgain, Stage::Closing);
    }

    /// RabbitMQ has back what the channel held. `unread`: what it delivered meanwhile, in order; that which nobody else waits for comes once
    /// more.
    pub fn given_back(&mut self, unread: Vec<Unread>) {
        let is_held = self.ownership.is_held();
        let unread = self.doubt(unread);
        let told = self.lane.surely_unsent();
        self.lane.came_again(&unread);
        let known = self.lane.surely_unsent();
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        if is_held {
            leaving.news = with_known(unsent_of_unread(told, unread), known);
        } else {
            leaving.unread = unread;
        }
        let next = if leaving.news.is_empty() {
            Stage::Closing
        } else {
            Stage::UnsentAgain
        };
        self.go_on(Stage::GivingBack, next);
    }

    /// Marks what came off the ladder and may be the copy of a request that was handled here: that is looked up.
    fn doubt(&self, mut unread: Vec<Unread>) -> Vec<Unread> {
        for delivery in &mut unread {
            delivery.is_doubtful |= self.lane.knows_of(&delivery.identity);
        }
        unread
    }

    /// The channel is closed. `in_order`: RabbitMQ says so, and so has every acknowledgement. `unread`: what it had delivered meanwhile.
    pub fn closed(&mut self, in_order: bool, unread: Vec<Unread>) {
        let unread = self.doubt(unread);
        let mut told = self.lane.surely_unsent();
        if in_order {
            self.lane.left();
        }
        self.channel_lost();
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        told.append(&mut leaving.news);
        leaving.unread.extend(unread);
        let news = unsent_of_unread(told.clone(), std::mem::take(&mut leaving.unread));
        leaving.news = with_known(news, told);
        leaving.stage = Stage::Unread;
        if leaving.news.is_empty() {
            self.leaving = None;
        }
    }
}

/// Adds what is known as well, if there is news: a record that was not sent yet makes way for the next one of its lane.
fn with_known(mut news: Unsent, known: Unsent) -> Unsent {
    if news.is_empty() {
        return news;
    }
    let named: HashSet<Identity> = news.iter().map(|(identity, _)| identity.clone()).collect();
    let others = known.into_iter();
    news.extend(others.filter(|(identity, _)| !named.contains(identity)));
    news.truncate(UNSENT_MAX);
    news
}
