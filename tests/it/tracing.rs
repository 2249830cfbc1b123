//! Distributed tracing, as a collector and a reader of results see it.

use crate::support::collector::{Collector, Manners, Seen};
use crate::support::{NUMBER, Setup, World};
use graph_sim::{Action, Fault};
use harness::client::{Letter, Request};
use harness::worker::{Worker, free_port};
use lapin::types::FieldTable;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A routing key that is no number of ours: a caller may have mistaken the recipient's for the sender's.
const STRANGER: &str = "34699000777";

const INTERNAL: i32 = 1;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

fn traced(endpoint: &str, ratio: &str) -> Setup {
    Setup::default()
        .set("tracing.endpoint", &format!("\"{endpoint}\""))
        .set("tracing.sample_ratio", ratio)
        .set("worker.id", "\"worker-7\"")
}

async fn world(ratio: &str) -> (World, Collector) {
    let collector = Collector::start().await;
    let world = World::start(traced(&collector.url, ratio)).await;
    (world, collector)
}

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// The caller's headers in a result: without our own.
fn brought(result: &Letter) -> FieldTable {
    let headers = result.properties.headers().clone().unwrap_or_default();
    let brought = headers
        .inner()
        .iter()
        .filter(|(name, _)| !name.as_str().starts_with("wa-"));
    brought
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<BTreeMap<_, _>>()
        .into()
}

fn names(journey: &[Seen]) -> Vec<&str> {
    journey.iter().map(|span| span.name.as_str()).collect()
}

fn failing(code: i64) -> Fault {
    Fault::new(Action::Error {
        code,
        status: None,
        subcode: None,
        details: Some("cnry-details".to_owned()),
    })
}

fn check_attributes(span: &Seen, expected: &[(&str, &str)]) {
    let expected: BTreeMap<String, String> = expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut seen = span.attributes.clone();
    // Where RabbitMQ and the simulated API happen to be.
    for local in ["server.address", "server.port"] {
        let said = seen.remove(local);
        assert_eq!(said.is_some(), span.kind != INTERNAL, "{span:?}");
    }
    assert_eq!(seen, expected, "{}", span.name);
}

