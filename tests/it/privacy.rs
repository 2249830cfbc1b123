//! Nothing that a person wrote, is written to by, or authenticates with reaches a log line, a metric, a span or an admin page,
//! whatever becomes of the request.

use crate::support::collector::Collector;
use crate::support::{NUMBER, Setup, World};
use graph_sim::{Action, Fault};
use harness::client::Request;
use harness::proxy::Mode;
use harness::worker::Worker;
use serde_json::{Value, json};

/// Whom it is for; also in the notations that a client might use.
const RECIPIENT: &str = "34611777888";
const SPELLED: &str = "+34 611 777-888";
/// What only the message knows.
const TEXT: &str = "cnry-text";
const PARAMETER: &str = "cnry-482913";
const OPAQUE: &str = "cnry-opaque";
const HEADER: &str = "cnry-header";
/// What only the configuration knows.
const TOKEN: &str = "cnrytoken";
const APP_SECRET: &str = "cnrysecret";

/// Every way a request can end, each full of what must not be told.
fn requests() -> Vec<Request> {
    let text = json!({ "to": RECIPIENT, "type": "text", "text": { "body": TEXT } });
    let template = json!({ "to": SPELLED, "type": "template", "biz_opaque_callback_data": OPAQUE, "template": {
        "name": "otp_v2", "language": { "code": "es" },
        "components": [{ "type": "body", "parameters": [{ "type": "text", "text": PARAMETER }] }] } });
    let with_to = |suffix: &str| {
        let mut body = text.clone();
        body["to"] = json!(format!("{RECIPIENT}{suffix}"));
        body
    };
    let rejected = json!({ "to": [RECIPIENT], "messaging_product": TEXT, "type": "text", "text": { "bodi": TEXT } });
    let too_long =
        json!({ "to": RECIPIENT, "type": "text", "text": { "body": TEXT.repeat(2000) } });
    vec![
        Request::json("accepted", &text),
        Request::json("template", &template),
        Request::json("echoed", &with_to("1")),
        Request::json("unknown", &with_to("2")),
        Request::json("failed", &with_to("3")),
        Request::json("page", &with_to("4")),
        Request::json("throttled", &with_to("5")),
        Request::json("rejected", &rejected),
        Request::json("too-long", &too_long),
        Request::json("bad-header", &text).header("not-before", HEADER),
        Request::raw(
            "malformed",
            format!("{{\"to\":\"{RECIPIENT}\",\"text\":{{\"body\":\"{TEXT}\""),
        ),
        Request::json("stranger", &text).number("999"),
        Request::json("expired", &text).header("expires-at", "2020-01-01T00:00:00Z"),
        Request::json(
            "read",
            &json!({ "status": "read", "message_id": format!("wamid.{TEXT}") }),
        ),
        Request::json("no-reply", &text).with(|p| p.with_reply_to("nobody".into())),
    ]
    .into_iter()
    .chain(operations())
    .chain(files())
    .map(|request| request.header("x-note", HEADER))
    .collect()
}

/// Operations of each shape: a body, a query, a form, a node in the path; done, refused by the API, refused here.
fn operations() -> Vec<Request> {
    let operation = |name: &str, body: Value| {
        let mut request = Request::json(name, &body).with(|p| p.with_type(name.into()));
        request.exchange = "wa.operations".to_owned();
        request.header("node", TEXT).header("confirm", "true")
    };
    vec![
        operation(
            "block_users",
            json!({ "block_users": [{ "user": RECIPIENT }] }),
        ),
        operation(
            "list_blocked",
            json!({ "after": PARAMETER, "user": SPELLED }),
        ),
        operation("profile_update", json!({ "about": TEXT, "email": OPAQUE })),
        operation(
            "template_create",
            json!({ "name": OPAQUE, "components": [TEXT] }),
        ),
        operation("template_get", json!({ "fields": PARAMETER })),
        operation("qr_create", json!({ "prefilled_message": TEXT })),
        operation(
            "encryption_key_set",
            json!({ "business_public_key": PARAMETER }),
        ),
        operation(
            "payment_refund",
            json!({ "reference_id": OPAQUE, "payment_config_id": TEXT, "amount": { "value": 1 } }),
        ),
        operation(
            "group_create",
            json!({ "subject": TEXT, "description": RECIPIENT }),
        ),
        operation(
            "media_upload",
            json!({ "link": format!("https://{TEXT}.example/{PARAMETER}") }),
        ),
    ]
}

