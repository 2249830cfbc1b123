//! Which worker should own which lane: rendezvous hashing, told to RabbitMQ as the consumer's priority.
//! RabbitMQ (4.0 and later, quorum queues) activates the highest; nobody else needs to know the members.

/// The priority of `worker_id` on `lane`: the same on every machine and in every version, 31 bits so that any client can encode it.
pub fn priority(worker_id: &str, lane: &str) -> i32 {
    // FNV-1a, then splitmix64's finaliser: FNV alone leaves the high bits of like names alike, and the order lives there.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in worker_id.bytes().chain([0]).chain(lane.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    i32::try_from(hash >> 33).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::priority;

    fn owner(lane: &str, workers: &[&str]) -> String {
        workers
            .iter()
            .max_by_key(|w| priority(w, lane))
            .unwrap()
            .to_string()
    }

    #[test]
    fn lanes_spread_and_only_those_of_the_newcomer_move() {
        let lanes: Vec<String> = (0..1000).map(|n| format!("10{n:04}")).collect();
        let (three, four) = (["a", "b", "c"], ["a", "b", "c", "d"]);
        let mut moved = 0;
        let mut share = 0;
        for lane in &lanes {
            let (before, after) = (owner(lane, &three), owner(lane, &four));
            share += usize::from(before == "a");
            if before != after {
                assert_eq!(
                    after, "d",
                    "a lane moved between two workers that both stayed"
                );
                moved += 1;
            }
        }
        assert!(
            (280..390).contains(&share),
            "one of three workers got {share} of 1000 lanes"
        );
        assert!(
            (200..300).contains(&moved),
            "{moved} of 1000 lanes moved for the fourth worker"
        );
    }

    #[test]
    fn priorities_never_change_between_versions() {
        assert_eq!(priority("worker-a", "10001"), priority("worker-a", "10001"));
        assert_ne!(priority("worker-a", "10001"), priority("worker-b", "10001"));
        assert!(priority("worker-a", "10001") >= 0);
    }
}
