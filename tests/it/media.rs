//! Files: of messages that name them by link and say `media`, and of operations that carry one.

mod source;

use crate::support::{NUMBER, Setup, WABA, World, within};
use graph_sim::{Action, Fault, On};
use harness::client::Request;
use serde_json::{Value, json};
use source::{Served, Source};
use std::time::Duration;

const JPEG: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01 and what else there is of a picture";
const PDF: &[u8] = b"%PDF-1.7\n and what else there is of a document";

/// A world that fetches from that host.
async fn world(source: &Source) -> World {
    World::start(setup(source)).await
}

fn setup(source: &Source) -> Setup {
    Setup::default()
        .set("media.sources", &format!("\"localhost:{}\"", source.port))
        .set("media.private_networks", "\"127.0.0.0/8,::1\"")
        .set("media.ca_file", &source.ca_file)
        .set("media.timeout_ms", "5000")
}

fn image(id: &str, to: u32, link: &str) -> Request {
    let to = format!("346000{to:05}");
    let body = json!({"to": to, "type": "image", "image": {"link": link, "caption": "c"}});
    Request::json(id, &body).header("media", "upload")
}

fn by_link(link: &str) -> Vec<u8> {
    json!({ "link": link }).to_string().into_bytes()
}

fn operation(id: &str, name: &str, body: Vec<u8>, kind: &str) -> Request {
    let mut request =
        Request::raw(id, body).with(|p| p.with_type(name.into()).with_content_type(kind.into()));
    request.exchange = "wa.operations".to_owned();
    request
}

/// Bodies that the API took, as JSON.
fn sent(world: &World) -> Vec<Value> {
    let ledger = world.sim.ledger().into_iter();
    let bodies = ledger.filter_map(|entry| entry.body);
    bodies
        .map(|body| serde_json::from_str(&body).unwrap())
        .collect()
}