/// A link may be a secret: to a host that is not listed, and to one that is and does not answer.
fn files() -> Vec<Request> {
    let image = |id: &str, host: &str| {
        let link = format!("https://{host}/{TEXT}?sig={PARAMETER}");
        let body =
            json!({ "to": RECIPIENT, "type": "image", "image": { "link": link, "caption": TEXT } });
        Request::json(id, &body).header("media", "upload")
    };
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
    vec![
        image("file-of-a-stranger", "example.com"),
        image("file-of-nobody", "localhost:9").header("expires-at", &soon.to_string()),
    ]
}

/// What the API answers to the recipients with a suffix; some of it repeats what it was sent.
fn script() -> Vec<Fault> {
    let fault = |suffix: &str, action| Fault::to(format!("{RECIPIENT}{suffix}"), action);
    let error = |code| Action::Error {
        code,
        status: None,
        subcode: None,
        details: Some(format!("{SPELLED} ({RECIPIENT}) said {TEXT}")),
    };
    let page = Action::Http {
        status: 502,
        body: format!("<html>{RECIPIENT} {TEXT}</html>"),
        content_type: "text/html".to_owned(),
    };
    vec![
        fault("1", error(131026)),
        fault("2", Action::ResetAfter {}),
        fault("3", error(131016)),
        fault("4", page),
        fault("5", error(130429)).times(1),
    ]
}

async fn see_every_end(world: &World) {
    let requests = requests();
    let ids: Vec<String> = requests.iter().map(|request| request.id()).collect();
    world.publish(requests).await;
    for id in &ids {
        world.results.wait(id).await;
    }
    let status = |id: &str| world.results.of(id)[0].json()["status"].clone();
    for id in ["unknown", "failed", "rejected", "expired", "accepted"] {
        assert_eq!(status(id), id, "the test means to see each of these");
    }
}

/// Everything on that can tell something: the log at this level, and spans of every message.
fn setup(level: &str, collector: &Collector) -> Setup {
    let mut setup = Setup::default()
        .set("log.level", &format!("\"{level}\""))
        .set("tracing.endpoint", &format!("\"{}\"", collector.url))
        .set("tracing.sample_ratio", "1.0")
        .set("retry.max_attempts", "2")
        .set("media.sources", "\"localhost:9\"")
        .set("media.private_networks", "\"127.0.0.0/8,::1\"")
        .set("lanes.halt_probe_s", "1");
    setup.sim.apps = [("shop".to_owned(), APP_SECRET.to_owned())].into();
    setup.sim.defaults.app = Some("shop".to_owned());
    setup.account = format!("app = \"shop\"\napp_secret = \"{APP_SECRET}\"\n");
    setup
}

/// The spans that were exported, as text: what is text in them is text there.
fn exported(collector: &Collector) -> String {
    let spans = String::from_utf8_lossy(&collector.bytes()).into_owned();
    for name in [
        "process wa.lane",
        "process wa.unrouted",
        "send",
        "publish wa.dead",
    ] {
        assert!(spans.contains(name), "{name} is among the spans");
    }
    spans
}

/// Lives through everything at this log level and returns what was emitted, with the ids that Meta gave.
async fn everything_emitted(level: &str) -> (String, Vec<String>) {
    let collector = Collector::start().await;
    let setup = setup(level, &collector);
    let (mut world, proxy) = World::behind_proxy(setup).await;
    let queue = world.client.queue(Some(("wa.lanes.log", ""))).await;
    world.client.bind(&queue, "wa.tenures.log", "").await;
    let records = world.client.read(&queue).await;
    world.sim.set_script(script());
    world.folder.write("token", TOKEN);
    world
        .metric("token_reloads_total", &[("result", "ok")], |n| n == 1.0)
        .await;

    see_every_end(&world).await;
    // A lane that is halted and a session that is lost tell the most, and a token that is refused is told to others.
    world.block(NUMBER, Some(190));
    world
        .publish([Request::json(
            "blocked",
            &json!({ "to": RECIPIENT, "text": { "body": TEXT } }),
        )])
        .await;
    world.worker.lane_state(NUMBER, "away").await;
    let lanes = world.worker.get("/lanes").await.unwrap().body;
    let page = world.worker.get("/").await.unwrap().body;
    proxy.cut().await;
    world.worker.log.line("no broker session").await;
    proxy.set(Mode::Pass).await;
    world.block(NUMBER, None);
    world.results.wait("blocked").await;
    let metrics = world.worker.get("/metrics").await.unwrap().body;
    world.worker.drain().await;
    let wamids = world
        .sim
        .ledger()
        .into_iter()
        .map(|entry| entry.wamid)
        .collect();
    let told = records
        .until("a record for the other workers", |letters| {
            !letters.is_empty()
        })
        .await;
    let told: Vec<_> = told
        .iter()
        .map(|letter| String::from_utf8_lossy(&letter.body).into_owned())
        .collect();
    let log = world.worker.log.text();
    let spans = exported(&collector);
    (
        format!(
            "{log}\n{lanes}\n{page}\n{metrics}\n{spans}\n{}",
            told.join("\n")
        ),
        wamids,
    )
}

