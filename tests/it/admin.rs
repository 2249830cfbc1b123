//! The admin endpoints: readiness, lanes and their commands, and metrics that a dashboard can rely on.

use crate::support::{NUMBER, Setup, World, poll, within};
use graph_sim::{Action, Fault, Script};
use harness::client::Request;
use harness::metrics::Scrape;
use harness::proxy::Mode;
use harness::worker::{Folder, Worker};
use std::collections::{BTreeMap, BTreeSet};
use whatsapp_dispatcher::metrics::FAMILIES;

mod access;

async fn ready(worker: &Worker) -> (u16, String) {
    let answer = worker.get("/readyz").await.unwrap();
    (answer.status, answer.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tasks_beside_the_lanes_say_what_they_do() {
    let world = World::start(Setup::default()).await;
    let described = async || world.worker.get("/readyz?verbose").await.unwrap().body;
    let has_come_round = poll(|| async {
        let described = described().await;
        let mut lines = described.lines();
        lines.any(|line| line.starts_with("the watch on the token") && line.contains(" rounds, "))
    });
    within("a task to come round", has_come_round).await;
    let described = described().await;
    assert!(described.starts_with("ready\n"), "{described}");
    let runs = "the search for evidence: runs";
    assert!(described.lines().any(|line| line == runs), "{described}");
    assert!(!described.contains("ended"), "{described}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_the_broker_and_the_drain_and_liveness_neither() {
    let (mut world, proxy) = World::behind_proxy(Setup::default()).await;
    assert_eq!(ready(&world.worker).await, (200, "ready\n".to_owned()));
    proxy.cut().await;
    within(
        "readiness to end",
        poll(|| async { ready(&world.worker).await.0 == 503 }),
    )
    .await;
    assert_eq!(ready(&world.worker).await.1, "no broker session\n");
    assert_eq!(world.worker.get("/livez").await.unwrap().status, 200);
    proxy.set(Mode::Pass).await;
    world.worker.ready().await;

    world.sim.set_script(Fault::new(Action::Slow { ms: 2000 }));
    world.publish([Request::text("slow", "34600000001")]).await;
    world.in_flight(1).await;
    world.worker.signal("TERM");
    within(
        "readiness to end",
        poll(|| async { ready(&world.worker).await.0 == 503 }),
    )
    .await;
    assert_eq!(ready(&world.worker).await.1, "draining\n");
    assert_eq!(world.worker.get("/livez").await.unwrap().status, 200);
    world.worker.lane_state(NUMBER, "draining").await;
    assert_eq!(world.worker.end().await.code(), Some(0));
    assert_eq!(
        world.results.wait("slow").await.json()["status"],
        "accepted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_lane_gives_its_messages_back_and_resumes() {
    let world = World::start(Setup::default().numbers(&[(NUMBER, 1000), ("222", 1000)])).await;
    let pause = world.worker.post("/lanes/111/pause").await;
    assert_eq!(pause.status, 202);
    world.worker.lane_state(NUMBER, "paused").await;
    assert!(world.worker.lane(NUMBER).await["since"].is_string());
    let ids = world.publish_many(10).await;
    // The lane beside it is not touched.
    let other = Request::text("other", "34600000001").number("222");
    assert_eq!(world.answer(other).await["status"], "accepted");
    world
        .metric("lane_subscribed", &[("phone_number_id", NUMBER)], |n| {
            n == 0.0
        })
        .await;
    assert_eq!(world.sim.ledger().len(), 1);
    assert_eq!(
        world.worker.post("/lanes/111/pause").await.status,
        202,
        "twice is once"
    );
    assert_eq!(world.worker.post("/lanes/111/resume").await.status, 202);
    for id in &ids {
        let result = world.results.wait(id).await.json();
        assert_eq!(
            (&result["status"], &result["attempts"]),
            (&"accepted".into(), &1.into())
        );
        assert_eq!(result["possible_duplicate"], false);
    }
    world.worker.lane_state(NUMBER, "flowing").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_in_full_flow_loses_and_repeats_nothing() {
    let mut setup = Setup::default().numbers(&[(NUMBER, 200)]);
    setup.sim.defaults.latency_ms = 50;
    let world = World::start(setup).await;
    let ids = world.publish_many(300).await;
    for round in 1..=3 {
        world.has_sent(round * 40).await;
        world.worker.post("/lanes/111/pause").await;
        world.worker.lane_state(NUMBER, "paused").await;
        world.settled().await;
        world.worker.post("/lanes/111/resume").await;
    }
    world.check_nothing_lost(&ids).await;
    assert_eq!(world.sim.ledger().len(), 300);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_are_listed_and_strangers_refused() {
    let world = World::start(Setup::default().numbers(&[(NUMBER, 1000), ("222", 80)])).await;
    let lanes = world.worker.get("/lanes").await.unwrap();
    assert!(lanes.head.contains("content-type: application/json"));
    let lanes = lanes.json();
    let [first, second, account] = &lanes.as_array().unwrap()[..] else {
        panic!("two numbers and their account: {lanes}");
    };
    assert_eq!(account["phone_number_id"], "account.900");
    assert_eq!(first["phone_number_id"], NUMBER);
    assert_eq!(second["phone_number_id"], "222");
    assert_eq!(second["waba_id"], "900");
    assert_eq!(second["state"], "flowing");
    assert_eq!(second["limit_messages_per_second"], 80);
    for zero in ["waiting", "in_flight", "pair_parked"] {
        assert_eq!(second[zero], 0, "{second}");
    }
    // But for what its bucket holds by now.
    let mut alone = world.worker.lane("222").await;
    for moving in ["tokens", "next_slot_seconds"] {
        assert!(alone[moving].is_number(), "{alone}");
        alone[moving] = second[moving].clone();
    }
    assert_eq!(&alone, second);
    assert_eq!(world.worker.get("/lanes/333").await.unwrap().status, 404);
    assert_eq!(world.worker.post("/lanes/333/pause").await.status, 404);
    assert_eq!(world.worker.post("/lanes/111/explode").await.status, 404);
    assert_eq!(
        world.worker.get("/lanes/111/pause").await.unwrap().status,
        405
    );
    assert_eq!(world.worker.get("/other").await.unwrap().status, 404);
    world.finish().await;
}

/// A number whose limit the config leaves open takes it from the API.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_not_configured_is_read_from_the_api() {
    let mut setup = Setup::default().numbers(&[]);
    setup.sim.defaults.level = graph_sim::Level::High;
    let open = "\n[[accounts.numbers]]\nphone_number_id = \"111\"\n";
    setup.append = open.to_owned();
    let world = World::start(setup).await;
    let limit = [("phone_number_id", NUMBER)];
    world
        .metric("lane_limit_messages_per_second", &limit, |n| n == 1000.0)
        .await;
    assert_eq!(
        world.answer(Request::text("m", "34600000001")).await["status"],
        "accepted"
    );
    world.finish().await;
}

/// Numbers beyond the bound share one label, whichever way their requests end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_beyond_the_bound_are_counted_together() {
    let setup = Setup::default()
        .numbers(&[("111", 80), ("222", 80), ("333", 40)])
        .set("metrics.max_lanes", "1");
    let world = World::start(setup).await;
    world.worker.ready().await;
    for lane in ["111", "222", "333"] {
        let request = Request::text(&format!("m-{lane}"), "34600000001").number(lane);
        assert_eq!(world.answer(request).await["status"], "accepted");
    }
    // RabbitMQ takes this one out of its lane: it is answered on another way.
    world.worker.post("/lanes/222/pause").await;
    world.worker.lane_state("222", "paused").await;
    let late = Request::text("late", "34600000002").number("222");
    let late = late.with(|p| p.with_expiration("1".into()));
    assert_eq!(world.answer(late).await["status"], "expired");
    // Counted once it is confirmed, which may be after it was read here.
    let expired = [("phone_number_id", "other"), ("status", "expired")];
    let is_counted = world.metric("requests_total", &expired, |n| n == 1.0);
    is_counted.await;
    let metrics = world.worker.metrics().await;
    let other =
        |name, label, value| metrics.sum(name, &[("phone_number_id", "other"), (label, value)]);
    assert_eq!(other("requests_total", "status", "accepted"), 2.0);
    assert_eq!(other("lane_state", "state", "paused"), 1.0);
    assert_eq!(other("lane_state", "state", "flowing"), 1.0);
    let limit = [("phone_number_id", "other")];
    assert_eq!(metrics.sum("lane_limit_messages_per_second", &limit), 120.0);
    assert_eq!(metrics.sum("lanes_folded", &[]), 2.0);
    let of_numbers: BTreeSet<&str> = metrics
        .samples
        .iter()
        .filter_map(|sample| sample.labels.get("phone_number_id").map(String::as_str))
        .collect();
    assert_eq!(
        of_numbers.into_iter().collect::<Vec<_>>(),
        ["111", "account.900", "other"]
    );
    world.finish().await;
}

fn series(scrape: &Scrape) -> Vec<String> {
    let mut series: Vec<String> = scrape
        .samples
        .iter()
        .map(|sample| format!("{} {:?}", sample.name, sample.labels))
        .collect();
    series.sort();
    series
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_there_from_the_start_at_zero() {
    let folder = Folder::create();
    let config = Setup::default()
        .set("broker.reconnect_max_ms", "100")
        .config_file(
            "amqp://127.0.0.1:1",
            "http://127.0.0.1:1",
            folder.write("t", "T").to_str().unwrap(),
        );
    let mut worker = Worker::start(&folder, &config);
    within(
        "the admin port",
        poll(|| async { worker.get("/metrics").await.is_some() }),
    )
    .await;
    let answer = worker.get("/metrics").await.unwrap();
    assert!(
        answer
            .head
            .contains("content-type: text/plain; version=0.0.4")
    );
    let scrape = Scrape::parse(&answer.body);
    // Dashboards and alerts go by these names: a change shows in deploy/docs/reference/metrics.md.
    let known = FAMILIES
        .iter()
        .map(|family| (family.full_name(), family.kind.as_str().to_owned()));
    assert_eq!(
        scrape.types.clone().into_iter().collect::<BTreeMap<_, _>>(),
        known.collect()
    );
    for (name, kind) in &scrape.types {
        assert!(scrape.helped.contains(name), "{name} has no HELP");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
    }
    for sample in scrape
        .samples
        .iter()
        .filter(|sample| sample.name.ends_with("_total") && !sample.name.contains("_seconds_"))
    {
        // The API cannot be reached either, and its state is asked for at once.
        let is_read = sample.name == "wa_dispatcher_api_reads_total";
        assert!(sample.value == 0.0 || is_read, "{sample:?}");
    }
    for status in ["accepted", "rejected", "expired", "failed", "unknown"] {
        for class in ["high", "bulk"] {
            let labels = [
                ("phone_number_id", NUMBER),
                ("status", status),
                ("priority", class),
            ];
            assert_eq!(scrape.sum("requests_total", &labels), 0.0);
        }
    }
    for state in [
        "flowing", "cooling", "away", "probing", "paused", "draining",
    ] {
        scrape.sum(
            "lane_state",
            &[("phone_number_id", NUMBER), ("state", state)],
        );
    }
    assert_eq!(
        scrape.sum("lane_state", &[("phone_number_id", NUMBER)]),
        1.0,
        "in one state at a time"
    );
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_adds_no_series_but_known_error_codes() {
    let world = World::start(Setup::default()).await;
    let before = series(&world.worker.metrics().await);
    let ids = world.publish_many(50).await;
    world.check_nothing_lost(&ids).await;
    for (id, code) in [
        ("known", 131026),
        ("other-1", 777_001),
        ("other-2", 777_002),
    ] {
        let action = Action::Error {
            code,
            status: Some(400),
            subcode: None,
            details: None,
        };
        world.sim.set_script(Fault::new(action));
        world
            .call(Request::text(id, "34600000001").header("x-own", id))
            .await;
    }
    world.sim.set_script(Script::default());
    world.call(Request::raw("broken", "{")).await;
    world
        .call(Request::text("stranger", "34600000001").number("999"))
        .await;
    world.counts("unrouted_total", 1.0).await;
    let after = world.worker.metrics().await;
    assert_eq!(after.sum("api_errors_total", &[("code", "other")]), 2.0);
    let mut new = series(&after);
    new.retain(|series| !before.contains(series));
    assert_eq!(
        new,
        [r#"wa_dispatcher_api_errors_total {"code": "131026", "phone_number_id": "111"}"#]
    );
    world.finish().await;
}
