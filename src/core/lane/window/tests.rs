use super::*;
use proptest::prelude::*;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A lane that is asked to send bodies of one size, as fast as RabbitMQ hands them out.
struct Hog {
    bytes: usize,
    wanted: u16,
    window: Window,
    held: usize,
    /// How often it subscribed anew.
    narrowed: usize,
    widened: usize,
}

impl Hog {
    fn new(bytes: usize, wanted: u16) -> Self {
        Self {
            bytes,
            wanted,
            window: Window::default(),
            held: 0,
            narrowed: 0,
            widened: 0,
        }
    }

    fn prefetch(&self) -> u16 {
        self.window
            .most()
            .map_or(self.wanted, |most| most.min(self.wanted))
    }

    fn load(&self) -> Load {
        Load {
            deliveries: self.held,
            bytes: self.held * self.bytes,
        }
    }
}

fn worker(hogs: &[Hog]) -> Load {
    hogs.iter().fold(Load::default(), |all, hog| Load {
        deliveries: all.deliveries + hog.held,
        bytes: all.bytes + hog.load().bytes,
    })
}

/// One second: RabbitMQ fills what each lane asks for, in turns; each sends some.
fn second(hogs: &mut [Hog], sent: usize, now: Duration) {
    for hog in &mut *hogs {
        let before = hog.window.most();
        hog.window.widen(hog.wanted, now);
        hog.widened += usize::from(hog.window.most() != before);
        hog.held = hog.held.saturating_sub(sent);
    }
    let mut waits: Vec<usize> = (0..hogs.len()).collect();
    while !waits.is_empty() {
        waits.retain(|place| {
            let loads = (hogs[*place].load(), worker(hogs));
            let hog = &mut hogs[*place];
            if hog.held >= usize::from(hog.prefetch()) {
                return false;
            }
            if fits(hog.bytes, loads.0, loads.1) {
                hog.window.holds(hog.bytes, loads.0, loads.1);
                hog.held += 1;
                return true;
            }
            hog.window.narrow(hog.bytes, loads, hog.prefetch(), now);
            hog.narrowed += 1;
            hog.held = 0;
            false
        });
        assert!(worker(hogs).bytes <= ALL);
    }
}

#[test]
fn what_fits_beside_what_is_held() {
    let load = |deliveries, bytes| Load { deliveries, bytes };
    for (bytes, lane, worker, expected) in [
        (256 * KIB, load(0, 0), load(0, 0), true),
        // Half of what is shared, alone.
        (
            256 * KIB,
            load(127, 32 * MIB - 256 * KIB),
            load(127, 32 * MIB - 256 * KIB),
            true,
        ),
        (256 * KIB, load(128, 32 * MIB), load(128, 32 * MIB), false),
        // Beside a lane that holds half, a quarter.
        (MIB, load(9, 14 * MIB), load(99, 46 * MIB), true),
        (MIB, load(9, 16 * MIB), load(99, 48 * MIB), false),
        // All that is shared is taken: one body each, or some that are small.
        (MIB, load(0, 0), load(300, 80 * MIB), true),
        (KIB, load(60, 60 * KIB), load(300, 80 * MIB), true),
        (KIB, load(64, 64 * KIB), load(300, 80 * MIB), false),
        // Until the worker is full.
        (KIB, load(0, 0), load(300, ALL), false),
        (usize::MAX, load(0, 0), load(0, 0), false),
    ] {
        assert_eq!(
            fits(bytes, lane, worker),
            expected,
            "{bytes} {lane:?} {worker:?}"
        );
    }
}

#[test]
fn a_lane_asks_for_fewer_and_again_for_all() {
    let mut hogs = [Hog::new(256 * KIB, 1_430)];
    let mut at = 0;
    let mut pass = |hogs: &mut [Hog], seconds: u64| {
        for _ in 0..seconds {
            at += 1;
            second(hogs, 1_000, Duration::from_secs(at));
        }
    };
    pass(&mut hogs, 300);
    // Three quarters of half of what is shared.
    assert_eq!((hogs[0].prefetch(), hogs[0].narrowed), (96, 1));
    hogs[0].bytes = KIB;
    pass(&mut hogs, 130);
    assert_eq!((hogs[0].prefetch(), hogs[0].widened), (1_430, 1));
    // As many small ones as its rate asks for were never bounded.
    assert_eq!(hogs[0].narrowed, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However many lanes, and however large their bodies: what is held stays within its bound, and each lane soon asks for what it can
    /// have, and leaves it at that.
    #[test]
    fn lanes_find_their_parts_and_keep_them(
        sizes in proptest::collection::vec((1_usize..400 * KIB, 9_u16..1_500), 1..40),
        sent in 1_usize..1_000,
    ) {
        let mut hogs: Vec<Hog> = sizes.iter().map(|(bytes, wanted)| Hog::new(*bytes, *wanted)).collect();
        for at in 0..300 {
            second(&mut hogs, sent, Duration::from_secs(at));
        }
        for hog in &mut hogs {
            prop_assert!(hog.narrowed <= 12, "{} times", hog.narrowed);
            hog.narrowed = 0;
        }
        for at in 300..3_900 {
            second(&mut hogs, sent, Duration::from_secs(at));
        }
        for hog in &hogs {
            prop_assert!(hog.narrowed <= 6, "{} times within an hour", hog.narrowed);
        }
    }

    /// A lane with ordinary bodies gets all it asks for, whatever others hold.
    #[test]
    fn small_bodies_always_have_room(
        sizes in proptest::collection::vec((1_usize..400 * KIB, 9_u16..1_500), 1..40),
    ) {
        let mut hogs: Vec<Hog> = sizes.iter().map(|(bytes, wanted)| Hog::new(*bytes, *wanted)).collect();
        for at in 0..60 {
            second(&mut hogs, 7, Duration::from_secs(at));
        }
        let mut small = Hog::new(KIB, 60);
        for _ in 0..60 {
            prop_assert!(fits(small.bytes, small.load(), worker(&hogs)));
            small.held += 1;
        }
    }
}
