//! Every PromQL expression of the dashboards, and how one falls into parts that must each have an answer.

use crate::support::NUMBER;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Panel,
    Annotation,
    Variable,
    Rule,
    Alert,
}

#[derive(Clone, Debug)]
pub(super) struct Expression {
    /// Where it stands, for whoever has to mend it.
    pub(super) whence: String,
    pub(super) place: Place,
    pub(super) text: String,
}

/// What Grafana would put for its variables. Scrapes come every second here.
const GRAFANA: [(&str, &str); 7] = [
    ("$__rate_interval", "15s"),
    ("$__interval", "5s"),
    ("$__range_s", "60"),
    ("$__range", "60s"),
    ("$job", ".*"),
    ("$waba", ".*"),
    ("$datasource", "prometheus"),
];

impl Expression {
    /// `number`: which lanes are chosen.
    fn of_grafana(whence: String, place: Place, text: &str, number: &str) -> Self {
        let put = |text: String, (name, value): (&str, &str)| {
            let braced = format!("${{{}}}", &name[1..]);
            text.replace(&braced, value).replace(name, value)
        };
        let chosen = GRAFANA.into_iter().chain([("$number", number)]);
        let text = chosen.fold(text.to_owned(), put);
        assert!(!text.contains('$'), "{whence}: a variable is left: {text}");
        Self {
            whence,
            place,
            text,
        }
    }

    /// Names of metrics and recording rules in it.
    pub(super) fn metrics(&self) -> BTreeSet<String> {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        // Quoted texts are labels' values.
        let bare: String = self
            .text
            .split('"')
            .step_by(2)
            .collect::<Vec<_>>()
            .join("\"");
        let words = bare.split(|c| !is_of_name(c));
        let is_metric = |word: &&str| {
            word.starts_with("wa_dispatcher_")
                || word.starts_with("process_")
                || word.contains(':')
                || ["ALERTS", "up"].contains(word)
        };
        // A range may be "[10m:1m]".
        let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic());
        words
            .filter(is_metric)
            .filter(is_name)
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn renamed(&self, name: &str, other: &str) -> Self {
        Self {
            text: self.text.replace(name, other),
            ..self.clone()
        }
    }
}

pub(crate) fn dashboards() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.push((name, serde_json::from_str(&text).unwrap()));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(found.len(), 3);
    found
}

/// All panels, those in collapsed rows as well.
pub(super) fn panels(dashboard: &Value) -> Vec<&Value> {
    let top = dashboard["panels"].as_array().unwrap();
    let inner = top
        .iter()
        .filter_map(|panel| panel["panels"].as_array())
        .flatten();
    top.iter().chain(inner).collect()
}

/// Of the dashboards: panels, annotations and variables.
pub(super) fn every_expression() -> Vec<Expression> {
    let mut found = vec![];
    for (file, dashboard) in dashboards() {
        let number = if file == "lane.json" { NUMBER } else { ".*" };
        let of = |whence, place, text| Expression::of_grafana(whence, place, text, number);
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().unwrap_or("?");
            for target in panel["targets"].as_array().into_iter().flatten() {
                let whence = format!("{file}: {title}");
                let text = target["expr"].as_str().unwrap();
                found.push(of(whence, Place::Panel, text));
            }
        }
        for annotation in dashboard["annotations"]["list"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if let Some(text) = annotation["expr"].as_str() {
                let whence = format!("{file}: annotation {}", annotation["name"]);
                found.push(of(whence, Place::Annotation, text));
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            if variable["type"] == "query" {
                let query = &variable["query"];
                let text = query.as_str().or(query["query"].as_str()).unwrap();
                let whence = format!("{file}: variable {}", variable["name"]);
                found.push(of(whence, Place::Variable, text));
            }
        }
    }
    found
}

/// What of an expression must have an answer: the whole of it, or of an alert, which is empty in good days, what it compares.
pub(super) fn operands(expression: &Expression) -> Vec<String> {
    if expression.place != Place::Alert {
        return vec![expression.text.clone()];
    }
    let parts = split(
        &expression.text,
        &["and", "or", "unless", "==", "!=", ">=", "<=", ">", "<"],
    );
    let is_plain = |part: &String| part.parse::<f64>().is_ok() || part.is_empty();
    parts.into_iter().filter(|part| !is_plain(part)).collect()
}

/// Cuts at operators that stand in no brackets or quotes, and drops what says how both sides are matched.
fn split(text: &str, operators: &[&str]) -> Vec<String> {
    let words: Vec<char> = text.chars().collect();
    let (mut parts, mut part) = (vec![], String::new());
    let (mut depth, mut quoted, mut at) = (0, false, 0);
    while at < words.len() {
        let rest: String = words[at..].iter().take(8).collect();
        let c = words[at];
        match c {
            '"' => quoted = !quoted,
            '(' | '{' | '[' if !quoted => depth += 1,
            ')' | '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        let starts_word =
            part.is_empty() || part.ends_with(char::is_whitespace) || part.ends_with(')');
        let found = operators.iter().find(|operator| {
            let is_word = operator.starts_with(char::is_alphabetic);
            let ends = rest
                .chars()
                .nth(operator.len())
                .is_none_or(|next| !next.is_alphanumeric() && next != '_');
            rest.starts_with(**operator) && (!is_word || starts_word && ends)
        });
        match found {
            Some(operator) if depth == 0 && !quoted => {
                parts.push(std::mem::take(&mut part));
                at += operator.len();
            }
            _ => {
                part.push(c);
                at += 1;
            }
        }
    }
    parts.push(part);
    parts.iter().map(|part| without_matching(part)).collect()
}

/// `on (job) group_left () rest` is about the operator before it.
fn without_matching(part: &str) -> String {
    let mut rest = part.trim();
    loop {
        let before = rest;
        for word in ["bool", "on", "ignoring", "group_left", "group_right"] {
            let Some(after) = rest.strip_prefix(word) else {
                continue;
            };
            let after = after.trim_start();
            if word == "bool" {
                rest = after;
            } else if let Some((_, behind)) =
                after.strip_prefix('(').and_then(|a| a.split_once(')'))
            {
                rest = behind.trim_start();
            }
        }
        if rest == before {
            return rest.to_owned();
        }
    }
}

#[test]
fn an_alert_falls_into_what_it_compares() {
    let alert = |text: &str| Expression {
        whence: String::new(),
        place: Place::Alert,
        text: text.to_owned(),
    };
    let text = r#"sum by (job) (rate(a{x="1 > 0 and 2"}[5m])) / clamp_min(b, 1e-9) > 0.05 and on (job) c == bool 1"#;
    let parts = [
        r#"sum by (job) (rate(a{x="1 > 0 and 2"}[5m])) / clamp_min(b, 1e-9)"#,
        "c",
    ];
    assert_eq!(operands(&alert(text)), parts);
    let text = "max by (j) (up) == 0 unless on (j, i) group_left () group by (j) (k > 3)";
    assert_eq!(
        operands(&alert(text)),
        ["max by (j) (up)", "group by (j) (k > 3)"]
    );
    let metrics =
        alert(r#"a:wa_dispatcher_x:sum > wa_dispatcher_y{l="wa_dispatcher_z"}"#).metrics();
    assert_eq!(
        metrics.into_iter().collect::<Vec<_>>(),
        ["a:wa_dispatcher_x:sum", "wa_dispatcher_y"]
    );
}
