//! Every operation that rides a queue, against the API double: what one does a later one shows, and what is gone is unknown.

use crate::support::{NUMBER, Setup, WABA, World};
use graph_sim::Template;
use harness::client::Request;
use harness::http;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use whatsapp_dispatcher::core::operation::{ACCOUNT_OPERATIONS, Facts, Operation};

mod accounts;
mod numbers;
mod things;

/// Another account of the same portfolio, which no lane is for.
const OTHER: &str = "901";

struct Walk {
    world: World,
    done: BTreeSet<&'static str>,
    count: usize,
}

fn facts(name: &str) -> &'static Facts {
    Operation::of_type(name).unwrap().facts()
}

impl Walk {
    async fn start() -> Self {
        let mut setup = Setup::default();
        let rules = setup.sim.defaults.clone();
        let mut other = rules.clone();
        other.waba_id = OTHER.to_owned();
        // Listed, so that an id that is gone is no number.
        setup.sim.numbers = [(NUMBER.to_owned(), rules), ("222".to_owned(), other)].into();
        Self {
            world: World::start(setup).await,
            done: BTreeSet::new(),
            count: 0,
        }
    }

    /// The operation's result. The node is there if its path has one.
    async fn result(&mut self, name: &str, node: &str, body: &Value) -> Value {
        let facts = facts(name);
        self.done.insert(facts.name);
        self.count += 1;
        let id = format!("{name}-{}", self.count);
        self.ask(name, node, Request::json(&id, body)).await
    }

    /// The API's answer to an operation that carries this file.
    async fn gives(&mut self, name: &str, node: &str, file: &[u8]) -> Value {
        self.done.insert(facts(name).name);
        let result = self.ask(name, node, Request::raw(name, file)).await;
        assert_eq!(result["status"], "accepted", "{name}: {result}");
        result["response"].clone()
    }

    async fn ask(&self, name: &str, node: &str, request: Request) -> Value {
        let facts = facts(name);
        let mut request = request.with(|p| p.with_type(name.into()));
        request.exchange = "wa.operations".to_owned();
        if !facts.path.contains("{phone_number_id}") {
            request = request.number(WABA);
        }
        if facts.node_parts() > 0 {
            request = request.header("node", node);
        }
        if facts.is_confirmed {
            request = request.header("confirm", "true");
        }
        self.world.answer(request).await
    }

    /// The API's answer to what it did, which has this in it.
    async fn does(
        &mut self,
        name: &str,
        node: &str,
        body: Value,
        shows: &[(&str, Value)],
    ) -> Value {
        let result = self.result(name, node, &body).await;
        assert_eq!(result["status"], "accepted", "{name}: {result}");
        for (at, value) in shows {
            let shown = result["response"].pointer(at).unwrap_or(&Value::Null);
            assert_eq!(shown, value, "{name} {at}: {result}");
        }
        result["response"].clone()
    }

    /// As [`Walk::does`], and what the answer has at that place.
    async fn finds(&mut self, name: &str, node: &str, body: Value, at: &str) -> String {
        let response = self.does(name, node, body, &[]).await;
        let found = response.pointer(at).and_then(Value::as_str);
        found
            .unwrap_or_else(|| panic!("{name} {at}: {response}"))
            .to_owned()
    }

    /// The API refuses it with that code.
    async fn fails(&mut self, name: &str, node: &str, code: i64) {
        let result = self.result(name, node, &json!({})).await;
        assert_eq!(result["status"], "rejected", "{name}: {result}");
        assert_eq!(result["error"]["code"], code, "{name}: {result}");
    }

    fn template(&self, waba: &str, name: &str, status: &str) {
        self.world
            .sim
            .set_templates([Template::new(waba, name, status)]);
    }

    /// What the API does for somebody else; its answer's id.
    async fn beside(&self, path: &str, body: Value) -> String {
        let address = self.world.sim.addr().to_string();
        let path = format!("/v24.0/{path}?access_token=t");
        let answer = http::ask_aside(&address, "POST", &path, None, Some(body)).await;
        answer.unwrap().json()["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_answered_and_a_later_one_shows_what_it_did() {
    let mut walk = Walk::start().await;
    walk.numbers().await;
    walk.people_and_media().await;
    walk.codes_and_settings().await;
    walk.accounts().await;
    walk.payments().await;
    walk.figures().await;
    walk.templates().await;
    walk.template_groups().await;
    walk.flows().await;
    walk.groups().await;
    let all: BTreeSet<&str> = ACCOUNT_OPERATIONS.iter().map(|facts| facts.name).collect();
    let left: Vec<_> = all.difference(&walk.done).collect();
    assert_eq!(left, [&""; 0], "never asked for");
    walk.world.finish().await;
}
