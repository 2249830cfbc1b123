//! Rules and alerts: sound, tested one by one, and each with a runbook.

use super::tool;
use crate::support::Setup;
use crate::support::World;
use std::io::Write;
use std::process::{Command, Stdio};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus");
const RULES: &str = include_str!("../../../deploy/prometheus/rules.yaml");
const TESTS: &str = include_str!("../../../deploy/prometheus/rules_test.yaml");
const RUNBOOKS: &str = include_str!("../../../deploy/runbooks.md");

fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new(tool("DISPATCHER_TEST_PROMTOOL"))
        .args(arguments)
        .current_dir(FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Dropped at once, so that it sees the end.
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success(), "promtool {arguments:?}:\n{told}");
    assert!(!told.contains("lint"), "{told}");
}

/// The values of a key of the rules file.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("- "));
    let found = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    found.map(|value| value.trim().trim_matches('"')).collect()
}

#[test]
fn the_rules_are_sound_and_every_unit_test_passes() {
    promtool(
        &["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"],
        "",
    );
    promtool(&["test", "rules", "rules_test.yaml"], "");
}

/// An alert that is tested one way only may fire always, or never.
#[test]
fn every_alert_is_tested_both_ways() {
    for alert in values(RULES, "alert") {
        let mut expected = (false, false);
        let tests = TESTS.split("alertname: ").skip(1);
        for test in
            tests.filter(|test| test.lines().next().is_some_and(|name| name.trim() == alert))
        {
            let until_next = test.split("- eval_time").next().unwrap_or_default();
            let fires = until_next.contains("exp_labels");
            expected.0 |= fires;
            expected.1 |= !fires;
        }
        assert_eq!(
            expected,
            (true, true),
            "{alert}: shown firing, shown silent"
        );
    }
}

/// As GitHub and most others make an anchor of a heading.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let headings = RUNBOOKS.lines().filter(|line| line.starts_with('#'));
    let anchors: Vec<String> = headings.map(anchor).collect();
    let (alerts, links) = (values(RULES, "alert"), values(RULES, "runbook_url"));
    assert!(alerts.len() >= 20, "{}", alerts.len());
    assert_eq!(alerts.len(), links.len(), "each alert has its link");
    for link in links {
        let anchor = link.rsplit_once('#').unwrap().1;
        assert!(
            anchors.iter().any(|known| known == anchor),
            "{link} leads nowhere"
        );
    }
    for alert in alerts {
        assert!(RUNBOOKS.contains(alert), "{alert} is not in the runbooks");
    }
    let words = RUNBOOKS.split(|c: char| !c.is_ascii_alphanumeric());
    for word in words.filter(|word| word.starts_with("WaDispatcher") && word.len() > 12) {
        assert!(
            RULES.contains(&format!("alert: {word}")),
            "{word} is no alert"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let world = World::start(Setup::default()).await;
    let metrics = world.worker.get("/metrics").await.unwrap().body;
    promtool(&["check", "metrics"], &metrics);
    world.finish().await;
}
