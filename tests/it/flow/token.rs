//! What stops a whole lane: its messages wait unharmed, and flow on when the cause is gone.

use crate::support::{NUMBER, Setup, TOKEN, World};
use graph_sim::{Sim, Token, TokenState};
use harness::client::Request;
use harness::proxy::{Mode, Proxy};

fn token(text: &str, state: TokenState) -> Token {
    Token {
        token: text.to_owned(),
        state,
        numbers: None,
        expires_at: None,
        app_id: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_halts_the_lane_until_a_new_token_file() {
    let mut setup = Setup::default().set("retry.max_attempts", "1");
    setup.sim.tokens = vec![token(TOKEN, TokenState::Expired)];
    let world = World::start(setup).await;
    let ids = world.publish_many(10).await;
    world.worker.lane_state(NUMBER, "away").await;
    // Its messages are RabbitMQ's again, and none is answered.
    world.counts("lane_subscribed", 0.0).await;
    let lane = world.worker.lane(NUMBER).await;
    assert_eq!(lane["waiting"], 0);
    assert_eq!(lane["cause"]["code"], 190);
    assert_eq!(lane["cause"]["scope"], "token");
    assert!(lane["cause"]["remedy"].is_string() && lane["cause"]["since"].is_string());
    assert!(world.results.letters().is_empty());

    world.sim.set_tokens([token("EAAGnew", TokenState::Valid)]);
    world.folder.write("token", "EAAGnew\n");
    world.accepted_once(&ids).await;
    assert_eq!(world.sim.ledger().len(), 10, "each once");
    let metrics = world.worker.metrics().await;
    assert_eq!(metrics.sum("token_reloads_total", &[("result", "ok")]), 1.0);
    world.worker.lane_state(NUMBER, "flowing").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_token_file_leaves_the_old_token_in_use() {
    let world = World::start(Setup::default()).await;
    world.folder.write("token", "two words\n");
    world
        .metric("token_reloads_total", &[("result", "error")], |n| n == 1.0)
        .await;
    let result = world.answer(Request::text("m", "34600000001")).await;
    assert_eq!(result["status"], "accepted");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_account_is_tried_again_by_itself() {
    let setup = Setup::default()
        .set("lanes.halt_probe_s", "1")
        .set("retry.max_attempts", "1");
    let world = World::start(setup).await;
    // 131042: billing.
    world.block(NUMBER, Some(131042));
    let ids = world.publish_many(10).await;
    world.worker.lane_state(NUMBER, "away").await;
    world.block(NUMBER, None);
    world.accepted_once(&ids).await;
    assert_eq!(world.sim.ledger().len(), 10, "each once");
    world.finish().await;
}

/// The messages were refused for sure, so their results owe nobody a warning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_given_back_by_a_halted_lane_are_no_possible_duplicates() {
    let setup = Setup::default().set("lanes.halt_probe_s", "1");
    let world = World::start(setup).await;
    world.block(NUMBER, Some(131042));
    let ids = world.publish_many(10).await;
    world.worker.lane_state(NUMBER, "away").await;
    world.block(NUMBER, None);
    world.accepted_once(&ids).await;
    world.finish().await;
}

/// Each new token is asked about, and an API that hangs must not keep the next one waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_loaded_while_the_api_hangs() {
    let setup = Setup::default()
        .set("graph.request_timeout_ms", "200000")
        .set("drain.timeout_s", "300");
    let sim = Sim::start(setup.sim.clone()).await.unwrap();
    let proxy = Proxy::to(&sim.addr().to_string()).await;
    proxy.set(Mode::BlackHole).await;
    let graph = format!("http://{}", proxy.address);
    let world = World::beyond(setup, sim, &graph).await;
    for n in 1..=3 {
        world.folder.write("token", &format!("EAAGnext{n}"));
        let loaded = |count| count == f64::from(n);
        let ok = [("result", "ok")];
        world.metric("token_reloads_total", &ok, loaded).await;
    }
    world.finish().await;
}

/// What Meta does to one app would stop the numbers of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_apps_under_one_name_are_told() {
    let append = "[[accounts]]\nwaba_id = \"901\"\ntoken = \"EAAGother\"\n\
                  [[accounts.numbers]]\nphone_number_id = \"222\"\nmps = 100\n";
    let mut setup = Setup {
        append: append.to_owned(),
        ..Setup::default()
    };
    let other = Token {
        app_id: Some("200000000000001".to_owned()),
        ..token("EAAGother", TokenState::Valid)
    };
    setup.sim.tokens = vec![token(TOKEN, TokenState::Valid), other];
    let world = World::start(setup).await;
    let line = world
        .worker
        .log
        .line("accounts.app: the tokens of this account")
        .await;
    assert!(
        line.contains("of two Meta apps") && line.contains("\"default\""),
        "{line}"
    );
    assert!(line.contains("900") && line.contains("901"), "{line}");
    world.finish().await;
}
