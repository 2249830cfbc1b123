//! The names of exchanges and queues.

pub const SEND: &str = "wa.send";
pub const LANE_PREFIX: &str = "wa.lane.";
pub const RESULTS: &str = "wa.results";
pub const RESULTS_LOG: &str = "wa.results.log";
pub const UNROUTED: &str = "wa.unrouted";
pub const DEAD: &str = "wa.dead";
pub const LANES_LOG: &str = "wa.lanes.log";
pub const TENURES_LOG: &str = "wa.tenures.log";
pub const EVENTS: &str = "wa.events";
/// The prefix of the rungs of the ladder, before their number.
pub const DELAY: &str = "wa.delay";
/// Where a delayed request leaves the ladder.
pub const DELAY_OUT: &str = "wa.delay.out";

pub fn lane_queue(phone_number_id: &str) -> String {
    format!("{LANE_PREFIX}{phone_number_id}")
}

/// The exchange (and queue) of one rung.
pub fn rung(rung: u32) -> String {
    format!("{DELAY}.{rung}")
}

/// The queues beside the lanes that operators want to know the depth of; the rungs of the ladder are one.
pub const WATCHED: [&str; 3] = [DEAD, UNROUTED, DELAY];
