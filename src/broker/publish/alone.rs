//! Publishing what may be what ends sessions: one at a time, on a connection where it can end nothing of others'.

use super::{CLOSED, Confirmed, Letter, NotConfirmed, Publisher, confirmed, publish_by};
use crate::broker::aside::Line;
use crate::broker::connect::{is_forced, is_of_a_channel};
use crate::broker::session::Session;
use lapin::Confirmation;
use std::time::Duration;
use tokio::sync::MutexGuard;

/// How long a session must outlive that connection, to show that it was this publish's fault.
const VERDICT: Duration = Duration::from_secs(1);

/// How long the next one waits for a confirm of this: RabbitMQ fails at once at what it fails at.
const PATIENCE: Duration = Duration::from_secs(1);

impl Publisher {
    pub(super) async fn alone(
        &self,
        session: &Session,
        letter: &Letter<'_>,
    ) -> Result<Confirmed, NotConfirmed> {
        tokio::select! {
            published = self.aside(session, letter) => published,
            // Then it was not this one's fault, or nobody can know.
            _ = session.ended() => Err(NotConfirmed::Lost),
        }
    }

    async fn aside(
        &self,
        session: &Session,
        letter: &Letter<'_>,
    ) -> Result<Confirmed, NotConfirmed> {
        let (lane, exchange) = (letter.lane, letter.exchange);
        loop {
            let mut turn = self.aside.turn.lock().await;
            let (line, is_new) = match self.aside.line(&mut turn).await {
                Ok(line) => line,
                Err(error) => {
                    tracing::warn!(%error, "no connection for a publish that may be what ends sessions");
                    // Rather with all others again than never.
                    self.aside.suspects().forget(lane, letter.id);
                    return Err(NotConfirmed::Refused("unconfirmed"));
                }
            };
            let published = self.on_line(session, &line, turn, letter).await;
            let error = match published {
                Ok(confirmation) => return confirmed(confirmation),
                Err(error) => error,
            };
            if is_forced(&error) {
                return Err(NotConfirmed::Refused(CLOSED));
            }
            if !line.is_open() && !is_new {
                // The line may have ended before, of idleness: that shows nothing.
                continue;
            }
            if !line.is_open() {
                // Before it is certain: what follows may be like it.
                self.aside.suspects().ended_alone(lane);
            }
            tokio::time::sleep(VERDICT).await;
            if is_of_a_channel(&error) && line.is_open() {
                return Err(NotConfirmed::Refused(CLOSED));
            }
            self.aside.suspects().ended_alone(lane);
            tracing::warn!(
                phone_number_id = self.refusals.served(lane),
                exchange,
                "a publish ends the connection that it is made on"
            );
            return Err(NotConfirmed::Ended);
        }
    }

    /// Holds up the next one for as long as it may be what ends connections.
    async fn on_line(
        &self,
        session: &Session,
        line: &Line,
        mut turn: MutexGuard<'_, Option<Line>>,
        letter: &Letter<'_>,
    ) -> Result<Confirmation, lapin::Error> {
        let publishing = publish_by(&line.channel, letter, &self.writer);
        tokio::pin!(publishing);
        if let Ok(published) = tokio::time::timeout(PATIENCE, &mut publishing).await {
            return published;
        }
        // The publish has ended nothing. The connection is its own from now on, and the next one opens another.
        let is_late = !session.is_blocked();
        let _late = is_late.then(|| self.refusals.late(letter.lane, letter.exchange));
        let _kept = tokio::select! {
            published = &mut publishing => return published,
            kept = self.aside.kept.acquire() => kept,
        };
        *turn = None;
        drop(turn);
        publishing.await
    }
}
