//! The names of exchanges and queues.

pub const SEND: &str = "wa.send";
pub const LANE_PREFIX: &str = "wa.lane.";
/// Where every operation goes that is no message.
pub const OPERATIONS: &str = "wa.operations";
pub const ACCOUNT_PREFIX: &str = "wa.account.";
/// The beginning of the id of an account's lane. An id of Meta's has no dot, so no number's lane has such an id.
pub const ACCOUNT_LANE: &str = "account.";
pub const RESULTS: &str = "wa.results";
pub const RESULTS_LOG: &str = "wa.results.log";
pub const UNROUTED: &str = "wa.unrouted";
pub const DEAD: &str = "wa.dead";
pub const LANES_LOG: &str = "wa.lanes.log";
pub const TENURES_LOG: &str = "wa.tenures.log";
/// The log of what was uploaded for messages that say `media`.
pub const MEDIA_LOG: &str = "wa.media.log";
pub const EVENTS: &str = "wa.events";
/// The prefix of the rungs of the ladder, before their number.
pub const DELAY: &str = "wa.delay";
/// Where a delayed request leaves the ladder.
pub const DELAY_OUT: &str = "wa.delay.out";

/// The queue of a lane: `wa.lane.<phone_number_id>`, or `wa.account.<waba_id>` of an account's.
pub fn lane_queue(lane: &str) -> String {
    match lane.strip_prefix(ACCOUNT_LANE) {
        Some(waba_id) => format!("{ACCOUNT_PREFIX}{waba_id}"),
        None => format!("{LANE_PREFIX}{lane}"),
    }
}

/// The id of an account's lane.
pub fn account_lane(waba_id: &str) -> String {
    format!("{ACCOUNT_LANE}{waba_id}")
}

/// The lane whose queue this is.
pub fn lane_of_queue(queue: &str) -> Option<String> {
    let number = queue.strip_prefix(LANE_PREFIX).map(str::to_owned);
    number.or_else(|| queue.strip_prefix(ACCOUNT_PREFIX).map(account_lane))
}

/// The exchange (and queue) of one rung.
pub fn rung(rung: u32) -> String {
    format!("{DELAY}.{rung}")
}

/// The queues beside the lanes that operators want to know the depth of; the rungs of the ladder are one.
pub const WATCHED: [&str; 3] = [DEAD, UNROUTED, DELAY];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_has_its_queue() {
        for (lane, queue) in [("106", "wa.lane.106"), ("account.102", "wa.account.102")] {
            assert_eq!(lane_queue(lane), queue);
            assert_eq!(lane_of_queue(queue).as_deref(), Some(lane));
        }
        assert_eq!(lane_of_queue("wa.dead"), None);
    }
}
