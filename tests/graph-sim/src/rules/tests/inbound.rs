//! What customers write takes its share of the number's second.

use super::*;

const MS_PER_S: u64 = 1_000;

/// When of these milliseconds a send was accepted, each to another recipient.
fn accepted_ms(world: &mut World, span_ms: std::ops::Range<u64>) -> Vec<u64> {
    span_ms
        .filter(|ms| code(&send(world, &(1_000_000 + ms).to_string(), ms * 1_000)) == 0)
        .collect()
}

/// The most of these in any sliding second.
fn most_per_second(accepted_ms: &[u64]) -> usize {
    let within = |first: &u64| {
        let in_second = |ms: &&u64| (*first..first + MS_PER_S).contains(*ms);
        accepted_ms.iter().filter(in_second).count()
    };
    accepted_ms.iter().map(within).max().unwrap_or(0)
}

#[test]
fn no_sliding_second_takes_more_than_what_inbound_leaves() {
    for (mps, inbound_mps, left) in [(80, 20.0, 60), (80, 30.0, 50), (40, 39.0, 1), (40, 50.0, 0)] {
        let mut world = world(NumberRules {
            mps: Some(mps),
            inbound_mps,
            ..NumberRules::default()
        });
        // From the first millisecond on: customers wrote before the simulator started.
        let accepted = accepted_ms(&mut world, 0..10_000);
        assert_eq!(most_per_second(&accepted), left, "{mps} {inbound_mps}");
        let whole = left * 10;
        assert!(
            (whole - left / 10..=whole).contains(&accepted.len()),
            "{mps} {inbound_mps}: {}",
            accepted.len()
        );
    }
}

#[test]
fn inbound_changes_while_it_runs() {
    let mut world = limited(80);
    let mut left_after = |inbound_mps: f64, from_ms: u64| {
        let change = json!({ "phone_number_id": "111", "inbound_mps": inbound_mps });
        alter(&mut world, change, from_ms);
        // A second later the window holds nothing of before the change.
        accepted_ms(&mut world, from_ms..from_ms + 1_000);
        most_per_second(&accepted_ms(&mut world, from_ms + 1_000..from_ms + 6_000))
    };
    assert_eq!(left_after(0.0, 0), 80);
    assert_eq!(left_after(20.0, 6_000), 60);
    assert_eq!(left_after(0.1, 12_000), 80);
    // The slow pace before does not hold up this one.
    assert_eq!(left_after(40.0, 18_000), 40);
    assert_eq!(left_after(0.0, 24_000), 80);
}
