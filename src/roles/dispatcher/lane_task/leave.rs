//! Leaving a lane, step by step as the driver says. Nothing else happens to the lane meanwhile.

use super::consumer::Event;
use super::{LaneTask, answered};
use crate::broker::delivery::Delivery;
use crate::core::fleet::tenure::{Legacy, Unread, Unsent};
use crate::core::lane::driver::LeaveStep;
use crate::core::request::recent::Identity;
use std::time::Duration;

/// Longest that a lane which stops waits for the other workers to be told why.
const TELL_PATIENCE: Duration = Duration::from_secs(1);

/// Longest that a lane which leaves waits for the others to be told what it gives back: with it, hundreds may leave. A log that takes
/// nothing at all is given up sooner.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

impl LaneTask {
    pub(super) async fn leave(&mut self) {
        let mut is_session_over = false;
        loop {
            self.perform();
            match self.driver.leave_step(self.consumer.prefetch()) {
                LeaveStep::TellHolds => {
                    self.common.board.wait_until_told(TELL_PATIENCE).await;
                    self.driver.others_told();
                }
                LeaveStep::FinishOpening => {
                    self.consumer.finish_opening().await;
                    self.driver.opening_finished();
                }
                LeaveStep::Listen { quiet } => is_session_over |= self.listen(quiet).await,
                LeaveStep::AwaitClaim => {
                    let legacy = self.claim_in_time().await;
                    self.claimed(legacy);
                }
                LeaveStep::TellUnsent(unsent) => {
                    self.tell(unsent).await;
                    self.driver.others_told();
                }
                LeaveStep::GiveBack => {
                    let unread = self.consumer.give_back().await;
                    self.driver.given_back(let_go(unread));
                }
                LeaveStep::Close => {
                    let (in_order, unread) = self.consumer.close().await;
                    self.driver.closed(in_order, let_go(unread));
                }
                LeaveStep::Left => break,
            }
        }
        if is_session_over {
            self.session_changed();
            self.perform();
        }
    }

    /// Takes what RabbitMQ has sent and the lane has not seen: it was not sent to the API either, and is to be told so. True if the session
    /// changed.
    async fn listen(&mut self, quiet: Duration) -> bool {
        if !self.consumer.is_open() {
            self.driver.heard_out();
            return false;
        }
        let clock = self.common.clock;
        let next = tokio::time::timeout(quiet, self.consumer.next(|| clock.now().mono));
        match next.await {
            Ok(Event::Delivered(delivery)) => self.arrive(delivery),
            Ok(Event::Reassigned) => {}
            Ok(Event::SessionChanged) => {
                self.driver.heard_out();
                return true;
            }
            // The channel is gone, or nothing comes: there is nothing to wait for.
            Ok(Event::Opened { .. } | Event::NotOpened(_) | Event::Lost(_)) | Err(_) => {
                self.driver.heard_out();
            }
        }
        false
    }

    async fn claim_in_time(&mut self) -> Legacy {
        let patience = self.driver.claim_until().unwrap_or_default();
        let until = self.common.clock.instant(patience);
        let claimed = tokio::time::timeout_at(until, answered(&mut self.claim));
        claimed.await.unwrap_or_default()
    }

    /// Told before RabbitMQ hands it to whoever takes the lane next.
    async fn tell(&mut self, unsent: Unsent) {
        let board = &self.common.board;
        board.leave(self.driver.id(), unsent, LEAVE_PATIENCE).await;
    }
}

/// Gives back what RabbitMQ delivered as the lane was left: it has it again.
fn let_go(unread: Vec<Delivery>) -> Vec<Unread> {
    let let_go = unread.into_iter().map(|delivery| {
        let inbound = delivery.inbound();
        let was_sent = inbound.history.possible_duplicate || inbound.history.copied_ms > 0;
        let unread = Unread {
            identity: Identity::new(delivery.id(), delivery.hops(), inbound.incarnation),
            delivery_count: inbound.delivery_count,
            is_doubtful: delivery.redelivered || was_sent,
        };
        delivery.give_back();
        unread
    });
    let_go.collect()
}