fn check(emitted: &str, wamids: &[String]) {
    let proof = "appsecret_proof=";
    let secrets = [
        RECIPIENT, SPELLED, "611 777", TEXT, PARAMETER, OPAQUE, HEADER, TOKEN, APP_SECRET, proof,
    ];
    let secrets = secrets.into_iter().chain(wamids.iter().map(String::as_str));
    let mut leaks = vec![];
    for secret in secrets {
        // Bytes print as a list of numbers, which tells as much.
        let bytes = format!("{:?}", secret.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        let tells = |line: &&str| line.contains(secret) || line.contains(bytes);
        let line = emitted.lines().find(tells);
        leaks.extend(
            line.map(|line| format!("{secret}: {}", line.chars().take(300).collect::<String>())),
        );
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dispatchers_own_trace_tells_no_secret() {
    let (emitted, wamids) = everything_emitted("info,whatsapp_dispatcher=trace").await;
    assert!(emitted.contains("attempt"), "the log is there");
    check(&emitted, &wamids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn debug_of_everything_tells_no_secret() {
    let (emitted, wamids) = everything_emitted("debug").await;
    check(&emitted, &wamids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trace_of_everything_tells_no_secret() {
    let (emitted, wamids) = everything_emitted("trace").await;
    assert!(emitted.contains(" TRACE "), "all of it is there");
    check(&emitted, &wamids);
}

/// A panic may quote what was in hand: here a request's id, that of a caller who writes telephone numbers into it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_tells_nothing_of_what_it_quotes() {
    let mut world = World::start(Setup::default().set("log.level", "\"trace\"")).await;
    world.worker.drain().await;
    let id = format!("{TEXT}-{RECIPIENT}");
    let wish = world.folder.write("wish", &id);
    let variables = [
        ("WA_TEST_PANIC", wish.to_str().unwrap()),
        ("RUST_BACKTRACE", "1"),
    ];
    world.worker = Worker::start_with(&world.folder, &world.config, &variables);
    world.worker.expect_error("panicked at");
    world.worker.ready().await;
    let request = Request::json(
        &id,
        &json!({ "to": RECIPIENT, "text": { "body": PARAMETER } }),
    );
    world.publish([request]).await;
    assert_eq!(world.worker.end().await.code(), Some(1));
    let log = world.worker.log.text();
    assert!(log.contains("its text may quote a request"), "{log}");
    check(&log, &[]);
}

/// What is buried is whole, as it came; what is written beside it, and beside a result, tells no more than the contract says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_results_and_of_what_is_buried_tell_nothing() {
    let setup = Setup::default().set("retry.max_attempts", "1");
    let world = World::start(setup).await;
    world.sim.set_script(script());
    let dead = world.dead().await;
    let text = json!({ "to": RECIPIENT, "text": { "body": TEXT } });
    let mut failing = text.clone();
    failing["to"] = json!(format!("{RECIPIENT}3"));
    let results = [
        world.call(Request::json("accepted", &text)).await,
        world.call(Request::json("failed", &failing)).await,
        world
            .call(Request::raw("malformed", format!("{{{TEXT}")))
            .await,
    ];
    let buried = dead.until("two dead letters", |all| all.len() >= 2).await;
    for letter in results.iter().chain(&buried) {
        let beside = format!("{:?}", letter.properties);
        check(&beside, &[]);
    }
    world.finish().await;
}

/// What goes to the results does not tell the token either, and a refusal repeats no value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_hold_what_the_contract_says_and_no_token() {
    let world = World::start(Setup::default()).await;
    world.sim.set_script(script());
    for request in requests() {
        let id = request.id();
        if id == "failed" {
            continue;
        }
        let result = world.call(request).await;
        let body: Value = result.json();
        let text = body.to_string();
        assert!(!text.contains(crate::support::TOKEN), "{text}");
        let is_own_refusal = body["error"]["faults"].is_array();
        if is_own_refusal || ["stranger", "expired", "page"].contains(&id.as_str()) {
            assert!(
                !text.contains("cnry") && !text.contains(RECIPIENT),
                "{text}"
            );
        }
    }
    world.finish().await;
}
