//! Every key of the configuration.

use super::page::{as_code, begin_page, push_columns, push_row};
use crate::config::{KEYS, Key, Kind};

const INTRODUCTION: &str = "\
TOML, `--config FILE` (more than once: later files win). Each key of a section can be set in the environment as
`DISPATCHER_<SECTION>__<KEY>`, such as `DISPATCHER_BROKER__URL`, which wins over the files; the lists (`accounts`, `outcomes`) cannot.
Unknown keys and unknown `DISPATCHER_…` variables are refused, and all mistakes are reported at once. A key without a default is
optional, or required where its meaning says so. `deploy/config.toml` has every key with its default and a longer comment.
";

pub(super) fn make_page() -> String {
    let mut page = begin_page("Configuration", "src/config/keys.rs") + INTRODUCTION;
    let mut section = "";
    for key in KEYS {
        let (of, _) = key.split();
        if of != section {
            section = of;
            let heading = match key.env_name() {
                Some(_) => format!("\n## {of}\n\n"),
                None => format!("\n## [[{of}]]\n\n"),
            };
            page += &heading;
            push_columns(&mut page, ["key", "default", "takes", "meaning"]);
        }
        let default = key.default.map_or("–".to_owned(), as_code);
        push_row(
            &mut page,
            [&as_code(key.name), &default, &describe_kind(key), key.doc],
        );
    }
    page
}

fn describe_kind(key: &Key) -> String {
    match key.kind {
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::Whole { min, max, unit } => {
            let range = format!(
                "{} – {} {}",
                group_digits(min),
                group_digits(max),
                unit.as_str()
            );
            range.trim_end().to_owned()
        }
        Kind::Share { min, max } => format!("{min:?} – {max:?}"),
        Kind::OneOf(words) => words
            .iter()
            .map(|word| as_code(word))
            .collect::<Vec<_>>()
            .join(", "),
        Kind::Text { allowed, .. } | Kind::Secret { allowed, .. } => allowed.to_owned(),
    }
}

/// Digits in groups of three.
fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
