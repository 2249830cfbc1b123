//! The sizes that Meta documents for the parts of a message, as one table. Checked before sending so that the caller gets the
//! pointer, the limit and the length at once instead of an error code; `intake.check_sizes = false` leaves them to the API.
//!
//! How Meta counts characters it does not say. Here text is counted in grapheme clusters, what a person sees as one character: of all
//! ways it gives the least (a flag is one of them, two code points, four UTF-16 units, eight bytes), so only what is too long by every
//! count is refused.

use crate::contract::fault::Fault;
use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

#[derive(Clone, Copy, Debug)]
pub enum Max {
    Chars(usize),
    Items(usize),
}

pub struct Size {
    /// JSON pointer; `*` stands for every element of an array.
    pub at: &'static str,
    pub max: Max,
    /// Applies only if the string at this pointer is one of these.
    pub when: Option<(&'static str, &'static [&'static str])>,
}

const fn chars(at: &'static str, max: usize) -> Size {
    Size {
        at,
        max: Max::Chars(max),
        when: None,
    }
}
const fn items(at: &'static str, max: usize) -> Size {
    Size {
        at,
        max: Max::Items(max),
        when: None,
    }
}
impl Size {
    const fn when(self, at: &'static str, values: &'static [&'static str]) -> Self {
        Self {
            when: Some((at, values)),
            ..self
        }
    }
}

const KIND: &str = "/interactive/type";

/// Source: the page of each message type under Meta's "Send messages" (v24 to v26 editions), read November 2026.
pub static SIZES: &[Size] = &[
    chars("/biz_opaque_callback_data", 512),
    chars("/text/body", 4096),
    chars("/image/caption", 1024),
    chars("/video/caption", 1024),
    chars("/document/caption", 1024),
    items("/contacts", 257),
    chars("/template/name", 512),
    chars("/interactive/header/text", 60),
    chars("/interactive/footer/text", 60),
    chars("/interactive/body/text", 4096).when(KIND, &["list"]),
    chars("/interactive/body/text", 1024).when(
        KIND,
        &[
            "button",
            "cta_url",
            "location_request_message",
            "catalog_message",
            "carousel",
        ],
    ),
    items("/interactive/action/buttons", 3).when(KIND, &["button"]),
    chars("/interactive/action/buttons/*/reply/id", 256).when(KIND, &["button"]),
    chars("/interactive/action/buttons/*/reply/title", 20).when(KIND, &["button"]),
    chars("/interactive/action/button", 20).when(KIND, &["list"]),
    items("/interactive/action/sections", 10).when(KIND, &["list", "product_list"]),
    chars("/interactive/action/sections/*/title", 24).when(KIND, &["list"]),
    chars("/interactive/action/sections/*/rows/*/id", 200).when(KIND, &["list"]),
    chars("/interactive/action/sections/*/rows/*/title", 24).when(KIND, &["list"]),
    chars("/interactive/action/sections/*/rows/*/description", 72).when(KIND, &["list"]),
    chars("/interactive/action/parameters/display_text", 20).when(KIND, &["cta_url", "voice_call"]),
    chars("/interactive/action/parameters/flow_cta", 30).when(KIND, &["flow"]),
    chars("/interactive/action/parameters/order/description", 120).when(KIND, &["order_status"]),
    items("/interactive/action/cards", 10).when(KIND, &["carousel"]),
    chars("/interactive/action/cards/*/body/text", 160).when(KIND, &["carousel"]),
];

/// Grapheme clusters of a text that are counted at most, twice the highest limit: a request may be as long as 64 texts of the longest
/// kind, and all lanes wait while they are counted. Source: measured, 13 to 77 ns each (`x`; `e` with an accent of its own), so 3 to 6 ms
/// for 250 KB, and 0.1 to 0.6 ms for so many.
const COUNTED_MAX: usize = 8_192;

/// One fault for every part of `body` that is longer than documented.
pub(crate) fn check(body: &Value, faults: &mut Vec<Fault>) {
    for size in SIZES {
        let applies = size.when.is_none_or(|(at, values)| {
            body.pointer(at)
                .and_then(Value::as_str)
                .is_some_and(|v| values.contains(&v))
        });
        if applies {
            let segments: Vec<&str> = size.at.split('/').skip(1).collect();
            walk(body, &segments, &mut String::new(), size.max, faults);
        }
    }
}

fn walk(value: &Value, segments: &[&str], path: &mut String, max: Max, faults: &mut Vec<Fault>) {
    let Some((segment, rest)) = segments.split_first() else {
        faults.extend(measure(value, path, max));
        return;
    };
    let depth = path.len();
    if *segment == "*" {
        for (index, element) in value.as_array().into_iter().flatten().enumerate() {
            path.push('/');
            path.push_str(&index.to_string());
            walk(element, rest, path, max, faults);
            path.truncate(depth);
        }
    } else if let Some(member) = value.get(*segment) {
        path.push('/');
        path.push_str(segment);
        walk(member, rest, path, max, faults);
        path.truncate(depth);
    }
}

fn measure(value: &Value, path: &str, max: Max) -> Option<Fault> {
    let (length, limit, problem) = match max {
        Max::Chars(limit) => (
            shortest_length(value.as_str()?, limit),
            limit,
            "is longer than the API takes, in characters",
        ),
        Max::Items(limit) => (
            value.as_array()?.len(),
            limit,
            "has more elements than the API takes",
        ),
    };
    (length > limit).then(|| Fault::too_long(path, problem, limit, length))
}

/// Counts grapheme clusters, unless the text is within the limit by code points already, or has more than [`COUNTED_MAX`] of them: then the
/// fault gives code points.
fn shortest_length(text: &str, limit: usize) -> usize {
    let chars = text.chars().count();
    if chars <= limit {
        return chars;
    }
    let graphemes = text.graphemes(true).take(COUNTED_MAX).count();
    if graphemes < COUNTED_MAX {
        graphemes
    } else {
        chars
    }
}

#[cfg(test)]
mod tests;
