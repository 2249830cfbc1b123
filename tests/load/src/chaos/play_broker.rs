//! What happens to RabbitMQ.

use super::nodes::WORKERS_USER;
use super::process::Signal;
use super::stage::Stage;
use anyhow::{Context, Result};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Instant;

pub(crate) async fn restart(stage: &mut Stage<'_>, how: Signal) -> Result<()> {
    stage.nodes.halt(0, how).await?;
    let down = Instant::now();
    stage.say(&format!("RabbitMQ is down after {how}"));
    stage.go_on(2).await;
    stage.nodes.up(0).await?;
    let took = down.elapsed().as_secs_f64();
    stage
        .notes
        .push(format!("RabbitMQ was away for {took:.0} s"));
    stage.healed("RabbitMQ is up");
    Ok(())
}

/// How an alarm is raised, and how it is ended.
pub(crate) struct Alarm {
    name: &'static str,
    raise: &'static [&'static str],
    end: &'static [&'static str],
}

pub(crate) const MEMORY: Alarm = Alarm {
    name: "memory",
    raise: &["set_vm_memory_high_watermark", "absolute", "1MB"],
    end: &["set_vm_memory_high_watermark", "0.6"],
};
pub(crate) const DISK: Alarm = Alarm {
    name: "disk",
    raise: &["set_disk_free_limit", "100000GB"],
    end: &["set_disk_free_limit", "50MB"],
};

pub(crate) async fn alarm(stage: &mut Stage<'_>, alarm: &Alarm, seconds: u64) -> Result<()> {
    stage.nodes.ctl(0, alarm.raise).await?;
    stage.say(&format!("{} alarm", alarm.name));
    stage.go_on(seconds).await;
    let said = readiness(stage).await;
    let sent = sent_within_a_second(stage).await?;
    stage.nodes.ctl(0, alarm.end).await?;
    // Of several faults in a row a worker may not even have found RabbitMQ again.
    let says_why = |said: &String| said.contains("blocks") || said.contains("no broker session");
    if !said.iter().all(says_why) {
        stage
            .broken
            .push(format!("/readyz does not say why: {said:?}"));
    }
    if sent > 0 {
        stage
            .broken
            .push(format!("{sent} messages were sent in a second of alarm"));
    }
    stage.notes.push(format!("/readyz: {}", said.join("; ")));
    stage.healed("the alarm is over");
    Ok(())
}

/// What the workers' `/readyz` say, each once.
async fn readiness(stage: &Stage<'_>) -> Vec<String> {
    let mut said = vec![];
    for worker in &stage.workers {
        if worker.process.is_some() {
            said.push(worker.readiness().await);
        }
    }
    said.dedup();
    said
}

async fn sent_within_a_second(stage: &Stage<'_>) -> Result<u64> {
    let before = crate::sim::accepted(&stage.sim).await?;
    stage.go_on(1).await;
    Ok(crate::sim::accepted(&stage.sim).await? - before)
}

pub(crate) async fn lane_deleted(stage: &mut Stage<'_>) -> Result<()> {
    let lane = stage.lanes.first().context("no lane")?;
    let queue = format!("wa.lane.{lane}");
    stage.struck = Some(0);
    let vhost = stage.nodes.vhost.clone();
    stage
        .nodes
        .ctl(0, &["delete_queue", "-p", &vhost, &queue])
        .await?;
    stage.forget(0);
    stage.healed(&format!("{queue} is deleted"));
    stage.go_on(5).await;
    Ok(())
}

pub(crate) async fn connections_closed(stage: &mut Stage<'_>) -> Result<()> {
    for round in 1..=3 {
        let vhost = stage.nodes.vhost.clone();
        let close = ["close_all_connections", "-p", &vhost, "chaos"];
        stage.nodes.ctl(0, &close).await?;
        stage.healed(&format!("all connections are closed, time {round}"));
        stage.go_on(6).await;
    }
    Ok(())
}

