//! The shape of a row of the table.

use crate::contract::words::{Class, Scope};

/// The longest wait that a `Retry-After` header is believed: it is undocumented for this API.
pub const MAX_RETRY_AFTER_S: u32 = 3600;

/// The effect of a code on the message that meets it, and on others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// Final for this message.
    Refused {
        /// `Invalid`, `Undeliverable` or `Policy`.
        class: Class,
        /// How far the fault reaches; nobody else is stopped.
        scope: Scope,
        /// When the caller may try again; never done here. `None`: not with this message.
        retry_not_before_s: Option<u64>,
    },
    /// Try again; costs an attempt.
    Transient {
        /// The scope that a run of them stops; [`Scope::Message`]: nobody else.
        scope: Scope,
        /// Fewer than the general retry policy allows.
        max_retries: Option<u32>,
        min_delay_s: Option<u32>,
        /// False: the API may have taken the message all the same, so a repeat may reach a person twice.
        proves_unsent: bool,
        /// Met as often as that, it is the request that is wrong.
        then_invalid: bool,
    },
    /// Keeps the message and costs no attempt.
    Throttled {
        scope: Scope,
        pause_s: Option<u32>,
        /// The lane is too fast, whatever pause comes with it.
        slow_down: bool,
        /// The number's limit is another one afterwards.
        new_limit: bool,
    },
    /// All in scope cannot send until something changes. Keeps the message and costs no attempt.
    Blocked {
        scope: Scope,
        /// The remedy, for operators.
        remedy: &'static str,
        /// A penalty that lifts by itself: looked at after 15 minutes, an hour, then every 6 hours.
        is_penalty: bool,
        /// May be the message's own fault: the block begins when a second recipient fails too.
        second_recipient: bool,
    },
    /// The message may have been sent.
    Ambiguous,
}

impl Effect {
    pub fn class(&self) -> Class {
        match self {
            Effect::Refused { class, .. } => *class,
            Effect::Transient { .. } => Class::Transient,
            Effect::Throttled { .. } => Class::Throttled,
            Effect::Blocked { .. } => Class::Blocked,
            Effect::Ambiguous => Class::Ambiguous,
        }
    }

    /// The longer of its own wait and the one that the server asks for, which is capped.
    pub(super) fn with_retry_after(mut self, retry_after_s: Option<u64>) -> Effect {
        let asked_s = retry_after_s.filter(|seconds| *seconds > 0);
        let asked_s = asked_s.map(|seconds| {
            u32::try_from(seconds)
                .unwrap_or(u32::MAX)
                .min(MAX_RETRY_AFTER_S)
        });
        match &mut self {
            Effect::Transient { min_delay_s, .. } => *min_delay_s = asked_s.max(*min_delay_s),
            Effect::Throttled { pause_s, .. } => *pause_s = asked_s.max(*pause_s),
            Effect::Refused { .. } | Effect::Blocked { .. } | Effect::Ambiguous => {}
        }
        self
    }

    pub fn scope(&self) -> Scope {
        match self {
            Effect::Refused { scope, .. }
            | Effect::Transient { scope, .. }
            | Effect::Throttled { scope, .. }
            | Effect::Blocked { scope, .. } => *scope,
            Effect::Ambiguous => Scope::Message,
        }
    }
}

/// Which of the errors with a row's code the row speaks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    Always,
    Subcode(i64),
    /// The details tell that Meta could not fetch the media from its link, see [`fetch_failed`].
    FetchFailed,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The first code, and the last one where a row stands for a range.
    pub code: i64,
    pub last: i64,
    pub when: When,
    pub effect: Effect,
    pub meaning: &'static str,
    /// The key of a source, see the legend of the table.
    pub source: &'static str,
}

impl Row {
    /// True if this row speaks for that code in general, or for these details of it.
    pub(super) fn covers(&self, code: i64, details: Option<&str>) -> bool {
        let in_range = (self.code..=self.last).contains(&code);
        in_range
            && match self.when {
                When::Always => true,
                When::FetchFailed => details.is_some_and(fetch_failed),
                When::Subcode(_) => false,
            }
    }

    /// True if this row speaks for exactly that subcode of that code.
    pub(super) fn names(&self, code: i64, subcode: i64) -> bool {
        (self.code..=self.last).contains(&code) && self.when == When::Subcode(subcode)
    }
}

/// True if details of a media error (131053) tell of a download that may succeed later: the origin's 5xx, 408 or
/// 429, a time-out, or a failed download without more. Another status, or a word about size or type, is the
/// caller's to mend.
///
/// The details are undocumented text; the wording is as seen in public issue trackers in 2024–2026.
pub fn fetch_failed(details: &str) -> bool {
    let details = details.to_ascii_lowercase();
    let words = || details.split(|c: char| !c.is_ascii_alphanumeric());
    let any = |of: &[&str]| words().any(|word| of.contains(&word));
    if any(WRONG_MEDIA) {
        return false;
    }
    let mut numbers = words().filter_map(|word| word.parse::<u16>().ok());
    let status = numbers.find(|number| (400..=599).contains(number));
    match status.filter(|_| any(&["http", "status"])) {
        Some(status) => status >= 500 || status == 408 || status == 429,
        None => any(FETCHING),
    }
}

const WRONG_MEDIA: &[&str] = &[
    "mime",
    "type",
    "format",
    "size",
    "big",
    "large",
    "corrupt",
    "corrupted",
];
const FETCHING: &[&str] = &[
    "download",
    "downloading",
    "downloaded",
    "fetch",
    "fetching",
    "fetched",
    "timeout",
    "timed",
];

/// The row for an error: one that names its subcode, else the first that covers its code.
pub(super) fn find<'a>(
    rows: impl IntoIterator<Item = &'a Row> + Clone,
    code: i64,
    subcode: Option<i64>,
    details: Option<&str>,
) -> Option<&'a Row> {
    let named = subcode.and_then(|subcode| {
        rows.clone()
            .into_iter()
            .find(|row| row.names(code, subcode))
    });
    named.or_else(|| rows.into_iter().find(|row| row.covers(code, details)))
}

#[cfg(test)]
mod tests;
