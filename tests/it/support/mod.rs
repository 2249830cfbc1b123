//! What the tests are made of: a RabbitMQ virtual host, an API simulator, a dispatcher process, and a caller.

pub(crate) mod broker;
pub(crate) mod client;
pub(crate) mod collector;
pub(crate) mod container;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod proxy;
pub(crate) mod stalling;
pub(crate) mod worker;

use broker::VirtualHost;
use client::{Client, Inbox, Letter, Request};
use graph_sim::{NumberRules, Options, Sim};
use proxy::Proxy;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::Future;
use std::time::Duration;
use worker::{Folder, Worker};

/// The lane of tests that need only one.
pub(crate) const NUMBER: &str = "111";
/// The account of every lane.
pub(crate) const WABA: &str = "900";
pub(crate) const TOKEN: &str = "EAAGtest";

/// How long an event may take. Generous: it is only ever waited for in full by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(crate) async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Looks again and again; for what cannot tell by itself, such as a metric.
pub(crate) async fn poll<F: Future<Output = bool>>(look: impl Fn() -> F) {
    while !look().await {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

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
        let mut text = format!("broker.url = \"{broker}\"\ngraph.base_url = \"{graph}\"\n");
        for (key, value) in &self.config {
            text += &format!("{key} = {value}\n");
        }
        text += &format!("[[accounts]]\nwaba_id = \"{WABA}\"\ntoken_file = \"{token_file}\"\n");
        text += &self.account;
        for (number, mps) in &self.numbers {
            text += &format!("[[accounts.numbers]]\nphone_number_id = \"{number}\"\nmps = {mps}\n");
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
        let vhost = VirtualHost::create();
        let sim = Sim::start(setup.sim.clone()).await.unwrap();
        let (broker, graph) = (VirtualHost::address(), sim.url());
        Self::between(setup, vhost, sim, &broker, &graph).await
    }

    /// With the broker and the API at these addresses, which may be proxies'.
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
        let client = Client::connect(&vhost.url(&VirtualHost::address())).await;
        let queue = client.queue(Some(("wa.results", "#"))).await;
        let results = client.read(&queue).await;
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
        let vhost = VirtualHost::create();
        let sim = Sim::start(setup.sim.clone()).await.unwrap();
        let proxy = Proxy::to(&VirtualHost::address()).await;
        let graph = sim.url();
        let world = Self::between(setup, vhost, sim, &proxy.address, &graph).await;
        (world, proxy)
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

    /// A metric as it is now, summed over the series that carry all these labels.
    pub(crate) async fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.worker.metrics().await.sum(name, labels)
    }

    /// Publishes as many texts to as many people, as `m-0`, `m-1`, …, and returns their ids.
    pub(crate) async fn publish_many(&self, count: usize) -> Vec<String> {
        let ids: Vec<String> = (0..count).map(|n| format!("m-{n}")).collect();
        let request = |(n, id): (usize, &String)| Request::text(id, &format!("3460{n:07}"));
        self.client
            .publish(ids.iter().enumerate().map(request))
            .await;
        ids
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
    }

    /// As [`World::finish`], where a session was lost: a result may have been published twice.
    pub(crate) async fn finish_after_loss(mut self) {
        self.worker.drain().await;
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
        let mut sends: BTreeMap<String, usize> = BTreeMap::new();
        for id in self
            .sim
            .ledger()
            .into_iter()
            .filter_map(|entry| entry.opaque)
        {
            *sends.entry(id).or_default() += 1;
        }
        for id in ids {
            let results: Vec<Value> = self.results.of(id).iter().map(Letter::json).collect();
            let flagged = results
                .iter()
                .any(|result| result["possible_duplicate"] == true);
            let sent = sends.get(id).copied().unwrap_or(0);
            assert!(
                sent <= 1 || flagged,
                "{id} was sent {sent} times and nobody says so: {results:?}"
            );
            // A result may be told again after a loss, but it must be the same one.
            let told: BTreeSet<String> = results
                .iter()
                .map(|result| result["wamid"].to_string())
                .collect();
            assert!(told.len() == 1 || flagged, "{id}: {results:?}");
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
        letters.retain(|letter| letter.id().as_deref() != Some("mark"));
        letters
    }
}
