//! The log for machines: one JSON object per line, with names that stay.

use crate::support::{NUMBER, Setup, World};
use harness::client::Request;
use harness::config::number;
use harness::proxy::Mode;
use serde_json::Value;

/// The names that deploy/docs/operating.md promises, from its table.
fn promised() -> Vec<String> {
    let page = include_str!("../../deploy/docs/operating.md");
    let table = page.split("| field of a log line |").nth(1).unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap().split(','));
    names
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_json_with_the_fields_that_are_promised() {
    let setup = Setup::default()
        .set("log.format", "\"json\"")
        .set("lanes.halt_probe_s", "1");
    let (mut world, proxy) = World::behind_proxy(setup).await;
    world.answer(Request::text("m", "34600000001")).await;
    world.block(NUMBER, Some(131031));
    world.publish([Request::text("held", "34600000002")]).await;
    world.worker.lane_state(NUMBER, "away").await;
    proxy.cut().await;
    world.worker.log.line("no broker session").await;
    proxy.set(Mode::Pass).await;
    world.block(NUMBER, None);
    world.results.wait("held").await;
    world.worker.drain().await;

    let (promised, mut seen) = (promised(), vec![]);
    for line in world.worker.log.lines() {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let fields = line.as_object().unwrap();
        for always in ["timestamp", "level", "target", "message"] {
            assert!(fields[always].is_string(), "{line}");
        }
        let is_promised = |name: &&String| promised.contains(name);
        assert!(
            fields.keys().all(|name| is_promised(&name)),
            "not in deploy/docs/operating.md: {line}"
        );
        // One message is nobody's business but of those who ask for it.
        let is_attempt = fields["message"] == "attempt";
        assert!(!is_attempt || fields["level"] == "DEBUG", "{line}");
        seen.push((fields["message"].as_str().unwrap().to_owned(), line.clone()));
    }
    let line = |message: &str| {
        let found = seen.iter().find(|(text, _)| text.starts_with(message));
        &found.unwrap_or_else(|| panic!("no line: {message}")).1
    };
    let held = line("held: nobody in scope sends");
    assert_eq!(
        (&held["scope"], &held["code"]),
        (&"waba".into(), &131031.into())
    );
    assert_eq!(held["level"], "WARN");
    assert_eq!(line("lifted")["level"], "INFO");
    assert_eq!(line("broker session closed")["level"], "INFO");
    assert_eq!(line("attempt")["phone_number_id"], NUMBER);
}

/// What happens to many lanes at once is told of some, and counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_come_too_often_are_left_out_and_counted() {
    let lanes: Vec<String> = (0..150).map(|n| format!("{}", 1_000 + n)).collect();
    let mut setup = Setup::default().numbers(&[]).set("log.level", "\"info\"");
    for lane in &lanes {
        setup.append += &number(&lane.to_string(), 10);
    }
    let mut world = World::start(setup).await;
    world.counts("lane_subscribed", 151.0).await;
    for lane in &lanes {
        let path = format!("/lanes/{lane}/pause");
        assert_eq!(world.worker.post(&path).await.status, 202);
    }
    let left_out = |n: f64| n > 0.0;
    world
        .metric("log_lines_left_out_total", &[], left_out)
        .await;
    world.worker.drain().await;
    let told = world.worker.log.text();
    assert!(
        told.contains("lines that came too often were left out"),
        "{told}"
    );
}
