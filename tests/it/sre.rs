//! What SREs work with, against the real thing: dashboards, rules and alerts on a Prometheus that scrapes real workers, and the page in
//! a real browser.

mod dashboards;
mod expressions;
mod page;
mod prometheus;
mod rules;
mod schema;

pub(crate) use expressions::dashboards as every_dashboard;

use crate::deploy::autoscalers_queries;
use crate::support::{NUMBER, Setup, World};
use expressions::{Expression, Place, every_expression, operands};
use graph_sim::{Action, Fault};
use harness::client::Request;
use harness::worker::Worker;
use prometheus::Prometheus;
use std::collections::BTreeSet;

/// Where a tool is that `deploy/dev tools` fetches. Without it these tests fail: a skipped test proves nothing.
pub(crate) fn tool(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `deploy/dev test`, or `deploy/dev tools` and `eval \"$(deploy/dev url)\"`")
    })
}

/// Expressions, or parts of them, that have nothing to answer in good days, and why.
const MAY_BE_EMPTY: [(&str, &str); 3] = [
    (
        "lane_hold_since_seconds{phone_number_id=~\"account[.].+\"}",
        "nothing holds an account's operations",
    ),
    ("ALERTS", "no alert fires"),
    (
        "lane_hold_since_seconds{job=~\".*\", phone_number_id=\"111\"}",
        "nothing holds this lane",
    ),
];

const BLOCKED: &str = "222";
const PAUSED: &str = "333";
const OUTAGE: &str = "444";
const MAINTENANCE: &str = "555";

/// Two workers and five lanes, every one of which has something to tell.
async fn eventful_world() -> (World, Worker) {
    let numbers = [NUMBER, BLOCKED, PAUSED, OUTAGE, MAINTENANCE].map(|number| (number, 80));
    let setup = Setup::default()
        .numbers(&numbers)
        .set("worker.id", "\"worker-a\"")
        .set("retry.max_attempts", "2");
    let world = World::start(setup).await;
    let other = world.second().await;
    (world, other)
}

/// Lives through every outcome there is.
async fn see_everything(world: &World) {
    let fault = |suffix: &str, action| Fault::to(format!("3460000000{suffix}"), action);
    let mut outage = Fault::new(Action::error(131016));
    outage.matches.phone_number_id = Some(OUTAGE.to_owned());
    let faults = vec![
        outage,
        fault("1", Action::error(131026)),
        fault("2", Action::ResetAfter {}),
        fault("3", Action::error(131016)),
        fault("5", Action::error(130429)).times(1),
    ];
    world.sim.set_script(faults);
    world.sim.change_number(BLOCKED, |rules| {
        rules.blocked_code = Some(133010);
        "YELLOW".clone_into(&mut rules.quality_rating);
    });
    world
        .sim
        .change_number(MAINTENANCE, |rules| rules.upgrade_ms = Some(3_600_000));
    let text = |id: &str, suffix: &str| Request::text(id, &format!("3460000000{suffix}"));
    let urgent = |id: &str| text(id, "7").with(|p| p.with_priority(9).with_timestamp(now_s()));
    let requests = [
        urgent("urgent"),
        text("bulk", "8").with(|p| p.with_timestamp(now_s())),
        text("refused", "1"),
        text("unknown", "2"),
        text("failed", "3"),
        text("throttled", "5"),
        text("expired", "6").header("expires-at", "2020-01-01T00:00:00Z"),
        Request::raw("malformed", "{"),
        text("stranger", "6").number("999"),
        text("no-reply", "6").with(|p| p.with_reply_to("nobody".into())),
    ];
    let ids: Vec<String> = requests.iter().map(Request::id).collect();
    world.publish(requests).await;
    for id in ids {
        world.results.wait(&id).await;
    }
    for (lane, count) in [(BLOCKED, 1), (OUTAGE, 10), (MAINTENANCE, 1)] {
        let held = |n| text(&format!("held-{lane}-{n}"), "6").number(lane);
        world.publish((0..count).map(held)).await;
        world.worker.lane_state(lane, "away").await;
    }
    let path = format!("/lanes/{PAUSED}/pause");
    assert_eq!(world.worker.post(&path).await.status, 202);
}

