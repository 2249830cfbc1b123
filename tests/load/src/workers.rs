//! Which worker serves which number, as the workers' admin pages show it.

use anyhow::{Context, Result, ensure};
use harness::http;
use serde::Deserialize;
use std::collections::HashMap;
use std::str::FromStr;

/// A worker's name and its admin address.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    name: String,
    pub(crate) url: String,
}

impl FromStr for Worker {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, url) = text.split_once('=').context("expected NAME=URL")?;
        ensure!(!name.is_empty() && !url.is_empty(), "expected NAME=URL");
        Ok(Self {
            name: name.to_owned(),
            url: url.to_owned(),
        })
    }
}

/// One entry of `GET /lanes`, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Lane {
    pub(crate) phone_number_id: String,
    waiting: usize,
    in_flight: usize,
    pair_parked: usize,
}

impl Lane {
    /// Whether the worker that tells of it has work of it.
    pub(crate) fn is_busy(&self) -> bool {
        self.waiting + self.in_flight > 0
    }
}

/// Who was last seen with work of a number: every worker lists every number, one has the work.
#[derive(Default)]
pub(crate) struct Owners {
    by_number: HashMap<String, String>,
    /// People whose messages wait for the pair limit now.
    pub(crate) held_people: usize,
}

impl Owners {
    /// A worker that does not answer changes nothing: the table goes on without it.
    pub(crate) async fn look(&mut self, workers: &[Worker]) {
        let mut held_people = 0;
        for worker in workers {
            if let Ok(lanes) = http::get::<Vec<Lane>>(&worker.url, "/lanes").await {
                self.note(&worker.name, &lanes);
                held_people += lanes.iter().map(|lane| lane.pair_parked).sum::<usize>();
            }
        }
        self.held_people = held_people;
    }

    fn note(&mut self, worker: &str, lanes: &[Lane]) {
        for lane in lanes.iter().filter(|lane| lane.is_busy()) {
            self.set(&lane.phone_number_id, worker);
        }
    }

    pub(crate) fn set(&mut self, number: &str, worker: &str) {
        self.by_number.insert(number.to_owned(), worker.to_owned());
    }

    pub(crate) fn of(&self, number: &str) -> Option<&str> {
        self.by_number.get(number).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_who_has_work() {
        let lanes = |waiting, in_flight| -> Vec<Lane> {
            let json = format!(
                r#"[{{"phone_number_id":"1","state":"flowing","waiting":{waiting},"in_flight":{in_flight},"pair_parked":0}}]"#
            );
            serde_json::from_str(&json).unwrap()
        };
        let mut owners = Owners::default();
        owners.note("east", &lanes(0, 0));
        assert_eq!(owners.of("1"), None);
        owners.note("east", &lanes(0, 1));
        owners.note("west", &lanes(0, 0));
        assert_eq!(owners.of("1"), Some("east"));
        owners.note("west", &lanes(3, 0));
        assert_eq!(owners.of("1"), Some("west"));
    }
}