/// Of an accepted request with the id order-1: every attribute, and no other.
fn check_what_is_told(journey: &[Seen]) {
    let [process, receive, pace, send, publish] = journey else {
        panic!("five spans");
    };
    check_attributes(
        process,
        &[
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "wa.send:111:wa.lane.111"),
            ("messaging.rabbitmq.destination.routing_key", "111"),
            ("messaging.rabbitmq.message.delivery_tag", "1"),
            ("messaging.message.id", "order-1"),
            ("wa.phone_number_id", NUMBER),
            ("wa.priority", "high"),
            ("wa.attempt", "1"),
            ("wa.redelivered", "false"),
            ("wa.status", "accepted"),
        ],
    );
    check_attributes(receive, &[]);
    check_attributes(pace, &[]);
    check_attributes(
        send,
        &[
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("url.template", "/v26.0/{phone_number_id}/messages"),
            ("wa.outcome", "accepted"),
        ],
    );
    check_attributes(
        publish,
        &[
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.name", "publish"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "wa.results:accepted.111"),
            ("messaging.rabbitmq.destination.routing_key", "accepted.111"),
        ],
    );
    let resource: Vec<_> = process.resource.iter().collect();
    let [(id, worker), (service, name), (version, _)] = resource[..] else {
        panic!("{resource:?}");
    };
    assert_eq!(
        (id.as_str(), worker.as_str()),
        ("service.instance.id", "worker-7")
    );
    assert_eq!(
        (service.as_str(), name.as_str()),
        ("service.name", "whatsapp-dispatcher")
    );
    assert_eq!(version, "service.version");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sampled_request_is_followed_from_its_caller_to_its_result() {
    // Whatever the ratio.
    let (world, collector) = world("0").await;
    let request = Request::text("order-1", "34600000001")
        .header("traceparent", &parent("01"))
        .header("tracestate", "shop=1,other=2")
        .header("x-note", "mine")
        .with(|p| p.with_priority(7));
    let result = world.call(request).await;
    let journeys = collector.journeys(1).await;
    let journey = &journeys[0];
    assert_eq!(
        names(journey),
        [
            "process wa.lane",
            "receive",
            "pace",
            "send",
            "publish wa.results"
        ]
    );
    let [process, receive, pace, send, publish] = &journey[..] else {
        panic!("five spans");
    };
    assert_eq!(process.parent_id, CALLER);
    let kinds: Vec<i32> = journey.iter().map(|span| span.kind).collect();
    assert_eq!(kinds, [CONSUMER, INTERNAL, INTERNAL, CLIENT, PRODUCER]);
    for span in journey {
        assert_eq!((span.trace_id.as_str(), span.is_error), (TRACE, false));
        assert_eq!(span.state, "shop=1,other=2");
        assert!(process.began <= span.began && span.began <= span.ended);
        assert!(span.ended <= process.ended);
    }
    assert!(receive.ended <= pace.began && pace.ended <= publish.began);
    // The simulated API takes 5 ms.
    assert!(send.ended - send.began >= 5_000_000);

    check_what_is_told(journey);
    // Whoever reads the result goes on from the publish.
    assert_eq!(result.header("traceparent"), Some(publish.traceparent()));
    assert_eq!(
        result.header("tracestate").as_deref(),
        Some("shop=1,other=2")
    );
    assert_eq!(result.header("x-note").as_deref(), Some("mine"));
    let exported = [("result", "ok")];
    world
        .metric("spans_exported_total", &exported, |n| n == 5.0)
        .await;
    // Nothing of it goes to Meta.
    let sent = &world.sim.ledger()[0];
    assert!(!format!("{sent:?}").contains(TRACE));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_caller_that_can_be_read_a_trace_begins_here() {
    let (world, collector) = world("1.0").await;
    let malformed = Request::text("malformed", "34600000001")
        .header("traceparent", "00-nonsense-01")
        .header("tracestate", "shop=1");
    let plain = Request::text("plain", "34600000002");
    for (n, request) in [malformed, plain].into_iter().enumerate() {
        let result = world.call(request).await;
        let journeys = collector.journeys(n + 1).await;
        let journey = &journeys[n];
        assert_eq!(journey.len(), 5, "{journey:?}");
        assert_eq!(journey[0].parent_id, "");
        let publish = &journey[4];
        assert_eq!(result.header("traceparent"), Some(publish.traceparent()));
        assert_eq!(result.header("tracestate"), None, "it belongs to no trace");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_sampled_leaves_no_span_and_passes_unchanged() {
    for (ratio, flags) in [("1.0", Some("00")), ("0.0", None)] {
        let (world, collector) = world(ratio).await;
        let mut request =
            Request::text("not-sampled", "34600000001").header("tracestate", "sHop = 1 ");
        if let Some(flags) = flags {
            request = request.header("traceparent", &parent(flags));
        }
        let headers = request.headers.clone();
        let result = world.call(request).await;
        assert_eq!(brought(&result), headers);
        // Also over the ladder, where chance does not get another try.
        world.sim.set_script(failing(131016).times(1));
        let mut retried = Request::text("retried", "34600000002");
        if let Some(flags) = flags {
            retried = retried.header("traceparent", &parent(flags));
        }
        let headers = retried.headers.clone();
        let result = world.call(retried).await;
        assert_eq!(result.json()["attempts"], 2);
        assert_eq!(brought(&result), headers);
        // What comes after them is the first that the collector sees.
        let sampled = Request::text("sampled", "34600000003").header("traceparent", &parent("01"));
        world.call(sampled).await;
        let journeys = collector.journeys(1).await;
        assert_eq!(journeys.len(), 1, "{journeys:?}");
        assert_eq!(journeys[0][0].is("messaging.message.id"), "sampled");
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_over_the_ladder_is_in_the_same_trace() {
    let (world, collector) = world("1.0").await;
    world.sim.set_script(failing(131016).times(1));
    let result = world.call(Request::text("retried", "34600000001")).await;
    let journeys = collector.journeys(2).await;
    let (first, second) = (&journeys[0], &journeys[1]);
    let steps = |last| ["process wa.lane", "receive", "pace", "send", last];
    assert_eq!(names(first), steps("publish wa.delay.0"));
    assert_eq!(names(second), steps("publish wa.results"));
    let (failed, delayed) = (&first[3], &first[4]);
    assert_eq!(second[0].parent_id, delayed.span_id);
    assert_eq!(second[0].trace_id, first[0].trace_id);
    assert_eq!(
        (first[0].is("wa.status"), first[0].is("wa.attempt")),
        ("delayed", "1")
    );
    assert_eq!(
        (second[0].is("wa.status"), second[0].is("wa.attempt")),
        ("accepted", "2")
    );
    assert!(
        second[0]
            .is("messaging.destination.name")
            .starts_with("wa.delay.out:0.0.")
    );
    assert!(failed.is_error && !first[0].is_error);
    let said = ["wa.outcome", "wa.api.code", "error.type"].map(|name| failed.is(name));
    assert_eq!(said, ["transient", "131016", "131016"]);
    assert_eq!(result.header("traceparent"), Some(second[4].traceparent()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_dead_letters_are_followed_as_well() {
    let collector = Collector::start().await;
    let setup = traced(&collector.url, "1.0").set("retry.max_attempts", "1");
    let world = World::start(setup).await;
    let dead = world.dead().await;

    let refused = world.call(Request::raw("refused", "{}")).await;
    let journeys = collector.journeys(1).await;
    let refusal = &journeys[0];
    assert_eq!(
        names(refusal),
        ["process wa.lane", "receive", "publish wa.results"]
    );
    assert_eq!(
        refused.header("traceparent"),
        Some(refusal[2].traceparent())
    );
    assert_eq!(refusal[0].is("wa.status"), "rejected");
    let classes = [&refusal[0], &refusal[1]].map(|span| (span.is_error, span.is("error.type")));
    assert_eq!(classes, [(true, "invalid"); 2]);

    world
        .call(Request::text("stranger", "34600000001").number(STRANGER))
        .await;
    let journeys = collector.journeys(2).await;
    let stranger = &journeys[1];
    assert_eq!(
        names(stranger),
        ["process wa.unrouted", "receive", "publish wa.results"]
    );
    let said = ["messaging.destination.name", "wa.status", "error.type"];
    let said = said.map(|name| stranger[0].is(name));
    assert_eq!(said, ["wa.send:wa.unrouted", "rejected", "unknown_number"]);

    world.sim.set_script(failing(131016));
    world.call(Request::text("failed", "34600000001")).await;
    let letter = dead.wait("failed").await;
    let journeys = collector.journeys(3).await;
    let failed = &journeys[2];
    let steps = [
        "process wa.lane",
        "receive",
        "pace",
        "send",
        "publish wa.dead",
        "publish wa.results",
    ];
    assert_eq!(names(failed), steps);
    assert_eq!(failed[0].is("wa.status"), "failed");
    assert_eq!(letter.header("traceparent"), Some(failed[4].traceparent()));
    let bytes = String::from_utf8_lossy(&collector.bytes()).into_owned();
    assert!(!bytes.contains("cnry") && !bytes.contains("34600000001"));
    assert!(!bytes.contains(STRANGER), "nobody's number, or somebody's");
    world.finish().await;
}

/// The worker at this endpoint, which takes nothing: messages go on, spans are counted as lost, the log says it once, and the drain
/// ends in time.
async fn goes_on_without(endpoint: &str) -> World {
    let world = World::start(traced(endpoint, "1.0")).await;
    let ids = world.publish_many(200).await;
    world.check_nothing_lost(&ids).await;
    let lost = [("result", "error")];
    world
        .metric("spans_exported_total", &lost, |n| n >= 200.0)
        .await;
    let more = Request::text("more", "34600000001");
    assert_eq!(world.answer(more).await["status"], "accepted");
    assert_eq!(
        world.sum("spans_exported_total", &[("result", "ok")]).await,
        0.0
    );
    let log = world.worker.log.text();
    assert_eq!(
        log.matches("the collector takes no spans").count(),
        1,
        "{log}"
    );
    world
}

async fn ends_in_time(world: World) {
    let began = Instant::now();
    world.finish().await;
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_changes_nothing() {
    let world = goes_on_without(&format!("http://127.0.0.1:{}", free_port())).await;
    ends_in_time(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_fails_changes_nothing_and_is_told_when_it_is_back() {
    let collector = Collector::start().await;
    collector.set(Manners::Fail);
    let world = goes_on_without(&collector.url).await;
    collector.set(Manners::Take);
    // The spans of before may still be on their way.
    world.call(Request::text("again", "34600000002")).await;
    world
        .worker
        .log
        .line("the collector takes spans again")
        .await;
    ends_in_time(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_changes_nothing() {
    let collector = Collector::start().await;
    collector.set(Manners::Hang);
    let world = goes_on_without(&collector.url).await;
    ends_in_time(world).await;
}

/// What is still in the worker when it is told to end is exported before it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_spans_are_exported_at_the_drain() {
    let (world, collector) = world("1.0").await;
    let ids = world.publish_many(300).await;
    world.check_nothing_lost(&ids).await;
    world.finish().await;
    let journeys = collector.journeys(300).await;
    assert!(journeys.iter().all(|journey| journey.len() == 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_endpoint_nobody_is_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut world = World::start(Setup::default()).await;
    world.worker.drain().await;
    // Nor is what other programs heed.
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str()),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    world.worker = Worker::start_with(&world.folder, &world.config, &variables);
    world.worker.ready().await;
    let request = Request::text("m", "34600000001").header("traceparent", &parent("01"));
    let result = world.call(request).await;
    assert_eq!(result.header("traceparent"), Some(parent("01")));
    world.finish().await;
    let connected = listener.accept();
    assert!(connected.is_err(), "{connected:?}");
}
