//! Publishing what may be what ends sessions: one at a time, on a connection where it can end nothing of others'.

use super::{CLOSED, Confirmed, Letter, NotConfirmed, Publisher, confirmed, publish_by};
use crate::broker::delivery::Delivery;
use crate::broker::session::{Session, is_of_a_channel};
use std::time::Duration;

/// How long a session must outlive that connection, to show that it was this publish's fault.
const VERDICT: Duration = Duration::from_secs(1);

/// How long the next one waits for a confirm of this: RabbitMQ fails at once at what it fails at.
const PATIENCE: Duration = Duration::from_secs(1);

impl Publisher {
    pub(super) async fn alone(
        &self,
        session: &Session,
        delivery: &Delivery,
        letter: &Letter<'_>,
    ) -> Result<Confirmed, NotConfirmed> {
        tokio::select! {
            published = self.aside(session, delivery, letter) => published,
            // Then it was not this one's fault, or nobody can know.
            _ = session.ended() => Err(NotConfirmed::Lost),
        }
    }

    async fn aside(
        &self,
        session: &Session,
        delivery: &Delivery,
        letter: &Letter<'_>,
    ) -> Result<Confirmed, NotConfirmed> {
        let (lane, exchange) = (delivery.lane(), letter.exchange);
        let mut turn = self.aside.turn.lock().await;
        let line = match self.aside.line(&mut turn).await {
            Ok(line) => line,
            Err(error) => {
                tracing::warn!(%error, "no connection for a publish that may be what ends sessions");
                // Rather with all others again than never.
                self.aside.suspects().forget(lane, delivery.id());
                return Err(NotConfirmed::Refused("unconfirmed"));
            }
        };
        let publishing = publish_by(&line.channel, letter, &self.writer);
        tokio::pin!(publishing);
        let published = match tokio::time::timeout(PATIENCE, &mut publishing).await {
            Ok(published) => {
                drop(turn);
                published
            }
            Err(_) => {
                // It has ended nothing. The connection is its own from now on, and the next one opens another.
                *turn = None;
                drop(turn);
                let is_late = !session.is_blocked();
                let _late = is_late.then(|| self.refusals.late(lane, exchange));
                publishing.await
            }
        };
        let error = match published {
            Ok(confirmation) => return confirmed(confirmation),
            Err(error) => error,
        };
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
        Err(NotConfirmed::Ended)
    }
}
