//! Of copies on the delay ladder: the record that says so, in the log of results. Whoever gets the original again need not move it again.

use super::Publisher;
use crate::broker::delivery::Delivery;
use crate::broker::headers;
use crate::broker::results_log;
use crate::broker::topology;
use crate::broker::ways::Way;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Confirmation};
use std::time::Duration;

/// Longest wait for the record of a copy. It is one more way to know of the copy, not the only one.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);

impl Publisher {
    /// Tells whoever gets the original again that its copy is on the ladder. Behind the copy's confirm, as a record without a copy would
    /// lose the request; before the acknowledgement. Best effort: what nobody knows of is looked for once the copy comes off the ladder.
    pub async fn note_copy(&self, delivery: &Delivery) {
        let session = self.sessions.borrow().clone();
        let Some(session) = session else {
            return;
        };
        let of_it = headers::of_a_record(delivery.hops(), delivery.incarnation());
        let key = results_log::key_of_copies(delivery.lane());
        let track = session.ways.track(Way::Copies);
        let writing = async {
            let Ok(_room) = track.room().await else {
                return Ok(false);
            };
            let channel = session.publishing_channel(track).await?;
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_message_id(delivery.id().into())
                .with_headers(of_it);
            let properties = headers::stamped(properties, self.writer.stamp());
            let (exchange, key) = (topology::RESULTS_LOG.into(), key.into());
            let options = BasicPublishOptions::default();
            let sent = channel.basic_publish(exchange, key, options, b"", properties);
            Ok::<_, lapin::Error>(sent.await?.await? == Confirmation::Ack(None))
        };
        let written = tokio::time::timeout(RECORD_PATIENCE, writing).await;
        if !matches!(written, Ok(Ok(true))) {
            tracing::debug!("wa.results.log did not take the record of a copy");
        }
    }
}
