//! The delay ladder's arithmetic: 2^0 … 2^21 second rungs, one quorum queue each, and a routing key that spells which of them to visit.
//!
//! A delayed request is published to the exchange of its highest set bit. There, the word of its routing key that belongs to that rung says
//! "1" (wait here: TTL queue, dead-lettered to the next exchange below) or "0" (pass on at once). Below rung 0 stands the exchange that
//! leads to the lanes. So a delay of any length walks down inside the broker and comes past no worker. Each queue has one fixed TTL, so
//! nobody waits behind a longer delay. (The same idea carries NServiceBus' delayed delivery on RabbitMQ.)

/// Rungs 0 to 21: 4,194,303 s or 48 days at most; requests are kept to 30 days by intake.
pub const RUNGS: u32 = 22;
/// The longest delay that is asked for, in seconds: 30 days.
pub const MAX_DELAY_S: u32 = 30 * 24 * 3600;

/// Bounds a delay by what the ladder can do: a second at least, 30 days at most.
fn bounded(delay_s: u32) -> u32 {
    delay_s.clamp(1, MAX_DELAY_S)
}

/// The rung to enter at.
pub fn entry(delay_s: u32) -> u32 {
    bounded(delay_s).ilog2()
}

/// `b21.b20. … .b0.<lane>`: one word per rung, highest first, then the lane.
pub fn routing_key(delay_s: u32, lane: &str) -> String {
    let delay_s = bounded(delay_s);
    let mut key = String::with_capacity(2 * RUNGS as usize + lane.len());
    for rung in (0..RUNGS).rev() {
        key.push_str(if delay_s & (1 << rung) != 0 {
            "1."
        } else {
            "0."
        });
    }
    key.push_str(lane);
    key
}

/// The binding pattern that matches keys whose word for `rung` is `bit`.
pub fn pattern(rung: u32, bit: bool) -> String {
    let mut pattern = "*.".repeat((RUNGS - 1 - rung) as usize);
    pattern.push_str(if bit { "1.#" } else { "0.#" });
    pattern
}

/// The lane named by a key that came off the ladder. Any other key names what it says as a whole, also if it ends like a lane.
pub fn lane_of(routing_key: &str) -> &str {
    let mut words = routing_key.splitn(RUNGS as usize + 1, '.');
    let is_bit = |bit: &str| bit == "0" || bit == "1";
    let is_ours = words.by_ref().take(RUNGS as usize).all(is_bit);
    words.next().filter(|_| is_ours).unwrap_or(routing_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_that_only_ends_like_a_lane_names_none() {
        for key in ["10001", "staging.10001", "0.1.10001"] {
            assert_eq!(lane_of(key), key);
        }
        for lane in ["10001", "account.102"] {
            assert_eq!(lane_of(&routing_key(77, lane)), lane);
        }
    }

    /// Walks the bindings as the broker would; returns the seconds waited.
    fn walk(delay_s: u32) -> u32 {
        let key = routing_key(delay_s, "10001");
        let words: Vec<&str> = key.split('.').collect();
        let mut rung = entry(delay_s);
        let mut waited = 0;
        loop {
            let matches = |bit| {
                let pattern = pattern(rung, bit);
                let wanted: Vec<&str> = pattern.split('.').take_while(|w| *w != "#").collect();
                wanted.iter().zip(&words).all(|(p, w)| *p == "*" || p == w)
            };
            assert!(
                matches(true) != matches(false),
                "exactly one way on from rung {rung}"
            );
            waited += if matches(true) { 1 << rung } else { 0 };
            if rung == 0 {
                assert_eq!(lane_of(&key), "10001");
                return waited;
            }
            rung -= 1;
        }
    }

    proptest! {
        #[test]
        fn every_delay_is_waited_exactly(delay_s in 1..=MAX_DELAY_S) {
            prop_assert_eq!(walk(delay_s), delay_s);
        }
    }

    #[test]
    fn delays_out_of_bounds_are_the_nearest_within() {
        assert_eq!(walk(u32::MAX), MAX_DELAY_S);
        assert_eq!(walk(0), 1);
    }
}
