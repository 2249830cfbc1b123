//! What makes a dashboard load everywhere and be read at a glance.

use super::expressions::{dashboards, panels};
use serde_json::{Value, json};
use std::collections::HashSet;

const KINDS: [&str; 6] = [
    "timeseries",
    "stat",
    "table",
    "bargauge",
    "state-timeline",
    "heatmap",
];

#[test]
fn they_have_what_the_import_and_the_file_provider_need() {
    let mut uids = HashSet::new();
    for (file, dashboard) in dashboards() {
        let uid = dashboard["uid"].as_str().unwrap();
        assert!(
            uid.starts_with("wa-dispatcher-") && uids.insert(uid.to_owned()),
            "{file}: {uid}"
        );
        assert_eq!(
            dashboard["__inputs"][0]["name"], "DS_PROMETHEUS",
            "{file}: asked for at import"
        );
        assert_eq!(dashboard["__inputs"][0]["pluginId"], "prometheus");
        // Read by Grafana 10, brought up to date by 11 and 12.
        let version = dashboard["schemaVersion"].as_u64().unwrap();
        assert!((36..=39).contains(&version), "{file}: {version}");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: Vec<&str> = variables
            .iter()
            .map(|v| v["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["datasource", "job", "waba", "number"], "{file}");
        assert!(
            dashboard["id"].is_null(),
            "{file}: an id would be another's elsewhere"
        );
    }
}

#[test]
fn every_panel_says_what_it_answers_and_in_what_unit() {
    let source = json!({ "type": "prometheus", "uid": "${datasource}" });
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().unwrap_or_default();
            let at = format!("{file}: {title}");
            assert!(
                !title.is_empty(),
                "{file}: a panel without a title: {}",
                panel["id"]
            );
            if panel["type"] == "row" {
                continue;
            }
            assert!(
                KINDS.contains(&panel["type"].as_str().unwrap()),
                "{at}: {}",
                panel["type"]
            );
            let description = panel["description"].as_str().unwrap_or_default();
            assert!(
                description.len() > 60,
                "{at}: describe the question and what to do"
            );
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            // A table's columns have theirs one by one, a heatmap's is its axis', and states are words.
            let kind = panel["type"].as_str().unwrap();
            let wants_unit = ["timeseries", "stat", "bargauge"].contains(&kind);
            assert!(unit.is_string() || !wants_unit, "{at}: no unit");
            let mut refs = HashSet::new();
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"], source, "{at}");
                assert!(
                    refs.insert(target["refId"].as_str().unwrap()),
                    "{at}: refId twice"
                );
                let text = target["expr"].as_str().unwrap();
                let has_fixed_rate = text.contains("rate(") && !text.contains("$__rate_interval");
                assert!(!has_fixed_rate, "{at}: rates over $__rate_interval: {text}");
            }
        }
    }
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    for (file, dashboard) in dashboards() {
        let (mut ids, mut taken) = (HashSet::new(), HashSet::new());
        for panel in panels(&dashboard) {
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{file}: id {}",
                panel["id"]
            );
            let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
            assert!(
                at("x") + at("w") <= 24,
                "{file}: {} is too wide",
                panel["title"]
            );
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{file}: {} overlaps", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn links_lead_to_dashboards_that_are_there() {
    let all = dashboards();
    let uids: Vec<&str> = all
        .iter()
        .map(|(_, d)| d["uid"].as_str().unwrap())
        .collect();
    for (file, dashboard) in &all {
        let text = dashboard.to_string();
        for link in text.split("/d/").skip(1) {
            let uid = link.split(['/', '?', '"', '\\']).next().unwrap();
            assert!(uids.contains(&uid), "{file}: {uid}");
        }
        let is_list = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
        assert!(is_list(&dashboard["links"]), "{file}: no way to the others");
    }
}