/// A second, where messages are held for one and a half. Looked at every second, not every minute.
pub(crate) async fn consumer_timeout(stage: &mut Stage<'_>) -> Result<()> {
    let tick = |ms: u32| format!("application:set_env(rabbit, channel_tick_interval, {ms}).");
    stage.nodes.ctl(0, &["eval", &tick(1_000)]).await?;
    // Read when a channel opens.
    for index in 0..3 {
        stage.drain(index).await?;
        stage.start(index).await?;
    }
    let vhost = stage.nodes.vhost.clone();
    let policy = ["chaos", "^wa.lane", r#"{"consumer-timeout":1000}"#];
    let set = [
        &["set_policy", "--apply-to", "queues", "-p", &vhost][..],
        &policy,
    ]
    .concat();
    stage.nodes.ctl(0, &set).await?;
    stage.say("RabbitMQ waits a second for an acknowledgement");
    stage.go_on(10).await;
    stage
        .nodes
        .ctl(0, &["clear_policy", "-p", &vhost, "chaos"])
        .await?;
    stage.nodes.ctl(0, &["eval", &tick(60_000)]).await?;
    stage.healed("it waits half an hour");
    Ok(())
}

pub(crate) async fn password_changed(stage: &mut Stage<'_>) -> Result<()> {
    let change = |password| ["change_password", WORKERS_USER, password];
    stage.nodes.ctl(0, &change("another")).await?;
    let close = ["close_all_user_connections", WORKERS_USER, "chaos"];
    stage.nodes.ctl(0, &close).await?;
    stage.say("the workers' password is another");
    stage.go_on(15).await;
    let said = readiness(stage).await;
    if !said.iter().all(|said| said.contains("no broker session")) {
        let what = format!("/readyz does not say why: {said:?}");
        stage.broken.push(what);
    }
    stage.nodes.ctl(0, &change(WORKERS_USER)).await?;
    stage.healed("it is the old one");
    Ok(())
}

/// A queue as a careless reader of results declares it.
pub(crate) async fn results_refused(stage: &mut Stage<'_>) -> Result<()> {
    let vhost = stage.nodes.vhost.clone();
    let (queue, binding) = (
        format!("/api/queues/{vhost}/full"),
        format!("/api/bindings/{vhost}/e/wa.results/q/full"),
    );
    let arguments = json!({ "x-max-length": 10, "x-overflow": "reject-publish" });
    let full = json!({ "durable": true, "arguments": arguments });
    stage.nodes.manage("PUT", &queue, Some(full)).await?;
    let all = json!({ "routing_key": "#" });
    stage.nodes.manage("POST", &binding, Some(all)).await?;
    stage.say("a queue of ten results refuses the others");
    stage.go_on(15).await;
    let said = readiness(stage).await;
    let sent = sent_within_a_second(stage).await?;
    let says_why = said.iter().all(|said| said.contains("refuses results"));
    if !says_why || sent > 0 {
        let what = format!("{sent} were sent in a second of it, /readyz: {said:?}");
        stage.broken.push(what);
    }
    stage.nodes.manage("DELETE", &queue, None).await?;
    stage.healed("that queue is gone");
    Ok(())
}

/// A reader's quorum queue for the results of one number, whose process hangs: at first one that nobody has published to yet, where
/// RabbitMQ's channel waits for it at once, then one that has taken many.
pub(crate) async fn reader_stuck(stage: &mut Stage<'_>) -> Result<()> {
    let lane = stage.lanes.first().context("no lane")?.clone();
    stage.struck = Some(0);
    let vhost = stage.nodes.vhost.clone();
    let queue = format!("/api/queues/{vhost}/stuck");
    let quorum = json!({ "durable": true, "arguments": { "x-queue-type": "quorum" } });
    stage.nodes.manage("PUT", &queue, Some(quorum)).await?;
    let process = format!("whereis('{vhost}_stuck')");
    let (hang, go) = (
        format!("sys:suspend({process})."),
        format!("sys:resume({process})."),
    );
    let binding = format!("/api/bindings/{vhost}/e/wa.results/q/stuck");
    let key = json!({ "routing_key": format!("accepted.{lane}") });
    for seconds in [40, 15] {
        stage.nodes.ctl(0, &["eval", &hang]).await?;
        stage
            .nodes
            .manage("POST", &binding, Some(key.clone()))
            .await?;
        stage.say(&format!("a queue for the results of {lane} hangs"));
        stage.go_on(seconds).await;
        let said = readiness(stage).await;
        if said != ["ready"] {
            stage.broken.push(format!("/readyz: {said:?}"));
        }
        stage.nodes.ctl(0, &["eval", &go]).await?;
        stage.healed("it goes on");
        stage.go_on(5).await;
    }
    Ok(())
}

/// Which node leads how many lanes, by `rabbitmqctl list_queues`.
async fn leaders(stage: &Stage<'_>) -> Result<BTreeMap<String, Vec<String>>> {
    let list = [
        "-q",
        "list_queues",
        "-p",
        &stage.nodes.vhost,
        "name",
        "leader",
    ];
    let text = stage.nodes.ctl(2, &list).await?;
    let mut leaders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("wa.lane.")) {
        let (lane, leader) = line.split_once('\t').context("list_queues: two columns")?;
        leaders
            .entry(leader.trim().to_owned())
            .or_default()
            .push(lane.to_owned());
    }
    Ok(leaders)
}

pub(crate) async fn node_killed(stage: &mut Stage<'_>) -> Result<()> {
    let leaders = leaders(stage).await?;
    let most = leaders.into_iter().max_by_key(|(_, lanes)| lanes.len());
    let (leader, lanes) = most.context("no lane has a leader")?;
    let node = stage.nodes.numbered(&leader)?;
    stage.nodes.halt(node, Signal::Kill).await?;
    stage.healed(&format!(
        "the node that leads {} lanes is killed",
        lanes.len()
    ));
    stage.recover(super::play::PATIENCE).await;
    stage.nodes.up(node).await?;
    stage.say("it is back");
    stage.go_on(5).await;
    Ok(())
}

pub(crate) async fn leaders_moved(stage: &mut Stage<'_>) -> Result<()> {
    for _ in 0..2 {
        for (leader, lanes) in leaders(stage).await? {
            let node = stage.nodes.numbered(&leader)?;
            let next = stage.nodes.erlang_name((node + 1) % stage.nodes.count());
            let vhost = &stage.nodes.vhost;
            let names: Vec<_> = lanes.iter().map(|lane| format!("<<\"{lane}\">>")).collect();
            let transfer = format!(
                "[begin {{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{vhost}\">>, queue, N)), \
                 rabbit_quorum_queue:transfer_leadership(Q, '{next}') end || N <- [{}]].",
                names.join(", ")
            );
            let said = stage.nodes.ctl(0, &["eval", &transfer]).await?;
            stage.say(&format!(
                "{} lanes: {}",
                lanes.len(),
                said.split_whitespace().collect::<String>()
            ));
        }
        stage.healed("every lane has another leader");
        stage.go_on(5).await;
    }
    Ok(())
}
