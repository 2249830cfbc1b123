//! What the tests are made of: a RabbitMQ virtual host, an API simulator, a dispatcher process, and a caller.

pub(crate) mod collector;
pub(crate) mod container;

pub(crate) use harness::client::NUMBER;
use harness::config;
pub(crate) use harness::{poll, within};

use graph_sim::{Action, Fault, NumberRules, Options, Sim};
use harness::answer::{Answer, fault};
use harness::broker::VirtualHost;
use harness::client::{Client, Inbox, Letter, Request};
use harness::proxy::Proxy;
use harness::worker::{Folder, Worker};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// The account of every lane.
pub(crate) const WABA: &str = "900";
pub(crate) const TOKEN: &str = "EAAGtest";

/// What a test starts from.
pub(crate) struct Setup {
    pub(crate) sim: Options,
    /// Lanes with their limits.
    pub(crate) numbers: Vec<(&'static str, u32)>,
    /// Config keys that differ from the tests' defaults, as TOML.
    pub(crate) config: BTreeMap<String, String>,
    /// More keys of the account, as TOML.
    pub(crate) account: String,
    /// TOML for the end of the file, which is inside the account.
    pub(crate) append: String,
}

impl Default for Setup {
    /// One fast lane, and every wait of the dispatcher short.
    fn default() -> Self {
        let rules = NumberRules {
            unlimited: true,
            latency_ms: 5,
            waba_id: WABA.to_owned(),
            ..NumberRules::default()
        };
        let setup = Self {
            sim: Options {
                defaults: rules,
                keep_bodies: true,
                ..Options::default()
            },
            numbers: vec![(NUMBER, 1000)],
            config: BTreeMap::new(),
            account: String::new(),
            append: String::new(),
        };
        setup
            .set("log.level", "\"info,whatsapp_dispatcher=debug\"")
            .set("admin.actions", "true")
            .set("broker.heartbeat_s", "5")
            .set("broker.reconnect_max_ms", "1000")
            .set("broker.confirm_timeout_ms", "5000")
            .set("graph.connect_timeout_ms", "1000")
            .set("graph.request_timeout_ms", "5000")
            .set("drain.timeout_s", "15")
            .set("operations.per_hour", "1000000")
            .set("retry.base_s", "1")
            .set("retry.max_delay_s", "1")
    }
}

impl Setup {
    pub(crate) fn set(mut self, key: &str, toml: &str) -> Self {
        self.config.insert(key.to_owned(), toml.to_owned());
        self
    }

