//! Records of copies on the delay ladder, in the log of results. Whoever gets the original again need not move it again.

use crate::broker::delivery::Delivery;
use crate::broker::headers;
use crate::broker::publish::Publisher;
use crate::broker::results_log;
use crate::broker::ways::Way;
use crate::contract::names::RESULTS_LOG;
use crate::core::request::message::Message;
use lapin::BasicProperties;
use std::time::Duration;

/// Longest wait for the record of a copy. It is one more way to know of the copy, not the only one.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);

impl Publisher {
    /// Tells whoever gets the original again that its copy is on the ladder. Behind the copy's confirm, as a record without a copy would
    /// lose the request; before the acknowledgement. Best effort: what nobody knows of is looked for once the copy comes off the ladder.
    pub async fn note_copy(&self, delivery: &Delivery, copy: &Message, now_ms: u64) {
        let (incarnation, follows) = (delivery.incarnation(), copy.history.follows);
        let of_it = headers::of_a_record(delivery.hops(), incarnation, follows);
        let key = results_log::key_of_copies(&delivery.logged_as());
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(delivery.id().into())
            .with_timestamp(now_ms / 1000)
            .with_headers(of_it);
        let noting = self.note(Way::Copies, RESULTS_LOG, &key, properties);
        let noted = tokio::time::timeout(RECORD_PATIENCE, noting).await;
        if !matches!(noted, Ok(Ok(true))) {
            tracing::debug!("wa.results.log did not take the record of a copy");
        }
    }
}