/// Both classes, for ever: something is on its way whenever Prometheus looks.
async fn keep_flowing(world: &World) {
    for n in 0_u32.. {
        let id = format!("flow-{n}");
        let request = Request::text(&id, &format!("3461{:07}", n % 1_000));
        let request = request.with(|p| {
            p.with_priority(if n % 2 == 0 { 9 } else { 0 })
                .with_timestamp(now_s())
        });
        world.call(request).await;
    }
}

fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// Everything that is wrong with the answers to these expressions.
async fn wrong(prometheus: &Prometheus, expressions: &[Expression]) -> Vec<String> {
    let known = prometheus.metric_names().await;
    let mut wrong = vec![];
    for expression in expressions {
        let whence = &expression.whence;
        for name in expression.metrics() {
            if !known.contains(&name) && name != "ALERTS" {
                wrong.push(format!("{whence}: there is no metric {name}"));
            }
        }
        for part in operands(expression) {
            let is_excused = MAY_BE_EMPTY.iter().any(|(text, _)| part.contains(text));
            match prometheus.values(&part).await {
                Err(error) => wrong.push(format!("{whence}: {part}: {error}")),
                Ok(values) if values.is_empty() && !is_excused => {
                    wrong.push(format!("{whence}: empty: {part}"));
                }
                Ok(values) if !values.iter().all(|value| value.is_finite()) => {
                    wrong.push(format!("{whence}: not finite: {part}"));
                }
                Ok(_) => {}
            }
        }
    }
    wrong
}

/// The one long test: every panel, variable, annotation, recording rule and alert, answered by a real Prometheus from real workers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_expression_is_answered() {
    let (world, mut other) = eventful_world().await;
    let targets = [world.worker.admin_address(), other.admin_address()];
    let prometheus = Prometheus::start(&world.folder, &targets).await;
    see_everything(&world).await;
    let families: BTreeSet<String> = world.worker.metrics().await.types.into_keys().collect();
    tokio::select! {
        () = look(&prometheus, &families) => {}
        () = keep_flowing(&world) => {}
    }
    other.drain().await;
    world.finish_after_loss().await;
}

async fn look(prometheus: &Prometheus, families: &BTreeSet<String>) {
    prometheus.until_rules_are_settled().await;
    let mut expressions = every_expression();
    expressions.extend(prometheus.rules().await);
    expressions.extend(autoscalers_queries().into_iter().map(|text| Expression {
        whence: "an autoscaler of deploy/k8s".to_owned(),
        place: Place::Rule,
        text,
    }));
    for variable in expressions.iter().filter(|e| e.place == Place::Variable) {
        let values = prometheus.label_values(variable).await;
        assert!(!values.is_empty(), "{}: {}", variable.whence, variable.text);
    }
    expressions.retain(|expression| expression.place != Place::Variable);
    assert!(expressions.len() > 150, "only {} found", expressions.len());
    let wrong_now = wrong(prometheus, &expressions).await;
    assert!(wrong_now.is_empty(), "{}", wrong_now.join("\n"));

    // Were a metric renamed, this test would say so: each that is used is missed when it has another name.
    let used: BTreeSet<String> = expressions.iter().flat_map(Expression::metrics).collect();
    let are_prometheus = ["ALERTS", "up"];
    for name in used
        .iter()
        .filter(|name| !are_prometheus.contains(&name.as_str()))
    {
        let uses = |expression: &&Expression| expression.metrics().contains(name);
        let one = expressions.iter().find(uses).unwrap();
        let renamed = [one.renamed(name, &format!("{name}_x"))];
        assert!(!wrong(prometheus, &renamed).await.is_empty(), "{name}");
    }
    // And every metric there is serves somebody.
    let is_used = |family: &&String| used.iter().any(|name| is_of(name, family));
    let idle: Vec<&String> = families.iter().filter(|family| !is_used(family)).collect();
    assert!(idle.is_empty(), "on no panel and in no alert: {idle:?}");
}

/// A histogram's series have names of their own.
fn is_of(name: &str, family: &str) -> bool {
    let rest = name.strip_prefix(family);
    rest.is_some_and(|rest| ["", "_bucket", "_count", "_sum"].contains(&rest))
}
