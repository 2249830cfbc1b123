//! What the broker's user may do, and what was declared before: enough rights work, too few say what is missing.

use crate::support::{NUMBER, Setup, World};
use graph_sim::Sim;
use harness::broker::VirtualHost;
use harness::client::{Client, Request};
use harness::proxy::Proxy;
use harness::worker::{Folder, Worker, command};
use serde_json::json;

/// What a worker needs that declares nothing.
const WRITE: &str = r"^(wa\.results|wa\.dead|wa\.delay\..*|wa\.lanes\.log|wa\.tenures\.log|wa\.results\.log|amq\.default)$";
const READ: &str = r"^wa\..*$";

struct Restricted {
    worker: Worker,
    vhost: VirtualHost,
    _folder: Folder,
}

/// A worker of this user's, on a virtual host of its own.
fn start(vhost: VirtualHost, login: &str, declare: bool) -> Restricted {
    let folder = Folder::create();
    let token = folder.write("token", "EAAG");
    let config = Setup::default().set("broker.declare", if declare { "true" } else { "false" });
    let url = vhost.url_as(login, &VirtualHost::address());
    let config = config.config_file(&url, "http://127.0.0.1:1", token.to_str().unwrap());
    let worker = Worker::start(&folder, &config);
    Restricted {
        worker,
        vhost,
        _folder: folder,
    }
}