    pub(crate) fn numbers(self, numbers: &[(&'static str, u32)]) -> Self {
        Self {
            numbers: numbers.to_vec(),
            ..self
        }
    }

    pub(crate) fn config_file(&self, broker: &str, graph: &str, token_file: &str) -> String {
        let mut text = config::servers(broker, graph);
        for (key, value) in &self.config {
            text += &format!("{key} = {value}\n");
        }
        let credentials = format!("token_file = \"{token_file}\"\n{}", self.account);
        text += &config::account(WABA, credentials.trim_end(), [""; 0], 0);
        for (id, mps) in &self.numbers {
            text += &config::number(id, mps);
        }
        text + &self.append
    }
}

/// One worker and everything around it.
pub(crate) struct World {
    pub(crate) worker: Worker,
    pub(crate) client: Client,
    pub(crate) results: Inbox,
    pub(crate) sim: Sim,
    pub(crate) folder: Folder,
    pub(crate) config: String,
    pub(crate) vhost: VirtualHost,
}

impl World {
    pub(crate) async fn start(setup: Setup) -> Self {
        Self::before(setup, &VirtualHost::address()).await
    }

    /// With the broker at this address, which may be a proxy's.
    pub(crate) async fn before(setup: Setup, broker: &str) -> Self {
        let sim = Sim::start(setup.sim.clone()).await.unwrap();
        let graph = sim.url();
        Self::between(setup, VirtualHost::create(), sim, broker, &graph).await
    }

    /// With the API at this address, which may be a proxy's.
    pub(crate) async fn beyond(setup: Setup, sim: Sim, graph: &str) -> Self {
        let broker = VirtualHost::address();
        Self::between(setup, VirtualHost::create(), sim, &broker, graph).await
    }

    /// With the broker and the API at these addresses.
    pub(crate) async fn between(
        setup: Setup,
        vhost: VirtualHost,
        sim: Sim,
        broker: &str,
        graph: &str,
    ) -> Self {
        let folder = Folder::create();
        let token = folder.write("token", TOKEN);
        let config = setup.config_file(&vhost.url(broker), graph, token.to_str().unwrap());
        let worker = Worker::start(&folder, &config);
        worker.ready().await;
        let url = vhost.url(&VirtualHost::address());
        let (client, results) = Client::with_results(&url).await;
        Self {
            worker,
            client,
            results,
            sim,
            folder,
            config,
            vhost,
        }
    }

    /// With a proxy between the worker and its broker.
    pub(crate) async fn behind_proxy(setup: Setup) -> (Self, Proxy) {
        let proxy = Proxy::to(&VirtualHost::address()).await;
        (Self::before(setup, &proxy.address).await, proxy)
    }

    /// Another worker instead of one that has ended, and waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        self.worker = Worker::start(&self.folder, &self.config);
        self.worker.ready().await;
    }

    /// The API answers the first `times` sends with this code.
    pub(crate) fn fail(&self, code: i64, times: u64) {
        let fault = Fault::new(Action::error(code));
        self.sim.set_script(fault.times(times));
    }

    /// See [`Request::texts`]; their ids.
    pub(crate) async fn publish_texts(&self, name: &str, lane: &str, count: usize) -> Vec<String> {
        let requests = Request::texts(name, lane, count);
        let ids = requests.iter().map(Request::id).collect();
        self.publish(requests).await;
        ids
    }

    /// All of them are, or will be.
    pub(crate) async fn accepted(&self, ids: &[String]) {
        for id in ids {
            let result = self.results.wait(id).await.json();
            assert_eq!(result["status"], "accepted", "{result}");
        }
    }

    /// At the cost of one attempt, and none flagged.
    pub(crate) async fn accepted_once(&self, ids: &[impl AsRef<str>]) {
        for id in ids {
            let result = self.results.wait(id.as_ref()).await.json();
            assert_eq!(result["status"], "accepted", "{result}");
            assert_eq!(result["attempts"], 1, "{result}");
            assert_eq!(result["possible_duplicate"], false, "{result}");
        }
    }

    /// Another worker beside one that is called `worker-a`.
    pub(crate) async fn second(&self) -> Worker {
        let config = self.config.replace("\"worker-a\"", "\"worker-b\"");
        assert_ne!(config, self.config);
        let worker = Worker::start(&self.folder, &config);
        worker.ready().await;
        worker
    }

    /// Waits until so many requests are with the API, unanswered.
    pub(crate) async fn in_flight(&self, count: u64) {
        let so_many = self.sim.until(|stats| stats.posts_in_flight.now == count);
        within(&format!("{count} in flight"), so_many).await;
    }

    /// See [`Client::publish`].
    pub(crate) async fn publish(&self, requests: impl IntoIterator<Item = Request>) {
        self.client.publish(requests).await;
    }

    /// Waits until the API has taken so many requests of [`NUMBER`].
    pub(crate) async fn has_sent(&self, at_least: u64) {
        let taken = |stats: &graph_sim::Stats| {
            let number = stats.numbers.get(NUMBER);
            number.is_some_and(|number| number.accepted >= at_least)
        };
        within("some sends", self.sim.until(taken)).await;
    }

    /// The API answers all requests of a number with this code from now on.
    pub(crate) fn block(&self, number: &str, code: Option<i64>) {
        self.sim
            .change_number(number, |rules| rules.blocked_code = code);
    }

    /// See [`Worker::metric`].
    pub(crate) async fn metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        wanted: impl Fn(f64) -> bool,
    ) {
        self.worker.metric(name, labels, wanted).await;
    }

    /// Waits until a metric, summed over all of its series, is that much.
    pub(crate) async fn counts(&self, name: &str, expected: f64) {
        self.worker.metric(name, &[], |n| n == expected).await;
    }