/// The one value in `values`.
fn only<T: PartialEq + std::fmt::Debug + Clone>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.dedup();
    assert_eq!(values.len(), 1, "{values:?}");
    values[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_uploaded_once_for_all_messages_and_workers() {
    let source = Source::start().await;
    let mut slow = Served::new("image/jpeg", JPEG);
    slow.delay = Duration::from_millis(500);
    let link = source.put("/a.jpg", slow);
    let mut world = world(&source).await;
    let ids: Vec<String> = (0..40).map(|n| format!("image-{n}")).collect();
    let images = (0..).zip(&ids).map(|(n, id)| image(id, n, &link));
    world.publish(images).await;
    // Nobody else waits for it.
    world
        .publish([Request::text("beside", "34600099999")])
        .await;
    world.accepted_once(&["beside"]).await;
    world.accepted_once(&ids).await;
    assert_eq!(world.sim.uploads(NUMBER), (1, JPEG.len() as u64));
    assert_eq!(source.asked("/a.jpg"), 1);
    let images = sent(&world)
        .into_iter()
        .filter(|body| body["type"] == "image");
    let one = only(images.map(|body| body["image"].clone()));
    assert!(one["id"].is_string() && one["caption"] == "c", "{one}");
    assert!(one.get("link").is_none(), "{one}");

    // The same file by another link, for a worker that knows of it by the log alone.
    let other = source.put("/b.jpg", Served::new("image/jpeg", JPEG));
    world.worker.drain().await;
    world.restart().await;
    world
        .publish([image("later", 50, &link), image("other", 51, &other)])
        .await;
    world.accepted_once(&["later", "other"]).await;
    assert_eq!(world.sim.uploads(NUMBER).0, 1);
    assert_eq!((source.asked("/a.jpg"), source.asked("/b.jpg")), (1, 1));
    let all = sent(&world)
        .into_iter()
        .filter(|body| body["type"] == "image");
    only(all.map(|body| body["image"]["id"].clone()));
    let asked = source.headers();
    assert!(
        asked
            .iter()
            .all(|headers| !headers.contains_key("authorization"))
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_gone_is_uploaded_again() {
    let source = Source::start().await;
    let link = source.put("/a.jpg", Served::new("image/jpeg", JPEG).etag("\"1\""));
    let world = world(&source).await;
    let first = world.answer(image("first", 1, &link)).await;
    assert_eq!(first["status"], "accepted", "{first}");
    assert_eq!(world.sim.forget_media(NUMBER), 1);
    let second = world.answer(image("second", 2, &link)).await;
    assert_eq!(second["status"], "accepted", "{second}");
    assert_eq!(world.sim.uploads(NUMBER).0, 2);
    let ids = sent(&world)
        .into_iter()
        .map(|body| body["image"]["id"].clone());
    assert_eq!(ids.collect::<std::collections::HashSet<_>>().len(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_meta_would_not_take_is_refused_here() {
    let source = Source::start().await;
    let world = world(&source).await;
    let put = |path: &str, file: Served| source.put(path, file);
    let jpeg = || Served::new("image/jpeg", JPEG);
    let large = [JPEG, &vec![0; 5 << 20]].concat();
    let port = source.port;
    for (id, link, word) in [
        ("gone", source.link("/none.jpg"), "HTTP 404"),
        ("moved", put("/moved.jpg", jpeg().status(302)), "redirects"),
        (
            "document",
            put("/a.pdf", Served::new("image/jpeg", PDF)),
            "image/png",
        ),
        (
            "large",
            put("/large.jpg", Served::new("image/jpeg", &large)),
            "5242880",
        ),
        (
            "empty",
            put("/empty.jpg", Served::new("image/jpeg", b"")),
            "empty",
        ),
        (
            "stranger",
            "https://example.com/a.jpg".to_owned(),
            "media.sources",
        ),
        ("plain", format!("http://localhost:{port}/a.jpg"), "https"),
        ("file", "file:///etc/hostname".to_owned(), "https"),
    ] {
        let result = world.answer(image(id, 1, &link)).await;
        assert_eq!(result["status"], "rejected", "{id}: {result}");
        assert_eq!(result["error"]["at"], "/image/link", "{id}: {result}");
        assert_eq!(result["error"]["class"], "invalid", "{id}: {result}");
        let details = result["error"]["details"].as_str().unwrap();
        assert!(details.contains(word), "{id}: {details}");
        assert!(!details.contains("localhost:"), "{id}: {details}");
    }
    assert_eq!(world.sim.uploads(NUMBER).0, 0);
    assert!(sent(&world).is_empty());
    let wrong = Request::text("wrong", "34600000001").header("media", "yes");
    let wrong = world.answer(wrong).await;
    assert_eq!(wrong["error"]["at"], "/@amqp/headers/media", "{wrong}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_not_asked_whatever_name_leads_there() {
    let source = Source::start().await;
    let link = source.put("/a.jpg", Served::new("image/jpeg", JPEG));
    let setup = setup(&source).set("media.private_networks", "\"10.0.0.0/8\"");
    let world = World::start(setup.set(
        "media.sources",
        &format!("\"localhost:{0},127.0.0.1:{0}\"", source.port),
    ))
    .await;
    let literal = link.replace("localhost", "127.0.0.1");
    for (id, link) in [("name", &link), ("literal", &literal)] {
        let result = world.answer(image(id, 1, link)).await;
        assert_eq!(result["status"], "rejected", "{result}");
        let details = result["error"]["details"].as_str().unwrap();
        assert!(details.contains("media.private_networks"), "{details}");
    }
    assert_eq!(source.asked("/a.jpg"), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_of_a_source_or_of_the_api_passes() {
    let source = Source::start().await;
    let link = source.put("/a.jpg", Served::new("image/jpeg", JPEG).status(503));
    let world = world(&source).await;
    world.publish([image("patient", 1, &link)]).await;
    let failed = [("result", "failed")];
    world
        .metric("media_uploads_total", &failed, |n| n >= 1.0)
        .await;
    // The API loses the answer to the upload, too.
    let mut lost = Fault::new(Action::error(131_000)).times(1);
    lost.matches.on = On::Operation;
    world.sim.set_script(lost);
    source.put("/a.jpg", Served::new("image/jpeg", JPEG));
    let result = within("the result", world.results.wait("patient"))
        .await
        .json();
    assert_eq!(result["status"], "accepted", "{result}");
    assert_eq!(result["attempts"], 1, "{result}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_carry_files() {
    let source = Source::start().await;
    let link = source.put("/a.pdf", Served::new("application/pdf", PDF));
    let picture = source.put("/a.jpg", Served::new("image/jpeg", JPEG));
    let world = world(&source).await;
    let json = "application/json";

    let upload = operation("bytes", "media_upload", JPEG.to_vec(), "image/jpeg")
        .header("file-name", "a.jpg");
    let uploaded = world.answer(upload).await;
    assert_eq!(uploaded["status"], "accepted", "{uploaded}");
    assert!(uploaded["response"]["id"].is_string(), "{uploaded}");
    let ends = uploaded["media_expires_at"].as_str().unwrap();
    assert!(ends > uploaded["sent_at"].as_str().unwrap(), "{uploaded}");
    let uploaded = world
        .answer(operation("link", "media_upload", by_link(&link), json))
        .await;
    let kind = world
        .answer(
            operation("get", "media_get", vec![], json)
                .header("node", uploaded["response"]["id"].as_str().unwrap()),
        )
        .await;
    assert_eq!(kind["response"]["mime_type"], "application/pdf", "{kind}");
    assert_eq!(kind["response"]["file_size"], PDF.len(), "{kind}");

    let handle = operation("handle", "upload_handle", by_link(&link), json).header("node", "12345");
    let handle = world.answer(handle).await;
    assert!(handle["response"]["h"].is_string(), "{handle}");
    let set = operation("picture", "profile_picture_set", by_link(&picture), json)
        .header("node", "12345");
    let set = world.answer(set).await;
    assert_eq!(set["status"], "accepted", "{set}");
    let profile = world
        .answer(operation("profile", "profile_get", vec![], json))
        .await;
    assert!(
        profile["response"]["data"][0]["profile_picture_handle"].is_string(),
        "{profile}"
    );

    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_whose_file_is_none_is_refused() {
    let source = Source::start().await;
    let world = world(&source).await;
    let json = "application/json";
    for (id, request, at) in [
        (
            "none",
            operation("none", "media_upload", b"{}".to_vec(), json),
            "/link",
        ),
        (
            "kind",
            operation(
                "kind",
                "media_upload",
                b"GIF89a\x01\x00".to_vec(),
                "image/gif",
            ),
            "",
        ),
        (
            "pdf",
            operation("pdf", "profile_picture_set", PDF.to_vec(), "image/png").header("node", "1"),
            "",
        ),
        (
            "stranger",
            operation(
                "stranger",
                "media_upload",
                by_link("https://example.com/a.jpg"),
                json,
            ),
            "/link",
        ),
        (
            "gone",
            operation("gone", "media_upload", by_link(&source.link("/none")), json),
            "/link",
        ),
        (
            "encrypted",
            operation("encrypted", "send_encrypted", vec![], json),
            "/@amqp/type",
        ),
    ] {
        let result = world.answer(request).await;
        assert_eq!(result["status"], "rejected", "{id}: {result}");
        assert_eq!(result["error"]["at"], at, "{id}: {result}");
    }
    let account = operation("waba", "media_upload", JPEG.to_vec(), "image/jpeg").number(WABA);
    let result = world.answer(account).await;
    assert_eq!(result["error"]["at"], "/@amqp/routing_key", "{result}");
    world.finish().await;
}
