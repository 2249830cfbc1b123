//! Chance that can be replayed: one 64-bit state, advanced by SplitMix64.

/// A seeded source of numbers. The same seed and the same calls give the same
/// numbers on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number in `0..=highest`. The bias of the modulus is far below what
    /// jitter in microseconds can show.
    pub(crate) fn up_to(&mut self, highest: u64) -> u64 {
        match highest.checked_add(1) {
            Some(1) => 0,
            Some(span) => self.next() % span,
            None => self.next(),
        }
    }

    /// True with probability `ratio`; draws nothing when the answer is certain,
    /// so that a rule without a ratio does not shift the others' numbers.
    pub(crate) fn chance(&mut self, ratio: f64) -> bool {
        if ratio >= 1.0 {
            return true;
        }
        if ratio <= 0.0 {
            return false;
        }
        // 53 bits are what an f64 holds exactly.
        ((self.next() >> 11) as f64) < ratio * (1u64 << 53) as f64
    }
}

/// SplitMix64's finaliser: spreads neighbouring numbers over the whole range.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Writes `value` as 11 characters that look like the API's opaque ids.
pub(crate) fn push_opaque(into: &mut String, value: u64) {
    for shift in (0..=60).rev().step_by(6) {
        into.push(char::from(ALPHABET[(value >> shift) as usize & 63]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_replays() {
        let draw = |seed| {
            let mut seed = Seed::new(seed);
            [seed.up_to(24_000), seed.up_to(24_000), seed.up_to(0)]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(draw(7)[2], 0);
    }

    #[test]
    fn a_ratio_holds_over_many_draws() {
        let mut seed = Seed::new(1);
        let hits = (0..100_000).filter(|_| seed.chance(0.1)).count();
        assert!((9_500..10_500).contains(&hits), "{hits}");
        assert!(seed.chance(1.0) && !seed.chance(0.0));
    }

    #[test]
    fn opaque_ids_differ_and_have_one_length() {
        let id = |value| {
            let mut id = String::new();
            push_opaque(&mut id, value);
            id
        };
        assert_eq!(id(0).len(), 11);
        assert_ne!(id(1), id(2));
        assert_ne!(id(u64::MAX), id(u64::MAX - 1));
    }
}