    /// Waits until the worker has settled all that it sent or decided, and RabbitMQ knows: a result, or a count of it, can be read before.
    pub(crate) async fn settled(&self) {
        self.counts("lane_in_flight", 0.0).await;
        self.counts("acknowledgements_pending", 0.0).await;
    }

    /// A metric as it is now, summed over the series that carry all these labels.
    pub(crate) async fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.worker.metrics().await.sum(name, labels)
    }

    /// As [`World::publish_texts`], for [`NUMBER`].
    pub(crate) async fn publish_many(&self, count: usize) -> Vec<String> {
        self.publish_texts("m", NUMBER, count).await
    }

    /// Publishes one request and waits for its result.
    pub(crate) async fn call(&self, request: Request) -> Letter {
        let id = request.id();
        self.client.publish([request]).await;
        self.results.wait(&id).await
    }

    /// As [`World::call`], but only the result's body.
    pub(crate) async fn answer(&self, request: Request) -> Value {
        self.call(request).await.json()
    }

    /// Everything that is in `wa.dead`, and comes to it from now on.
    pub(crate) async fn dead(&self) -> Inbox {
        self.client.read("wa.dead").await
    }

    /// Drains the worker, checks its log, and that every request so far had exactly one result.
    pub(crate) async fn finish(mut self) {
        self.worker.drain().await;
        self.check_single_results().await;
        self.check_forms();
    }

    /// As [`World::finish`], where a session was lost: a result may have been published twice.
    pub(crate) async fn finish_after_loss(mut self) {
        self.worker.drain().await;
        self.check_forms();
    }

    /// Every result is what the contract's schema says, and begins with its version.
    fn check_forms(&self) {
        let schema = include_str!("../../../deploy/contract/result.schema.json");
        let schema = serde_json::from_str(schema).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let letters = self.results.letters();
        for letter in letters.iter().filter(|letter| !is_mark(letter)) {
            let result = letter.json();
            assert!(letter.body.starts_with(b"{\"v\":1,"), "{result}");
            let faults = validator
                .iter_errors(&result)
                .map(|fault| fault.to_string());
            assert_eq!(faults.collect::<Vec<_>>(), [""; 0], "{result}");
        }
    }

    /// After a fault: waits until every id has a result, then checks that what may have reached a person twice says so.
    pub(crate) async fn check_nothing_lost(&self, ids: &[String]) {
        let answered = |letters: &[Letter]| {
            let answered: HashSet<String> = letters.iter().filter_map(Letter::id).collect();
            ids.iter().all(|id| answered.contains(id))
        };
        self.results
            .until(&format!("{} results", ids.len()), answered)
            .await;
        let ledger = self.sim.ledger();
        for id in ids {
            let taken: Vec<_> = ledger
                .iter()
                .filter(|entry| entry.opaque.as_ref() == Some(id))
                .collect();
            let mut answers: Vec<Answer> = vec![];
            for letter in self.results.of(id) {
                let answer = serde_json::from_slice(&letter.body).unwrap();
                // A result may be told again after a loss, but it must be the same one.
                if !answers.contains(&answer) {
                    answers.push(answer);
                }
            }
            assert_eq!(fault(&answers, &taken), None, "{id}: {answers:?}");
        }
    }

    pub(crate) async fn check_single_results(&self) {
        let letters = self.all_results().await;
        let mut count = BTreeMap::new();
        for id in letters.iter().filter_map(Letter::id) {
            *count.entry(id).or_insert(0) += 1;
        }
        count.retain(|_, count| *count > 1);
        assert!(count.is_empty(), "more than one result: {count:?}");
    }

    /// All results that were published before now: a mark of our own comes after them.
    pub(crate) async fn all_results(&self) -> Vec<Letter> {
        let mut mark = Request::raw("mark", "{}").number("mark.of-the-test");
        mark.exchange = "wa.results".to_owned();
        self.client.publish([mark]).await;
        self.results.wait("mark").await;
        let mut letters = self.results.letters();
        letters.retain(|letter| !is_mark(letter));
        letters
    }
}

fn is_mark(letter: &Letter) -> bool {
    letter.id().as_deref() == Some("mark")
}
