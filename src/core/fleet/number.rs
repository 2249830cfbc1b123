//! How the API sees a number, in words of ours: few enough for labels, and whatever Meta adds is `unknown`.

/// Green, yellow or red by the feedback of the people written to. Source: Meta, "Phone numbers", quality rating.
pub const QUALITY_RATINGS: [&str; 4] = ["green", "yellow", "red", "unknown"];

/// Source: Meta, "Phone numbers", status.
pub const STATUSES: [&str; 10] = [
    "connected",
    "flagged",
    "restricted",
    "rate_limited",
    "banned",
    "disconnected",
    "pending",
    "migrated",
    "deleted",
    "unknown",
];

/// Source: Meta, "Throughput".
pub const THROUGHPUT_LEVELS: [&str; 4] = ["standard", "high", "not_applicable", "unknown"];

/// People outside of a customer service window that the business portfolio may write to per day. Source: Meta, "Messaging limits".
pub const MESSAGING_LIMITS: [&str; 7] = [
    "tier_250",
    "tier_2k",
    "tier_10k",
    "tier_100k",
    "tier_unlimited",
    "untiered",
    "unknown",
];

/// Source: Meta, "Templates", status.
pub const TEMPLATE_STATUSES: [&str; 6] = [
    "approved", "paused", "disabled", "rejected", "pending", "other",
];

/// Templates per word of [`TEMPLATE_STATUSES`].
pub type TemplateCounts = [u64; TEMPLATE_STATUSES.len()];

/// Each one word of its list above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberState {
    pub quality_rating: &'static str,
    pub status: &'static str,
    pub throughput_level: &'static str,
    pub messaging_limit: &'static str,
    /// The number is used in the WhatsApp Business app as well.
    pub is_on_biz_app: bool,
}

impl Default for NumberState {
    fn default() -> Self {
        Self::read(None, None, None, None, false)
    }
}

impl NumberState {
    pub fn read(
        quality_rating: Option<&str>,
        status: Option<&str>,
        throughput_level: Option<&str>,
        messaging_limit: Option<&str>,
        is_on_biz_app: bool,
    ) -> Self {
        Self {
            quality_rating: word(&QUALITY_RATINGS, quality_rating),
            status: word(&STATUSES, status),
            throughput_level: word(&THROUGHPUT_LEVELS, throughput_level),
            messaging_limit: word(&MESSAGING_LIMITS, messaging_limit),
            is_on_biz_app,
        }
    }

    /// Messages per second, in and out together. Source: Meta's "Throughput" page: 80, 1,000 after the upgrade, 20 for numbers
    /// that are also used in the WhatsApp Business app. `None` if the level is not one of those.
    pub fn limit_mps(&self) -> Option<u32> {
        match self.throughput_level {
            _ if self.is_on_biz_app => Some(20),
            "standard" => Some(80),
            "high" => Some(1000),
            _ => None,
        }
    }
}

/// The word of the list that Meta's is in lower case, else the last one.
pub fn word(known: &[&'static str], given: Option<&str>) -> &'static str {
    let found = given.and_then(|given| known.iter().find(|word| given.eq_ignore_ascii_case(word)));
    found.or(known.last()).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meta_adds_is_unknown() {
        let state = NumberState::read(
            Some("GREEN"),
            Some("CONNECTED"),
            Some("HIGH"),
            Some("TIER_2K"),
            false,
        );
        assert_eq!(
            (state.quality_rating, state.status, state.messaging_limit),
            ("green", "connected", "tier_2k")
        );
        assert_eq!(state.limit_mps(), Some(1000));
        let state = NumberState::read(Some("NA"), Some("CHARMED"), Some("ULTRA"), None, false);
        assert_eq!(state, NumberState::default());
        assert_eq!(state.limit_mps(), None);
    }

    #[test]
    fn a_number_of_the_app_is_slow_whatever_its_level() {
        let state = NumberState::read(None, None, Some("NOT_APPLICABLE"), None, true);
        assert_eq!(state.limit_mps(), Some(20));
        assert_eq!(word(&TEMPLATE_STATUSES, Some("IN_APPEAL")), "other");
    }
}
