//! The page of lanes, in a real browser.

use super::tool;
use crate::support::{Setup, World, poll, within};
use harness::client::Request;
use harness::http;
use harness::worker::{Folder, free_port};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Chromium without a screen, driven by the WebDriver protocol.
struct Browser {
    address: String,
    session: String,
    _driver: Child,
}

impl Browser {
    async fn start(folder: &Folder) -> Self {
        let port = free_port();
        let driver = Command::new(tool("DISPATCHER_TEST_CHROMEDRIVER"))
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut browser = Self {
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            _driver: driver,
        };
        let is_ready = poll(|| async { browser.ask("GET", "/status", None).await.is_some() });
        within("chromedriver", is_ready).await;
        // Nothing but the page is asked for: a browser has much to tell its maker.
        let profile = folder.0.join("chromium");
        let arguments = json!([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            format!("--user-data-dir={}", profile.display()),
        ]);
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": { "args": arguments }, "goog:loggingPrefs": { "browser": "ALL" } } } });
        let made = browser.ask("POST", "/session", Some(wanted)).await.unwrap();
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    async fn ask(&self, method: &'static str, path: &str, body: Option<Value>) -> Option<Value> {
        let (address, path) = (self.address.clone(), path.to_owned());
        let asking = move || http::ask_by("1.1", &address, method, &path, None, body.as_ref());
        let answer = tokio::task::spawn_blocking(asking).await.unwrap().ok()?;
        let mut answer = answer.json();
        assert!(answer["value"]["error"].is_null(), "{answer}");
        Some(answer["value"].take())
    }

    async fn tell(&self, path: &str, body: Value) -> Value {
        let path = format!("{}/{path}", self.session);
        self.ask("POST", &path, Some(body)).await.unwrap()
    }

    async fn open(&self, url: &str) {
        self.tell("url", json!({ "url": url })).await;
    }

    async fn resize(&self, width: u32, height: u32) {
        self.tell("window/rect", json!({ "width": width, "height": height }))
            .await;
    }

    /// What a piece of JavaScript returns.
    async fn run(&self, script: &str) -> Value {
        self.tell("execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// Waits until it returns true.
    async fn until(&self, script: &str) {
        within(script, poll(|| async { self.run(script).await == true })).await;
    }

    async fn click(&self, selector: &str) {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.tell("element", by).await;
        let element = found
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        self.tell(&format!("element/{element}/click"), json!({}))
            .await;
    }

    /// What the page complains of.
    async fn complaints(&self) -> Vec<String> {
        let log = self.tell("se/log", json!({ "type": "browser" })).await;
        let lines = log.as_array().unwrap().iter().map(Value::to_string);
        lines.collect()
    }
}

/// Chromium outlives a driver that is killed.
impl Drop for Browser {
    fn drop(&mut self) {
        let ended = http::ask_by("1.1", &self.address, "DELETE", &self.session, None, None);
        drop(ended);
    }
}

fn field(lane: &str, name: &str) -> String {
    format!("document.querySelector('[data-lane=\"{lane}\"] [data-field=\"{name}\"]').textContent")
}

fn url(world: &World) -> String {
    format!("http://{}/", world.worker.admin_address())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_lanes_says_and_changes_nothing() {
    let world = World::start(Setup::default().numbers(&[("111", 80), ("222", 80)])).await;
    world.block("222", Some(133010));
    world
        .publish([Request::text("held", "34600000001").number("222")])
        .await;
    world.worker.lane_state("222", "away").await;
    let browser = Browser::start(&world.folder).await;
    // A telephone's width.
    browser.resize(390, 844).await;
    browser.open(&url(&world)).await;
    browser
        .until("return document.querySelectorAll('[data-lane]').length === 3")
        .await;
    let first = browser
        .run("return document.querySelector('[data-lane]').dataset.lane")
        .await;
    assert_eq!(first, "222", "trouble comes first");
    for (lane, name, wanted) in [
        ("222", "state", "away"),
        ("222", "cause", "133010"),
        ("222", "remedy", "register the number"),
        ("111", "state", "flowing"),
        ("111", "limit", "80"),
    ] {
        browser
            .until(&format!(
                "return {}.includes('{wanted}')",
                field(lane, name)
            ))
            .await;
    }
    let is_too_wide = "return document.documentElement.scrollWidth > window.innerWidth";
    assert_eq!(
        browser.run(is_too_wide).await,
        false,
        "no sideways scrolling"
    );

    // It follows what happens, without being loaded again.
    browser
        .run("document.querySelector('#filter').focus()")
        .await;
    world.block("222", None);
    assert_eq!(world.worker.post("/lanes/222/resume").await.status, 202);
    browser
        .until(&format!(
            "return {}.includes('flowing')",
            field("222", "state")
        ))
        .await;
    let focused = browser.run("return document.activeElement.id").await;
    assert_eq!(focused, "filter", "what one is typing in stays");

    assert_eq!(browser.complaints().await, [""; 0]);
    drop(browser);
    world.finish().await;
}

/// Any page that an operator looks at could have the browser ask for this.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_may_not_pause_lanes_where_the_page_has_no_buttons() {
    let world = World::start(Setup::default().set("admin.actions", "false")).await;
    let browser = Browser::start(&world.folder).await;
    browser.open(&url(&world)).await;
    let count = "return document.querySelectorAll('[data-lane=\"111\"]').length";
    browser.until(&format!("{count} > 0")).await;
    let buttons = "return document.querySelectorAll('[data-action]').length";
    assert_eq!(browser.run(buttons).await, 0);
    let posting = |headers: &str| {
        format!(
            "return fetch('lanes/111/pause', {{ method: 'POST', headers: {headers} }}).then(a => a.status)"
        )
    };
    for headers in ["{}", "{ 'x-requested-with': 'whatsapp-dispatcher' }"] {
        assert_eq!(browser.run(&posting(headers)).await, 403);
    }
    assert_eq!(world.worker.lane("111").await["state"], "flowing");
    drop(browser);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_are_paused_and_resumed_where_that_is_allowed() {
    let world = World::start(Setup::default()).await;
    let browser = Browser::start(&world.folder).await;
    browser.open(&url(&world)).await;
    let button = |action: &str| format!("[data-lane=\"111\"] [data-action=\"{action}\"]");
    let is_there = |action: &str| {
        format!(
            "return document.querySelector('{}') !== null",
            button(action)
        )
    };
    for (action, state) in [("pause", "paused"), ("resume", "flowing")] {
        browser.until(&is_there(action)).await;
        browser.click(&button(action)).await;
        browser.until(&is_there("no")).await;
        browser.click(&button("no")).await;
        browser.until(&is_there(action)).await;
        browser.click(&button(action)).await;
        browser.until(&is_there("yes")).await;
        browser.click(&button("yes")).await;
        world.worker.lane_state("111", state).await;
        browser
            .until(&format!(
                "return {}.includes('{state}')",
                field("111", "state")
            ))
            .await;
    }
    assert_eq!(browser.complaints().await, [""; 0]);
    // Another site's page sends no word of ours, and its browser says where it comes from.
    let asking = "return fetch('lanes/111/pause', { method: 'POST' }).then(a => a.status)";
    assert_eq!(browser.run(asking).await, 403);
    drop(browser);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_needs_nothing_from_elsewhere() {
    let world = World::start(Setup::default()).await;
    let page = world.worker.get("/").await.unwrap();
    assert_eq!(page.status, 200);
    for wanted in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "text/html; charset=utf-8",
    ] {
        assert!(page.head.contains(wanted), "{}", page.head);
    }
    for elsewhere in [
        "http://", "https://", "//cdn", " src=", "@import", "url(", "{{",
    ] {
        assert!(!page.body.contains(elsewhere), "{elsewhere}");
    }
    world.finish().await;
}
