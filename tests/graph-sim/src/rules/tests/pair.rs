//! The pair limit as documented: 45 within 6 s, borrowed from the future at 6 s each.

use super::*;

const INTERVAL_MS: u64 = 6_000;
const BURST: usize = 45;

/// A number whose throughput never is the reason.
fn roomy() -> World {
    limited(1_000)
}

fn code_at(world: &mut World, now_ms: u64) -> i64 {
    code(&send(world, "34600112233", now_ms * 1_000))
}

/// How many sends are accepted at one moment before the pair limit refuses.
fn burst_at(world: &mut World, now_ms: u64) -> usize {
    let codes: Vec<i64> = (0..BURST + 5).map(|_| code_at(world, now_ms)).collect();
    assert!(
        codes.iter().all(|code| [0, 131056].contains(code)),
        "{codes:?}"
    );
    codes.iter().take_while(|code| **code == 0).count()
}

#[test]
fn a_burst_fits_into_6_s_and_then_one_per_6_s() {
    let mut world = roomy();
    // 45 spread over just under 6 s, and nothing more within them.
    for i in 0..45 {
        assert_eq!(code_at(&mut world, i * 133), 0, "{i}");
    }
    assert_eq!(code_at(&mut world, INTERVAL_MS - 1), 131056);
    let accepted: Vec<u64> = (INTERVAL_MS..20 * INTERVAL_MS)
        .step_by(100)
        .filter(|ms| code_at(&mut world, *ms) == 0)
        .collect();
    let wanted: Vec<u64> = (1..20).map(|i| i * INTERVAL_MS).collect();
    assert_eq!(accepted, wanted);
}

#[test]
fn after_a_burst_of_n_the_whole_burst_is_back_n_times_6_s_later() {
    for n in [1, 20, 45_u64] {
        let sent = || {
            let mut world = roomy();
            assert!((0..n).all(|_| code_at(&mut world, 0) == 0));
            world
        };
        let paid_ms = n * INTERVAL_MS;
        assert_eq!(burst_at(&mut sent(), paid_ms), BURST, "{n}");
        assert_eq!(burst_at(&mut sent(), paid_ms - 1), BURST - 1, "{n}");
        assert_eq!(burst_at(&mut sent(), 10 * paid_ms), BURST, "{n}");
    }
    // Half of the debt is half of the burst.
    let mut world = roomy();
    assert_eq!(burst_at(&mut world, 0), BURST);
    assert_eq!(burst_at(&mut world, 20 * INTERVAL_MS), 20);
    assert_eq!(burst_at(&mut world, 21 * INTERVAL_MS), 1);
}
