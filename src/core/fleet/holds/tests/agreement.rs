//! However workers act and the log is read: all end with the same.

use super::*;
use proptest::prelude::*;

/// What a worker may do on its own.
#[derive(Clone, Copy, Debug)]
enum Act {
    Find(u32),
    Lift(u32),
    Pause(u32),
    Resume(u32),
}

fn act() -> impl Strategy<Value = Act> {
    let lane = 1_u32..=3;
    (0..4, lane).prop_map(|(kind, lane)| match kind {
        0 => Act::Find(lane),
        1 => Act::Lift(lane),
        2 => Act::Pause(lane),
        _ => Act::Resume(lane),
    })
}

fn perform(holds: &mut Holds, act: Act, now: Now) -> Vec<Record> {
    match act {
        Act::Find(lane) => {
            let found = holds.found(&place(lane), &block(Scope::Waba), &places(), now);
            found.and_then(|(_, record)| record).into_iter().collect()
        }
        Act::Lift(lane) => {
            let far = at(80_000);
            holds.due(&[place(lane)], far);
            let reach = place(lane).reach(Scope::Waba).unwrap();
            holds
                .probed(&reach, Health::Well, far)
                .into_iter()
                .collect()
        }
        Act::Pause(lane) => holds.pause(&place(lane), now).into_iter().collect(),
        Act::Resume(lane) => holds
            .resume(&place(lane), now)
            .into_iter()
            .map(|(_, record)| record)
            .collect(),
    }
}

proptest! {
    /// However their acts and the log's deliveries interleave, both workers hold the same lanes once the log is read.
    #[test]
    fn workers_agree_once_the_log_is_read(
        acts in proptest::collection::vec((0_usize..2, act(), 0_usize..4, 0_usize..4), 1..40),
    ) {
        let mut workers = [holds("a", 1), holds("b", 2)];
        let mut log: Vec<Record> = vec![];
        let mut read = [0, 0];
        for (second, (who, act, reads_a, reads_b)) in acts.into_iter().enumerate() {
            log.extend(perform(&mut workers[who], act, at(second as u64)));
            for (worker, reads) in [(0, reads_a), (1, reads_b)] {
                for _ in 0..reads.min(log.len() - read[worker]) {
                    workers[worker].apply_record(log[read[worker]].clone(), Read::Live, at(second as u64));
                    read[worker] += 1;
                }
            }
        }
        for worker in [0, 1] {
            for record in &log[read[worker]..] {
                workers[worker].apply_record(record.clone(), Read::Live, at(100));
            }
        }
        let [one, other] = &workers;
        for lane in 1..=3 {
            let held = |holds: &Holds| {
                let held = holds.on(&place(lane), at(100));
                (held.paused_since_ms.is_some(), held.hold.is_some())
            };
            prop_assert_eq!(held(one), held(other), "lane {}", lane);
        }
    }
}
