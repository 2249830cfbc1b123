//! Which worker should own which lane: rendezvous hashing, told to RabbitMQ as the consumer's priority.
//! RabbitMQ (4.0 and later, quorum queues) activates the highest; nobody else needs to know the members.

use crate::core::hash::stable_hash;

/// The priority of `worker_id` on `lane`: the same on every machine and in every version, 31 bits so that any client can encode it.
pub fn priority(worker_id: &str, lane: &str) -> i32 {
    let hash = stable_hash(worker_id.bytes().chain([0]).chain(lane.bytes()));
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
