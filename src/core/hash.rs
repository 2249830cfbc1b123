//! A hash that is the same on every machine and in every version: workers agree by it without a word.

/// FNV-1a, then splitmix64's finaliser: FNV alone leaves the high bits of like inputs alike.
pub fn stable_hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::stable_hash;

    #[test]
    fn it_is_what_every_version_makes_of_the_same_bytes() {
        assert_eq!(stable_hash([]), 0xf52a_15e9_a9b5_e89b);
        assert_ne!(stable_hash(*b"a"), stable_hash(*b"b"));
    }
}
