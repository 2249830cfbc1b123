//! What stops more than one message: how far it reaches, what it costs, and how it ends. Two accounts: 900 with the numbers 111
//! and 112, 901 with 222 and a token of its own.

mod operators;
mod outage;
mod scopes;
mod throttles;
mod workers_log;

use crate::support::client::Request;
use crate::support::worker::Worker;
use crate::support::{Setup, TOKEN, World};
use graph_sim::{NumberRules, Stats, Token, TokenState};

const OTHER_TOKEN: &str = "EAAGother";

fn setup() -> Setup {
    let mut setup = Setup::default()
        .set("worker.id", "\"worker-a\"")
        .numbers(&[("111", 80), ("112", 80)]);
    setup.append = format!(
        "[[accounts]]\nwaba_id = \"901\"\ntoken = \"{OTHER_TOKEN}\"\n[[accounts.numbers]]\nphone_number_id = \"222\"\nmps = 80\n"
    );
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
    let ids: Vec<String> = (0..count).map(|n| format!("{number}-{n}")).collect();
    let request =
        |(n, id): (usize, &String)| Request::text(id, &format!("3460{n:07}")).number(number);
    world.publish(ids.iter().enumerate().map(request)).await;
    ids
}

/// All accepted, at the cost of so many attempts, and none flagged.
async fn accepted(world: &World, ids: &[String]) {
    for id in ids {
        let result = world.results.wait(id).await.json();
        assert_eq!(result["status"], "accepted", "{result}");
        assert_eq!(result["attempts"], 1, "{result}");
        assert_eq!(result["possible_duplicate"], false, "{result}");
    }
}

/// Sends that reached the API from these numbers, whatever became of them.
fn received(stats: &Stats, numbers: &[&str]) -> u64 {
    let of = |number: &&str| stats.numbers.get(*number).map_or(0, |stats| stats.received);
    numbers.iter().map(of).sum()
}

fn questions(stats: &Stats, number: &str) -> u64 {
    stats.numbers.get(number).map_or(0, |stats| stats.gets)
}

/// A worker beside the world's, with a name of its own.
async fn second(world: &World) -> Worker {
    let config = world.config.replace("\"worker-a\"", "\"worker-b\"");
    let worker = Worker::start(&world.folder, &config);
    worker.ready().await;
    worker
}