impl Restricted {
    /// Waits for a line with all of these, then ends.
    async fn says(mut self, texts: &[&str]) {
        let line = self.worker.log.line(texts[0]).await;
        for text in texts {
            assert!(line.contains(text), "{text} is not in {line}");
        }
        self.worker.drain().await;
        let log = self.worker.log.text();
        assert!(!log.contains("it-password"), "{log}");
        drop(self.vhost);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_the_right_to_declare_does_everything_else() {
    let numbers = [(NUMBER, 1000), ("222", 1000)];
    let mut world = World::start(Setup::default().numbers(&numbers)).await;
    world.worker.drain().await;
    let login = world.vhost.user("worker", "^$", WRITE, READ);
    let config = world.config.replace("guest:guest@", &format!("{login}@"));
    let config = format!("broker.declare = false\n{config}");
    world.worker = Worker::start(&world.folder, &config);
    world.worker.ready().await;

    world.fail(131016, 1);
    let queue = world.client.queue(None).await;
    let replies = world.client.read(&queue).await;
    let retried = Request::text("retried", "34600000001").with(|p| p.with_reply_to(queue.into()));
    assert_eq!(world.answer(retried).await["attempts"], 2);
    replies.wait("retried").await;
    assert_eq!(
        world.answer(Request::raw("broken", "{")).await["status"],
        "rejected"
    );
    let stranger = Request::text("stranger", "34600000001").number("999");
    assert_eq!(
        world.answer(stranger).await["error"]["class"],
        "unknown_number"
    );

    // A lane that somebody deletes cannot be mended without the right; the line says what is missing, and others go on.
    world.vhost.delete_queue("wa.lane.111");
    let line = world.worker.log.line("cannot subscribe to the lane").await;
    assert!(line.contains("wa.lane.111 does not exist (404)"), "{line}");
    let other = Request::text("other", "34600000001").number("222");
    assert_eq!(world.answer(other).await["status"], "accepted");
    let sessions = world.sum("broker_sessions_total", &[]).await;
    assert_eq!(sessions, 1.0, "a channel's error is no session's");
    world.finish().await;
}

/// The default exchange reaches every queue, so a careful operator keeps it out of the worker's rights.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_may_not_be_published_harms_no_result() {
    let mut world = World::start(Setup::default()).await;
    world.worker.drain().await;
    let write = WRITE.replace(r"|amq\.default", "");
    let login = world.vhost.user("worker", "^$", &write, READ);
    let config = world.config.replace("guest:guest@", &format!("{login}@"));
    world.worker = Worker::start(&world.folder, &format!("broker.declare = false\n{config}"));
    world.worker.ready().await;
    let queue = world.client.queue(None).await;
    for n in 0..3 {
        let request = Request::text(&format!("m-{n}"), "34600000001");
        let request = request.with(|p| p.with_reply_to(queue.clone().into()));
        assert_eq!(world.answer(request).await["status"], "accepted");
    }
    world.counts("replies_undelivered_total", 3.0).await;
    assert_eq!(world.sum("broker_sessions_total", &[]).await, 1.0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topology_that_is_missing_is_named() {
    let vhost = VirtualHost::create();
    let login = vhost.user("worker", "^$", WRITE, READ);
    let worker = start(vhost, &login, false);
    worker
        .says(&[
            "no broker session",
            "does not exist (404)",
            "broker.declare = true",
            "whatsapp-dispatcher definitions",
        ])
        .await;
}

/// What an operator imports instead of letting workers declare; and a lane that was forgotten is nobody else's trouble.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imported_definitions_are_all_a_worker_needs() {
    let (vhost, folder) = (VirtualHost::create(), Folder::create());
    let sim = Sim::start(Setup::default().sim).await.unwrap();
    let token = folder.write("token", "EAAG");
    let token = token.to_str().unwrap();
    let login = vhost.user("worker", "^$", WRITE, READ);
    let url = vhost.url_as(&login, &VirtualHost::address());
    let config = |numbers: &[(&'static str, u32)]| {
        let setup = Setup::default().numbers(numbers);
        let setup = setup.set("broker.declare", "false");
        setup.config_file(&url, &sim.url(), token)
    };
    let file = folder.write("definitions.toml", &config(&[(NUMBER, 1000)]));
    let arguments = ["definitions", "--config", file.to_str().unwrap()];
    let (code, text) = command(&arguments);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("it-password"), "{text}");
    vhost.manage(
        "POST",
        "/api/definitions",
        Some(serde_json::from_str(&text).unwrap()),
    );

    let mut worker = Worker::start(&folder, &config(&[(NUMBER, 1000), ("222", 1000)]));
    worker.ready().await;
    let url = vhost.url(&VirtualHost::address());
    let (client, results) = Client::with_results(&url).await;
    client.publish([Request::text("m", "34600000001")]).await;
    assert_eq!(results.wait("m").await.json()["status"], "accepted");
    let line = worker.log.line("wa.lane.222 does not exist (404)").await;
    assert!(line.contains("cannot subscribe to the lane"), "{line}");
    assert_eq!(
        worker.metrics().await.sum("broker_sessions_total", &[]),
        1.0
    );
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_is_named() {
    let vhost = VirtualHost::create();
    let login = vhost.user("worker", "^$", WRITE, READ);
    let worker = start(vhost, &login, true);
    worker
        .says(&[
            "no broker session",
            "wa.unrouted (403)",
            "configure",
            "broker.declare = false",
        ])
        .await;
}

/// A retry that cannot be put on the ladder, or a request that cannot be buried, would be sent again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_may_not_publish_sends_nothing_and_says_why() {
    for (missing, exchange) in [
        (r"|wa\.delay\..*", "wa.delay.0"),
        (r"|wa\.dead", "wa.dead"),
        (r"wa\.results|", "wa.results"),
    ] {
        for declare in [false, true] {
            let mut world = World::start(Setup::default()).await;
            world.worker.drain().await;
            world.publish([Request::text("m", "34600000001")]).await;
            let write = WRITE
                .replace(missing, "")
                .replace(r"amq\.default", r"amq\.default|wa\.lane\..*|wa\.unrouted");
            assert_ne!(write.len(), WRITE.len());
            let configure = if declare { r"^wa\." } else { "^$" };
            let login = world.vhost.user("worker", configure, &write, READ);
            let config = world.config.replace("guest:guest@", &format!("{login}@"));
            let config = format!("broker.declare = {declare}\n{config}");
            world.worker = Worker::start(&world.folder, &config);
            let line = world.worker.log.line("no broker session").await;
            let object = format!("may not use {exchange} (403)");
            assert!(line.contains(&object), "{declare}: {line}");
            assert_eq!(world.sim.ledger().len(), 0);
            let answer = world.worker.get("/readyz").await.unwrap();
            assert_eq!(answer.status, 503);
            world.worker.drain().await;
        }
    }
}

/// Nothing is kept for longer than 30 days, whatever becomes of the workers: each queue and stream has an end, by arguments or by the
/// policy that the definitions bring.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_for_longer_than_30_days() {
    const DAYS_30_MS: u64 = 30 * 24 * 3600 * 1000;
    let world = World::start(Setup::default()).await;
    let path = format!("/api/queues/{}", world.vhost.name);
    let queues = world.vhost.manage("GET", &path, None).json();
    let mut seen = 0;
    for queue in queues.as_array().unwrap() {
        let (name, arguments) = (queue["name"].as_str().unwrap(), &queue["arguments"]);
        if name == "wa.unrouted" || !name.starts_with("wa.") {
            continue;
        }
        seen += 1;
        let hours: Option<u64> = arguments["x-max-age"].as_str().map(|age| {
            let days = age
                .strip_suffix('D')
                .map(|days| days.parse::<u64>().unwrap() * 24);
            days.unwrap_or_else(|| age.strip_suffix('h').unwrap().parse().unwrap())
        });
        let end_ms = match hours {
            Some(hours) => hours * 3600 * 1000,
            None => arguments["x-message-ttl"]
                .as_u64()
                .unwrap_or_else(|| panic!("{name} keeps for ever")),
        };
        assert!(end_ms <= DAYS_30_MS, "{name}: {end_ms} ms");
    }
    assert!(seen > 25, "{seen}: lane, dead, logs, ladder");
    world.finish().await;
}

/// A lane that an earlier version declared, without an end, is used as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_of_an_earlier_version_is_taken_as_it_is() {
    let vhost = VirtualHost::create();
    let arguments = json!({
        "x-queue-type": "quorum", "x-single-active-consumer": true,
        "x-dead-letter-exchange": "wa.unrouted", "x-delivery-limit": 1_000_000,
    });
    let queue = json!({ "durable": true, "arguments": arguments });
    let path = format!("/api/queues/{}/wa.lane.{NUMBER}", vhost.name);
    vhost.manage("PUT", &path, Some(queue));
    let setup = Setup::default();
    let sim = graph_sim::Sim::start(setup.sim.clone()).await.unwrap();
    let (broker, graph) = (VirtualHost::address(), sim.url());
    let world = World::between(setup, vhost, sim, &broker, &graph).await;
    let answer = world.answer(Request::text("m", "34600000001")).await;
    assert_eq!(answer["status"], "accepted");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_declared_otherwise_is_named() {
    let vhost = VirtualHost::create();
    let queue = json!({ "durable": true, "arguments": { "x-queue-type": "classic" } });
    vhost.manage(
        "PUT",
        &format!("/api/queues/{}/wa.lane.111", vhost.name),
        Some(queue),
    );
    let login = vhost.user("all", ".*", ".*", ".*");
    let worker = start(vhost, &login, true);
    worker
        .says(&[
            "cannot subscribe to the lane",
            "wa.lane.111 exists with other arguments",
            "(406)",
            "inequivalent arg",
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_without_it() {
    let vhost = VirtualHost::create();
    let login = vhost
        .user("all", ".*", ".*", ".*")
        .replace("it-password", "it-password-wrong");
    let worker = start(vhost, &login, true);
    worker.says(&["no broker session", "ACCESS_REFUSED"]).await;
}

/// Kubernetes mounts a Secret as links through `..data`, which is swapped when it changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_needs_no_restart() {
    let (vhost, folder) = (VirtualHost::create(), Folder::create());
    let login = vhost.user("all", ".*", ".*", ".*");
    let (user, password) = login.split_once(':').unwrap();
    let mount = folder.0.join("mount");
    std::fs::create_dir(&mount).unwrap();
    let publish = |version: &str, password: &str| {
        std::fs::create_dir(mount.join(version)).unwrap();
        std::fs::write(
            mount.join(version).join("password"),
            format!("{password}\n"),
        )
        .unwrap();
        std::os::unix::fs::symlink(version, mount.join("..next")).unwrap();
        std::fs::rename(mount.join("..next"), mount.join("..data")).unwrap();
    };
    publish("..1", password);
    std::os::unix::fs::symlink("..data/password", mount.join("password")).unwrap();
    let sim = Sim::start(Setup::default().sim).await.unwrap();
    let token = folder.write("token", "EAAG");
    let proxy = Proxy::to(&VirtualHost::address()).await;
    let config = Setup::default()
        .set(
            "broker.password_file",
            &format!("{:?}", mount.join("password")),
        )
        .config_file(
            &vhost.url_as(user, &proxy.address),
            &sim.url(),
            token.to_str().unwrap(),
        );
    let mut worker = Worker::start(&folder, &config);
    worker.ready().await;

    vhost.change_password(user, "it-password-2");
    proxy.reset_all();
    worker.log.line("ACCESS_REFUSED").await;
    publish("..2", "it-password-2");
    worker.ready().await;
    let sessions = worker.metrics().await.sum("broker_sessions_total", &[]);
    assert_eq!(sessions, 2.0);
    worker.drain().await;
    let log = worker.log.text();
    assert!(!log.contains("it-password"), "{log}");
}

/// RabbitMQ's own default is 16 MiB, and so is that of the tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_takes_large_messages_is_told_of() {
    let world = World::start(Setup::default()).await;
    world.worker.log.line("set max_message_size").await;
    let result = world.answer(Request::text("m-1", "34600000001")).await;
    assert_eq!(result["status"], "accepted");
    world.finish().await;
}
