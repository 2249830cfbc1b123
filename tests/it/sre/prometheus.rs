//! A real Prometheus, with our rules, that scrapes these workers every second.

use super::expressions::{Expression, Place};
use super::tool;
use crate::support::{poll, within};
use harness::http::{self, encoded};
use harness::worker::{Folder, free_port};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Stdio;
use tokio::process::{Child, Command};

pub(super) struct Prometheus {
    address: String,
    _child: Child,
}

impl Prometheus {
    pub(super) async fn start(folder: &Folder, targets: &[String]) -> Self {
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/rules.yaml");
        // JSON is YAML.
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{ "job_name": "whatsapp-dispatcher", "static_configs": [{ "targets": targets }] }],
        });
        let config = folder.write("prometheus.yaml", &config.to_string());
        let address = format!("127.0.0.1:{}", free_port());
        let log = std::fs::File::create(folder.0.join("prometheus.log")).unwrap();
        let child = Command::new(tool("DISPATCHER_TEST_PROMETHEUS"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.0.join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let prometheus = Self {
            address,
            _child: child,
        };
        let is_ready = poll(|| async { prometheus.ask("/-/ready").await.is_some() });
        within("Prometheus to be ready", is_ready).await;
        prometheus
    }

    async fn ask(&self, path: &str) -> Option<String> {
        let asking = http::ask_aside(&self.address, "GET", path, None, None);
        let answer = asking.await.ok()?;
        (answer.status == 200 || answer.status == 400).then_some(answer.body)
    }

    async fn data(&self, path: &str) -> Result<Value, String> {
        let body = self.ask(path).await.ok_or("Prometheus does not answer")?;
        let mut answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["data"].take()),
        }
    }

    /// The values that an expression has now.
    pub(super) async fn values(&self, expression: &str) -> Result<Vec<f64>, String> {
        let path = format!("/api/v1/query?query={}", encoded(expression));
        let data = self.data(&path).await?;
        let result = data["result"].as_array().ok_or("not a result")?;
        let number = |pair: &Value| pair[1].as_str().unwrap().parse::<f64>().unwrap();
        Ok(if data["resultType"] == "scalar" {
            vec![number(&data["result"])]
        } else {
            result.iter().map(|one| number(&one["value"])).collect()
        })
    }

    pub(super) async fn metric_names(&self) -> BTreeSet<String> {
        let names = self.data("/api/v1/label/__name__/values").await.unwrap();
        serde_json::from_value(names).unwrap()
    }

    /// What a variable's `label_values(series, label)` offers.
    pub(super) async fn label_values(&self, variable: &Expression) -> Vec<String> {
        let inner = variable.text.strip_prefix("label_values(").unwrap();
        let (series, label) = inner.strip_suffix(')').unwrap().rsplit_once(',').unwrap();
        let path = format!(
            "/api/v1/label/{}/values?match[]={}",
            label.trim(),
            encoded(series)
        );
        serde_json::from_value(self.data(&path).await.unwrap()).unwrap()
    }

    async fn all_rules(&self) -> Vec<Value> {
        let data = self.data("/api/v1/rules").await.unwrap();
        let groups = data["groups"].as_array().unwrap().clone();
        let rules = groups.into_iter().map(|mut group| group["rules"].take());
        rules
            .flat_map(|rules| rules.as_array().cloned().unwrap())
            .collect()
    }

    /// Recording rules and alerts, as Prometheus has read them.
    pub(super) async fn rules(&self) -> Vec<Expression> {
        let expression = |rule: Value| {
            assert_eq!(
                rule["health"], "ok",
                "{}: {}",
                rule["name"], rule["lastError"]
            );
            let is_alert = rule["type"] == "alerting";
            let name = rule["name"].as_str().unwrap();
            Expression {
                whence: format!("{} {name}", if is_alert { "alert" } else { "rule" }),
                place: if is_alert { Place::Alert } else { Place::Rule },
                text: rule["query"].as_str().unwrap().to_owned(),
            }
        };
        self.all_rules().await.into_iter().map(expression).collect()
    }

    /// Every rule was evaluated often enough for a rate of what it records.
    pub(super) async fn until_rules_are_settled(&self) {
        let recorded = "count_over_time(job:wa_dispatcher_workers_needed[5m])";
        let enough = poll(|| async {
            let counted = self.values(recorded).await.unwrap_or_default();
            counted.iter().any(|count| *count >= 10.0)
        });
        within("ten evaluations of the rules", enough).await;
    }
}
