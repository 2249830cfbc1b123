//! Prometheus' text format, as much of it as the tests ask about.

use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

#[derive(Debug, Default)]
pub struct Scrape {
    pub samples: Vec<Sample>,
    /// Family to type, from `# TYPE`.
    pub types: BTreeMap<String, String>,
    /// Families with a `# HELP` that says something.
    pub helped: Vec<String>,
}

impl Scrape {
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (family, kind) = rest.split_once(' ').unwrap();
                scrape.types.insert(family.to_owned(), kind.to_owned());
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (family, help) = rest.split_once(' ').unwrap();
                assert!(!help.trim().is_empty(), "{line}");
                scrape.helped.push(family.to_owned());
            } else {
                scrape.samples.push(sample(line));
            }
        }
        scrape
    }

    /// Over all series of this name that carry these labels; panics if there is none, as a wrong name would read as 0.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let full = format!("wa_dispatcher_{name}");
        let mut found = self
            .samples
            .iter()
            .filter(|sample| {
                sample.name == full
                    && labels
                        .iter()
                        .all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
            })
            .peekable();
        assert!(found.peek().is_some(), "no series {full} {labels:?}");
        found.map(|sample| sample.value).sum()
    }
}

/// Label values here hold neither quotes nor commas.
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let pairs = labels.trim_end_matches('}').split(',');
    Sample {
        name: name.to_owned(),
        labels: pairs
            .filter_map(|pair| pair.split_once('='))
            .map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned()))
            .collect(),
        value: value.parse().unwrap(),
    }
}
