//! Every error code of the API, and what is done about it.

use super::page::{as_code, begin_page, push_columns, push_row};
use crate::contract::words::Scope;
use crate::core::outcome::{Effect, Row, SOURCES, TABLE, When, of_status, of_unknown_code};

const INTRODUCTION: &str = "\
What the dispatcher does about an error answer of the API, by its code. The code decides, not the HTTP status. Rows of
[`[[outcomes]]`](configuration.md#outcomes) in the config go before this table; of two rows for one code, the one that names a condition
counts where that holds.

| class | what becomes of the request | what becomes of others |
|---|---|---|
| `invalid`, `undeliverable`, `policy` | ends as `rejected` | nothing |
| `transient` | goes to the delay ladder and is tried again, within `retry.max_attempts` and `retry.max_age_s`; then it ends as `failed`, and is kept in `wa.dead` | where the scope is more than the message: `lanes.breaker_failures` in a row are an outage, which holds the scope |
| `throttled` | keeps its place and is charged no attempt, unless only this request meets it | all in scope pause |
| `blocked` | keeps its place and is charged no attempt, unless only this request meets it | all in scope are held until the API says that they may send |
| `ambiguous` | ends as `unknown`; with `on-unknown: resend` it is tried again, and flagged | as `transient` |

Only one request meets what [it is blamed for](../../../src/ARCHITECTURE.md#holds), and a code that holds the lane once a second recipient
meets it, until then. An outage charges its first few failures (`lanes.breaker_failures` − 1), and what a request fails in outages
beyond ten uncharged times.

Scopes: `message` (nobody else), `pair` (one recipient of one number), `lane` (a phone number), `waba` (an account), `token` (all that use
it), `app`, `template`. Where the request is rejected, the scope only says what is at fault.
";

const NO_ANSWER: &str = "
No connection, or one that was lost before a byte of the request was sent: the request keeps its place, and after 30 s of that the lane is
held. An answer that was lost, did not come in time or cannot be read: `ambiguous`.
";

pub(super) fn make_page() -> String {
    let mut page = begin_page("Error codes", "src/core/outcome/table.rs") + INTRODUCTION;
    page += "\n## Codes\n\n";
    let names = [
        "code",
        "meaning",
        "class",
        "scope",
        "what we do",
        "remedy",
        "source",
    ];
    push_columns(&mut page, names);
    let mut rows: Vec<&Row> = TABLE.iter().collect();
    rows.sort_by_key(|row| (row.code, row.when == When::Always));
    for known in rows {
        let [class, scope, treatment, remedy] = describe_effect(known.effect);
        let cells = [
            &name_codes(known),
            known.meaning,
            &class,
            &scope,
            &treatment,
            &remedy,
            known.source,
        ];
        push_row(&mut page, cells);
    }
    page += "\n## Answers that no row is for\n\n";
    push_columns(
        &mut page,
        ["answer", "class", "scope", "what we do", "remedy"],
    );
    for (answer, effect) in list_others() {
        let [class, scope, treatment, remedy] = describe_effect(effect);
        push_row(&mut page, [&answer, &class, &scope, &treatment, &remedy]);
    }
    page += NO_ANSWER;
    page += "\n## Sources\n\n";
    push_columns(&mut page, ["key", "pages"]);
    for (key, pages) in SOURCES {
        push_row(&mut page, [key, pages]);
    }
    page
}

/// Which errors a row is for.
fn name_codes(row: &Row) -> String {
    let codes = if row.code == row.last {
        row.code.to_string()
    } else {
        format!("{} – {}", row.code, row.last)
    };
    match row.when {
        When::Always => codes,
        When::Subcode(subcode) => format!("{codes}, subcode {subcode}"),
        When::FetchFailed => {
            format!("{codes}, if the details tell of a download that may work later")
        }
    }
}

/// Class, scope, treatment and remedy.
fn describe_effect(effect: Effect) -> [String; 4] {
    let remedy = match effect {
        Effect::Blocked { remedy, .. } => remedy,
        Effect::Refused { .. }
        | Effect::Transient { .. }
        | Effect::Throttled { .. }
        | Effect::Ambiguous => "",
    };
    let (class, scope) = (effect.class().as_str(), effect.scope().as_str());
    [
        as_code(class),
        as_code(scope),
        describe_treatment(effect),
        remedy.to_owned(),
    ]
}

/// A scope, as one says it.
fn name_scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Waba => "account",
        Scope::Message
        | Scope::Pair
        | Scope::Lane
        | Scope::Token
        | Scope::App
        | Scope::Template => scope.as_str(),
    }
}

/// Says what follows on a pause.
fn describe_new_limit(new_limit: bool) -> &'static str {
    if new_limit {
        ", and its limit is read anew"
    } else {
        ""
    }
}

fn describe_treatment(effect: Effect) -> String {
    match effect {
        Effect::Refused {
            retry_not_before_s, ..
        } => {
            let wait = retry_not_before_s.map(|seconds| {
                format!(
                    "; a new request makes no sense before {} h (`retry_not_before`)",
                    seconds / 3_600
                )
            });
            format!("reject{}", wait.unwrap_or_default())
        }
        Effect::Ambiguous => "report as `unknown`".to_owned(),
        Effect::Throttled {
            scope: Scope::Pair, ..
        } => "this recipient waits for 1 s, 4 s, 16 s, … 256 s".to_owned(),
        Effect::Throttled { pause_s: None, .. } => "the lane slows down".to_owned(),
        Effect::Throttled {
            pause_s: Some(seconds),
            scope,
            new_limit,
            ..
        } => {
            let more = describe_new_limit(new_limit);
            format!("the {} pauses for {seconds} s{more}", name_scope(scope))
        }
        Effect::Blocked {
            scope,
            is_penalty,
            second_recipient,
            ..
        } => {
            let once = if second_recipient {
                ", once a second recipient met it"
            } else {
                ""
            };
            let asked = if is_penalty {
                ", asked after 15 min, 1 h, then every 6 h"
            } else {
                ""
            };
            format!("hold the {}{once}{asked}", name_scope(scope))
        }
        Effect::Transient {
            max_retries,
            min_delay_s,
            proves_unsent,
            then_invalid,
            ..
        } => {
            let times =
                max_retries.map_or(String::new(), |retries| format!(", {retries}× at most"));
            let after = min_delay_s.map_or(String::new(), |seconds| {
                format!(", after {seconds} s or more")
            });
            let flag = if proves_unsent {
                ""
            } else {
                ", flagged: it may have been sent"
            };
            let end = if then_invalid { "; then reject" } else { "" };
            format!("try again{times}{after}{flag}{end}")
        }
    }
}

/// Answers without a row, by their HTTP status.
fn list_others() -> Vec<(String, Effect)> {
    let mut others = vec![(
        "a code in no row, marked `is_transient`".to_owned(),
        of_unknown_code(true, 500),
    )];
    for status in [429, 401, 403, 408, 400, 500] {
        let answer = format!("a code in no row, HTTP {status}");
        others.push((answer, of_unknown_code(false, status)));
    }
    for status in [429, 408, 400, 302, 200, 500] {
        let answer = format!("not the API's answer (HTML, nothing, …), HTTP {status}");
        others.push((answer, of_status(status)));
    }
    others
}
