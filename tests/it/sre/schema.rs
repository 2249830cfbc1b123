//! Dashboards against Grafana's own JSON schemas: those of grafana-foundation-sdk, which are not part of this repository.
//! `deploy/dev` looks for a copy beside the checkout; without one this says that it has checked nothing.

use super::expressions::{dashboards, panels};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

struct Schemas(PathBuf);

impl Schemas {
    fn read(&self, kind: &str) -> Value {
        let file = self
            .0
            .join(format!("{}.jsonschema.json", kind.replace('-', "")));
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut schema: Value = serde_json::from_str(&text).unwrap();
        // Said to be objects; Grafana takes any value.
        for path in [
            "/definitions/MatcherConfig/properties/options",
            "/definitions/DynamicConfigValue/properties/value",
        ] {
            if let Some(place) = schema.pointer_mut(path) {
                *place = json!({});
            }
        }
        // Alternatives that overlap.
        if let Some(options) = schema.pointer_mut("/definitions/TableCellOptions")
            && let Some(choices) = options.as_object_mut().unwrap().remove("oneOf")
        {
            options["anyOf"] = choices;
        }
        schema
    }

    /// What the schema of a kind, or a part of it, has against a value.
    fn against(&self, kind: &str, part: Option<&str>, value: &Value) -> Vec<String> {
        let mut schema = self.read(kind);
        if let Some(part) = part {
            if schema["definitions"][part].is_null() {
                return vec![];
            }
            schema["$ref"] = json!(format!("#/definitions/{part}"));
        }
        let validator = jsonschema::draft7::new(&schema).unwrap();
        let errors = validator.iter_errors(value);
        errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    }
}

/// Everything that is wrong with one panel.
fn panel_faults(schemas: &Schemas, panel: &Value) -> Vec<String> {
    let kind = panel["type"].as_str().unwrap();
    if kind == "row" {
        return vec![];
    }
    let mut faults = schemas.against(kind, Some("Options"), &panel["options"]);
    let custom = &panel["fieldConfig"]["defaults"]["custom"];
    if custom.is_object() {
        faults.extend(schemas.against(kind, Some("FieldConfig"), custom));
    }
    for field in panel["fieldConfig"]["overrides"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let mut set = Map::new();
        for property in field["properties"].as_array().unwrap() {
            let id = property["id"].as_str().unwrap();
            if let Some(name) = id.strip_prefix("custom.") {
                set.insert(name.to_owned(), property["value"].clone());
            }
        }
        if set.is_empty() {
            continue;
        }
        if kind == "table" {
            // Required there, and set by the defaults.
            set.entry("align").or_insert(json!("auto"));
            set.entry("inspect").or_insert(json!(false));
        }
        faults.extend(schemas.against(kind, Some("FieldConfig"), &Value::Object(set)));
    }
    for target in panel["targets"].as_array().into_iter().flatten() {
        faults.extend(schemas.against("prometheus", None, target));
    }
    faults
}

fn faults(schemas: &Schemas, file: &str, dashboard: &Value) -> Vec<String> {
    let mut document = dashboard.clone();
    // Of the export format, not of the dashboard.
    for key in ["__inputs", "__requires"] {
        document.as_object_mut().unwrap().remove(key);
    }
    let mut faults = schemas.against("dashboard", None, &document);
    for panel in panels(dashboard) {
        let title = &panel["title"];
        faults.extend(
            panel_faults(schemas, panel)
                .iter()
                .map(|fault| format!("{title}: {fault}")),
        );
    }
    faults
        .iter()
        .map(|fault| format!("{file}: {fault}"))
        .collect()
}

#[test]
fn they_are_valid_by_grafanas_schemas() {
    let Some(folder) = std::env::var_os("DISPATCHER_TEST_GRAFANA_SCHEMAS") else {
        return eprintln!(
            "not checked: DISPATCHER_TEST_GRAFANA_SCHEMAS names no copy of Grafana's JSON schemas"
        );
    };
    let schemas = Schemas(folder.into());
    for (file, dashboard) in dashboards() {
        let found = faults(&schemas, &file, &dashboard);
        assert!(found.is_empty(), "{}", found.join("\n"));
        // They would find what is wrong.
        let mut wrong = dashboard.clone();
        wrong["panells"] = json!([]);
        assert_eq!(faults(&schemas, &file, &wrong).len(), 1);
        let is_chart = |panel: &&mut Value| panel["type"] == "timeseries";
        let mut wrong = dashboard.clone();
        let chart = wrong["panels"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .find(is_chart);
        chart.unwrap()["fieldConfig"]["defaults"]["custom"]["fillOpactiy"] = json!(10);
        assert_eq!(faults(&schemas, &file, &wrong).len(), 1);
    }
}
