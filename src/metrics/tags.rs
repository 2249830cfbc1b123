//! Tags with series of their own: callers invent them, and a series is never given up.

use std::collections::HashSet;

/// The first tags that a worker meets, up to a number.
pub(super) struct Tags {
    known: HashSet<String>,
    max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    New,
    Known,
    /// Beyond the first.
    None,
}

impl Tags {
    pub(super) fn new(max: usize) -> Self {
        Self {
            known: HashSet::new(),
            max,
        }
    }

    /// Finds the tag's place, or gives it one.
    pub(super) fn place(&mut self, tag: &str) -> Place {
        if self.known.contains(tag) {
            return Place::Known;
        }
        if self.known.len() >= self.max {
            return Place::None;
        }
        self.known.insert(tag.to_owned());
        Place::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_beyond_the_first_have_no_place() {
        let mut tags = Tags::new(2);
        let places = ["spring", "otp", "spring", "autumn", "otp"].map(|tag| tags.place(tag));
        let expected = [
            Place::New,
            Place::New,
            Place::Known,
            Place::None,
            Place::Known,
        ];
        assert_eq!(places, expected);
        assert_eq!(Tags::new(0).place("spring"), Place::None);
    }
}
