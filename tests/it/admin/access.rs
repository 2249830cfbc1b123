//! Who is let in, by the admin port and by readiness.

use crate::support::{NUMBER, Setup, World, poll, within};
use harness::broker::VirtualHost;
use harness::config::number;
use harness::figures::cpu;
use harness::http;
use harness::worker::{Folder, Worker};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_ready_once_a_lane_works_or_none_should() {
    let vhost = VirtualHost::create();
    let of_another_kind = |lane: &str| {
        let queue = json!({ "durable": true, "arguments": { "x-queue-type": "classic" } });
        let path = format!("/api/queues/{}/wa.lane.{lane}", vhost.name);
        vhost.manage("PUT", &path, Some(queue));
    };
    of_another_kind(NUMBER);
    of_another_kind("222");
    let folder = Folder::create();
    let sim = graph_sim::Sim::start(Setup::default().sim).await.unwrap();
    let token = folder.write("token", "EAAG");
    let setup = Setup::default().numbers(&[(NUMBER, 1000), ("222", 1000)]);
    let url = vhost.url(&VirtualHost::address());
    let config = setup.config_file(&url, &sim.url(), token.to_str().unwrap());
    let mut worker = Worker::start(&folder, &config);
    let why = "no lane can be subscribed to\n";
    let told = poll(|| async {
        let answer = worker.get("/readyz").await;
        answer.is_some_and(|answer| answer.status == 503 && answer.body == why)
    });
    within("a worker that is not ready", told).await;
    vhost.delete_queue("wa.lane.222");
    worker.ready().await;
    let bad = [("phone_number_id", NUMBER)];
    worker.metric("lane_subscribed", &bad, |n| n == 0.0).await;
    // Of a lane that is paused none is expected.
    assert_eq!(worker.post("/lanes/222/pause").await.status, 202);
    assert_eq!(worker.post("/lanes/111/pause").await.status, 202);
    let paused = [("phone_number_id", "222")];
    worker
        .metric("lane_subscribed", &paused, |n| n == 0.0)
        .await;
    worker.ready().await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_by_a_strange_name_is_answered_421() {
    let setup = Setup::default().set("admin.hosts", "\"worker-1.internal, other\"");
    let world = World::start(setup).await;
    let address = world.worker.admin_address();
    let status = |host: &str, method: &str, path: &str| {
        http::ask_for(host, &address, method, path).unwrap().status
    };
    for path in ["/", "/livez", "/readyz", "/metrics", "/lanes", "/lanes/111"] {
        assert_eq!(status("evil.example:9464", "GET", path), 421, "{path}");
        for host in [
            "localhost:9464",
            "10.1.2.3",
            "[fd00::1]:9464",
            "worker-1.internal:9464",
        ] {
            assert_eq!(status(host, "GET", path), 200, "{host}{path}");
        }
    }
    assert_eq!(status("evil.example", "POST", "/lanes/111/pause"), 421);
    assert_eq!(world.worker.lane(NUMBER).await["state"], "flowing");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_are_paused_only_where_the_config_says_so() {
    let world = World::start(Setup::default().set("admin.actions", "false")).await;
    for action in ["pause", "resume"] {
        let answer = world.worker.post(&format!("/lanes/111/{action}")).await;
        let said = "read-only: admin.actions is not set\n";
        assert_eq!((answer.status, &*answer.body), (403, said));
    }
    assert_eq!(world.worker.lane(NUMBER).await["state"], "flowing");
    world.finish().await;
}

/// A long `/lanes` is written by another thread than the lanes'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telling_of_many_lanes_is_not_done_on_their_thread() {
    let folder = Folder::create();
    let token = folder.write("token", "EAAG");
    let mut setup = Setup::default().numbers(&[]);
    for lane in 0..1_000 {
        setup.append += &number(&lane.to_string(), 10);
    }
    let nowhere = ("amqp://127.0.0.1:1", "http://127.0.0.1:1");
    let config = setup.config_file(nowhere.0, nowhere.1, token.to_str().unwrap());
    let mut worker = Worker::start(&folder, &config);
    let is_there = poll(|| async { worker.get("/livez").await.is_some() });
    within("the admin port", is_there).await;
    let pid = worker.pid();
    let used = |folder: &str| cpu(Path::new(folder)).unwrap();
    let (own, all) = (format!("/proc/{pid}/task/{pid}"), format!("/proc/{pid}"));
    let (own_before, all_before) = (used(&own), used(&all));
    let busy = async {
        while used(&all) < all_before + Duration::from_secs(1) {
            let told = worker.get("/lanes").await.unwrap().json();
            assert_eq!(told.as_array().unwrap().len(), 1_001);
        }
    };
    within("a second of CPU time", busy).await;
    let (own, all) = (used(&own) - own_before, used(&all) - all_before);
    assert!(own * 2 < all, "{own:?} of {all:?} were the lanes' thread's");
    worker.drain().await;
}
