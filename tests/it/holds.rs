//! What stops more than one message: how far it reaches, what it costs, and how it ends. Two accounts: 900 with the numbers 111
//! and 112, 901 with 222 and a token of its own.

mod operators;
mod outage;
mod scopes;
mod throttles;
mod workers_log;

use crate::support::{Setup, TOKEN, World};
use graph_sim::{NumberRules, Stats, Token, TokenState};
use harness::client::Request;
use harness::config::account;
use harness::worker::Worker;

const OTHER_TOKEN: &str = "EAAGother";

fn setup() -> Setup {
    let mut setup = Setup::default()
        .set("worker.id", "\"worker-a\"")
        .numbers(&[("111", 80), ("112", 80)]);
    setup.append = account("901", &format!("token = \"{OTHER_TOKEN}\""), ["222"], 80);
    for (number, waba_id) in [("111", "900"), ("112", "900"), ("222", "901")] {
        let rules = NumberRules {
            waba_id: waba_id.to_owned(),
            latency_ms: 50,
            ..setup.sim.defaults.clone()
        };
        setup.sim.numbers.insert(number.to_owned(), rules);
    }
    setup
}

fn token(text: &str, state: TokenState) -> Token {
    Token {
        token: text.to_owned(),
        state,
        numbers: None,
        expires_at: None,
        app_id: None,
    }
}

/// As many texts to as many people from one number; their ids.
async fn publish(world: &World, number: &str, count: usize) -> Vec<String> {
    world.publish_texts("m", number, count).await
}

/// Sends that reached the API from these numbers, whatever became of them.
fn received(stats: &Stats, numbers: &[&str]) -> u64 {
    let of = |number: &&str| stats.numbers.get(*number).map_or(0, |stats| stats.received);
    numbers.iter().map(of).sum()
}

fn questions(stats: &Stats, number: &str) -> u64 {
    stats.numbers.get(number).map_or(0, |stats| stats.gets)
}
