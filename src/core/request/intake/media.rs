//! Header `media`: the files that a message names by link are uploaded, and it is sent with their ids.

use crate::contract::fault::Fault;
use crate::contract::request::{Header, Inbound, MEDIA, MEDIA_UPLOAD};
use crate::core::media::links::{self, Link};
use crate::core::operation::IntakeConfig;
use bytes::Bytes;
use std::sync::Arc;

/// The links of a message that has the header. `None`: there are none to see to.
pub(super) fn links(
    inbound: &Inbound<'_>,
    body: &Bytes,
    config: &IntakeConfig,
    faults: &mut Vec<Fault>,
) -> Option<Arc<[Link]>> {
    let header = inbound.media?;
    let at = format!("/@amqp/headers/{MEDIA}");
    if header != Header::Text(MEDIA_UPLOAD.as_bytes()) {
        faults.push(Fault::new(&at, format!("must be {MEDIA_UPLOAD:?}")));
        return None;
    }
    if inbound.account.is_some() {
        faults.push(Fault::new(&at, "is for messages, not for operations"));
        return None;
    }
    let links = links::find(body);
    for link in &links {
        if let Err(problem) = config.sources.check(&link.source.url) {
            faults.push(Fault::new(&link.at, problem));
        }
    }
    (!links.is_empty()).then(|| links.into())
}
